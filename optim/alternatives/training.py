"""Train the same network in several ways: same data, same seeds, one difference.

Every alternative sees the samples in the same order as the first one, and starts from the same
initial weights if its layers have the same names and shapes, so that differences are taken seed by
seed. What is wider, narrower or less deep starts from weights of its own, by the same seed.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from optim.alternatives.alternative import Alternative
from optim.alternatives.outcomes import Cell
from optim.data.dataset import Dataset
from optim.errors import CalibrationError, ConfigError
from optim.measure.evaluate import predict
from optim.models.open import fresh_model
from optim.step import Context, NoResume, Resume
from optim.techniques.training import TrainingStep

if TYPE_CHECKING:
    from torch import Tensor

    from optim.models.bundle import ModelBundle

__all__ = ["Tracker", "train_alternatives"]

Tracker = Callable[[str, int], tuple[Resume, Callable[[dict[str, float]], None]]]
"""Returns, for title and seed, where states are kept and figures recorded."""

_WARM_UP_SAMPLES = 256


def _untracked(title: str, seed: int) -> tuple[Resume, Callable[[dict[str, float]], None]]:
    """Keep no states and no figures."""
    return NoResume(), lambda figures: None


def train_alternatives(
    alternatives: Sequence[Alternative],
    data: Dataset,
    *,
    seeds: Sequence[int],
    done: Sequence[Cell] = (),
    progress: Callable[[float, str], None] = lambda share, what: None,
    tracker: Tracker = _untracked,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Cell]:
    """Train every alternative once a seed; yields each as soon as it is trained.

    Args:
        alternatives: What is compared; the first is what others are compared with.
        data: With train and validation parts.
        seeds: Trained one after another, each with all alternatives, so that after the first seed
            there is something to compare.
        done: Cells of an earlier attempt; they are not trained again and not yielded.
        progress: Called with a share in 0..1 and what is being done.
        tracker: Says, for one cell, where its states are kept and its figures recorded.
        check: Called at safe points; raises to stop.
        clock: Returns seconds; replaced in tests.

    Raises:
        ConfigError: If there is nothing to compare, or two have one title.
        CalibrationError: If the data have no parts to train and to select on.
    """
    titles = [alternative.title for alternative in alternatives]
    if not titles or len(set(titles)) < len(titles):
        raise ConfigError(
            f"Alternatives need titles of their own: got {', '.join(titles) or 'none'}."
        )
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds must be different numbers: got {list(seeds)}.", field="seeds")
    known = {(cell.title, cell.seed) for cell in done}
    grid = list(itertools.product(seeds, alternatives))
    if len(known) < len(grid):
        _warm_up(alternatives[0], data, check)
    for i, (seed, alternative) in enumerate(grid):
        if (alternative.title, seed) in known:
            continue
        check()

        def within(share: float, what: str, i: int = i, title: str = alternative.title) -> None:
            progress((i + share) / len(grid), f"{title}: {what}")

        fresh = _fresh(alternative, alternatives[0], data, seed)
        yield _trained(alternative, data, seed, fresh, within, tracker, check, clock)


def _warm_up(alternative: Alternative, data: Dataset, check: Callable[[], None]) -> None:
    """Train a moment unseen: the first training pays for what all others find ready."""
    brief = replace(
        data,
        parts={part: min(count, _WARM_UP_SAMPLES) for part, count in data.parts.items()},
        load=lambda part: data.part(part).take(np.arange(min(data.parts[part], _WARM_UP_SAMPLES))),
        load_targets=None,
    )
    training = alternative.training
    if "epochs" in type(training).model_fields:
        training = training.replace(epochs=1)
    fresh = fresh_model(alternative.architecture, data)
    context = Context(data=brief, reference=fresh, step_id="warm-up", check=check)
    context.require_classes()  # outcomes are compared by accuracy
    context.validation()  # without any, it is better said before an hour of training
    with contextlib.suppress(CalibrationError):  # so few samples may be of one class
        training.apply(fresh, context)


def _fresh(alternative: Alternative, first: Alternative, data: Dataset, seed: int) -> ModelBundle:
    """Return a network before it is trained, with the first one's weights if it has the same ones.

    The seed alone does not give them: without norms, layers have biases, and each draws random
    numbers that the first one's draws for the next layer.
    """
    fresh = fresh_model(alternative.architecture, data, seed)
    if alternative.architecture == first.architecture:
        return fresh
    module = copy.deepcopy(fresh.module)
    own = dict(module.named_parameters())
    given = dict(fresh_model(first.architecture, data, seed).module.named_parameters())
    if _weights(own) != _weights(given):
        return fresh
    for name in own.keys() & given.keys():
        own[name].data.copy_(given[name])
    return fresh.with_module(module)


def _weights(parameters: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what is no bias and no scale of a norm."""
    return {name: tuple(one.shape) for name, one in parameters.items() if one.ndim > 1}


def _trained(
    alternative: Alternative,
    data: Dataset,
    seed: int,
    fresh: ModelBundle,
    progress: Callable[[float, str], None],
    tracker: Tracker,
    check: Callable[[], None],
    clock: Callable[[], float],
) -> Cell:
    resume, record = tracker(alternative.title, seed)
    epochs: dict[float, dict[str, float]] = {}

    def keep(figures: dict[str, float]) -> None:
        epochs[figures["epoch"]] = dict(figures)
        record(figures)

    context = Context(
        data=data,
        reference=fresh,
        seed=seed,
        step_id="training",  # the same for all, so that samples come in the same order
        progress=progress,
        check=check,
        resume=resume,
        record=keep,
    )
    start = clock()
    trained = alternative.training.apply(fresh, context).bundle
    # What an earlier attempt has trained is in the epochs alone.
    seconds = max(clock() - start, sum(figures.get("seconds", 0.0) for figures in epochs.values()))
    return Cell(
        alternative.title,
        seed,
        tuple(epochs.values()),
        float(predict(trained, data.part("train"), check=check).accuracy().value),
        float(predict(trained, data.part("validation"), check=check).accuracy().value),
        seconds,
        is_selected=_selects(alternative),
    )


def _selects(alternative: Alternative) -> bool:
    """Whether validation samples choose the epoch that an alternative keeps."""
    training = alternative.training
    return isinstance(training, TrainingStep) and training.stopping().selects
