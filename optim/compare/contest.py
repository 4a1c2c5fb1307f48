"""Models against a reference: paired where both were asked about the same samples, else not.

Which of the two it is stands beside every difference. Bytes and counts are exact and need no pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from optim.compare.vectors import common
from optim.data.task import Classification, ModelTask
from optim.errors import MeasurementError
from optim.inspect.classes import class_changes
from optim.inspect.flips import flips
from optim.inspect.overview import why_no_classes
from optim.measure.independent import independent_difference, independent_ratio
from optim.measure.predictions import Predictions
from optim.measure.quality import METRICS, quality
from optim.measure.scorecard import Scorecard, ratio
from optim.quantity import Comparison, Quantity

__all__ = ["COUNTS", "LayerFacts", "Side", "against", "class_table", "figures_of_card"]

_LEAST_COMMON = 30
"""Samples in common below which nothing is paired, unless both were asked about the same ones."""
COUNTS: dict[str, str] = {
    "file": "File",
    "macs": "MACs",
    "params": "Parameters",
    "sparsity": "Zero weights",
    "latency": "Latency",
}
"""Quantities of a scorecard beside quality, as a reader calls them."""
_LOWER = frozenset({"mse", "mae", "divergence"})


@dataclass(frozen=True)
class LayerFacts:
    """One layer of a model.

    Attributes:
        layer: Its name.
        shape: Of its weight.
        bits: Of a weight; 32 in floating point.
        sparsity: Share of zero weights, in 0..1.
        macs: Multiply-accumulates for one sample.
        bytes: Of weight and bias at their bits.
    """

    layer: str
    shape: tuple[int, ...]
    bits: int
    sparsity: float
    macs: int
    bytes: int

    @property
    def channels(self) -> int:
        """Outputs of the layer."""
        return self.shape[0] if self.shape else 0

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**vars(self), "shape": list(self.shape), "channels": self.channels}


@dataclass(frozen=True, eq=False)
class Side:
    """One model that is compared.

    Attributes:
        card: What is known of it.
        data: Identity of the data its figures are of; empty if not known.
        said: What it said about samples; None where only stored figures are left.
        task: What its outputs mean; None without answers.
        layers: Its layers; empty without the model.
    """

    card: Scorecard
    data: str = ""
    said: Predictions | None = None
    task: ModelTask | None = None
    layers: Sequence[LayerFacts] = field(default_factory=tuple)


def figures_of_card(card: Scorecard) -> dict[str, Quantity | None]:
    """Return the figure that decides and the costs of a model, by name."""
    costs: dict[str, Quantity | None] = {name: getattr(card, name) for name in COUNTS}
    return {"quality": card.main, **costs}


def against(reference: Side, side: Side) -> dict[str, Any]:
    """Return how a model differs from a reference.

    Returns:
        ``changes``: ``{figure: comparison or None}`` with ``paired`` and ``why`` it is not;
        ``common`` samples behind the difference of quality; ``agreement`` and ``flips`` where both
        answered with classes.
    """
    both = _paired(reference, side)
    change, why, n = _quality_change(reference, side, both)
    changes: dict[str, Any] = {"quality": _told(change, both is not None, why)}
    for name in ("file", "macs", "params"):
        before, after = getattr(reference.card, name), getattr(side.card, name)
        known = before is not None and after is not None
        changes[name] = _told(ratio(before, after) if known else None, True, "not known of both")
    changes["latency"] = _latency_change(reference.card, side.card)
    found: dict[str, Any] = {"changes": changes, "common": n, "agreement": None, "flips": None}
    if both is not None and isinstance(side.task, Classification):
        found["agreement"] = both[1].agreement(both[0]).to_json()
        changed = flips(*both, side.task)
        found["flips"] = {"share": changed.share.to_json(), "counts": dict(changed.counts)}
    return found


def class_table(reference: Side, side: Side) -> list[dict[str, Any]]:
    """Return the change of every class, paired; empty where nobody knows the classes."""
    both = _paired(reference, side)
    if both is None or side.task is None or why_no_classes(both[1], side.task):
        return []
    return [one.to_json() for one in class_changes(*both, side.task.class_names)]


def _paired(reference: Side, side: Side) -> tuple[Predictions, Predictions] | None:
    """Return what both said about the samples they have in common; None if those do not do."""
    if reference.said is None or side.said is None or reference.task != side.task:
        return None
    if not reference.data or reference.data != side.data:
        return None
    if reference.said.outputs.shape[1:] != side.said.outputs.shape[1:]:
        return None
    both = common(reference.said, side.said)
    n = len(both[0])
    are_same = n == len(reference.said) == len(side.said)
    return both if n >= _LEAST_COMMON or (are_same and n) else None


def _quality_change(
    reference: Side, side: Side, both: tuple[Predictions, Predictions] | None
) -> tuple[Comparison | None, str, int]:
    """Return the change of the figure that decides, why nothing pairs it, and its samples."""
    if both is not None and side.task is not None:
        try:
            return quality(both[1], both[0], side.task, every=False).change, "", len(both[0])
        except MeasurementError as error:
            return None, error.message, 0
    before, after, name = reference.card.main, side.card.main, side.card.primary
    if before is None or after is None or reference.card.primary != name:
        return None, "different figures decide about them, or one was not measured", 0
    if name in ("agreement", "sqnr"):
        return None, f"{METRICS[name].short} is of each to its own original", 0
    if not reference.data or reference.data != side.data:
        return None, "they were measured on different data", 0
    better: Literal["lower", "higher"] = "lower" if name in _LOWER else "higher"
    is_gone = reference.said is None or side.said is None
    why = "what was said of each sample is not here" if is_gone else "not on the same samples"
    why = f"{why}: the interval is that of independent ones"
    return independent_difference(before, after, better), why, min(before.n or 0, after.n or 0)


def _latency_change(before: Scorecard, after: Scorecard) -> dict[str, Any]:
    if before.latency is None or after.latency is None:
        return _told(None, False, "not measured of both")
    if dict(before.conditions) != dict(after.conditions) or before.latency.how != after.latency.how:
        return _told(None, False, "measured under different conditions")
    change = independent_ratio(before.latency, after.latency)
    return _told(change, False, "measured at different times, not in turns")


def _told(change: Comparison | None, paired: bool, why: str) -> dict[str, Any]:
    if change is None:
        return {"change": None, "paired": False, "why": why}
    return {"change": change.to_json(), "paired": paired, "why": "" if paired else why}
