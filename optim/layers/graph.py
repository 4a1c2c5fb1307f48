"""From a module to the graph that is simulated, measured and deployed.

:func:`trace` gives the deployed form of a module: dropout and identities gone, every batch norm
that follows a convolution or dense layer folded into it, and each node labelled with the kind of
operation it is. Simulation, quantization and file emission all work on this one graph, so that
what is simulated is what is deployed.

Tracing runs ``forward`` with symbols, once a module; copies of a module share the result, because
pruning, re-estimation and training change sizes and values but never what calls what.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from optim.errors import UnsupportedModelError
from optim.hashing import digest
from optim.layers.functions import FUNCTIONS
from optim.layers.shortcut import ChannelPadShortcut
from optim.layers.token import Token

__all__ = [
    "COMPUTE",
    "as_program",
    "attribute_of",
    "folded_layer",
    "folded_parameters",
    "fork",
    "kind_of",
    "layer_of",
    "nodes_of",
    "norm_factor",
    "propagate_shapes",
    "trace",
    "with_parameters",
]

COMPUTE = ("conv", "linear")
"""Kinds of the layers that hold the weights and do the multiplications."""

_MODULE_KINDS: dict[type[nn.Module], str] = {
    nn.Conv1d: "conv",
    nn.Conv2d: "conv",
    nn.ConvTranspose1d: "conv_transpose",
    nn.ConvTranspose2d: "conv_transpose",
    nn.Linear: "linear",
    nn.BatchNorm1d: "batch_norm",
    nn.BatchNorm2d: "batch_norm",
    nn.GroupNorm: "group_norm",
    nn.LayerNorm: "layer_norm",
    nn.InstanceNorm1d: "instance_norm",
    nn.InstanceNorm2d: "instance_norm",
    nn.LocalResponseNorm: "local_response_norm",
    nn.Embedding: "embedding",
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Hardswish: "hardswish",
    nn.Hardsigmoid: "hardsigmoid",
    nn.LeakyReLU: "leaky_relu",
    nn.PReLU: "prelu",
    nn.ELU: "elu",
    nn.CELU: "celu",
    nn.Softplus: "softplus",
    nn.Softsign: "softsign",
    nn.Mish: "mish",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.Softmax: "softmax",
    nn.MaxPool1d: "max_pool",
    nn.MaxPool2d: "max_pool",
    nn.AvgPool1d: "avg_pool",
    nn.AvgPool2d: "avg_pool",
    nn.AdaptiveAvgPool1d: "global_avg_pool",
    nn.AdaptiveAvgPool2d: "global_avg_pool",
    nn.Flatten: "flatten",
    nn.Dropout: "identity",
    nn.Dropout1d: "identity",
    nn.Dropout2d: "identity",
    nn.Identity: "identity",
    ChannelPadShortcut: "channel_pad",
    Token: "token",
}

_FUNCTION_KINDS: dict[Callable[..., Any], str] = {
    **{function: kind for kind, function in FUNCTIONS.items()},
    torch.add: "add",
    torch.mul: "mul",
    torch.concat: "concat",
    nn.functional.relu: "relu",
    operator.matmul: "matmul",
    nn.functional.softmax: "softmax",
    nn.functional.gelu: "gelu",
}

_METHOD_KINDS: dict[str, str] = {
    "add": "add",
    "mul": "mul",
    "relu": "relu",
    "flatten": "flatten",
    "unflatten": "unflatten",
    "transpose": "transpose",
    "mean": "mean",
    "softmax": "softmax",
    "matmul": "matmul",
    "contiguous": "identity",
    "to": "cast",
}


class _Tracer(fx.Tracer):
    """Traces down to ``torch.nn`` layers and our own leaf layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, nn.Sequential):
            return False
        return type(m) in _MODULE_KINDS or super().is_leaf_module(m, module_qualified_name)


class _SharedGraph:
    """A traced graph that copies of a module share instead of copying it."""

    def __init__(self, graph: fx.Graph) -> None:
        self.graph = graph

    def __deepcopy__(self, memo: object) -> _SharedGraph:
        return self


def nodes_of(module: nn.Module) -> list[fx.Node]:
    """Return the nodes of a module as it is written, nothing folded; they must not be changed.

    Raises:
        UnsupportedModelError: If control flow in ``forward`` depends on values.
    """
    return list(_graph_of(module).nodes)


