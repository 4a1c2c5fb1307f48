"""A first look at data: samples, classes, values, and how a model would want them read.

Everything is plain data that a page can show. Guesses are made from what the arrays hold and what a
model says about its input; each comes with its reason, and all of them are options that can be set.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import numpy as np

from optim.data.dataset import Dataset, Samples
from optim.data.options import DataOptions, Normalisation
from optim.data.splits import stratified_order
from optim.data.task import Classification, Detection, Regression
from optim.errors import DataError

__all__ = [
    "Expected",
    "Guess",
    "guess_options",
    "numbers_agree",
    "open_as_guessed",
    "picture",
    "preview",
]

_LOOKED_AT = 2_000
"""Samples whose values are looked at."""
_POINTS = 256
"""Most values of a series that are handed over."""
_ROUNDS = 4
"""Guesses one after the other: axes, then a size, then values, then nothing new."""
_PICTURE_SIDE = 96
"""Smaller pictures are enlarged to about this, pixel by pixel."""
_WINDOW = {False: (0.0, 1.0), True: (-2.5, 2.5)}
"""Values that are drawn black and white: without a mean, and around one."""


@dataclass(frozen=True)
class Expected:
    """What a model says about its input, as far as it says it.

    Attributes:
        shape: Of one sample; 0 where any size will do.
        scale: What raw values are divided by.
        mean: Subtracted per channel after that.
        std: Divided by after that.
        class_names: Names of its outputs.
        size: Height and width, or length, that samples of several sizes are brought to.
    """

    shape: tuple[int, ...]
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    class_names: tuple[str, ...] = ()
    size: tuple[int, ...] = ()

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether samples of a shape can be given to the model."""
        same = len(shape) == len(self.shape)
        return same and all(w in (0, own) for own, w in zip(shape, self.shape, strict=True))

    def with_normalisation(self, asked: Normalisation | None) -> Self:
        """Return what a model expects of data that say themselves how they are normalised."""
        if asked is None:
            return self
        found = asked.or_else(Normalisation(self.scale, self.mean, self.std))
        return replace(self, scale=found.scale, mean=found.mean, std=found.std)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        lists = ("shape", "mean", "std", "class_names", "size")
        return cls(scale=data["scale"], **{name: tuple(data[name]) for name in lists})


@dataclass(frozen=True)
class Guess:
    """Options, and why.

    Attributes:
        options: What was asked for, with guesses where nothing was.
        reasons: ``{field: why it was guessed}``.
    """

    options: DataOptions
    reasons: dict[str, str] = field(default_factory=dict)


def guess_options(dataset: Dataset, model: Expected, options: DataOptions | None = None) -> Guess:
    """Guess how data have to be read so that a model understands them.

    Args:
        dataset: The data as ``options`` read them.
        model: What the model expects.
        options: What was said so far; only fields that still have their default are guessed.
    """
    options = options or DataOptions()
    said = set(options.changed())
    found: dict[str, tuple[Any, str]] = {
        **(
            {}
            if model.takes(dataset.input_shape)
            else _shape_guess(dataset.input_shape, model.shape)
        ),
        **_value_guess(_some(dataset), model),
        **_name_guess(dataset, model),
    }
    fields = {name: value for name, (value, _) in found.items() if name not in said}
    reasons = {name: reason for name, (_, reason) in found.items() if name in fields}
    if "mean" in said:
        fields = {name: value for name, value in fields.items() if name not in ("mean", "std")}
    return Guess(options.replace(**fields) if fields else options, reasons)


def open_as_guessed(
    opened: Callable[[DataOptions], Dataset], model: Expected, options: DataOptions | None = None
) -> tuple[Dataset, Guess]:
    """Open data, and open them again as the model seems to want them.

    Args:
        opened: Opens the data with given options.
        model: What the model expects.
        options: What was said so far; only fields that still have their default are guessed.

    Returns:
        The data as the guess reads them, and the guess.

    Raises:
        DataError: If they cannot be opened.
    """
    guess = Guess(options or DataOptions())
    try:
        dataset = opened(guess.options)
        dataset.part(next(iter(dataset.parts)))
    except DataError:
        # Samples of several sizes can only be read at one, and the model may say which.
        if guess.options.resize or not model.size:
            raise
        dataset = opened(guess.options.replace(resize=model.size))
        sides = "x".join(map(str, model.size))
        why = f"the samples have several sizes, the model was opened with {sides}"
        guess = Guess(guess.options.replace(resize=model.size), {"resize": why})
    for _ in range(_ROUNDS):
        more = guess_options(dataset, model, guess.options)
        if more.options == guess.options:
            break
        dataset = opened(more.options)
        guess = Guess(more.options, {**guess.reasons, **more.reasons})
    return dataset, guess


