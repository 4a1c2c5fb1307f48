"""What a reader found in files -> a :class:`Dataset`: axes in order, labels as class indices.

A reader names arrays and how to read them; sizes are stated by the files and checked against their
bytes before anything is made. The rest is the same for every format and stands here: which axis
holds the channels, which labels are legal, what is refused because it is not finite.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from optim.data.class_names import check_class_names
from optim.data.dataset import Dataset, Samples, cached_part
from optim.data.folder import MAX_CLASSES, MAX_DECODED_BYTES
from optim.data.options import NO_LABELS, DataOptions, Layout
from optim.data.splits import part_hash
from optim.data.task import NO_LABEL, Classification, Regression, Task, Unlabelled
from optim.errors import DataError
from optim.hashing import digest

__all__ = ["READ_AS", "RawPart", "Source", "class_targets", "dataset_of"]

READ_AS = "Stored arrays are read as"
"""Begins the note about axes that were guessed."""

_VERSION = 1
"""Raised whenever the same files give other samples."""
MAX_SAMPLES = 20_000_000
"""Samples of one part; their ids and labels alone take 320 MB."""

_AXES: dict[str, tuple[int, ...]] = {
    "NCHW": (0, 1, 2, 3),
    "NHWC": (0, 3, 1, 2),
    "NHW": (0, 1, 2),
    "NCL": (0, 1, 2),
    "NLC": (0, 2, 1),
    "NF": (0, 1),
}


@dataclass(frozen=True, eq=False)
class RawPart:
    """One part as it is stored.

    Attributes:
        where: Name of the array or file, for messages.
        shape: ``(N, ...)``, as stored.
        dtype: Its type; bytes stay bytes, other numbers become float32.
        inputs: Reads the array.
        labels: Reads ``(N,)`` labels of any kind, if there are any.
        label_count: How many labels there are.
        labels_where: Their name, for messages.
    """

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype
    inputs: Callable[[], np.ndarray]
    labels: Callable[[], np.ndarray] | None = None
    label_count: int = 0
    labels_where: str = "labels"


@dataclass(frozen=True, eq=False)
class Source:
    """What a reader found.

    Attributes:
        name: Of the file or folder, for messages.
        identity: Content hash of the parts' bytes.
        parts: ``{part name: what is stored}``; ``all`` stands alone.
        layout: Axes, where the format says them.
        class_names: Names of the classes 0, 1, ..., where the format says them.
        notes: Things a reader should know.
    """

    name: str
    identity: str
    parts: Mapping[str, RawPart]
    layout: Layout = ""
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def dataset_of(source: Source, options: DataOptions, *, ref: str, title: str) -> Dataset:
    """Return what a reader found as a data set.

    Args:
        source: Arrays that were looked at, not read.
        options: Layout and target; the others are applied to the result.
        ref: How it was asked for.
        title: Name for a reader.

    Raises:
        DataError: If shapes, sizes or labels cannot be used.
    """
    first_name, first = next(iter(source.parts.items()))
    for name, raw in source.parts.items():
        _check_shape(raw)
        if raw.shape[1:] != first.shape[1:]:
            raise DataError(
                f"All parts need samples of one shape: {first_name} has {first.shape[1:]}, "
                f"{name} has {raw.shape[1:]}."
            )
    layout = _layout(first, source.layout or options.layout)
    notes = source.notes
    if len(first.shape) > 2 and not (source.layout or options.layout):
        notes = (*notes, f"{READ_AS} {layout}, guessed from their shape.")
    labels = _labels(source, options)
    task: Task = Unlabelled() if labels is None else labels.task
    identity = digest("arrays", _VERSION, source.identity, layout, options.target)
    sizes = {name: raw.shape[0] for name, raw in source.parts.items()}
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))

    def load_targets(part: str) -> np.ndarray:
        if labels is None:
            return np.full(sizes[part], NO_LABEL, np.int64)
        return labels.of(part)

    def make(part: str) -> Samples:
        raw = source.parts[part]
        inputs = _arranged(_plain(raw.inputs(), raw), layout)
        ids = np.arange(sizes[part], dtype=np.int64) + starts[part]
        return Samples(inputs, load_targets(part), ids)

    return Dataset(
        ref=ref,
        title=title,
        task=task,
        hash=identity,
        parts=sizes,
        input_shape=_arranged_shape(first.shape, layout)[1:],
        load=lambda part: cached_part(identity, part, lambda: make(part)),
        load_targets=load_targets,
        notes=notes,
        # However they are read, they are the same samples.
        origin={name: (part_hash(source.identity, name),) for name in sizes},
    )


def class_targets(labels: np.ndarray, where: str) -> np.ndarray:
    """Return labels as ``(N,)`` int64 class indices, or as text.

    Args:
        labels: ``(N,)`` or ``(N, 1)`` whole numbers or text, or ``(N, K)`` with a single 1 a row.
        where: Their name, for messages.

    Raises:
        DataError: If they are anything else.
    """
    if labels.ndim == 2 and labels.shape[1] > 1:
        if labels.dtype.kind not in "biuf" or not _is_one_hot(labels):
            raise DataError(
                f"The labels {where!r} have {labels.shape[1]} numbers a sample, not one of them 1.",
                hint="Give one class a sample.",
            )
        return labels.argmax(axis=1).astype(np.int64)
    if labels.size != len(labels):
        raise DataError(
            f"The labels {where!r} have the shape {labels.shape}: one a sample is meant."
        )
    labels = labels.reshape(-1)
    if labels.dtype.kind == "S":
        try:
            labels = np.char.decode(labels, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"The labels {where!r} are not text.") from error
    if labels.dtype.kind == "U":
        _check_text(labels, where)
        return labels
    whole = np.isfinite(labels) & (labels == np.rint(labels))
    if not whole.all():
        odd = labels[~whole][0]
        raise DataError(
            f"The labels {where!r} are not classes: {odd:g} is no whole number.",
            hint="Classes are numbered 0, 1, 2, ...",
        )
    low, high = labels.min(), labels.max()
    if low < 0 or high >= MAX_CLASSES:
        odd = int(low if low < 0 else high)
        raise DataError(
            f"The labels {where!r} hold {odd}: classes are numbered from 0 to "
            f"{MAX_CLASSES - 1:,} at most."
        )
    return labels.astype(np.int64)


def _check_text(labels: np.ndarray, where: str) -> None:
    points = np.ascontiguousarray(labels).view(np.uint32).reshape(len(labels), -1)
    beyond = np.flatnonzero((points > sys.maxunicode).any(axis=1))
    if len(beyond):
        raise DataError(f"Row {beyond[0] + 1:,} of the labels {where!r} is not text.")
    check_class_names(
        map(str, np.unique(labels)),
        lambda name: f"Row {np.flatnonzero(labels == name)[0] + 1:,} of the labels {where!r}",
    )


@dataclass(frozen=True, eq=False)
class _Labels:
    """What labels mean, and those of each part."""

    task: Classification | Regression
    of: Callable[[str], np.ndarray]


def _labels(source: Source, options: DataOptions) -> _Labels | None:
    if options.target == NO_LABELS:
        return None
    labelled = [name for name, raw in source.parts.items() if raw.labels]
    if not labelled:
        return None
    for name, raw in source.parts.items():
        if raw.labels is None:
            raise DataError(
                f"{name} of {source.name} has no labels, and {labelled[0]} has.",
                hint=f"Add them, take {name} away, or read all without labels: target=none.",
            )
        if raw.label_count != raw.shape[0]:
            raise DataError(
                f"{source.name} has {raw.shape[0]:,} samples and {raw.label_count:,} labels in "
                f"{name}.",
                hint="Each sample needs one label.",
            )
    if source.class_names:
        return _Labels(Classification(source.class_names), lambda part: _known(source, part))
    stored = {name: _stored_labels(source.parts[name]) for name in labelled}
    if any(map(_holds_quantities, stored.values())):
        return _quantities(source, stored)
    found = {name: class_targets(v, source.parts[name].labels_where) for name, v in stored.items()}
    kinds = {values.dtype.kind for values in found.values()}
    if len(kinds) > 1:
        raise DataError(f"The labels of {source.name} are numbers in one part, text in another.")
    if kinds == {"U"}:
        names = np.unique(np.concatenate(list(found.values())))
        _check_number(len(names), source.name, str(names[0]))
        found = {name: np.searchsorted(names, v).astype(np.int64) for name, v in found.items()}
        return _Labels(Classification(tuple(map(str, names))), found.__getitem__)
    high = max(int(values.max()) for values in found.values())
    distinct = len(np.unique(np.concatenate([np.unique(v) for v in found.values()])))
    _check_number(distinct, source.name, str(high))
    return _Labels(Classification(tuple(map(str, range(high + 1)))), found.__getitem__)


def _quantities(source: Source, stored: Mapping[str, np.ndarray]) -> _Labels:
    """Return labels that are quantities: fractions, one or several a sample."""
    found = {name: _plain_quantities(v, source.parts[name]) for name, v in stored.items()}
    widths = {values.size // len(values) for values in found.values()}
    if len(widths) > 1:
        raise DataError(
            f"The labels of {source.name} are {' or '.join(map(str, sorted(widths)))} numbers a "
            "sample, and all parts need as many."
        )
    width = widths.pop()
    names = ("target",) if width == 1 else tuple(f"target {i}" for i in range(width))
    return _Labels(Regression(names), found.__getitem__)


def _holds_quantities(labels: np.ndarray) -> bool:
    if labels.dtype.kind != "f" or not 1 <= labels.ndim <= 2 or _is_one_hot(labels):
        return False
    known = labels[np.isfinite(labels)]
    return bool((known != np.rint(known)).any())


def _plain_quantities(labels: np.ndarray, raw: RawPart) -> np.ndarray:
    """Return ``(N,)`` or ``(N, quantities)`` float32."""
    if labels.dtype.kind not in "biuf" or labels.ndim > 2 or labels[0].size > MAX_QUANTITIES:
        raise DataError(
            f"The labels {raw.labels_where!r} have the shape {labels.shape}: one a sample, or a "
            f"row of at most {MAX_QUANTITIES:,} are meant."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        values = labels.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(
            f"The labels {raw.labels_where!r} hold values that are not finite.",
            hint="Leave those samples out.",
        )
    return values.reshape(-1) if values.size == len(values) else values


MAX_QUANTITIES = 1000
"""Quantities of one sample that can be predicted."""


def _check_number(distinct: int, name: str, one: str) -> None:
    if distinct < 2:
        raise DataError(
            f"All samples of {name} are of one class, {one!r}.",
            hint="Bring samples of at least two classes, or read them without labels: target=none.",
        )
    if distinct > MAX_CLASSES:
        raise DataError(
            f"{name} has {distinct:,} different labels: at most {MAX_CLASSES:,} are allowed."
        )


def _stored_labels(raw: RawPart) -> np.ndarray:
    assert raw.labels is not None
    return raw.labels()


def _known(source: Source, part: str) -> np.ndarray:
    """Return the labels of a part where the format names the classes."""
    raw = source.parts[part]
    targets = class_targets(_stored_labels(raw), raw.labels_where)
    if targets.max() >= len(source.class_names):
        raise DataError(
            f"{part} of {source.name} has class {targets.max()}: its classes are numbered from 0 "
            f"to {len(source.class_names) - 1}."
        )
    return targets


def _is_one_hot(labels: np.ndarray) -> bool:
    return labels.ndim == 2 and bool(
        ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()
    )


def _check_shape(raw: RawPart) -> None:
    if not 1 <= len(raw.shape) <= 4:
        raise DataError(
            f"{raw.where!r} has {len(raw.shape)} axes: 2 are a table, 3 are series or grey images, "
            "4 are images."
        )
    if min(raw.shape) < 1:
        raise DataError(f"{raw.where!r} holds no sample: its shape is {raw.shape}.")
    if raw.shape[0] > MAX_SAMPLES:
        raise DataError(f"{raw.where!r} has more than {MAX_SAMPLES:,} samples.")
    if raw.dtype.kind not in "biuf":
        raise DataError(f"{raw.where!r} holds {raw.dtype.name}, which are no numbers.")
    size = int(np.prod([float(n) for n in raw.shape])) * (1 if raw.dtype == np.uint8 else 4)
    if size > MAX_DECODED_BYTES:
        raise DataError(
            f"{raw.where!r} takes {size / 2**30:.1f} GiB in memory: at most "
            f"{MAX_DECODED_BYTES / 2**30:g} GiB are allowed.",
            hint="Use fewer samples.",
        )


def _layout(raw: RawPart, asked: str) -> str:
    """Return the axes of an array; a guess where nobody says them."""
    axes = len(raw.shape)
    if asked:
        if len(asked) != max(axes, 2):
            raise DataError(
                f"layout={asked} has {len(asked)} axes, and {raw.where!r} has {axes}.",
                hint="Choose another, or leave it out.",
            )
        return asked
    if axes == 4:
        _, first, _, last = raw.shape
        return "NHWC" if last in (1, 3, 4) and first not in (1, 3) else "NCHW"
    if axes == 3:
        # Grey images are bytes, or square; everything else is a series with its channels first.
        return "NHW" if raw.dtype == np.uint8 or raw.shape[1] == raw.shape[2] else "NCL"
    return "NF"


def _arranged_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    if len(shape) == 1:
        return (shape[0], 1)
    moved = tuple(shape[axis] for axis in _AXES[layout])
    return (moved[0], 1, *moved[1:]) if layout == "NHW" else moved


def _arranged(array: np.ndarray, layout: str) -> np.ndarray:
    if array.ndim == 1:
        return array[:, None]
    moved = array.transpose(_AXES[layout])
    return np.ascontiguousarray(moved[:, None] if layout == "NHW" else moved)


def _plain(array: np.ndarray, raw: RawPart) -> np.ndarray:
    """Return bytes as they are and other numbers as float32, all of them finite."""
    if array.shape != raw.shape:
        raise DataError(f"{raw.where!r} is damaged: it does not hold what it says.")
    if array.dtype == np.uint8:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        values = array.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        rows = np.flatnonzero(~finite.reshape(len(values), -1).all(axis=1))
        raise DataError(
            f"{raw.where!r} holds values that are not finite, in {len(rows):,} of "
            f"{len(values):,} samples; the first is sample {rows[0]}.",
            hint="Replace NaN and infinity, or leave those samples out.",
        )
    return values