def trace(
    module: nn.Module,
    *,
    fold: bool = True,
    behind: Mapping[str, nn.Module] | None = None,
    folded: Callable[[nn.Module, nn.Module], nn.Module] | None = None,
) -> fx.GraphModule:
    """Return the deployed form of a module in evaluation mode; the module itself is unchanged.

    Layers that needed no folding are shared with ``module``, not copied; none writes into its
    input.

    Args:
        module: What to trace.
        fold: Whether batch norms are folded into the layers before them.
        behind: Modules to insert, by the name of the node whose result they take.
        folded: Makes one layer of a layer and the batch norm behind it; :func:`folded_layer`
            unless another is given.

    Raises:
        UnsupportedModelError: If control flow in ``forward`` depends on values.
    """
    graph = copy.deepcopy(_graph_of(module))
    layers: dict[str, Any] = {
        str(node.target): _writing_apart(attribute_of(module, str(node.target)))
        for node in graph.nodes
        if node.op in ("call_module", "get_attr")
    }
    if fold:
        _fold_batch_norm(graph, layers, folded or folded_layer)
    for node in list(graph.nodes):
        if kind_of(node) == "identity":
            node.replace_all_uses_with(node.all_input_nodes[0])
            graph.erase_node(node)
    if behind:
        _insert(graph, behind)
        layers |= {_inserted_name(edge): layer for edge, layer in behind.items()}
    traced = fx.GraphModule(layers, graph)
    traced.training = False
    return traced


def as_program(module: nn.Module) -> fx.GraphModule:
    """Return a module as a graph of its layers, nothing folded and nothing left out."""
    program = fx.GraphModule(module, copy.deepcopy(_graph_of(module)))
    program.eval()
    return program


def kind_of(node: fx.Node) -> str:
    """Return what a node of a traced graph does, or ``"other"``."""
    return str(node.meta["kind"])


def layer_of(node: fx.Node) -> nn.Module:
    """Return the layer a ``call_module`` node of a traced graph calls."""
    owner = node.graph.owning_module
    assert owner is not None
    return owner.get_submodule(str(node.target))


def propagate_shapes(traced: fx.GraphModule, input_shape: tuple[int, ...]) -> None:
    """Write the shape of every node's result, batch dimension 1, into ``node.meta["shape"]``.

    ``node.meta["is_whole"]`` says whether it is made of whole numbers. Shapes do not depend on
    weights: of a network of the same layers and sizes they are known.
    """
    key = (input_shape, _structure(traced))
    if known := _SHAPES.get(key):
        for node in traced.graph.nodes:
            node.meta.update(known.get(node.name, {}))
        return
    try:
        # Without numbers: a large network takes milliseconds instead of an inference.
        _ShapeWriter(traced, "meta").run(torch.zeros(1, *input_shape, device="meta"))
    except RuntimeError:  # an operation whose result has a size that depends on numbers
        _ShapeWriter(traced, "cpu").run(torch.zeros(1, *input_shape))
        return
    if len(_SHAPES) >= _KEPT_SHAPES:
        _SHAPES.clear()
    _SHAPES[key] = {
        node.name: {name: node.meta[name] for name in ("shape", "is_whole")}
        for node in traced.graph.nodes
        if "shape" in node.meta
    }


_KEPT_SHAPES = 256
_SHAPES: dict[Any, dict[str, dict[str, Any]]] = {}
"""What was found out of networks, by the input's shape and their structure."""


def _structure(traced: fx.GraphModule) -> str:
    """Return what decides the shapes in a network: its operations and the sizes of its tensors."""
    told = []
    for node in traced.graph.nodes:
        what: Any = node.target
        if node.op in ("call_module", "get_attr"):
            held = attribute_of(traced, str(node.target))
            if isinstance(held, nn.Module):
                tensors = [*held.named_parameters(), *held.named_buffers()]
                what = "" if hasattr(held, "keeps_shape") else repr(held)
            else:
                tensors, what = [("", held)], ""
            what += str([(name, tuple(tensor.shape), tensor.dtype) for name, tensor in tensors])
        told.append(f"{node.name} {node.op} {what} {node.args} {node.kwargs}")
    return digest(told)


class _ShapeWriter(fx.Interpreter):
    def __init__(self, traced: fx.GraphModule, device: str) -> None:
        super().__init__(traced)
        self._device = device

    def run_node(self, n: fx.Node) -> Any:
        with torch.no_grad():
            result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["shape"] = tuple(result.shape)
            n.meta["is_whole"] = not result.is_floating_point() and result.dtype != torch.bool
        return result

    def fetch_attr(self, target: str) -> Any:
        found = super().fetch_attr(target)
        return found.to(self._device) if isinstance(found, Tensor) else found

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        layer = self.fetch_attr(target)
        held = {name: t.to(self._device) for name, t in layer.state_dict(keep_vars=True).items()}
        return torch.func.functional_call(layer, held, args, kwargs)


