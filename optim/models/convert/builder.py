"""The graph under construction: what each value is, and how layers and calls are added to it.

Files say sizes in many ways: fixed, free, or computed at run time from the sizes of other values.
All of it is settled here by one device: everything is followed for two batch sizes at once, with
tensors that have a size and no content. What is equal for both is a constant of the module; what
differs depends on the batch, and only a reshape may depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from optim.errors import UnsupportedModelError
from optim.layers.functions import FUNCTIONS
from optim.layers.quantized_graph import FakeQuantize
from optim.models.convert.names import Names, module_path
from optim.models.convert.reader import GraphFile, GraphInput, Operation

__all__ = ["MAX_VALUES", "Builder", "Constant", "Handler", "StoredGrid", "Traced", "Value"]

MAX_VALUES = 2**28
"""Numbers in the largest value a graph may compute for two samples."""


@dataclass(frozen=True, eq=False)
class Constant:
    """A value known before the graph runs.

    Attributes:
        arrays: The value for each of the two batch sizes; one object where it does not differ.
        name: The initializer it comes from; empty if it was computed.
        is_learned: Whether it is a weight, and not part of the program.
    """

    arrays: tuple[np.ndarray, np.ndarray]
    name: str = ""
    is_learned: bool = False

    @classmethod
    def of(cls, array: np.ndarray, name: str = "", is_learned: bool = False) -> Constant:
        """Return a constant that does not depend on the batch."""
        return cls((array, array), name, is_learned)

    @property
    def depends_on_batch(self) -> bool:
        """Whether the value is another one for another number of samples."""
        first, second = self.arrays
        return first is not second and not np.array_equal(first, second)

    @property
    def is_number(self) -> bool:
        """Whether it is one number for every batch."""
        return self.arrays[0].size == 1 and not self.depends_on_batch

    @property
    def array(self) -> np.ndarray:
        """The value; only to be asked of what does not depend on the batch."""
        assert not self.depends_on_batch
        return self.arrays[0]


@dataclass(frozen=True, eq=False)
class Traced:
    """A value that is computed from the input.

    Attributes:
        node: The node that computes it.
        samples: Tensors of its size and type, without content, for the two batch sizes.
        outer: How many runs of samples lie one behind the other in the dimension that depends on
            the batch: 5 where 5 tokens of every sample were joined with the samples, tokens first.
    """

    node: fx.Node
    samples: tuple[Tensor, Tensor]
    outer: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes for the smaller batch."""
        return tuple(self.samples[0].shape)

    @property
    def rank(self) -> int:
        """Number of its dimensions."""
        return self.samples[0].ndim

    @property
    def batch_axes(self) -> tuple[int, ...]:
        """Dimensions whose size depends on the number of samples."""
        pairs = zip(self.samples[0].shape, self.samples[1].shape, strict=True)
        return tuple(i for i, (first, second) in enumerate(pairs) if first != second)


Value = Constant | Traced


@dataclass(frozen=True, eq=False)
class StoredGrid:
    """How a file stores a weight as integers.

    Attributes:
        qmin: Smallest integer of their type.
        qmax: Largest integer of their type.
        scale: ``(1,)`` or ``(O,)`` float32.
        zero_point: The same number of integers.
    """

    qmin: int
    qmax: int
    scale: np.ndarray
    zero_point: np.ndarray


