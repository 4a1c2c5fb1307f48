"""A converted model without its weights, as plain data: layers, calls, and the sizes of tensors.

Everything is named from closed lists (the layers below, the functions of
``optim.layers.functions``), so that a stored model is rebuilt without the ONNX file and without
executing anything that comes from a file. Layers are described as they are now: one that lost
channels comes back at the size it has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from optim.errors import UnsupportedModelError
from optim.layers.functions import FUNCTIONS
from optim.layers.graph import attribute_of
from optim.layers.shortcut import ChannelPadShortcut
from optim.layers.token import Token
from optim.models.convert.reader import MAX_NODES

__all__ = ["build", "describe"]

_CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
_TRANSPOSED = (*_CONV, "output_padding")
_MAX_POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_AVERAGE_POOL = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

_LAYERS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv1d: (*_CONV, "bias"),
    nn.Conv2d: (*_CONV, "bias"),
    nn.ConvTranspose1d: (*_TRANSPOSED, "bias"),
    nn.ConvTranspose2d: (*_TRANSPOSED, "bias"),
    nn.Linear: ("in_features", "out_features", "bias"),
    nn.BatchNorm1d: ("num_features", "eps", "momentum"),
    nn.BatchNorm2d: ("num_features", "eps", "momentum"),
    nn.InstanceNorm1d: ("num_features", "eps", "affine"),
    nn.InstanceNorm2d: ("num_features", "eps", "affine"),
    nn.GroupNorm: ("num_groups", "num_channels", "eps"),
    nn.LayerNorm: ("normalized_shape", "eps", "bias"),
    nn.LocalResponseNorm: ("size", "alpha", "beta", "k"),
    nn.Embedding: ("num_embeddings", "embedding_dim"),
    nn.ReLU: (),
    nn.ReLU6: (),
    nn.LeakyReLU: ("negative_slope",),
    nn.PReLU: ("num_parameters",),
    nn.ELU: ("alpha",),
    nn.CELU: ("alpha",),
    nn.GELU: ("approximate",),
    nn.SiLU: (),
    nn.Mish: (),
    nn.Sigmoid: (),
    nn.Hardsigmoid: (),
    nn.Hardswish: (),
    nn.Tanh: (),
    nn.Softplus: (),
    nn.Softsign: (),
    nn.Softmax: ("dim",),
    nn.MaxPool1d: _MAX_POOL,
    nn.MaxPool2d: _MAX_POOL,
    nn.AvgPool1d: _AVERAGE_POOL,
    nn.AvgPool2d: _AVERAGE_POOL,
    nn.AdaptiveAvgPool1d: ("output_size",),
    nn.AdaptiveAvgPool2d: ("output_size",),
    nn.Flatten: ("start_dim", "end_dim"),
    nn.Identity: (),
    nn.Dropout: ("p",),
    nn.Dropout1d: ("p",),
    nn.Dropout2d: ("p",),
}
"""``{layer: the arguments it is made with}``."""

_OWN: dict[str, type[nn.Module]] = {"ChannelPadShortcut": ChannelPadShortcut, "Token": Token}
_BY_NAME = {cls.__name__: cls for cls in _LAYERS}
_NAMES = {function: name for name, function in FUNCTIONS.items()}
_DTYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}
_METHODS = {
    ("call_method", name) for name in ("flatten", "mean", "softmax", "to", "transpose", "unflatten")
}
"""Methods of tensors that a program may call; all of them only compute."""
_MAX_SIDE = 2**24
_MAX_DEPTH = 8


def describe(module: fx.GraphModule) -> dict[str, Any]:
    """Return a converted module as plain data; equal structures give equal data.

    Raises:
        UnsupportedModelError: If it has a layer or a call that no converter makes.
    """
    layers: dict[str, Any] = {}
    constants: dict[str, Any] = {}
    nodes = []
    for node in module.graph.nodes:
        path = str(node.target)
        if node.op == "call_module":
            layers[path] = _described_layer(path, module.get_submodule(path))
        elif node.op == "get_attr":
            constants[path] = _described_constant(path, attribute_of(module, path))
        elif node.op == "call_function":
            if node.target not in _NAMES:
                raise UnsupportedModelError(f"A call of {node.target} cannot be stored.")
            path = _NAMES[node.target]
        args, kwargs = _plain(node.args), _plain(node.kwargs)
        nodes.append([node.op, node.name, path, args, kwargs])
    return {"layers": layers, "constants": constants, "nodes": nodes}


def build(program: Mapping[str, Any], *, max_parameters: int) -> fx.GraphModule:
    """Return a module like the one that was described, its weights unset.

    Args:
        program: What :func:`describe` returned, perhaps from a file of somebody else.
        max_parameters: Numbers it may hold at most.

    Raises:
        ValueError, TypeError, LookupError, RuntimeError: If the data make no sense.
    """
    nodes = program["nodes"]
    if len(nodes) > MAX_NODES:
        raise ValueError(f"it has {len(nodes):,} nodes, at most {MAX_NODES:,} are read")
    with torch.device("meta"):
        planned = _root(program)
    total = sum(t.numel() for t in planned.state_dict().values())
    if total > max_parameters:
        raise ValueError(f"it has more than {max_parameters:,} parameters")
    return fx.GraphModule(_root(program), _graph(program)).eval()


def _described_layer(path: str, layer: nn.Module) -> list[Any]:
    if isinstance(layer, ChannelPadShortcut):
        return ["ChannelPadShortcut", layer.in_channels, layer.source.tolist(), layer.stride]
    if isinstance(layer, Token):
        return ["Token", list(layer.weight.shape)]
    names = _LAYERS.get(type(layer))
    if names is None:
        raise UnsupportedModelError(
            f"The layer {path!r} ({type(layer).__name__}) cannot be stored in a checkpoint.",
            hint="Export the model to ONNX instead.",
        )
    values = {name: _value(getattr(layer, name)) for name in names}
    return [type(layer).__name__, values]


def _value(value: Any) -> Any:
    """Return an attribute of a layer as it is given to make one."""
    if value is None or isinstance(value, Tensor):
        return value is not None  # a bias: whether there is one
    return list(value) if isinstance(value, tuple | torch.Size) else value


def _described_constant(path: str, value: Any) -> dict[str, Any]:
    assert isinstance(value, Tensor), path
    dtype = str(value.dtype).removeprefix("torch.")
    learned = isinstance(value, nn.Parameter)
    return {"shape": list(value.shape), "dtype": dtype, "learned": learned}


def _plain(argument: Any) -> Any:
    """Return the arguments of a call as plain data."""
    if isinstance(argument, fx.Node):
        return {"node": argument.name}
    if isinstance(argument, slice):
        return {"slice": [argument.start, argument.stop, argument.step]}
    if isinstance(argument, torch.dtype):
        return {"dtype": str(argument).removeprefix("torch.")}
    if isinstance(argument, Mapping):
        return {"names": {name: _plain(value) for name, value in argument.items()}}
    if isinstance(argument, list | tuple):
        return [_plain(part) for part in argument]
    if isinstance(argument, float) and not math.isfinite(argument):
        return {"number": str(argument)}
    if argument is None or isinstance(argument, bool | int | float | str):
        return argument
    raise UnsupportedModelError(f"A call with {type(argument).__name__} cannot be stored.")


def _argument(data: Any, known: Mapping[str, fx.Node], depth: int = 0) -> Any:
    """Return the argument that plain data stand for."""
    if depth > _MAX_DEPTH:
        raise ValueError("its arguments are nested too deeply")
    if isinstance(data, list):
        return tuple(_argument(part, known, depth + 1) for part in data)
    if not isinstance(data, Mapping):
        if data is not None and not isinstance(data, bool | int | float | str):
            raise ValueError(f"{data!r} is no argument of a call")
        return data
    ((kind, value),) = data.items()
    if kind == "node":
        return known[value]
    if kind == "dtype":
        return _DTYPES[value]
    if kind == "number":
        return float(value)
    if kind == "slice":
        return slice(*(None if part is None else int(part) for part in value))
    if kind == "names":
        return {str(name): _argument(part, known, depth + 1) for name, part in value.items()}
    raise ValueError(f"{kind!r} is no kind of argument")


def _root(program: Mapping[str, Any]) -> nn.Module:
    """Return a module that holds the layers and constants."""
    root = nn.Module()
    for path, described in program["layers"].items():
        _place(root, path, _layer(described))
    for path, described in program["constants"].items():
        dtype = _DTYPES[described["dtype"]]
        value = torch.zeros(_sizes(described["shape"]), dtype=dtype)
        _place(root, path, nn.Parameter(value) if described["learned"] else value)
    return root


def _layer(described: Any) -> nn.Module:
    name, *config = described
    if name == "ChannelPadShortcut":
        in_channels, source, stride = config
        index = torch.tensor(source, dtype=torch.int64, device="cpu")
        legal = bool(((index >= -1) & (index < in_channels)).all())
        if not legal or not 0 < stride < _MAX_SIDE:
            raise ValueError("a shortcut copies channels it does not have")
        return ChannelPadShortcut.from_source(index, int(in_channels), int(stride))
    if name == "Token":
        return Token(torch.zeros(_sizes(config[0])))
    cls: Any = _BY_NAME[name]
    (values,) = config
    if set(values) != set(_LAYERS[cls]):
        raise ValueError(f"a layer of type {name} is made with {sorted(values)}")
    layer: nn.Module = cls(**{key: _checked(value) for key, value in values.items()})
    return layer


def _checked(value: Any) -> Any:
    """Return an argument of a layer; sizes have bounds, so that none takes all memory."""
    if isinstance(value, list):
        return tuple(_checked(part) for part in value)
    if isinstance(value, str) and value in ("none", "tanh"):
        return value
    if not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > _MAX_SIDE:
        raise ValueError(f"{value!r} is no argument of a layer")
    return value


def _sizes(shape: Any) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in shape)
    if any(not 0 < size < _MAX_SIDE for size in sizes):
        raise ValueError(f"{sizes} is no shape")
    return sizes


def _place(root: nn.Module, path: str, part: nn.Module | Tensor) -> None:
    *above, name = path.split(".")
    holder = root
    for step in above:
        if step not in holder._modules:
            holder.add_module(step, nn.Module())
        holder = holder.get_submodule(step)
    if isinstance(part, nn.Module):
        holder.add_module(name, part)
    elif isinstance(part, nn.Parameter):
        holder.register_parameter(name, part)
    else:
        holder.register_buffer(name, part)


def _graph(program: Mapping[str, Any]) -> fx.Graph:
    held = {"call_module": program["layers"], "get_attr": program["constants"]}
    graph = fx.Graph()
    known: dict[str, fx.Node] = {}
    for op, name, target, args, kwargs in program["nodes"]:
        if not str(name).isidentifier() or (op == "placeholder" and not target.isidentifier()):
            raise ValueError(f"{name!r} is no name of a node")
        values, named = _argument(args, known), _argument(kwargs, known)
        if op == "output":
            graph.output(*values)
            break
        if op == "call_function":
            target = FUNCTIONS[target]
        elif (
            op != "placeholder" and target not in held.get(op, ()) and (op, target) not in _METHODS
        ):
            raise ValueError(f"{op!r} {target!r} is no call")
        made = graph.create_node(op, target, values, named, name=name)
        known[name] = made
        if made.name != name:
            raise ValueError(f"two nodes are called {name!r}")
    return graph
