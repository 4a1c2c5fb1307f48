"""What to check when a model does no better than guessing on data that were brought along.

Most often neither is at fault: the values have another scale, blue comes before red, or classes
are numbered otherwise. Each of these can be tried, and what it would change is measured on a few
hundred samples. None of it is applied: the reader decides, for what fits best need not be right.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from optim.data.dataset import Dataset, Samples
from optim.data.preview import Expected
from optim.measure.evaluate import predict
from optim.measure.predictions import Predictions
from optim.models.bundle import ModelBundle
from optim.models.input_spec import InputSpec
from optim.quantity import Quantity

__all__ = [
    "Check",
    "QuickCheck",
    "chance_level",
    "chance_of",
    "expected_by",
    "is_hardly_better",
    "is_near_chance",
    "quick_check",
    "what_to_check",
]

_SAMPLES = range(64, 513)
"""How many are used: enough to see ten points; a check is no measurement."""
_TIMED = 16
_TRIALS = 24
_TRIED = 16
"""On so few samples at least is every trial made: enough to see a model come to life."""
_PATIENCE = 2
"""How many times the seconds that were asked for may pass before no further trial is begun."""
_MARGIN = 0.1
"""Share of the way from guessing to perfect below which a model is near chance."""
_FEW = 0.9
"""Share of samples put into one class that says the model sees no difference between them."""
_COMMON: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((), ()),
    "0.5 and 0.5": ((0.5,), (0.5,)),
    "those of ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


@dataclass(frozen=True)
class Check:
    """One thing to check.

    Attributes:
        name: ``values``, ``channel order``, ``label order``, ``classes`` or ``answers``.
        sentence: What was seen.
        accuracy: What it would be otherwise; None if that cannot be tried.
        options: Fields of :class:`optim.data.DataOptions` that would make it so.
    """

    name: str
    sentence: str
    accuracy: Quantity | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "name": self.name,
            "sentence": self.sentence,
            "accuracy": self.accuracy.to_json() if self.accuracy else None,
            "options": self.options,
        }


@dataclass(frozen=True)
class QuickCheck:
    """Whether a model understands data, on a few hundred samples.

    Attributes:
        accuracy: As the data are read now.
        is_near_chance: Whether that is hardly better than guessing.
        suggestions: What was tried and does better, beyond both intervals; the best first.
        remarks: What can only be looked at; empty unless accuracy is near chance.
    """

    accuracy: Quantity
    is_near_chance: bool
    suggestions: tuple[Check, ...] = ()
    remarks: tuple[Check, ...] = ()


def expected_by(bundle: ModelBundle) -> Expected:
    """Return what a model says about its input, for guesses about data."""
    spec = bundle.spec
    names = bundle.task.class_names
    return Expected(spec.shape, spec.scale, spec.mean, spec.std, names, spec.shape[1:])


def chance_of(targets: np.ndarray) -> float:
    """Return the accuracy of naming the most common class every time, in 0..1.

    Args:
        targets: ``(N,)`` class indices.

    Example:
        >>> chance_of(np.array([0, 1, 1, 2]))
        0.5
    """
    return float(np.bincount(targets).max()) / len(targets)


def is_hardly_better(accuracy: float, chance: float) -> bool:
    """Whether an accuracy is hardly better than chance: closer than a tenth of the way up from it.

    Example:
        >>> is_hardly_better(0.13, 0.1), is_hardly_better(0.4, 0.1)
        (True, False)
    """
    return accuracy < _seen_above(chance)


def is_near_chance(predictions: Predictions) -> bool:
    """Whether a model does hardly better than naming the most common class every time."""
    if not predictions.is_labelled:
        return False
    return predictions.accuracy().value < _threshold(predictions)


def chance_level(targets: np.ndarray, n_classes: int) -> float:
    """Return the accuracy in 0..1 below which nothing but guessing is seen.

    Args:
        targets: ``(N,)`` class indices.
        n_classes: That a model tells apart.
    """
    return _seen_above(max(chance_of(targets), 1 / n_classes))


def quick_check(
    bundle: ModelBundle,
    data: Dataset,
    samples: Samples,
    *,
    seconds: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
) -> QuickCheck:
    """Measure a model on a few hundred samples, and try whether it wants them read otherwise.

    A model may be far from its best without being near chance, so the trials are made either way.

    Args:
        bundle: The model, with the input the data are read for.
        data: Names the classes.
        samples: Labelled samples in a fair order, of a part that selects; the first few hundred
            are used.
        seconds: Roughly how long the trials may take together; see :func:`what_to_check`.
        clock: Tells the time in seconds.

    Raises:
        DataError: If the samples do not fit the model.
    """
    now, checks = _trials(bundle, data, samples, seconds, clock, lambda: None)
    accuracy, near = now.accuracy(), is_near_chance(now)
    return QuickCheck(
        accuracy,
        near,
        tuple(c for c in checks if c.accuracy and c.accuracy.low > accuracy.high),
        tuple(_to_look_at(bundle, data, now)) if near else (),
    )


def what_to_check(
    bundle: ModelBundle,
    data: Dataset,
    samples: Samples,
    *,
    seconds: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
    check: Callable[[], None] = lambda: None,
) -> list[Check]:
    """List what may be wrong between a model and data, what can be tried measured.

    Args:
        bundle: The model, with the input it was measured with.
        data: Names the classes.
        samples: Labelled samples in a fair order; the first few hundred are used.
        seconds: Roughly how long the trials may take together: a slow model is tried on fewer
            samples, and no trial is begun once twice the time has passed.
        clock: Tells the time in seconds.
        check: Called between trials; raises to stop.

    Returns:
        The trial that helps most first, then the others, then what can only be looked at.
    """
    now, checks = _trials(bundle, data, samples, seconds, clock, check)
    return [*checks, *_to_look_at(bundle, data, now)]


def _trials(
    bundle: ModelBundle,
    data: Dataset,
    samples: Samples,
    seconds: float,
    clock: Callable[[], float],
    check: Callable[[], None],
) -> tuple[Predictions, list[Check]]:
    """Return what a model says about the first few hundred samples, and what helps on them."""
    start = clock()
    affordable = _affordable(bundle, samples, seconds, clock, check)
    some = samples.take(np.arange(min(max(affordable, _SAMPLES[0]), len(samples))))
    now = predict(bundle, some, check=check)
    tried = some.take(np.arange(min(max(affordable, _TRIED), len(some))))

    def is_time_left() -> bool:
        check()
        return clock() - start < _PATIENCE * seconds

    return now, _tried(bundle, data, tried, now, is_time_left)


def _affordable(
    bundle: ModelBundle,
    samples: Samples,
    seconds: float,
    clock: Callable[[], float],
    check: Callable[[], None],
) -> int:
    """Return on how many samples all trials can be made in the time there is."""
    few = samples.take(np.arange(min(_TIMED, len(samples))))
    predict(bundle, few, check=check)
    start = clock()
    predict(bundle, few, check=check)
    pace = (clock() - start) / len(few)
    return min(int(seconds / (_TRIALS * pace)), _SAMPLES[-1]) if pace > 0 else _SAMPLES[-1]


def _tried(
    bundle: ModelBundle,
    data: Dataset,
    samples: Samples,
    now: Predictions,
    is_time_left: Callable[[], bool],
) -> list[Check]:
    """Return the trials that get the model off the ground, the best first."""
    tried = [
        *_values(bundle, samples, is_time_left),
        *_channel_order(bundle, samples, is_time_left),
        *_label_order(now, data, bundle.task.class_names),
    ]
    least = max(_threshold(now), now.accuracy().value)
    helps = [(c.accuracy.value, c) for c in tried if c.accuracy and c.accuracy.value >= least]
    helps.sort(key=lambda pair: -pair[0])
    return [c for _, c in helps]


def _to_look_at(bundle: ModelBundle, data: Dataset, now: Predictions) -> list[Check]:
    return [*_answers(now, bundle), *_classes(bundle, data), _reminder(bundle)]


def _threshold(predictions: Predictions) -> float:
    return chance_level(predictions.targets, predictions.outputs.shape[1])


def _seen_above(chance: float) -> float:
    return chance + _MARGIN * (1 - chance)


def _values(bundle: ModelBundle, samples: Samples, is_time_left: Callable[[], bool]) -> list[Check]:
    """Try other scales, means and deviations; the best of them is worth a line."""
    spec, best = bundle.spec, None
    # Of two that come to the same, the one that a reader would name.
    for scale in (255.0, 1.0) if samples.inputs.max() > 1 else (1.0, 255.0):
        for what, (mean, std) in {**_common(spec), **_own(samples, scale)}.items():
            other = replace(spec, scale=scale, mean=mean, std=std)
            if other == spec or not is_time_left():
                continue
            found = predict(replace(bundle, spec=other), samples).accuracy()
            options = {"scale": scale, "mean": list(mean or (0.0,)), "std": list(std or (1.0,))}
            by = "taken as they are" if scale == 1 else f"divided by {scale:g}"
            text = f"With values {by} and mean and deviation {what}"
            if best is None or best.accuracy is None or found.value > best.accuracy.value:
                best = Check("values", f"{text}: {found}.", found, options)
    return [best] if best else []


def _common(spec: InputSpec) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    fitting = {w: v for w, v in _COMMON.items() if len(v[0]) in (0, 1, spec.shape[0])}
    return {"of the model": (spec.mean, spec.std), **fitting}


def _own(samples: Samples, scale: float) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    values = samples.inputs.astype(np.float64) / scale
    axes = (0, *range(2, values.ndim))
    mean, std = values.mean(axis=axes), values.std(axis=axes)
    if not (std > 0).all():
        return {}
    rounded = [tuple(float(f"{v:.4g}") for v in side) for side in (mean, std)]
    return {"of the samples": (rounded[0], rounded[1])}


def _channel_order(
    bundle: ModelBundle, samples: Samples, is_time_left: Callable[[], bool]
) -> list[Check]:
    """Turn the channels round, with other values as well if that is what they need."""
    if len(bundle.spec.shape) != 3 or bundle.spec.shape[0] != 3 or not is_time_left():
        return []
    turned = replace(samples, inputs=np.ascontiguousarray(samples.inputs[:, ::-1]))
    found = predict(bundle, turned).accuracy()
    sentence = "With the channels in the order blue, green, red"
    for also in _values(bundle, turned, is_time_left):
        if also.accuracy and also.accuracy.low > found.high:
            more = f"{sentence}, and w{also.sentence[1:]}"
            return [
                Check(
                    "channel order", more, also.accuracy, {**also.options, "channel_order": "BGR"}
                )
            ]
    return [Check("channel order", f"{sentence}: {found}.", found, {"channel_order": "BGR"})]


def _label_order(now: Predictions, data: Dataset, outputs: tuple[str, ...]) -> list[Check]:
    """Match classes to answers on one half of the samples and measure that on the other."""
    from scipy.optimize import linear_sum_assignment

    half = np.arange(len(now)) % 2 == 0
    names = data.task.class_names
    counts = np.zeros((len(names), now.outputs.shape[1]))
    np.add.at(counts, (now.targets[half], now.classes[half]), 1)
    rows, columns = linear_sum_assignment(-counts)
    place = np.full(len(names), -1)
    place[rows] = columns
    if len(rows) < len(names) or (place == np.arange(len(names))).all() or half.all():
        return []
    moved = replace(
        now,
        ids=now.ids[~half],
        outputs=now.outputs[~half],
        targets=place[now.targets[~half]],
    )
    found = moved.accuracy()
    changed = [f"{names[i]!r} is output {place[i]}" for i in range(len(names)) if place[i] != i]
    sentence = (
        f"If the classes were numbered as the answers suggest ({', '.join(changed[:4])}"
        f"{', ...' if len(changed) > 4 else ''}): {found}, on samples that did not suggest it."
    )
    return [Check("label order", sentence, found, _renumbered(names, place, outputs))]


def _renumbered(
    names: tuple[str, ...], place: np.ndarray, outputs: tuple[str, ...]
) -> dict[str, Any]:
    """Return the option that numbers the classes so; outputs without one keep a name."""
    found = [f"output {i}" if name in names else name for i, name in enumerate(outputs)]
    for name, output in zip(names, place, strict=True):
        found[output] = name
    return {"class_names": found}


def _answers(now: Predictions, bundle: ModelBundle) -> list[Check]:
    counts = np.bincount(now.classes, minlength=now.outputs.shape[1])
    top, share = int(counts.argmax()), float(counts.max()) / len(now)
    if share < _FEW:
        return []
    name = bundle.task.class_names[top]
    sentence = (
        f"The model answers {name!r} for {share:.0%} of the samples: it sees no difference between "
        "them, as when values have another scale."
    )
    return [Check("answers", sentence)]


def _classes(bundle: ModelBundle, data: Dataset) -> list[Check]:
    model, own = bundle.task.n_classes, data.task.n_classes
    if model == own:
        return []
    sentence = f"The model tells {model} classes apart, and the data have {own}."
    return [Check("classes", sentence)]


def _reminder(bundle: ModelBundle) -> Check:
    spec = bundle.spec
    by = f"divided by {spec.scale:g}" if spec.scale != 1 else "taken as they are"
    then = f", less the mean {_shown(spec.mean)}, by {_shown(spec.std)}" if spec.mean else ""
    return Check("input", f"Values are {by}{then}: hold that against how the model was trained.")


def _shown(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
