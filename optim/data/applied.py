"""Options applied to data that were opened: colours turned round, sizes, names, parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from optim.data._images import resize_images
from optim.data.dataset import Dataset, Samples, cached_part
from optim.data.folder import MAX_DECODED_BYTES
from optim.data.options import NO_LABELS, DataOptions
from optim.data.splits import cut_parts, trained_on
from optim.data.task import NO_LABEL, Classification, Regression, Unlabelled
from optim.errors import DataError
from optim.hashing import digest

__all__ = ["as_quantities", "with_options", "without_labels"]

_VERSION = 1


def with_options(dataset: Dataset, options: DataOptions) -> Dataset:
    """Return data as the options say; layout and target were followed when they were read.

    Args:
        dataset: The data as a reader gives them.
        options: Options of their own; the defaults change nothing.

    Raises:
        DataError: If an option does not fit the data.
    """
    if options.target == NO_LABELS and not isinstance(dataset.task, Unlabelled):
        dataset = without_labels(dataset)
    if options.channel_order == "BGR":
        dataset = _turned(dataset)
    if options.resize:
        dataset = _resized(dataset, options.resize)
    if options.class_names:
        dataset = _named(dataset, options.class_names)
    if options.split == "made":
        dataset = cut_parts(dataset, options.seed)
    if options.normalisation is not None:
        dataset = replace(dataset, normalisation=options.normalisation)
    return dataset


def _changed(
    dataset: Dataset,
    what: str,
    change: Callable[[Samples], Samples],
    *,
    input_shape: tuple[int, ...],
    kept: bool = False,
) -> Dataset:
    """Return data whose samples are changed one by one; they stay the same samples."""
    identity = digest(dataset.hash, what, _VERSION)

    def load(part: str) -> Samples:
        if not kept:
            return change(dataset.part(part))
        return cached_part(identity, part, lambda: change(dataset.part(part)))

    return replace(
        dataset,
        hash=identity,
        input_shape=input_shape,
        load=load,
        load_targets=dataset.targets,
        origin={part: trained_on(dataset, part) for part in dataset.parts},
    )


def without_labels(dataset: Dataset) -> Dataset:
    """Return data of which nobody says what they are."""

    def targets(part: str) -> np.ndarray:
        return np.full(dataset.parts[part], NO_LABEL, np.int64)

    def change(samples: Samples) -> Samples:
        return replace(samples, targets=np.full(len(samples), NO_LABEL, np.int64))

    changed = _changed(dataset, "no labels", change, input_shape=dataset.input_shape)
    return replace(changed, task=Unlabelled(), load_targets=targets)


def as_quantities(dataset: Dataset) -> Dataset | None:
    """Return data whose classes are numbers as data with a quantity; None if they are words."""
    try:
        values = np.array([float(name) for name in dataset.task.class_names], np.float32)
    except ValueError:
        return None

    def change(samples: Samples) -> Samples:
        return replace(samples, targets=values[samples.targets])

    changed = _changed(dataset, "quantities", change, input_shape=dataset.input_shape)
    return replace(
        changed,
        task=Regression(("target",)),
        load_targets=lambda part: values[dataset.targets(part)],
    )


def _turned(dataset: Dataset) -> Dataset:
    shape = dataset.input_shape
    if len(shape) != 3 or shape[0] != 3:
        raise DataError(
            f"channel_order=BGR needs images of 3 channels: {dataset.title} has samples of {shape}."
        )

    def change(samples: Samples) -> Samples:
        return replace(samples, inputs=np.ascontiguousarray(samples.inputs[:, ::-1]))

    return _changed(dataset, "bgr", change, input_shape=shape)


def _resized(dataset: Dataset, size: tuple[int, ...]) -> Dataset:
    shape = dataset.input_shape
    if shape[1:] == size:
        return dataset
    if len(shape) != len(size) + 1:
        wanted = "height and width" if len(shape) == 3 else "one length"
        raise DataError(
            f"resize={','.join(map(str, size))} does not fit {dataset.title}, whose samples have "
            f"the shape {shape}.",
            hint=f"Give {wanted}." if len(shape) > 1 else "Tables have no size to change.",
        )
    found = (shape[0], *size)
    for part, count in dataset.parts.items():
        if count * int(np.prod(found)) * 4 > 4 * MAX_DECODED_BYTES:
            raise DataError(
                f"{part} of {dataset.title} would have {count * int(np.prod(found)):,} values.",
                hint="Choose a smaller size.",
            )

    def change(samples: Samples) -> Samples:
        if len(size) == 1:
            return replace(samples, inputs=_fitted(samples.inputs, size[0]))
        return replace(samples, inputs=resize_images(samples.inputs, size[0], size[1]))

    how = "scaled (bilinear)" if len(size) == 2 else "cut or padded with zeros"
    changed = _changed(dataset, f"resize {size}", change, input_shape=found, kept=True)
    note = f"Samples are {how} from {_sides(shape)} to {_sides(found)}."
    return replace(changed, notes=(*changed.notes, note))


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape[1:]))


def _fitted(series: np.ndarray, length: int) -> np.ndarray:
    kept = series[..., :length]
    padding = [(0, 0)] * (series.ndim - 1) + [(0, length - kept.shape[-1])]
    return np.pad(kept, padding)


def _named(dataset: Dataset, names: tuple[str, ...]) -> Dataset:
    """Return data whose classes have other names, or are numbered by names they have already."""
    if not isinstance(dataset.task, Classification):
        raise DataError(
            f"{dataset.title} has no labels, and class_names names {len(names)} classes."
            if isinstance(dataset.task, Unlabelled)
            else f"{dataset.title} has quantities, and class_names names {len(names)} classes.",
            hint="Leave class_names out.",
        )
    own = dataset.task.class_names
    if names == own:
        return dataset
    # A model may know more classes than occur here.
    if len(names) < len(own):
        raise DataError(
            f"class_names has {len(names)} names: {dataset.title} has {len(own)} classes."
        )
    unknown = [name for name in own if name not in set(names)]
    if len(unknown) == len(own):
        return replace(dataset, task=Classification(names))
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise DataError(
            f"class_names has some classes of {dataset.title} and lacks "
            f"{', '.join(map(repr, unknown[:3]))}{more}.",
            hint="Name all of its classes, to find them by name, or none of them, to rename them.",
        )
    place = np.array([names.index(name) for name in own], dtype=np.int64)

    def change(samples: Samples) -> Samples:
        return replace(samples, targets=place[samples.targets])

    changed = _changed(dataset, f"order {names}", change, input_shape=dataset.input_shape)
    return replace(
        changed,
        task=Classification(names),
        load_targets=lambda part: place[dataset.targets(part)],
    )
