"""What the outputs of an ONNX graph mean, guessed from their shapes, names and last operators.

A file does not say it. The guess decides how a model is judged: one number a class by accuracy,
quantities by the variance that is explained, and everything else by fidelity to the original.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from optim.data.dataset import Dataset
from optim.data.task import Classification, Guess, ModelTask, Outputs, Regression
from optim.errors import ConfigError, UnsupportedModelError
from optim.models.convert.kinds import RECURRENT
from optim.models.probing import Probed

__all__ = ["MAX_CLASSES", "TASKS", "guess_task"]

TASKS = ("classification", "regression", "outputs")
"""What may be asked for in place of the guess."""
MAX_CLASSES = 100_000
_MAX_QUANTITIES = 1000
_QUANTITY_NAMES = ("variable", "regress", "box", "coord", "landmark", "embed", "feature", "value")
_DETECTION_NAMES = ("box", "det", "yolo", "anchor", "score")
_MANY_PLACES = 300
"""Rows of one output from which they are places in an image, not steps in time."""
_DENSE_SHARE = 8
"""How much coarser than its input a map of values may be, along one side."""


def guess_task(
    model: onnx.ModelProto,
    probed: Probed,
    data: Dataset | None,
    names: tuple[str, ...] = (),
    asked: str = "",
) -> tuple[ModelTask, str]:
    """Return what a graph's outputs mean, and why, as a sentence.

    Args:
        model: The graph.
        probed: How it is run.
        data: What it shall take; labels of another kind decide where shapes do not.
        names: Of the classes, where the file says them.
        asked: One of :data:`TASKS`; empty for a guess.

    Raises:
        ConfigError: If there is no such task.
        UnsupportedModelError: If the outputs cannot mean what was asked for.
    """
    if asked not in ("", *TASKS):
        raise ConfigError(
            f"task must be one of {', '.join(TASKS)}: got task={asked!r}.", field="task"
        )
    width = _width(probed)
    first = next(iter(probed.outputs), "")
    if asked == Classification.kind:
        if width < 2:
            raise UnsupportedModelError(
                f"{first!r} is not one number a class, of two classes or more.",
                hint="Leave the task out, and the model is judged by fidelity.",
            )
        return Classification(_class_names(width, data, names)), "Classification, as asked for."
    if asked == Regression.kind:
        if not 1 <= width <= _MAX_QUANTITIES:
            raise UnsupportedModelError(
                f"{first!r} is not a row of 1 to {_MAX_QUANTITIES:,} quantities a sample.",
                hint="Leave the task out, and the model is judged by fidelity.",
            )
        return Regression(_quantity_names(width, data)), "Regression, as asked for."
    if asked == Outputs.kind:
        return Outputs(_kind(model, probed)), "Judged by fidelity, as asked for."
    if names:
        if width != len(names):
            raise UnsupportedModelError(
                f"The file names {len(names)} classes and has {width} outputs a sample.",
                hint="Export it again.",
            )
        return Classification(names), "Classification: the file names its classes."
    return _guessed(model, probed, data, width, first)


def _guessed(
    model: onnx.ModelProto, probed: Probed, data: Dataset | None, width: int, first: str
) -> tuple[ModelTask, str]:
    last = _last_operator(model.graph, first)
    if data is not None and isinstance(data.task, Regression) and data.task.n_outputs == width:
        return Regression(data.task.names), "Regression: as many outputs as the data have targets."
    if width == 1 and not _follows_probability(last) and len(probed.outputs) == 1:
        return Regression(_quantity_names(1, data)), "Regression: one number a sample."
    steps = probed.shape[0] if len(probed.shape) < 3 else 0
    if width >= 2 and not _named(first, _QUANTITY_NAMES) and not _is_span(probed, width, steps):
        if width > MAX_CLASSES:
            return Outputs(), f"{width:,} numbers a sample are more than there are classes."
        how = f" after {last}" if last in ("Softmax", "LogSoftmax", "Sigmoid") else ""
        names = _class_names(width, data, ())
        return Classification(names), f"Classification: {width:,} numbers a sample{how}."
    kind = _kind(model, probed)
    return Outputs(kind), f"{_KINDS[kind]}: judged by fidelity to the original."


_KINDS: dict[Guess, str] = {
    "dense": "A value for every place of the input",
    "detection": "Boxes or scores for many places",
    "sequence": "A result for every step of a sequence, or with a state",
    "other": "Outputs whose meaning the file does not say",
}


def _width(probed: Probed) -> int:
    """Return how many numbers the first output holds for one sample; 0 if it is no single row."""
    interface = probed.interface
    if not interface.reads or interface.reads[0].axis != 0:
        return 0
    shape = next(iter(probed.outputs.values()))
    sizes = [size for size in shape[1:] if size != 1]
    if len(sizes) > 1 or len(shape) < 2 or (sizes and shape[1] == 1):
        return 0
    return sizes[0] if sizes else 1


def _is_span(probed: Probed, width: int, steps: int) -> bool:
    """Whether there is one number for every step of a series, as where an answer begins."""
    return probed.interface.limit > 0 and width == steps and len(probed.outputs) > 1


def _kind(model: onnx.ModelProto, probed: Probed) -> Guess:
    shapes = [shape for shape in probed.outputs.values() if shape]
    operators = {node.op_type for node in model.graph.node}
    is_image = len(probed.shape) == 3
    named = any(_named(name, _DETECTION_NAMES) for name in probed.outputs)
    if "NonMaxSuppression" in operators or (is_image and named):
        return "detection"
    if not is_image:
        recurrent = operators.intersection(RECURRENT)
        stateful = bool(probed.interface.feeds) or probed.interface.limit > 0
        series = any(len(shape) >= 3 for shape in shapes)
        return "sequence" if recurrent or stateful or series else "other"
    maps = [shape for shape in shapes if len(shape) >= 4 and _is_dense(shape, probed.shape)]
    if maps and (len(shapes) == 1 or len(maps) == len(shapes) == 2):
        return "dense"
    if len(shapes) > 1 and all(len(shape) >= 3 for shape in shapes):
        return "detection"
    if any(len(shape) == 3 for shape in shapes):
        return _rows_kind(model, probed, shapes, operators)
    return "other"


def _is_dense(shape: Sequence[int], sample: Sequence[int]) -> bool:
    """Whether an output has the size of the image, or an eighth of its sides at least."""
    sides = sorted(shape[1:], reverse=True)[:2] if min(shape[-2:]) < _CHANNELS_LAST else shape[-2:]
    return all(_DENSE_SHARE * out >= side for out, side in zip(sides, sample[1:], strict=True))


_CHANNELS_LAST = 8


def _rows_kind(
    model: onnx.ModelProto, probed: Probed, shapes: Sequence[Sequence[int]], operators: set[str]
) -> Guess:
    """Tell text lines, which have a step for some columns, from boxes, which have one a place."""
    if operators.intersection(RECURRENT):
        return "sequence"
    if _last_operator(model.graph, next(iter(probed.outputs))) in ("Softmax", "LogSoftmax"):
        return "sequence"
    cells = sum((probed.shape[1] // s) * (probed.shape[2] // s) for s in _STRIDES)
    places = [s for s in shapes if s[-2] >= _MANY_PLACES or (cells and s[-1] % cells == 0)]
    return "detection" if places else "sequence"


_STRIDES = (8, 16, 32)
"""Of the grids of cells in which detectors look for objects."""


def _last_operator(graph: onnx.GraphProto, name: str) -> str:
    """Return the operator that makes an output, behind what only moves it."""
    makers = {output: node for node in graph.node for output in node.output}
    for _ in range(_STEPS_BACK):
        node = makers.get(name)
        if node is None:
            return ""
        if node.op_type not in ("Reshape", "Squeeze", "Flatten", "Identity", "Transpose", "Cast"):
            return node.op_type
        name = node.input[0] if node.input else ""
    return ""


_STEPS_BACK = 8


def _follows_probability(operator: str) -> bool:
    return operator in ("Sigmoid", "HardSigmoid", "If")


def _named(name: str, words: Sequence[str]) -> bool:
    return any(word in name.lower() for word in words)


def _class_names(count: int, data: Dataset | None, names: tuple[str, ...]) -> tuple[str, ...]:
    if names:
        return names
    if data is not None and data.task.n_classes == count:
        return data.task.class_names
    return tuple(map(str, range(count)))


def _quantity_names(count: int, data: Dataset | None) -> tuple[str, ...]:
    if data is not None and isinstance(data.task, Regression) and data.task.n_outputs == count:
        return data.task.names
    return ("output",) if count == 1 else tuple(f"output {i}" for i in range(count))
