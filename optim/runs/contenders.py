"""What can be compared, by a short name that fits into an address, and which is best.

=====================  ==========================================================================
``4f1c...``            a run, by its id
``preset:tiny@MODEL``  a preset for a model
``model:NAME``         a model as it is: one that ships, or an upload
``snapshot:ID``        a recipe that was saved in the Lab
``recipe:TEXT``        a recipe, packed as in the link of the Lab
=====================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optim.errors import ConfigError, OptimError
from optim.models.cards import model_cards
from optim.presets import PRESETS, preset_recipe
from optim.recipe import Recipe
from optim.runs.run import Run
from optim.runs.snapshots import get_snapshot
from optim.search.front import front, knee

__all__ = ["COSTS", "Contender", "best_within", "contender_of", "original_of", "with_front"]

_SCORECARD = "optim.scorecard/1"
COSTS = ("file", "macs", "params", "latency")
"""Figures of cost that quality can be weighed against."""


@dataclass(frozen=True)
class Contender:
    """One model that is to be compared.

    Attributes:
        ref: Its short name.
        title: For a reader.
        kind: ``"run"``, ``"preset"``, ``"model"``, ``"snapshot"`` or ``"recipe"``.
        recipe: What makes it; None where a run stored only figures.
        card: The scorecard of the result that a run stored; None without one.
        run: Id of the run; empty without one.
    """

    ref: str
    title: str
    kind: str
    recipe: Recipe | None
    card: Mapping[str, Any] | None = None
    run: str = ""

    def asked(self) -> dict[str, Any]:
        """Return what the question ``contest`` is told about it."""
        recipe = self.recipe.to_json() if self.recipe else None
        return {"recipe": recipe, "card": dict(self.card) if self.card else None}


def contender_of(ref: str, run_of: Callable[[str], Run]) -> Contender:
    """Return what a short name stands for.

    Args:
        ref: See the module.
        run_of: Finds a run by its id.

    Raises:
        ConfigError: If it names nothing that can be compared.
    """
    kind, separator, name = ref.partition(":")
    if not separator:
        return _of_run(run_of(ref))
    if kind == "preset":
        preset, _, model = name.partition("@")
        card = model_cards().get(model)
        if preset not in PRESETS or card is None:
            raise ConfigError(
                f"{ref!r} names no preset of a model here.",
                hint=f"Write preset:NAME@MODEL; presets are {', '.join(PRESETS)}.",
            )
        recipe = preset_recipe(preset, model, card.data)
        return Contender(ref, f"{PRESETS[preset].title} · {card.title}", kind, recipe)
    if kind == "model":
        card = model_cards().get(name)
        if card is None:
            raise ConfigError(
                f"There is no model {name!r} here.", hint="`optim models` lists them."
            )
        return Contender(ref, card.title, kind, Recipe(card.name, card.data, ()))
    if kind == "snapshot":
        saved = get_snapshot(name)
        return Contender(ref, saved.title, kind, Recipe.from_json(saved.recipe))
    if kind == "recipe":
        recipe = Recipe.from_link(name)
        steps = ", ".join(entry.step.title for entry in recipe.active) or "as it is"
        return Contender(ref, f"{recipe.model}: {steps}", kind, recipe)
    raise ConfigError(
        f"{ref!r} names nothing that can be compared.",
        hint="Name runs by their ids, or write preset:NAME@MODEL, model:NAME or snapshot:ID.",
    )


def original_of(contender: Contender) -> Contender | None:
    """Return the model that a contender was made from; None where that is not known."""
    recipe = contender.recipe
    if recipe is None or not recipe.active:
        return None
    card = model_cards().get(recipe.model)
    title = f"{card.title if card else recipe.model}, original"
    base = Recipe(recipe.model, recipe.data, (), recipe.seed, recipe.split)
    is_plain = card is not None and (recipe.data, recipe.seed, recipe.split) == (
        card.data,
        0,
        "auto",
    )
    ref = f"model:{recipe.model}" if is_plain else f"recipe:{base.to_link()}"
    return Contender(ref, title, "model", base)


def _of_run(run: Run) -> Contender:
    result = run.result or {}
    if result.get("schema") == _SCORECARD:
        try:
            recipe = run.recipe
        except OptimError:
            recipe = None  # of another version: its figures stand all the same
        return Contender(run.id, run.title, "run", recipe, result["result"], run.id)
    rows = {row["number"]: row for row in result.get("candidates", ())}
    taken = rows.get(_taken(result))
    if taken and taken.get("recipe"):
        recipe = Recipe.from_json(taken["recipe"])
        return Contender(run.id, f"{run.title}, what it takes", "run", recipe, None, run.id)
    if not result and run.recipe is not None and run.kind == "recipe":
        # Not finished: what can be said without its training is said.
        return Contender(run.id, f"{run.title}, {run.state}", "run", run.recipe, None, run.id)
    raise ConfigError(
        f"Run {run.id} ({run.title}) has no single model that could be compared.",
        hint="Compare runs of a recipe, or searches that have taken one.",
    )


def _taken(result: Mapping[str, Any]) -> int | None:
    if result.get("chosen") is not None:
        return int(result["chosen"])
    closest = result.get("closest")
    return int(closest["number"]) if closest else None


def with_front(found: Mapping[str, Any], cost: str = "file") -> dict[str, Any]:
    """Return a comparison in which every entry says whether another beats it.

    Args:
        found: What the question ``contest`` answered.
        cost: One of :data:`COSTS`; smaller is better.

    Returns:
        The same with ``is_front`` (nothing costs less at the same quality) and ``is_knee`` (from
        there every step costs more than it brings; only of fronts of three and more).
    """
    entries = [{**entry, "is_front": False, "is_knee": False} for entry in found["entries"]]
    points = {
        number: (entry["figures"][cost]["value"], _loss(entry))
        for number, entry in enumerate(entries)
        if _weighed(entry, cost, _metric(entries))
    }
    numbers = list(points)
    best = [numbers[i] for i in front([points[number] for number in numbers])]
    chosen = knee([points[number] for number in best])
    for number in best:
        entries[number]["is_front"] = True
    if chosen is not None and len(best) > 2:
        entries[best[chosen]]["is_knee"] = True
    return {**found, "entries": entries, "cost": cost}


def best_within(entries: Sequence[Mapping[str, Any]], cost: str, most: float) -> int | None:
    """Return the position of the best entry that costs no more than a budget; None if none does.

    Args:
        entries: Of a comparison.
        cost: One of :data:`COSTS`.
        most: The budget.
    """
    able = [
        number
        for number, entry in enumerate(entries)
        if _weighed(entry, cost, _metric(entries)) and entry["figures"][cost]["value"] <= most
    ]
    return min(
        able,
        key=lambda i: (_loss(entries[i]), entries[i]["figures"][cost]["value"], i),
        default=None,
    )


def _metric(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the figure that decides: fronts are of entries for which it is the same."""
    return next((entry["metric"] for entry in entries if entry.get("metric")), "")


def _weighed(entry: Mapping[str, Any], cost: str, metric: str) -> bool:
    figures = entry.get("figures") or {}
    return entry.get("metric") == metric and bool(figures.get(cost) and figures.get("quality"))


def _loss(entry: Mapping[str, Any]) -> float:
    """Return a figure that is better when it is smaller; all that decide are better when larger."""
    return -float(entry["figures"]["quality"]["value"])
