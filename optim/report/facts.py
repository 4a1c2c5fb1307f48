"""What a report says about a finished run. Every figure stands as the run stored it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from optim.data.added import data_cards
from optim.data.splits import overlap_note
from optim.errors import RunError
from optim.fields import Choice, Control, Method, PerLayer, Range, controls
from optim.measure.quality import METRICS
from optim.measure.scorecard import Scorecard
from optim.models.cards import model_cards
from optim.quantity import How, Quantity
from optim.recipe import Recipe
from optim.runs.energy import energy_of_run
from optim.runs.figures import Figure, conditions_of, figures_of, verdict_of
from optim.runs.run import Run, State
from optim.step import Step

__all__ = ["DeviceLine", "Facts", "Point", "StepLine", "facts_of", "flattened", "settings_of"]

_MOST_POINTS = 20
"""Other runs in the trade-off, the newest."""
_MOST_LAYERS = 3


@dataclass(frozen=True)
class Point:
    """One model in the trade-off.

    Attributes:
        title: Whose it is.
        size: Bytes of its file.
        quality: The figure that decides.
    """

    title: str
    size: Quantity
    quality: Quantity


@dataclass(frozen=True)
class StepLine:
    """One step that was done.

    Attributes:
        title: Of the technique.
        settings: What differs from the defaults.
        summary: What it did; empty if nobody reported.
        notes: What a reader must know of it.
        paper: Where it comes from.
    """

    title: str
    settings: str
    summary: str
    notes: tuple[str, ...]
    paper: str


@dataclass(frozen=True)
class DeviceLine:
    """What is estimated for one device.

    Attributes:
        title: The device.
        kind: What kind of device it is.
        fits: Whether nothing that is known speaks against it.
        before: Time of one inference of the original, with both ends; empty if not known.
        after: The same of the result.
        limit: What binds.
    """

    title: str
    kind: str
    fits: bool
    before: str
    after: str
    limit: str


@dataclass(frozen=True)
class Facts:
    """Everything a report says.

    Attributes:
        title: Of the run.
        verdict: The result in one sentence.
        model: Title of the model.
        data: Title of the data.
        measured: Which samples were measured, and under which conditions latency was.
        figures: Original, result and change.
        sizes: ``{encoding: (original, result)}`` bytes.
        points: Original, result and other finished runs, for the trade-off.
        metric: Name of the figure that decides.
        recipe: What was done.
        steps: Every step that was done.
        devices: What is estimated for devices; empty if nobody asked.
        verified: What the file does in its runtime.
        limits: What a reader must know, one sentence each.
        environment: ``{name: value}`` of the machine that measured.
        energy: What the work took; None if unknown.
        finished: When the run ended, as text.
        run: Its id.
    """

    title: str
    verdict: str
    model: str
    data: str
    measured: str
    figures: tuple[Figure, ...]
    sizes: Mapping[str, tuple[Quantity, Quantity]]
    points: tuple[Point, ...]
    metric: str
    recipe: Recipe
    steps: tuple[StepLine, ...]
    devices: tuple[DeviceLine, ...]
    verified: str
    limits: tuple[str, ...]
    environment: Mapping[str, str]
    energy: Quantity | None
    finished: str
    run: str


def facts_of(
    run: Run, others: Sequence[Run] = (), ladder: Mapping[str, Any] | None = None
) -> Facts:
    """Return what a report says.

    Args:
        run: Finished, of a recipe.
        others: Further runs; those that finished with the same model, data and figure of quality
            are drawn beside it.
        ladder: What the ladder answered about the recipe, if it was asked.

    Raises:
        RunError: If the run has no result that can be reported.
    """
    figures = figures_of(run)
    recipe = run.recipe if figures else None
    if run.state is not State.FINISHED or recipe is None or run.result is None:
        raise RunError(
            f"Run {run.id} has no result to report.",
            hint="Reports are made of finished runs that measured an original and a result.",
        )
    card = run.result
    before, after = Scorecard.from_json(card["baseline"]), Scorecard.from_json(card["result"])
    models, data = model_cards(), data_cards()
    part = card["part"]
    count = next((figure.n for figure in after.quality.values() if figure.n), 0)
    samples = "samples" if part == "all" else f"{part} samples"
    return Facts(
        title=run.title,
        verdict=verdict_of(run),
        model=models[recipe.model].title if recipe.model in models else recipe.model,
        data=data[recipe.data].title if recipe.data in data else recipe.data,
        measured=f"Quality of both models on the same {count:,} {samples}. Latency: "
        f"{conditions_of(after)}",
        figures=figures,
        sizes={
            name: (before.sizes[name], size)
            for name, size in after.sizes.items()
            if name in before.sizes
        },
        points=_points(run, others, before, after),
        metric=METRICS[after.primary].short,
        recipe=recipe,
        steps=tuple(_step_line(entry.id, entry.step, card) for entry in recipe.active),
        devices=tuple(_device_line(row) for row in (ladder or {}).get("devices", ())),
        verified=_verified(card.get("verification") or {}),
        limits=tuple(_limits(card, after, bool(ladder))),
        environment=flattened(run.environment),
        energy=energy_of_run(run),
        finished=_date(run.finished_at),
        run=run.id,
    )


def settings_of(step: Step) -> str:
    """Return in words what of a step differs from its defaults.

    Example:
        >>> from optim.techniques.prune_channels import PruneChannels
        >>> settings_of(PruneChannels(pruning_ratio=0.5, scope="global"))
        'channels removed 50 %, scope global'
    """
    changed = step.changed()
    words = []
    for control in controls(type(step)):
        if control.name in changed:
            label, value = control.kind.label.lower(), _value(control, getattr(step, control.name))
            words.append(value if label == control.kind.unit else f"{label} {value}")
    return ", ".join(words)


def _value(control: Control, value: Any) -> str:
    kind = control.kind
    if isinstance(kind, Range):
        number = f"{100 * value:g} %" if kind.scale == "percent" else f"{value:g}"
        return f"{number} {kind.unit}".strip() if kind.scale != "percent" else number
    if isinstance(kind, Choice):
        return f"{str(kind.options.get(value, value)).lower()} {kind.unit}".strip()
    if isinstance(kind, Method):
        inner = settings_of(value)
        return f"{type(value).title}{f' ({inner})' if inner else ''}"
    if isinstance(kind, PerLayer):
        few = list(value.items())[:_MOST_LAYERS]
        shown = ", ".join(f"{name} {setting}" for name, setting in few)
        return f"{shown}{f' and {len(value) - len(few)} more' if len(value) > len(few) else ''}"
    return str(value)


def _step_line(entry: str, step: Step, card: Mapping[str, Any]) -> StepLine:
    report = (card.get("steps") or {}).get(entry) or {}
    return StepLine(
        step.title,
        settings_of(step),
        str(report.get("summary", "")),
        tuple(map(str, report.get("notes") or ())),
        step.paper,
    )


def _points(
    run: Run, others: Sequence[Run], before: Scorecard, after: Scorecard
) -> tuple[Point, ...]:
    """Return the models of the trade-off: original, result, then the others."""
    found = []
    for title, card in (("original", before), ("result", after)):
        if card.main is not None and card.file is not None and after.primary == before.primary:
            found.append(Point(title, card.file, card.main))
    about = [run.spec["recipe"].get(name) for name in ("model", "data")]
    newest = sorted(others, key=lambda other: other.finished_at or 0.0, reverse=True)
    for other in newest:
        same = [(other.spec.get("recipe") or {}).get(name) for name in ("model", "data")] == about
        if other.id == run.id or other.state is not State.FINISHED or not same:
            continue
        if not figures_of(other) or other.result is None:
            continue
        card = Scorecard.from_json(other.result["result"])
        if card.primary == after.primary and card.main is not None and card.file is not None:
            found.append(Point(other.title, card.file, card.main))
    return tuple(found[: _MOST_POINTS + 2])


def _device_line(row: Mapping[str, Any]) -> DeviceLine:
    def time(side: str) -> str:
        latency = row[side]["latency"]
        return str(latency["text"]) if latency and row[side]["fits"] else ""

    after = row["after"]
    return DeviceLine(
        row["title"],
        row["class_title"],
        bool(after["fits"]),
        time("before"),
        time("after"),
        after["limit_title"],
    )


def _verified(verification: Mapping[str, Any]) -> str:
    if not verification:
        return ""
    agreement, sqnr = verification.get("agreement"), verification.get("sqnr")
    how = ""
    if agreement:
        how = f", and chooses the same class for {Quantity.from_json(agreement)} of the samples"
    elif sqnr:
        how = f", and follows the simulation at {Quantity.from_json(sqnr)} SQNR"
    return f"The exported file was loaded in {verification['runtime']} and measured there{how}."


def _limits(card: Mapping[str, Any], after: Scorecard, has_devices: bool) -> list[str]:
    """Return what a reader must know before using the figures."""
    found = [_sentence(note) for note in (overlap_note(card["overlap"], card["part"]),) if note]
    found += [_sentence(note) for note in card.get("notes") or ()]
    if after.main is not None and after.main.how is How.SIMULATED:
        found.append(
            "The result's quality is that of the simulation of its integer arithmetic; the file "
            "itself was compared with it in its runtime."
        )
    found.append(
        "Latency was measured on one machine, named below. Other processors and runtimes differ."
    )
    if has_devices:
        found.append(
            "Times on devices are estimates from published measurements of other models, or from "
            "data sheets; both ends hold four of five such measurements."
        )
    found.append(
        "Figures hold for samples like those they were measured on. An interval says how far "
        "chance reaches in choosing samples, not how far other data differ."
    )
    return found


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested plain data as text by name, names of a mapping before those in it."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flattened(value, f"{prefix}{name} ")
        else:
            found[f"{prefix}{name}"] = str(value)
    return found


def _date(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC") if at else ""