class Builder:
    """A graph of layers and calls, and the module that holds the layers.

    Args:
        file: What is converted.
        shapes: Sizes of inputs the file leaves free, by name: all but the first dimension.
    """

    def __init__(self, file: GraphFile, shapes: dict[str, tuple[int, ...]]) -> None:
        self.graph = fx.Graph()
        self.root = nn.Module()
        self.values: dict[str, Value] = {}
        self.grids: dict[str, StoredGrid] = {}  # of constants, by name
        self.quantized: dict[str, StoredGrid] = {}  # of weights, by the path of their layer
        self._names = Names()
        self._attributes: dict[int, fx.Node] = {}
        batch = next((i.shape[0] for i in file.inputs if i.shape), None)
        self.fixed_batch = batch
        self.batches = (2, 3) if batch is None else (batch, batch + 1)
        for name, array in file.constants.items():
            self.values[name] = Constant.of(array, name, is_learned=array.dtype == np.float32)
        for value in file.inputs:
            self.values[value.name] = self._placeholder(value, shapes.get(value.name))

    def _placeholder(self, value: GraphInput, shape: tuple[int, ...] | None) -> Traced:
        declared = value.shape[1:]
        if shape is None:
            shape = tuple(size or 0 for size in declared)
        fits = len(shape) == len(declared) and all(
            size is None or size == asked for size, asked in zip(declared, shape, strict=False)
        )
        if not value.shape or not fits or any(size <= 0 for size in shape):
            raise UnsupportedModelError(
                f"The input {value.name!r} has no fixed size: got {value.shape}.",
                hint="Export it with fixed sizes; only the batch may be free.",
            )
        node = self.graph.placeholder(_identifier(value.name))
        dtype = torch.float32 if value.dtype.kind not in "iub" else torch.int64
        if value.dtype.kind == "b":
            dtype = torch.bool
        return self._made(
            node, [torch.empty(n, *shape, dtype=dtype, device="meta") for n in self.batches]
        )

    # --- what an operation reads ---------------------------------------------------------------

    def value(self, op: Operation, index: int) -> Value | None:
        """Return an input of an operation; None where it is left out."""
        if index >= len(op.inputs) or not op.inputs[index]:
            return None
        return self.values[op.inputs[index]]

    def traced(self, op: Operation, index: int = 0) -> Traced:
        """Return an input that is computed; a constant becomes part of the module."""
        value = self.value(op, index)
        if value is None:
            raise op.refuse(f"lacks its input {index + 1}")
        return value if isinstance(value, Traced) else self.constant_node(op, value)

    def array(self, op: Operation, index: int, what: str = "") -> np.ndarray | None:
        """Return a constant input; None where it is left out."""
        value = self.value(op, index)
        if value is None:
            return None
        what = what or f"its input {index + 1}"
        if isinstance(value, Traced):
            raise op.refuse(f"computes {what} from the model's input; it has to be constant")
        if value.depends_on_batch:
            raise op.refuse(f"derives {what} from the number of samples; it has to be constant")
        return value.array

    def needed(self, op: Operation, index: int, what: str) -> np.ndarray:
        """Return a constant input that may not be left out."""
        array = self.array(op, index, what)
        if array is None:
            raise op.refuse(f"lacks {what}")
        return array

    def integers(
        self, op: Operation, index: int, attribute: str, default: Sequence[int] | None = None
    ) -> list[int] | None:
        """Return whole numbers that older opsets keep in an attribute and newer in an input."""
        array = self.array(op, index, attribute)
        if array is not None:
            return [int(v) for v in array.reshape(-1)]
        found = op.get(attribute)
        if found is None:
            return None if default is None else list(default)
        return [int(v) for v in found] if isinstance(found, tuple) else [int(found)]

    def name_of(self, op: Operation, index: int) -> str:
        """Return the name of the initializer an input comes from, or an empty string."""
        value = self.value(op, index)
        return value.name if isinstance(value, Constant) else ""

    # --- what an operation adds ----------------------------------------------------------------

    def call(self, kind: str, *args: Any, **kwargs: Any) -> Traced:
        """Add a call of a function of the vocabulary; values may stand among its arguments."""
        node = self.graph.call_function(FUNCTIONS[kind], _nodes(args), _nodes(kwargs))
        results = [_called(kind, _sample(args, i), _sample(kwargs, i)) for i in (0, 1)]
        return self._made(node, results)

    def cast(self, x: Traced, dtype: torch.dtype) -> Traced:
        """Add a conversion of type, unless it changes nothing."""
        if x.samples[0].dtype == dtype:
            return x
        node = self.graph.call_method("to", (x.node, dtype))
        return self._made(node, [sample.to(dtype) for sample in x.samples])

    def layer(
        self,
        op: Operation,
        fallback: str,
        make: Callable[[], nn.Module],
        *inputs: Traced,
        weight: int | None = None,
    ) -> Traced:
        """Add a call of a layer.

        Args:
            op: The operation it comes from; gives its name.
            fallback: Its name where the file has none.
            make: Makes the layer.
            inputs: What it is called with.
            weight: Index of the input that holds the layer's weight, if there is one.
        """
        stored = "" if weight is None else self.name_of(op, weight)
        path = self._names.take(module_path(stored, op.name, op.op_type), fallback)
        self.place(path, make())
        if stored in self.grids:
            self.quantized[path] = self.grids[stored]
        return self.call_layer(path, *inputs)

    def call_layer(self, path: str, *inputs: Traced) -> Traced:
        """Add a call of a layer that is already part of the module."""
        layer = self.root.get_submodule(path)
        results = [_result(layer, tuple(x.samples[i] for x in inputs)) for i in (0, 1)]
        node = self.graph.call_module(path, tuple(x.node for x in inputs))
        return self._made(node, results)

    def new_layer(self, wanted: str, fallback: str, layer: nn.Module) -> str:
        """Place a layer that no operation stands for, and return its path."""
        path = self._names.take(wanted, fallback)
        self.place(path, layer)
        return path

    def drop(self, node: fx.Node) -> None:
        """Remove a node that nobody reads any more, and free the name of what it held."""
        self.graph.erase_node(node)
        if node.op in ("call_module", "get_attr"):
            path = str(node.target)
            if not any(str(n.target) == path and n.op == node.op for n in self.graph.nodes):
                self._names.release(path)

    def place(self, path: str, part: nn.Module | nn.Parameter | Tensor) -> None:
        """Make something part of the module."""
        *above, name = path.split(".")
        holder = self.root
        for part_name in above:
            if part_name not in holder._modules:
                holder.add_module(part_name, nn.Module())
            holder = holder.get_submodule(part_name)
        if isinstance(part, nn.Module):
            holder.add_module(name, part.eval())
        elif isinstance(part, nn.Parameter):
            holder.register_parameter(name, part)
        else:
            holder.register_buffer(name, part)

    def constant_node(self, op: Operation, value: Constant) -> Traced:
        """Make a constant part of the module: a parameter if it is a weight, or a buffer."""
        if value.depends_on_batch:
            raise op.refuse("computes with the number of samples")
        tensor = torch.from_numpy(np.array(value.array))
        node = self._attributes.get(id(value))
        if node is None:
            path = self._names.take(module_path("", f"/{value.name}", ""), "constant")
            self.place(path, nn.Parameter(tensor) if value.is_learned else tensor)
            # At the start of the graph, so that whatever is moved about still comes after it.
            first = next(iter(self.graph.nodes))
            with self.graph.inserting_before(first):
                node = self.graph.get_attr(path)
            self._attributes[id(value)] = node
        return self._made(node, [tensor.to("meta")] * 2)

    def operand(self, op: Operation, index: int) -> Traced | float | int | bool:
        """Return an input of an operation value by value; constants of one value are numbers."""
        value = self.value(op, index)
        if isinstance(value, Constant) and value.is_number:
            number: float | int | bool = value.array.reshape(()).item()
            return number
        return self.traced(op, index)

    def identity(self, op: Operation, value: Value) -> None:
        """Let the first output of an operation be a value that is already there."""
        self.values[op.outputs[0]] = value

    def reshape(self, op: Operation, x: Traced, shapes: Sequence[Sequence[int]]) -> Traced:
        """Add a change of shape.

        Args:
            op: The operation that asks for it.
            x: What is reshaped.
            shapes: The result's sizes for the two batch sizes, all of them above zero.
        """
        first, second = (tuple(int(n) for n in shape) for shape in shapes)
        for shape, sample in zip((first, second), x.samples, strict=True):
            if prod(shape) != sample.numel():
                raise op.refuse(f"makes {list(shape)} of {list(sample.shape)}, which does not fit")
        target = [a if a == b else -1 for a, b in zip(first, second, strict=True)]
        if target.count(-1) > 1:
            raise op.refuse("spreads the samples over several dimensions")
        x = _before_reshapes(x)
        if first == x.shape and second == tuple(x.samples[1].shape):
            return x
        keeps_batch = x.batch_axes == (0,) and target[0] == -1 and first[0] == x.shape[0]
        if keeps_batch and len(target) == 2 and x.rank > 2:
            return self.call("flatten", x, 1)
        added = _added_axes(x.shape, first) if keeps_batch else None
        if added is not None:
            for axis in added:
                x = self.call("unsqueeze", x, axis)
            return x
        return self.call("reshape", x, tuple(target))

    def _made(self, node: fx.Node, samples: Sequence[Tensor]) -> Traced:
        first, second = samples
        if max(first.numel(), second.numel()) > MAX_VALUES:
            raise UnsupportedModelError(
                f"The graph computes {list(first.shape)} numbers at once, which is too many."
            )
        value = Traced(node, (first, second))
        if value.batch_axes:
            value = Traced(node, (first, second), _inherited_outer(node, value))
        node.meta["value"] = value
        return value