def with_parameters(layer: nn.Module, **tensors: Tensor | None) -> nn.Module:
    """Return a copy of a layer that shares everything but these parameters."""
    clone = copy.copy(layer)
    parameters = {
        name: None if tensor is None else nn.Parameter(tensor, requires_grad=False)
        for name, tensor in tensors.items()
    }
    object.__setattr__(clone, "_parameters", {**layer._parameters, **parameters})
    return clone


def fork(module: nn.Module) -> nn.Module:
    """Return a copy whose layers can be replaced; parameters and buffers are shared.

    For those who put new tensors in place of old ones. Who writes into tensors needs a deep copy.
    """
    # Not copy.copy: that of a graph module compiles it anew, and forgets what was traced.
    clone = object.__new__(type(module))
    clone.__dict__.update(module.__dict__)
    for name in ("_parameters", "_buffers"):
        object.__setattr__(clone, name, dict(getattr(module, name)))
    children = {name: child and fork(child) for name, child in module._modules.items()}
    object.__setattr__(clone, "_modules", children)
    return clone


def folded_layer(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """Return one layer that does what ``layer`` and then the batch norm ``norm`` do."""
    with torch.no_grad():
        weight, bias = folded_parameters(layer, norm)
    return with_parameters(layer, weight=weight, bias=bias)


def norm_factor(norm: nn.Module) -> Tensor:
    """Return by what a batch norm multiplies each channel ``(C,)``."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_var is not None
    factor = torch.rsqrt(norm.running_var + norm.eps)
    return factor * norm.weight if norm.affine else factor


def folded_parameters(layer: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return weight and bias of that layer, with gradients to the parameters of both.

    The statistics of the norm are taken as they are.
    """
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_mean is not None
    weight, bias = layer.get_parameter("weight"), layer.bias
    factor = norm_factor(norm)
    shift = -norm.running_mean * factor
    if norm.affine:
        shift = shift + norm.bias
    if isinstance(bias, Tensor):
        shift = shift + bias * factor
    if weight.is_meta:  # only its size is known
        return weight, shift
    return weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), shift


def _graph_of(module: nn.Module) -> fx.Graph:
    shared = module.__dict__.get("_optim_graph")
    if shared is None:
        shared = _SharedGraph(_traced_graph(module))
        object.__setattr__(module, "_optim_graph", shared)
    return shared.graph


def _traced_graph(module: nn.Module) -> fx.Graph:
    try:
        graph = _Tracer().trace(module)
    except Exception as error:
        # A forward of somebody else's may raise anything when it is fed with symbols.
        raise UnsupportedModelError(
            f"{type(module).__name__} cannot be traced: {error}.",
            hint="Its forward must not branch on the values or sizes of tensors.",
        ) from error
    for node in graph.nodes:
        node.meta["kind"] = _kind(node, module)
        if node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
    return graph


def _kind(node: fx.Node, module: nn.Module) -> str:
    if node.op == "call_module":
        return _MODULE_KINDS.get(type(module.get_submodule(str(node.target))), "other")
    if node.op == "call_function":
        return _FUNCTION_KINDS.get(node.target, "other")  # type: ignore[arg-type]
    if node.op == "call_method":
        return _METHOD_KINDS.get(str(node.target), "other")
    return node.op


def _writing_apart(layer: Any) -> Any:
    """Return a layer that leaves its input as it was: others may still read it, or run again."""
    if getattr(layer, "inplace", False) is not True:
        return layer
    clone = copy.copy(layer)
    clone.inplace = False
    return clone


def attribute_of(module: nn.Module, path: str) -> Any:
    """Return the layer, parameter or buffer at a dotted path."""
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _insert(graph: fx.Graph, behind: Mapping[str, nn.Module]) -> None:
    for node in list(graph.nodes):
        if node.name not in behind:
            continue
        with graph.inserting_after(node):
            inserted = graph.call_module(_inserted_name(node.name), (node,))
        inserted.meta["kind"] = "other"
        node.replace_all_uses_with(
            inserted, delete_user_cb=lambda user, own=inserted: user is not own
        )


def _inserted_name(edge: str) -> str:
    return f"behind_{edge}"


def _fold_batch_norm(
    graph: fx.Graph, layers: dict[str, Any], folded: Callable[[nn.Module, nn.Module], nn.Module]
) -> None:
    calls = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    for node in list(graph.nodes):
        if kind_of(node) != "batch_norm":
            continue
        source = node.all_input_nodes[0]
        name = str(source.target)
        if kind_of(source) not in COMPUTE or len(source.users) > 1 or calls.count(name) > 1:
            continue
        layers[name] = folded(layers[name], layers[str(node.target)])
        node.replace_all_uses_with(source)
        graph.erase_node(node)