def preview(
    dataset: Dataset,
    *,
    guess: Guess | None = None,
    model: Expected | None = None,
    count: int = 12,
    seed: int = 0,
) -> dict[str, Any]:
    """Return a first look at data as plain data for a page.

    Args:
        dataset: The data.
        guess: Options that were guessed for a model, with their reasons.
        model: Pictures are drawn as it sees them; without it, as they are stored.
        count: How many samples to show, drawn so that all classes occur.
        seed: Decides which.

    Returns:
        ``title``, ``task``, ``parts``, ``input_shape``, ``classes`` (names and counts by part),
        ``columns`` (of a table), ``values`` (type, range, mean and deviation by channel),
        ``seen`` (the range, mean and deviation that reach the model, and which of them are drawn
        black and white), ``samples`` (id, label, and a PNG as ``data:`` address or numbers),
        ``notes``, ``options`` and ``reasons``.
    """
    samples = _some(dataset, seed)
    shown = samples.take(np.arange(min(count, len(samples))))
    wanted = model.with_normalisation(dataset.normalisation) if model else None
    return {
        "title": dataset.title,
        "task": dataset.task.kind,
        "parts": dict(dataset.parts),
        "input_shape": list(dataset.input_shape),
        "classes": _classes(dataset),
        "columns": list(dataset.feature_names),
        "values": _values(samples.inputs),
        "seen": _seen_values(samples.inputs, wanted) if wanted else {},
        "samples": [
            {
                "id": int(shown.ids[i]),
                "label": _label(dataset, shown.targets[i]),
                **picture(shown.inputs[i], wanted, enlarged=wanted is not None),
            }
            for i in range(len(shown))
        ],
        "notes": list(dataset.notes),
        "options": guess.options.changed() if guess else {},
        "reasons": dict(guess.reasons) if guess else {},
    }


def _label(dataset: Dataset, target: np.ndarray) -> str | None:
    """Return what a sample is, in words; None if nobody says it."""
    if isinstance(dataset.task, Regression):
        return ", ".join(f"{value:g}" for value in np.ravel(target))
    if isinstance(dataset.task, Detection):
        return ", ".join(dataset.task.class_names[label] for label in target[target[:, 4] >= 0, 4])
    return dataset.task.class_names[int(target)] if dataset.task.class_names else None


def _some(dataset: Dataset, seed: int = 0) -> Samples:
    """Return samples of the first part, of all classes alike."""
    samples = dataset.part(next(iter(dataset.parts)))
    return samples.take(stratified_order(samples.targets, seed)[:_LOOKED_AT])


def _classes(dataset: Dataset) -> list[dict[str, Any]]:
    if not isinstance(dataset.task, Classification):
        return []
    names = dataset.task.class_names
    counts = {
        part: np.bincount(dataset.targets(part), minlength=len(names)) for part in dataset.parts
    }
    return [
        {"name": name, "counts": {part: int(of[i]) for part, of in counts.items()}}
        for i, name in enumerate(names)
    ]


def _values(inputs: np.ndarray) -> dict[str, Any]:
    axes = (0, *range(2, inputs.ndim))
    values = inputs.astype(np.float64)
    return {
        "type": inputs.dtype.name,
        "low": float(values.min()),
        "high": float(values.max()),
        "mean": [round(float(v), 6) for v in values.mean(axis=axes)[:16]],
        "std": [round(float(v), 6) for v in values.std(axis=axes)[:16]],
        "n": len(inputs),
    }


def _seen(inputs: np.ndarray, model: Expected) -> np.ndarray:
    """Return ``(N, C, ...)`` samples as a model sees them."""
    values = inputs.astype(np.float32) / model.scale
    if not model.mean:
        return values
    spread = (-1, *[1] * (inputs.ndim - 2))
    return (values - np.reshape(model.mean, spread)) / np.reshape(model.std, spread)


def _seen_values(inputs: np.ndarray, model: Expected) -> dict[str, Any]:
    values = _seen(inputs, model).astype(np.float64)
    numbers = {
        "low": values.min(),
        "high": values.max(),
        "mean": values.mean(),
        "std": values.std(),
    }
    places = max(0, 3 - math.floor(math.log10(np.abs(values).max() or 1)))
    found: dict[str, Any] = {name: round(float(v), places) + 0.0 for name, v in numbers.items()}
    return {**found, "window": list(_WINDOW[bool(model.mean)])}