def _inherited_outer(node: fx.Node, value: Traced) -> int:
    """Return how samples lie in a result: as in what it is computed from, if it is as long."""
    size = value.shape[value.batch_axes[0]]
    for source in node.all_input_nodes:
        known = source.meta.get("value")
        if not isinstance(known, Traced) or not known.batch_axes:
            continue
        if known.shape[known.batch_axes[0]] == size:
            return known.outer
    return 1


_RESHAPES = tuple(FUNCTIONS[kind] for kind in ("reshape", "flatten", "unsqueeze"))


def _before_reshapes(x: Traced) -> Traced:
    """Return the value that has the same numbers in the same order, before changes of shape."""
    while x.node.op == "call_function" and x.node.target in _RESHAPES:
        before = x.node.all_input_nodes[0].meta["value"]
        assert isinstance(before, Traced)
        x = before
    return x


def _added_axes(shape: tuple[int, ...], target: tuple[int, ...]) -> list[int] | None:
    """Return where dimensions of size 1 are added, or None if more changes than that."""
    added, left = [], list(shape)
    for axis, size in enumerate(target):
        if left and left[0] == size:
            left.pop(0)
        elif size == 1:
            added.append(axis)
        else:
            return None
    return None if left else added


def _identifier(name: str) -> str:
    clean = "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
    return clean if clean[:1].isalpha() else f"input_{clean}"


