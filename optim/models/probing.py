"""Find out how an ONNX graph wants to be run, by running it.

Files leave sizes free, have inputs for states, masks and sample rates, and do not say which axis
counts samples. What is not said is guessed from the data, from names, and from common sense, and
tried in ONNX Runtime; what is guessed and works is written down for the reader.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from optim.errors import UnsupportedModelError, first_line
from optim.models.convert.kinds import DATA_DEPENDENT
from optim.models.interface import SAMPLES, Feed, Interface, Read

__all__ = ["GraphInput", "Probed", "probe", "start_session", "with_outputs"]

_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}
_MAX_TRIES = 48
_MAX_S = 60.0
_MAX_NUMBERS = 2**24
_MAX_CUTS = 8
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
class Probed:
    """A graph that was run.

    Attributes:
        interface: How it is run.
        shape: Of one sample.
        inputs: What the file declares.
        outputs: ``{tensor that is read: shape for one inference}``.
        dtypes: ``{tensor that is read: NumPy type}``.
        notes: What was guessed, in words.
    """

    interface: Interface
    shape: tuple[int, ...]
    inputs: tuple[GraphInput, ...]
    outputs: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]
    notes: tuple[str, ...]


def start_session(file: bytes, outputs: Sequence[str] = ()) -> Any:
    """Return ONNX Runtime's session of a file.

    Args:
        file: Its bytes.
        outputs: Tensors inside the graph that become outputs as well.

    Raises:
        UnsupportedModelError: If ONNX Runtime cannot load it.
    """
    import onnxruntime as ort
    import torch

    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(
            with_outputs(file, outputs), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        # onnxruntime raises classes of its own that share no base but Exception.
        raise UnsupportedModelError(
            f"ONNX Runtime cannot run the file: {first_line(error)}."
        ) from error


def _inputs_of(session: Any) -> tuple[GraphInput, ...]:
    """Return the inputs of a session that are no constants."""
    return tuple(
        GraphInput(
            value.name,
            _TYPES.get(value.type, ""),
            tuple(
                size if isinstance(size, str) or (size or 0) > 0 else None for size in value.shape
            ),
        )
        for value in session.get_inputs()
    )


def probe(model: onnx.ModelProto, file: bytes, wanted: tuple[int, ...] | None = None) -> Probed:
    """Run a graph until it is known how it is run.

    Args:
        model: The graph.
        file: The same as bytes, weights included.
        wanted: Shape of the samples that it shall take, if there are any.

    Raises:
        UnsupportedModelError: If ONNX Runtime cannot load it, an input takes no numbers, or no
            input that was tried could be run.
    """
    session = start_session(file)
    inputs = _inputs_of(session)
    _check_types(inputs)
    main = _main_input(inputs)
    limit = _limit(model.graph, main)
    deadline = time.monotonic() + _MAX_S
    tried: list[tuple[tuple[int, ...], str]] = []
    for plan in itertools.islice(_plans(model.graph, inputs, main, wanted, limit), _MAX_TRIES):
        if time.monotonic() > deadline:
            break
        outcome = _run(session, plan.interface, plan.shape)
        if isinstance(outcome, str):
            tried.append((plan.shape, outcome))
            continue
        return _settled(model, file, session, inputs, plan, outcome)
    sizes = ", ".join(dict.fromkeys("x".join(map(str, shape)) for shape, _ in tried[:6]))
    reason = tried[0][1] if tried else "no input of a size that is read fits"
    raise UnsupportedModelError(
        f"ONNX Runtime cannot run the file on any input that was tried ({sizes}): {reason}.",
        hint="Export it with fixed sizes, or give data whose samples have the size it takes.",
    )


# --- inputs -------------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class _Plan:
    """One way to run a graph."""

    interface: Interface
    shape: tuple[int, ...]
    is_free: bool
    """Whether the file left sizes of a sample free."""


def _plans(
    graph: onnx.GraphProto,
    inputs: tuple[GraphInput, ...],
    main: GraphInput,
    wanted: tuple[int, ...] | None,
    limit: int,
) -> Iterator[_Plan]:
    """Yield ways to run a graph, the likeliest first."""
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
            yield _Plan(
                Interface(main.name, main.dtype, has_axis, batch, channels_last, limit, feeds),
                shape,
                not all(isinstance(size, int) for size in own),
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


# --- running ------------------------------------------------------------------------------------


def _run(
    session: Any, interface: Interface, shape: tuple[int, ...], x: np.ndarray | None = None
) -> dict[str, np.ndarray] | str:
    """Return the outputs that are numbers for some samples, or why there are none."""
    if x is None:
        x = interface.draw(shape, interface.batch or 1)
    try:
        outputs = session.run(None, interface.inputs(x))
    except Exception as error:
        # onnxruntime raises classes of its own that share no base but Exception.
        return first_line(error)
    names = [output.name for output in session.get_outputs()]
    return {
        name: output
        for name, output in zip(names, outputs, strict=True)
        if isinstance(output, np.ndarray) and output.dtype.kind in "fiub" and output.size
    }


def _settled(
    model: onnx.ModelProto,
    file: bytes,
    session: Any,
    inputs: tuple[GraphInput, ...],
    plan: _Plan,
    outputs: dict[str, np.ndarray],
) -> Probed:
    """Return what is known once a graph has run: which axes count samples, what is read."""
    interface, shape = plan.interface, plan.shape
    notes = _said(plan)
    if interface.batch > 1 and not any(interface.batch in o.shape for o in outputs.values()):
        shape = (interface.batch, *shape)
        interface = replace(interface, has_samples_axis=False, batch=1)
    names = [value.name for value in model.graph.output]
    varying = _depending(model.graph, names)
    unread = [name for name in names if name not in outputs and name not in varying]
    if unread:
        notes.append(f"No numbers, and not read: {', '.join(map(repr, unread[:4]))}.")
    if varying:
        cuts = _cuts(model.graph)
        session = start_session(file, cuts)
        found = _run(session, interface, shape)
        kept = {} if isinstance(found, str) else found
        outputs = {name: kept[name] for name in kept if name not in varying}
        notes.append(_cut_note(varying, [name for name in outputs if name in cuts]))
    floats = {name: o for name, o in outputs.items() if o.dtype.kind == "f"}
    outputs = floats or outputs
    if not outputs:
        raise UnsupportedModelError(
            "The graph has no output of numbers whose size is the same for every sample.",
            hint="Export it without what follows its last layer, such as non-maximum suppression.",
        )
    reads, batch = _reads(session, interface, shape, outputs)
    if batch == 1 and interface.batch == 0 and interface.has_samples_axis:
        notes.append("Samples are run one by one: together they would change each other's results.")
    inside = set(outputs) - set(names)
    reads = tuple(
        replace(read, is_inside=read.name in inside)
        for read in reads
        if batch <= 1 or read.axis is not None
    )
    return Probed(
        interface=replace(interface, batch=batch, reads=reads),
        shape=shape,
        inputs=inputs,
        outputs={read.name: outputs[read.name].shape for read in reads},
        dtypes={read.name: outputs[read.name].dtype.name for read in reads},
        notes=tuple(notes),
    )


def _said(plan: _Plan) -> list[str]:
    size = "x".join(map(str, plan.shape))
    notes = [f"The file leaves sizes free; samples are taken as {size}."] if plan.is_free else []
    feeds = plan.interface.feeds
    if feeds:
        given = ", ".join(f"{feed.name!r} {feed.why}" for feed in feeds[:_NAMED_FEEDS])
        more = f", and {len(feeds) - _NAMED_FEEDS} more" if len(feeds) > _NAMED_FEEDS else ""
        notes.append(f"Samples feed {plan.interface.name!r}; fixed values: {given}{more}.")
    return notes


_NAMED_FEEDS = 4


def _reads(
    session: Any,
    interface: Interface,
    shape: tuple[int, ...],
    outputs: Mapping[str, np.ndarray],
) -> tuple[tuple[Read, ...], int]:
    """Return what is read along which axis, and how many samples one inference takes."""
    alone = tuple(Read(name, 0 if o.shape[:1] == (1,) else None) for name, o in outputs.items())
    if interface.batch == 1 or not interface.has_samples_axis:
        return alone, 1
    if interface.batch > 1:
        n = interface.batch
        axes = {name: o.shape.index(n) if n in o.shape else None for name, o in outputs.items()}
        return tuple(Read(name, axis) for name, axis in axes.items()), n
    two = interface.draw(shape, 2)
    both = _run(session, interface, shape, two)
    if isinstance(both, str):
        return alone, 1
    reads = []
    for name, one in outputs.items():
        axis = _grown(one.shape, both[name].shape) if name in both else None
        if axis is None:
            return alone, 1
        reads.append(Read(name, axis))
    able = replace(interface, reads=tuple(reads))
    for i in range(2):
        single = _run(session, interface, shape, two[i : i + 1])
        if isinstance(single, str):
            return alone, 1
        together = able.rows([both[name] for name in outputs], 2)[i]
        if not _close(together, able.rows([single[name] for name in outputs], 1)[0]):
            return alone, 1
    return tuple(reads), 0


def _grown(one: tuple[int, ...], two: tuple[int, ...]) -> int | None:
    """Return the axis that doubled when a sample became two."""
    if len(one) != len(two):
        return None
    changed = [i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]
    return changed[0] if len(changed) == 1 and two[changed[0]] == 2 * one[changed[0]] else None


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    scale = max(float(np.abs(b).max(initial=0.0)), 1e-3)
    return bool(np.allclose(a, b, rtol=0, atol=_TOLERANCE * scale, equal_nan=True))


_TOLERANCE = 0.02
"""Of the largest output: more than rounding explains means that samples meet."""


# --- outputs of which nobody knows the size -----------------------------------------------------


def _depending(graph: onnx.GraphProto, names: Iterable[str]) -> set[str]:
    """Return the outputs that depend on an operator whose results have sizes of their own."""
    reached: set[str] = set()
    for node in graph.node:
        if node.op_type in DATA_DEPENDENT or reached.intersection(node.input):
            reached.update(node.output)
    return reached.intersection(names)


def _cuts(graph: onnx.GraphProto) -> list[str]:
    """Return the tensors that go into such operators and still have fixed sizes."""
    reached: set[str] = set()
    known = {t.name for t in graph.initializer} | {value.name for value in graph.input}
    known |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    cuts: list[str] = []
    for node in graph.node:
        inside = bool(reached.intersection(node.input))
        if node.op_type in DATA_DEPENDENT or inside:
            cuts += [n for n in node.input if n and n not in reached | known and n not in cuts]
            reached.update(node.output)
    own = {value.name for value in graph.output}
    cuts = [name for name in cuts if name not in own]
    return cuts[:_MAX_CUTS]


def _cut_note(varying: set[str], cuts: Sequence[str]) -> str:
    several = len(varying) > 1
    outputs = " and ".join(sorted(map(repr, varying))[:3])
    return (
        f"The size{'s' if several else ''} of {outputs} depend{'' if several else 's'} on the "
        f"values of a sample; compared is what they are chosen from: {', '.join(cuts[:4])}."
    )


def with_outputs(file: bytes, names: Sequence[str]) -> bytes:
    """Return a graph in which tensors inside it are outputs as well."""
    if not names:
        return file
    model = onnx.load_from_string(file)
    model.graph.output.extend(map(onnx.helper.make_empty_tensor_value_info, names))
    return model.SerializeToString()
