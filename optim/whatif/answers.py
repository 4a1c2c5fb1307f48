"""What the evaluator says about one position of the sliders, as plain data."""

from __future__ import annotations

from typing import Any

from optim.export.targets import container_notes
from optim.measure.latency import LatencyPair
from optim.measure.predictions import Predictions
from optim.measure.quality import METRICS, Quality, quality, quality_of
from optim.measure.scorecard import Scorecard, ratio
from optim.measure.verdict import verdict
from optim.quantity import Comparison, How, Quantity
from optim.whatif.engine import Prepared, Workbench
from optim.whatif.sketches import Weighed

__all__ = ["answer", "change", "shown", "sizes_of", "sketched_sizes"]


def shown(value: Quantity | None) -> dict[str, Any] | None:
    """Return a quantity with the text a reader sees."""
    return None if value is None else value.shown()


def change(value: Comparison | None) -> dict[str, Any] | None:
    """Return a comparison with its direction and the text a reader sees."""
    if value is None:
        return None
    return {**value.to_json(), "text": _short(value)}


def _short(value: Comparison) -> str:
    """Return the change as a badge shows it: ``-0.6 points``, ``-76 %``."""
    difference = value.difference
    if difference.unit == "x":
        percent = 100 * (difference.value - 1)
        return f"{percent:+.0f} %" if abs(percent) >= 0.5 else "±0 %"
    decimals = 1 if abs(difference.value) < 10 else 0
    text = f"{difference.value:+.{decimals}f}"
    return f"{text if float(text) else '±0'} points"


def answer(
    bench: Workbench,
    baseline: Prepared,
    candidate: Prepared,
    chunks: int,
    latency: LatencyPair | None,
    sizes: dict[str, Quantity] | None = None,
) -> dict[str, Any]:
    """Return everything the panel shows for one position.

    Args:
        bench: Where both models are measured.
        baseline: The original model.
        candidate: The model at this position.
        chunks: Measure on the first so many chunks.
        latency: Estimated or measured; None before the baseline was measured.
        sizes: The four encoded sizes, where they were computed.
    """
    card = bench.engine.static(candidate)
    file_change = _file_change(bench.engine.static(baseline), card)
    first, second = bench.joined(baseline, chunks), bench.joined(candidate, chunks)
    judged = quality(second, first, bench.subject.bundle.task, every=False)
    measured = latency.change if latency and latency.candidate.how == How.MEASURED else None
    return {
        **sizes_of(bench, baseline, candidate, card),
        "n": len(second),
        "of": len(bench.samples),
        "final": chunks == bench.n_chunks and not candidate.is_draft,
        "draft": candidate.is_draft,
        "left": shown(bench.time_left(baseline, candidate)),
        "quality": _main(judged, len(second)),
        "quality_change": _quality_change(judged),
        "worst_class": _worst_class(bench, first, second),
        "latency": shown(latency.candidate) if latency else None,
        "latency_change": change(latency.change) if latency else None,
        "sizes": {name: shown(size) for name, size in sizes.items()} if sizes else None,
        "verdict": verdict(judged, file_change, measured),
        "original": {
            "quality": _of_original(first, bench),
            "file": shown(bench.engine.static(baseline).file),
            "latency": shown(latency.baseline) if latency else None,
        },
    }


def sizes_of(
    bench: Workbench, baseline: Prepared, candidate: Prepared, card: Scorecard
) -> dict[str, Any]:
    """Return what the panel shows of one position before any sample was looked at.

    Args:
        bench: Where both models are.
        baseline: The original model.
        candidate: The model at this position, or its outline.
        card: What is known of it.
    """
    original = bench.engine.static(baseline)
    return {
        "key": candidate.key,
        **_weights(original, card),
        "sparsity": shown(card.sparsity),
        "omitted": list(candidate.omitted),
        "containers": container_notes(candidate.bundle.table),
    }


def sketched_sizes(original: Weighed, position: Weighed) -> dict[str, Any]:
    """Return what the panel shows of one position whose weights were not looked at."""
    return {**_weights(original, position), "containers": container_notes(position.table)}


def _weights(original: Scorecard | Weighed, found: Scorecard | Weighed) -> dict[str, Any]:
    return {
        "file": shown(found.file),
        "file_change": change(_file_change(original, found)),
        "macs": shown(found.macs),
        "macs_change": change(ratio(original.macs, found.macs)),
        "params": shown(found.params),
    }


def _quality_change(judged: Quality) -> dict[str, Any] | None:
    found = change(judged.change)
    if found is not None and judged.primary == "r2":
        found["text"] += " error"
    return found


def _main(judged: Quality, n: int) -> dict[str, Any] | None:
    """Return the primary figure; where there is no difference to relate to, that in words."""
    if judged.main is not None:
        return shown(judged.main)
    nothing = dict.fromkeys(("value", "low", "high"))
    how = next(iter(judged.figures.values())).how
    return {**nothing, "n": n, "how": str(how), "unit": "db", "text": "no difference"}


def _of_original(first: Predictions, bench: Workbench) -> dict[str, Any] | None:
    """Return the primary figure of the original: measured, or what it has by definition."""
    alone = quality_of(first, bench.subject.bundle.task)
    metric = METRICS[alone.primary]
    if alone.main is None and metric.perfect is not None:
        return shown(Quantity.exact(metric.perfect, metric.unit))
    return shown(alone.main)


def _file_change(original: Scorecard | Weighed, card: Scorecard | Weighed) -> Comparison:
    assert original.file is not None
    assert card.file is not None
    return ratio(original.file, card.file)


def _worst_class(
    bench: Workbench, first: Predictions, second: Predictions
) -> dict[str, Any] | None:
    """Return the class with the lowest accuracy and what it had before; None without labels."""
    if not first.is_labelled:
        return None
    before, after = first.class_accuracy(), second.class_accuracy()
    worst = min(after, key=lambda label: after[label].value)
    names = bench.subject.bundle.task.class_names
    return {"name": names[worst], "after": shown(after[worst]), "before": shown(before[worst])}
