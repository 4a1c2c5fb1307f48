"""The command that puts models side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optim.cli._app import cli
from optim.cli._options import Json
from optim.cli._output import print_json, print_table, progress_bar, say_notes
from optim.errors import ConfigError

if TYPE_CHECKING:
    from optim.runs.contenders import Contender

__all__ = ["compare"]

_MODELS = frozenset({".onnx", ".pt", ".pth", ".pt2", ".safetensors", ".opack"})
_COLUMNS = ("quality", "file", "macs", "params", "sparsity", "latency")


@cli.command()
def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Ids of runs, recipe files (YAML), names of models, preset:NAME@MODEL, "
            "snapshot:ID. Where a run or file has a model's name: model:NAME.",
        ),
    ],
    reference: Annotated[
        int, typer.Option(min=1, help="Which of them the others are compared with, from 1.")
    ] = 1,
    cost: Annotated[
        str, typer.Option(help="What quality is weighed against: file, macs, params or latency.")
    ] = "file",
    budget: Annotated[
        float | None, typer.Option(help="Say which is best within so much of that cost.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put runs, recipes and models side by side, each against a reference.

    Quality is compared sample by sample where all were asked about the same validation samples, and
    otherwise as independent measurements, which is said. Test samples are never looked at. Exit
    code 2: the reference cannot be measured, or none of the others can.
    """
    import torch

    from optim.processes import available_cores
    from optim.runs.contenders import COSTS, best_within, with_front
    from optim.runs.provenance import descent_of
    from optim.runs.store import RunStore
    from optim.whatif.comparisons import answered, contest
    from optim.whatif.engine import Engine

    if cost not in COSTS:
        raise ConfigError(f"--cost must be one of {', '.join(COSTS)}: got {cost!r}.", field="cost")
    if budget is not None and not 0 <= budget < math.inf:
        raise ConfigError(
            f"--budget must be a finite number from 0: got {budget:g}.", field="budget"
        )
    if reference > len(models):
        raise ConfigError(
            f"--reference must be from 1 to {len(models)}: got {reference}.", field="reference"
        )
    torch.set_num_threads(available_cores())
    store = RunStore.open()
    contenders = [_contender(name, store.get) for name in models]
    engine = Engine()
    recipes = [one.recipe for one in contenders if one.recipe is not None]
    with progress_bar() as progress:
        for number, recipe in enumerate(recipes):
            progress(number / len(recipes), f"model {number + 1} of {len(recipes)}")
            if recipe is not None:
                _try(lambda one=recipe: answered(engine, one))
    first = contenders[reference - 1]
    base = first.recipe or (recipes[0] if recipes else None)
    if base is None:
        raise ConfigError("None of them has a recipe, so that nothing can be looked at.")
    found = with_front(
        contest(engine, base, [one.asked() for one in contenders], reference - 1), cost
    )
    chosen = None if budget is None else best_within(found["entries"], cost, budget)
    if as_json:
        entries = [
            {"ref": one.ref, "title": one.title, "kind": one.kind, "run": one.run, **entry}
            for one, entry in zip(contenders, found["entries"], strict=True)
        ]
        tree = [node.to_json() for node in descent_of(contenders, store.get)]
        best = None if budget is None else {"cost": cost, "most": budget, "entry": chosen}
        print_json(
            {
                "schema": "optim.compare/1",
                **{**found, "entries": entries},
                "best_within": best,
                "descent": tree,
            }
        )
        _check_compared(contenders, found)
        return
    _print(contenders, found)
    _check_compared(contenders, found)
    if budget is not None:
        best_title = "none of them" if chosen is None else contenders[chosen].title
        typer.echo(f"Best within {budget:g} of {cost}: {best_title}")


def _contender(name: str, run_of: Any) -> Contender:
    from optim.models.cards import model_cards
    from optim.recipe import Recipe
    from optim.runner import relocated
    from optim.runs.contenders import Contender, contender_of

    path = Path(name)
    if path.is_file() and path.suffix in _MODELS:
        raise ConfigError(
            f"{name!r} is a file of a model, and none of those that can be compared.",
            hint=f"Register it with `optim add-model {name}`, and compare it as model:NAME; or "
            "measure it beside another with `optim measure --original`.",
        )
    if path.suffix in (".yaml", ".yml") or path.is_file():
        recipe = relocated(Recipe.load(path), path.parent, Path())
        return Contender(name, path.stem, "recipe", recipe)
    return contender_of(f"model:{name}" if name in model_cards() else name, run_of)


def _check_compared(contenders: list[Contender], found: dict[str, Any]) -> None:
    """Refuse an answer in which nothing stands against anything.

    Raises:
        ConfigError: If nothing is known of the reference, or of all others.
    """
    unknown = [n for n, entry in enumerate(found["entries"]) if not entry.get("figures")]
    reference = found["reference"]
    if reference in unknown or 0 < len(unknown) == len(contenders) - 1:
        number = reference if reference in unknown else unknown[0]
        raise ConfigError(
            f"Nothing was compared: {contenders[number].title} could not be measured. "
            f"{found['entries'][number]['problem']}"
        )


def _try(ask: Any) -> None:
    """Ask ahead; what cannot be answered is said where it is compared."""
    from optim.errors import OptimError

    try:
        ask()
    except OptimError:
        return


def _print(contenders: list[Contender], found: dict[str, Any]) -> None:
    rows, notes = [], []
    for number, (one, entry) in enumerate(zip(contenders, found["entries"], strict=True)):
        figures = entry.get("figures") or {}
        marks = [
            word
            for word, is_so in (
                ("reference", number == found["reference"]),
                ("knee", entry["is_knee"]),
                ("front", entry["is_front"]),
            )
            if is_so
        ]
        rows.append(
            (
                one.title,
                *((figures.get(name) or {}).get("text", "not measured") for name in _COLUMNS),
                _change(entry),
                ", ".join(marks[:2]),
            )
        )
        notes += [f"{one.title}: {entry['problem']}"] if entry["problem"] else []
        why = ((entry.get("changes") or {}).get("quality") or {}).get("why")
        notes += [f"{one.title}: {why}."] if why else []
        notes += (
            [f"{one.title}: left out, as nothing is stored for it: {', '.join(entry['omitted'])}."]
            if entry["omitted"]
            else []
        )
    print_table("Side by side", ("", *_COLUMNS, "quality, change", ""), rows)
    say_notes(notes)


def _change(entry: dict[str, Any]) -> str:
    told = (entry.get("changes") or {}).get("quality") or {}
    return str(told["change"]["verdict"]) if told.get("change") else ""