def _nodes(args: Any) -> Any:
    if isinstance(args, Traced):
        return args.node
    if isinstance(args, tuple | list):
        return tuple(_nodes(arg) for arg in args)
    if isinstance(args, dict):
        return {name: _nodes(arg) for name, arg in args.items()}
    return args


def _sample(args: Any, index: int) -> Any:
    if isinstance(args, Traced):
        return args.samples[index]
    if isinstance(args, tuple | list):
        return tuple(_sample(arg, index) for arg in args)
    if isinstance(args, dict):
        return {name: _sample(arg, index) for name, arg in args.items()}
    return args


Handler = Callable[[Builder, Operation], "Value | tuple[Value, ...]"]
"""Turns one operation into layers and calls, and returns its outputs."""


_ELEMENTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.LeakyReLU, nn.ELU),
    *(nn.CELU, nn.Softplus, nn.Softsign, nn.Mish, nn.Sigmoid, nn.Tanh, nn.Softmax, FakeQuantize),
)
"""Layers whose result is as large as what they are given."""
_COMBINING = frozenset({"add", "mul", "sub"})
# What is simplest is not called: torch would load its compiler for it, which takes seconds.


def _called(kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a function of the vocabulary gives, without values."""
    if kind in _COMBINING and not kwargs and all(map(_is_float, args)):
        shape = torch.broadcast_shapes(*(x.shape for x in args))
        return torch.empty(shape, dtype=torch.result_type(*args), device="meta")
    return FUNCTIONS[kind](*args, **kwargs)


def _is_float(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _result(layer: nn.Module, given: tuple[Tensor, ...]) -> Tensor:
    """Return what a layer gives, without values."""
    x = given[0]
    if isinstance(layer, _ELEMENTWISE) and _is_float(x):
        return x
    if isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size == 1 and x.ndim == 4:
        return torch.empty(*x.shape[:2], 1, 1, dtype=x.dtype, device="meta")
    if isinstance(layer, nn.Linear) and _is_float(x) and x.shape[-1:] == (layer.in_features,):
        return torch.empty(*x.shape[:-1], layer.out_features, dtype=x.dtype, device="meta")
    tensors = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    # Whole numbers say what is moved where; sizes may depend on them.
    empty = {n: t.to("meta") if t.is_floating_point() else t for n, t in tensors.items()}
    return torch.func.functional_call(layer, empty, given)
