"""What a run reached, taken from its stored scorecard. Nothing is computed from two measurements.

Changes of quality, size and latency are stored as comparisons, with the interval that only the
samples give; parameters and multiply-accumulates are exact counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optim.measure.quality import METRICS
from optim.measure.scorecard import Scorecard, ratio
from optim.quantity import Comparison, Quantity
from optim.runs.run import Run

__all__ = ["Figure", "conditions_of", "figures_of", "highest_of", "quality_of", "verdict_of"]

_SCHEMA = "optim.scorecard/1"


@dataclass(frozen=True)
class Figure:
    """One figure of a finished run.

    Attributes:
        name: What it is.
        before: That of the original model.
        after: That of the result.
        change: Result against original; None where they were not compared.
        about: What it holds for, in one sentence.
        is_relative: Whether it is itself a comparison with the original, which then has none.
    """

    name: str
    before: Quantity | None
    after: Quantity | None
    change: Comparison | None
    about: str
    is_relative: bool = False

    @property
    def reached(self) -> str:
        """That of the result, as a reader sees it."""
        if self.after is not None:
            return str(self.after)
        return "no difference" if self.is_relative else "not measured"


_CHANGED = {"r2": "mse"}
"""What is compared where the figure that decides is not compared itself."""


def figures_of(run: Run) -> tuple[Figure, ...]:
    """Return quality, size, latency and MACs of a run; empty if it has no scorecard.

    Quality is the figure that decides: accuracy with labels, fidelity to the original without.
    """
    card = _card(run)
    if card is None:
        return ()
    before, after = Scorecard.from_json(card["baseline"]), Scorecard.from_json(card["result"])
    changes = {name: Comparison.from_json(c) for name, c in card["change"].items() if c}
    return (
        _quality(
            before, after, changes.get(_CHANGED.get(after.primary, after.primary)), card["part"]
        ),
        Figure(
            "Size", before.file, after.file, changes.get("file"), "Bytes of the verified ONNX file."
        ),
        Figure(
            "Latency", before.latency, after.latency, changes.get("latency"), conditions_of(after)
        ),
        Figure(
            "MACs",
            before.macs,
            after.macs,
            ratio(before.macs, after.macs),
            "Multiply-accumulates for one sample.",
        ),
    )


def _quality(before: Scorecard, after: Scorecard, change: Comparison | None, part: str) -> Figure:
    metric, relative = METRICS[after.primary], after.primary in ("agreement", "sqnr")
    samples = "samples" if part == "all" else f"{part} samples"
    count = next((figure.n for figure in after.quality.values() if figure.n), 0)
    about = f"Of both models on the same {count:,} {samples}; ± is a 95 % interval."
    if relative:
        about = f"{metric.about} {about}"
    return Figure(metric.short, before.main, after.main, change, about, relative)


def conditions_of(card: Scorecard) -> str:
    """Say what a latency holds for."""
    found = card.conditions
    if not found:
        return "Time of one inference."
    threads = found.get("threads", 1)
    return (
        f"One inference in {found.get('runtime', 'the runtime')}, batch "
        f"{found.get('batch_size', 1)}, {threads} thread{'s' if threads != 1 else ''}; "
        "original and result took turns."
    )


def quality_of(run: Run) -> Figure | None:
    """Return the figure of quality that decides about a run; None if it has none."""
    return next(iter(figures_of(run)), None)


def verdict_of(run: Run) -> str:
    """Return the result in one sentence; empty if there is none."""
    card = _card(run)
    return str(card["verdict"]) if card else ""


def _card(run: Run) -> Mapping[str, Any] | None:
    """Return the scorecard a run stored, if it is one that this program knows."""
    if run.result is None or run.result.get("schema") != _SCHEMA:
        return None
    return run.result


def highest_of(run: Run) -> str:
    """Return which alternative of a finished comparison came out highest; else an empty text."""
    outcomes = (run.result or {}).get("outcomes")
    if not outcomes:
        return ""
    first = max(outcomes, key=lambda outcome: outcome["accuracy"]["value"])
    return f"highest of {len(outcomes)}: {first['title']}, {Quantity.from_json(first['accuracy'])}"
