"""Try techniques on one layer at a time, on few samples first and then on more.

Nothing here looks at test samples: what is chosen by it must be judged on others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from optim.data.dataset import Samples
from optim.errors import ConfigError, OptimError, UnsupportedModelError
from optim.measure.costs import model_costs, variant_costs
from optim.measure.evaluate import how_of, samples_at_once
from optim.measure.macs import LayerCost
from optim.measure.predictions import Predictions, batches
from optim.measure.quality import Quality, quality, quality_of
from optim.measure.variants import Variants
from optim.models.bundle import ModelBundle
from optim.models.weighted import model_weights
from optim.quantity import Quantity
from optim.sensitivity.profile import SAMPLES, Cell, Profile
from optim.sensitivity.trials import Trial, remembering, techniques, trials_of
from optim.step import Context, Step
from optim.subject import Subject, refusals

__all__ = ["analyse", "weight_bytes"]

_CHUNK = 32
"""Samples that are computed at once, at most: what they become stays in the processor's cache."""
_FIRST = 128
"""Samples after which the first figures are told; then after twice as many, and so on."""

Told = Callable[[float, str], None]


def analyse(
    subject: Subject,
    steps: Mapping[str, Step] | Sequence[str] | None = None,
    *,
    samples: int = SAMPLES,
    workers: int = 1,
    told: Told = lambda share, what: None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Profile]:
    """Yield the sensitivity of a model, of more and more samples.

    Args:
        subject: Model and data; its validation samples are looked at, or all of unsplit data.
        steps: Techniques by name, with settings or at their defaults; all that can be tried on
            single layers if None.
        samples: How many samples, at most.
        workers: Chunks of samples that are computed at the same time.
        told: Called with a share in 0..1 and what is being done.
        check: Called between models; raises to stop.

    Raises:
        ConfigError: If a technique is not one of these, or there are no samples to look at.
        OptimError: If none of them can treat the model; with the reason of the first.
    """
    began = time.monotonic()
    told(0.0, "applying techniques to single layers")
    trials, left_out, refused = _trials(subject, _chosen(steps), check)
    variants = Variants(subject.bundle, [trial.bundle for trial in trials])
    layers = model_costs(subject.bundle)
    costs = [_costs(trial.bundle, layers) for trial in trials]
    macs, size = _costs(subject.bundle, layers)
    looked_at = subject.samples()
    looked_at = looked_at.take(np.arange(min(samples, len(looked_at))))
    original: list[np.ndarray] = []
    outputs: list[list[np.ndarray]] = [[] for _ in trials]
    next_told = _FIRST

    def computed(rows: slice) -> tuple[np.ndarray, list[np.ndarray]]:
        return variants.outputs(subject.bundle.spec.normalise(looked_at.inputs[rows]), check)

    with ThreadPoolExecutor(workers) as pool:
        chunks = iter(batches(len(looked_at), min(_CHUNK, samples_at_once(subject.bundle))))
        while some := list(islice(chunks, workers)):
            for own, others in pool.map(computed, some):
                original.append(own)
                for found, part in zip(outputs, others, strict=True):
                    found.append(part)
            n = some[-1].stop
            told(n / len(looked_at), f"{n:,} of {len(looked_at):,} samples")
            if n < min(next_told, len(looked_at)):
                continue
            next_told = 2 * n
            seen = looked_at.take(np.arange(n))
            before = _predictions(seen, original, subject.bundle)
            alone = quality_of(before, subject.bundle.task)
            cells = []
            for trial, found, cost in zip(trials, outputs, costs, strict=True):
                after = _predictions(seen, found, trial.bundle)
                cells.append(_cell(trial, quality(after, before, subject.bundle.task), cost))
            yield Profile(
                metric=alone.primary,
                original=alone.main,
                rows=tuple(dict.fromkeys(trial.row for trial in trials)),
                cells=tuple(cells),
                left_out=left_out,
                refused=refused,
                n=n,
                total=len(looked_at),
                part=subject.part,
                macs=macs,
                bytes=size,
                computed=variants.computed,
                seconds=time.monotonic() - began,
            )


def weight_bytes(bundle: ModelBundle) -> int:
    """Return the bytes of the weights that are not zero, each at its bits; nothing is encoded."""
    widths = {name: entry.grid.bits for name, entry in bundle.table.weights.items()}
    widths |= {name: shared.bits for name, shared in bundle.table.codebooks.items()}
    bits = sum(
        widths.get(name, 8 * weight.element_size()) * int(weight.count_nonzero())
        for name, weight in model_weights(bundle).items()
    )
    return -(-bits // 8)


def _chosen(steps: Mapping[str, Step] | Sequence[str] | None) -> dict[str, Step]:
    able = techniques()
    for name in steps or ():
        if name not in able:
            raise ConfigError(
                f"technique must be one of {', '.join(able)}: got {name!r}.", field="technique"
            )
    if isinstance(steps, Mapping):
        return dict(steps)
    return {name: able[name]() for name in (able if steps is None else steps)}


def _trials(
    subject: Subject, steps: Mapping[str, Step], check: Callable[[], None]
) -> tuple[list[Trial], dict[str, dict[str, str]], dict[str, str]]:
    """Return all models to look at, the layers left out and the techniques refused, with reasons.

    Raises:
        OptimError: If no technique can treat the model.
    """
    trials: list[Trial] = []
    left_out: dict[str, dict[str, str]] = {}
    unable = refusals(subject.bundle)
    refused = {name: unable[name] for name in steps if name in unable}
    for name in [name for name in steps if name not in refused]:
        context = Context(
            data=subject.data,
            reference=subject.bundle,
            seed=subject.seed,
            step_id=name,
            check=check,
            memo=remembering(),
        )
        try:
            found, left_out[name] = trials_of(name, steps[name], subject.bundle, context)
        except OptimError as error:
            refused[name] = str(error)
        else:
            trials += found
    if not trials:
        reasons = [*refused.values(), *(r for one in left_out.values() for r in one.values()), ""]
        raise UnsupportedModelError(
            f"No layer of {subject.bundle.name} can be tried. {reasons[0]}".strip()
        )
    return trials, left_out, refused


def _predictions(
    samples: Samples, outputs: Sequence[np.ndarray], bundle: ModelBundle
) -> Predictions:
    return Predictions(samples.ids, np.concatenate(outputs), samples.targets, how_of(bundle))


def _costs(bundle: ModelBundle, original: Sequence[LayerCost]) -> tuple[int, int]:
    """Return multiply-accumulates and bytes of a variant."""
    return sum(cost.macs for cost in variant_costs(original, bundle)), weight_bytes(bundle)


def _cell(trial: Trial, found: Quality, cost: tuple[int, int]) -> Cell:
    main = found.main or found.figures["cosine"]
    return Cell(
        trial.row.technique, trial.row.layer, trial.level, main, found.change, _harm(found), *cost
    )


def _harm(found: Quality) -> Quantity:
    """Return how far outputs moved: see :class:`~optim.sensitivity.profile.Cell`."""
    if "divergence" in found.figures:
        return found.figures["divergence"]
    if "sqnr" not in found.figures:  # not at all
        return Quantity.exact(0.0, "fraction")
    sqnr = found.figures["sqnr"]
    value, high, low = (10 ** (-db / 10) for db in (sqnr.value, sqnr.low, sqnr.high))
    return Quantity(value, "fraction", low, high, sqnr.n, sqnr.how)
