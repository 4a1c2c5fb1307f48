"""How an ONNX graph might be run: which input samples feed, of which size, and what others take.

What a file leaves open is guessed from the data, from names, and from common sense;
:mod:`optim.models.probing` tries it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from optim.errors import UnsupportedModelError
from optim.models.interface import SAMPLES, Feed, Interface

__all__ = ["GraphInput", "RunPlan", "run_plans"]

_MAX_NUMBERS = 2**24
_CHANNELS = (1, 3, 4)
_SIDES = (224, 256, 320, 640, 128, 64, 48, 32, 28, 512)
_LENGTHS = (16, 128, 512, 100, 256, 1024, 16_000, 576, 80, 40, 8, 4, 1)
_FEW_LENGTHS = 6
_WEIGHTS_LOOKED_AT = 6


@dataclass(frozen=True)
class GraphInput:
    """An input as a file declares it.

    Attributes:
        name: Its name.
        dtype: NumPy type; empty for text, sequences and other things that are no numbers.
        sizes: Whole numbers, names of free sizes, or None where nothing is said.
    """

    name: str
    dtype: str
    sizes: tuple[int | str | None, ...]

    @property
    def is_integer(self) -> bool:
        """Whether it takes whole numbers or truth values."""
        return bool(self.dtype) and np.dtype(self.dtype).kind in "iub"


@dataclass(frozen=True)
class RunPlan:
    """One way to run a graph.

    Attributes:
        interface: Which input samples feed, and what the others are given.
        shape: Of one sample.
        is_free: Whether the file left sizes of a sample free.
    """

    interface: Interface
    shape: tuple[int, ...]
    is_free: bool


def run_plans(
    graph: onnx.GraphProto, inputs: tuple[GraphInput, ...], wanted: tuple[int, ...] | None = None
) -> Iterator[RunPlan]:
    """Yield ways to run a graph, the likeliest first.

    Args:
        graph: The graph.
        inputs: What it declares, constants left out.
        wanted: Shape of the samples that it shall take, if there are any.

    Raises:
        UnsupportedModelError: If it has no input, or one that takes no numbers or too many.
    """
    _check_types(inputs)
    main = _main_input(inputs)
    limit = _limit(graph, main)
    others = [given for given in inputs if given is not main]
    has_axis, channels_last = _axes(main)
    own = main.sizes[1:] if has_axis else main.sizes
    own = (own[-1], *own[:-1]) if channels_last else own
    first = main.sizes[0] if has_axis else 1
    batch = first if isinstance(first, int) else 0
    for shape in _shapes(graph, own, wanted):
        free = {name: size for name, size in zip(own, shape, strict=True) if isinstance(name, str)}
        counted = {first: SAMPLES} if isinstance(first, str) else {}
        # What nothing is said about counts samples, or steps, or is empty.
        for unknown in dict.fromkeys((SAMPLES, shape[-1], 0)) if others else (SAMPLES,):
            feeds = tuple(_feed(g, {**free, **counted}, unknown, shape, batch) for g in others)
            yield RunPlan(
                Interface(main.name, main.dtype, has_axis, batch, channels_last, limit, feeds),
                shape,
                not all(isinstance(size, int) for size in own),
            )


def _check_types(inputs: tuple[GraphInput, ...]) -> None:
    if not inputs:
        raise UnsupportedModelError("The graph has no input; it computes the same every time.")
    for given in inputs:
        if not given.dtype:
            raise UnsupportedModelError(
                f"The input {given.name!r} takes no tensor of numbers.",
                hint="Export the model without the part that reads text or lists.",
            )


_MASKS = ("mask", "padding")
_STATES = ("state", "hidden", "cache", "past", "memory", "h0", "c0", "h_0", "c_0", "h", "c")
_SIDE_INPUTS = (*_MASKS, *_STATES, "token_type", "segment", "position", "shape", "scale", "size")
_RATES = ("sr", "rate")
_LENGTH_NAMES = ("length", "len", "size", "num")


def _named(name: str, words: Sequence[str]) -> bool:
    """Whether a name is one of some words, or holds one of those that are longer than a letter."""
    name = name.lower()
    return any(name == word or (len(word) > 2 and word in name) for word in words)


def _main_input(inputs: tuple[GraphInput, ...]) -> GraphInput:
    """Return the input that samples feed: the first that looks like neither state nor mask."""

    def rank(given: GraphInput) -> tuple[bool, bool, bool]:
        small = len(given.sizes) == 0 or given.sizes in ((1,), (2,))
        return small, _named(given.name, _SIDE_INPUTS), given.dtype == "bool"

    return min(inputs, key=rank)  # the first of equals


def _limit(graph: onnx.GraphProto, main: GraphInput) -> int:
    """Return below which number the whole numbers of an input must stay; 0 for floats."""
    if not main.is_integer:
        return 0
    if main.dtype == "bool":
        return 2
    if len(main.sizes) == 4:
        return 256 if main.dtype != "int8" else 128  # an image of bytes
    sizes = {t.name: tuple(t.dims) for t in graph.initializer}
    constants = {
        node.output[0]: onnx.numpy_helper.to_array(node.attribute[0].t)
        for node in graph.node
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t")
    }
    constants |= {
        t.name: onnx.numpy_helper.to_array(t)
        for t in graph.initializer
        if math.prod(t.dims) == 1 and t.data_type != onnx.TensorProto.STRING
    }
    derived, found = {main.name}, []
    for node in graph.node:
        if node.op_type in ("Gather", "GatherND") and len(node.input) > 1:
            if node.input[1] in derived and sizes.get(node.input[0]):
                found.append(sizes[node.input[0]][0])
        elif node.op_type == "OneHot" and node.input[0] in derived:
            depth = constants.get(node.input[1])
            found += [] if depth is None else [int(depth.flatten()[0])]
        elif node.op_type == "Equal" and derived.intersection(node.input):
            # A one-hot code spelled out: compared with 0, 1, 2, ...
            found += [max(sizes[name]) for name in node.input if math.prod(sizes.get(name, ())) > 1]
        elif node.input and node.input[0] in derived and node.op_type in _KEEP_VALUES:
            derived.add(node.output[0])
    return max(1, min(found)) if found else 2


_KEEP_VALUES = (
    "Cast",
    "Unsqueeze",
    "Squeeze",
    "Reshape",
    "Identity",
    "Transpose",
    "Flatten",
    "Expand",
)


def _axes(main: GraphInput) -> tuple[bool, bool]:
    """Return whether the first axis counts samples, and whether channels come last."""
    sizes = main.sizes
    if len(sizes) < 2:
        return False, False
    return True, len(sizes) == 4 and sizes[3] in _CHANNELS and sizes[1] not in _CHANNELS


def _shapes(
    graph: onnx.GraphProto,
    own: tuple[int | str | None, ...],
    wanted: tuple[int, ...] | None,
) -> Iterator[tuple[int, ...]]:
    """Yield shapes of one sample, channels first."""
    if wanted is not None and len(wanted) == len(own):
        pairs = zip(own, wanted, strict=True)
        filled = tuple(size if isinstance(size, int) else given for size, given in pairs)
        own = filled if filled == wanted else own
    options = [
        (size,) if isinstance(size, int) else _options(graph, own, axis)
        for axis, size in enumerate(own)
    ]
    square = len(own) == 3 and not any(isinstance(size, int) for size in own[1:])
    places = itertools.product(*(range(len(option)) for option in options))
    for place in sorted(places, key=sum):  # the likeliest of all axes together come first
        shape = tuple(option[i] for option, i in zip(options, place, strict=True))
        if shape and math.prod(shape) <= _MAX_NUMBERS and (not square or shape[1] == shape[2]):
            yield shape


def _options(
    graph: onnx.GraphProto, own: tuple[int | str | None, ...], axis: int
) -> tuple[int, ...]:
    """Return sizes to try along one axis that a file leaves free."""
    if len(own) == 3:
        known = tuple(size for size in own[1:] if isinstance(size, int))
        return (3, 1) if axis == 0 else tuple(dict.fromkeys((*_SIDES, *known)))
    dims = [t.dims[i] for t in _matrices(graph) for i in (1, 0)]
    if len(own) == 1:
        return tuple(dict.fromkeys((*_LENGTHS, *dims)))
    options = tuple(dict.fromkeys((_LENGTHS[0], *dims, *_LENGTHS)))
    return options if len(own) == 2 else options[:_FEW_LENGTHS]


def _matrices(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """Return the first weights; what they are multiplied with has one of their sizes."""
    weights = (t for t in graph.initializer if len(t.dims) >= 2 and t.dims[0] > 1)
    return list(itertools.islice(weights, _WEIGHTS_LOOKED_AT))


def _feed(
    given: GraphInput,
    free: Mapping[str, int],
    unknown: int,
    shape: tuple[int, ...],
    batch: int,
) -> Feed:
    """Return what an input is given that samples do not feed."""
    sizes = tuple(
        size
        if isinstance(size, int)
        else 0
        if size is not None and "past" in size and "+" not in size
        else free.get(str(size), unknown)
        for size in given.sizes
    )
    if math.prod(abs(size) for size in sizes) > _MAX_NUMBERS:
        raise UnsupportedModelError(
            f"The input {given.name!r} takes more than {_MAX_NUMBERS:,} numbers."
        )
    values, why = _values(given, sizes, shape)
    if batch > 1:  # a fixed number of samples; free axes cannot count them
        sizes = tuple(batch if size == SAMPLES else size for size in sizes)
    return Feed(given.name, given.dtype, sizes, values, why)


def _values(
    given: GraphInput, sizes: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[tuple[float, ...], str]:
    """Return values for an input by its name and type, and what they are in words."""
    name, last = given.name.lower(), sizes[-1] if sizes else 1
    if _named(name, _MASKS):
        return (1.0,), "ones: nothing is masked"
    if _named(name, _RATES):
        return (16_000.0,), "a sample rate of 16,000 Hz"
    if "position" in name and last > 0:
        return tuple(float(i) for i in range(last)), "positions 0, 1, 2, ..."
    if "shape" in name or ("size" in name and last == 2):
        whole = (*[1] * max(0, last - len(shape)), *shape)
        return tuple(map(float, whole[-max(1, last) :])), "the size of a sample"
    if "scale" in name or "ratio" in name:
        return (1.0,), "ones: nothing is scaled"
    if given.is_integer and given.dtype != "bool" and _named(name, _LENGTH_NAMES):
        return (float(shape[-1]),), "the length of a sample"
    return (0.0,), "zeros"
