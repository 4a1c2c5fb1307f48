"""Find out how an ONNX graph wants to be run, by running it.

Files leave sizes free, have inputs for states, masks and sample rates, and do not say which axis
counts samples. What :mod:`optim.models.run_plans` guesses is tried in ONNX Runtime; what works is
written down for the reader.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from optim.errors import UnsupportedModelError, first_line
from optim.graph.whole import check_whole
from optim.instructions import vnni_here
from optim.models.convert.kinds import DATA_DEPENDENT
from optim.models.interface import Interface, Read
from optim.models.run_plans import GraphInput, RunPlan, run_plans

__all__ = ["EXACT_INTEGERS", "Probed", "load_session", "probe", "start_session", "with_outputs"]

EXACT_INTEGERS = ("session.x64quantprecision", "0" if vnni_here() else "1")
"""Setting of a session by which integers add up rightly on this processor.

Those with AVX2 and no VNNI otherwise add two products of 8 bits in 16, which saturate: the file
would compute something else there than it does elsewhere. With VNNI the setting changes no sum, and
more than doubles the time: ONNX Runtime then takes kernels for unsigned weights, which do without.
"""

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
_MAX_CUTS = 8


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


def load_session(file: bytes, options: Any, **more: Any) -> Any:
    """Return ONNX Runtime's session of a file that reads no other file: every session is made here.

    Args:
        file: Its bytes.
        options: ONNX Runtime's own, with what the caller wants.
        more: Further arguments of its session.

    Raises:
        UnsupportedModelError: If some of the file's numbers lie in another file. ONNX Runtime and
            protobuf raise classes of their own for everything else, which the caller names.
    """
    import onnxruntime as ort

    check_whole(file)
    options.add_session_config_entry(*EXACT_INTEGERS)
    # Otherwise bytes that begin like a file in the runtime's own format are read as one.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return ort.InferenceSession(file, options, **more)


def start_session(file: bytes, outputs: Sequence[str] = (), *, optimised: bool = True) -> Any:
    """Return ONNX Runtime's session of a file.

    Args:
        file: Its bytes.
        outputs: Tensors inside the graph that become outputs as well.
        optimised: Whether operators are fused; otherwise they are computed one by one.

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
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        file = with_outputs(file, outputs)
        return load_session(file, options, providers=["CPUExecutionProvider"])
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
    deadline = time.monotonic() + _MAX_S
    tried: list[tuple[tuple[int, ...], str]] = []
    for plan in itertools.islice(run_plans(model.graph, inputs, wanted), _MAX_TRIES):
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
    plan: RunPlan,
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


def _said(plan: RunPlan) -> list[str]:
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
    scale = max(float(np.abs(b[np.isfinite(b)]).max(initial=0.0)), 1e-3)
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