def picture(
    sample: np.ndarray,
    model: Expected | None = None,
    *,
    ends: tuple[float, float] | None = None,
    enlarged: bool = True,
) -> dict[str, Any]:
    """Return a sample as ``image``, the ``data:`` address of a PNG, or as ``values``, numbers.

    Args:
        sample: ``(C, H, W)``, ``(C, L)`` or ``(F,)``; an image has one or three channels.
        model: Images are drawn as it sees them; without it, as they are stored.
        ends: Values that are drawn black and white where an image is stored as floats; its least
            and its largest if None.
        enlarged: Whether small images are enlarged, pixel by pixel.
    """
    if sample.ndim != 3 or sample.shape[0] not in (1, 3):
        flat = sample.reshape(sample.shape[0], -1) if sample.ndim > 1 else sample[None]
        return {"values": [[float(f"{v:.5g}") for v in row[:_POINTS]] for row in flat[:16]]}
    from PIL import Image

    if model is not None:
        ends = _WINDOW[bool(model.mean)]
        sample = _seen(sample[None], model)[0]
    if model is not None or sample.dtype != np.uint8:
        low, high = ends or (float(sample.min()), float(sample.max()))
        sample = np.clip((sample - low) * (255 / (high - low or 1)), 0, 255)
    sample = sample.astype(np.uint8)
    pixels = sample[0] if sample.shape[0] == 1 else sample.transpose(1, 2, 0)
    if enlarged:
        times = max(1, _PICTURE_SIDE // max(pixels.shape[:2]))
        pixels = pixels.repeat(times, 0).repeat(times, 1)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return {"image": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()}


def _shape_guess(own: tuple[int, ...], wanted: tuple[int, ...]) -> dict[str, tuple[Any, str]]:
    if len(own) == len(wanted) == 3:
        if own[0] == wanted[0] and 0 not in wanted:
            size = f"{wanted[1]}x{wanted[2]}"
            return {"resize": (wanted[1:], f"the model takes {size}, the data have {_size(own)}")}
        # Read as (C, H, W), the last axis is what the model calls channels, or the other way round.
        if own[2] == wanted[0]:
            return {"layout": ("NHWC", f"the model takes {wanted[0]} channels, the last axis")}
        if own[1] == wanted[0]:
            return {"layout": ("NCHW", f"the model takes {wanted[0]} channels, the first axis")}
    if len(own) == 2 and len(wanted) == 3 and wanted == (1, *own):
        return {"layout": ("NHW", "the model takes grey images of that size")}
    if len(own) == len(wanted) == 2:
        if own[::-1] == wanted:
            return {"layout": ("NLC", "the model takes channels first")}
        if own[0] == wanted[0] and wanted[1]:
            return {"resize": (wanted[1:], f"the model takes {wanted[1]} values, not {own[1]}")}
    return {}


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape[1:]))


def _value_guess(samples: Samples, model: Expected) -> dict[str, tuple[Any, str]]:
    """Guess from the range of the values what they were divided by before."""
    if samples.inputs.ndim != 4:
        return {}
    low, high = float(samples.inputs.min()), float(samples.inputs.max())
    seen = f"values lie in {low:g} to {high:g}"
    if low < 0 and high < 30 and model.mean:
        n = len(model.mean)
        return {
            "scale": (1.0, f"{seen}: they look normalised already"),
            "mean": ((0.0,) * n, f"{seen}: they look normalised already"),
            "std": ((1.0,) * n, f"{seen}: they look normalised already"),
        }
    if low >= 0 and high <= 1 and samples.inputs.dtype != np.uint8 and model.scale > 1:
        return {"scale": (1.0, f"{seen}; the model would divide them by {model.scale:g}")}
    in_unit = model.scale == 1 and bool(model.mean) and max(model.mean) <= 1
    if low >= 0 and 1 < high <= 255 and in_unit:
        return {"scale": (255.0, f"{seen}; the model's means are those of 0 to 1")}
    return {}


def numbers_agree(own: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether classes of data have the numbers that a model gives to the same names.

    Where a name is not among the model's, nobody knows what it is called there.
    """
    named = len(set(wanted)) == len(wanted) and set(own) <= set(wanted)
    return not named or tuple(own) == tuple(wanted[: len(own)])


def _name_guess(dataset: Dataset, model: Expected) -> dict[str, tuple[Any, str]]:
    own, wanted = dataset.task.class_names, model.class_names
    if not own or own == wanted or len(set(wanted)) < len(wanted):
        return {}
    if set(own) == set(wanted):
        return {"class_names": (wanted, "the model numbers the same classes in another order")}
    if set(own) < set(wanted) and not numbers_agree(own, wanted):
        why = f"the data have {len(own)} of the model's {len(wanted)} classes"
        return {"class_names": (wanted, f"{why}, numbered otherwise")}
    unnamed = own == tuple(map(str, range(len(own))))
    if unnamed and len(own) <= len(wanted):
        return {"class_names": (wanted, "the data number their classes, the model names them")}
    return {}
