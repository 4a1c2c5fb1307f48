"""Commands that look into a model, and into the order of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optim.cli._app import cli
from optim.cli._options import Data, Json, Model, Seed
from optim.cli._output import print_json, print_table, progress_bar, say_notes
from optim.data.generated import GENERATED
from optim.sensitivity.profile import SAMPLES
from optim.sensitivity.trials import techniques

__all__ = ["plan", "sensitivity"]


@cli.command()
def sensitivity(
    model: Model,
    data: Data = GENERATED,
    technique: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(techniques())}; may be repeated. All without it."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples to look at, at most.")] = SAMPLES,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Try techniques on one layer at a time: where the model can be compressed, and where not.

    Looks at validation samples, never at test samples. Layers that can only change together are one
    row.
    """
    import torch

    from optim.processes import available_cores
    from optim.recipe import Recipe
    from optim.sensitivity.analysis import analyse
    from optim.subject import open_subject

    torch.set_num_threads(1)  # chunks of samples are shared out instead
    subject = open_subject(Recipe(model, data, seed=seed))
    with progress_bar() as progress:
        found = analyse(
            subject, technique, samples=samples, workers=available_cores(), told=progress
        )
        *_, profile = found
    if as_json:
        asked = {"schema": "optim.sensitivity/1", "model": model, "data": data}
        print_json({**asked, **profile.to_json()})
        return
    titles = {(row.technique, row.layer): row.title for row in profile.rows}
    rows = [
        (
            cell.technique,
            titles[cell.technique, cell.layer],
            cell.level,
            cell.quality,
            cell.change.verdict() if cell.change else "",
        )
        for cell in profile.cells
    ]
    columns = ("technique", "layer", "level", profile.metric, "against the original")
    print_table(f"{profile.n:,} {profile.part} samples", columns, rows)
    left_out = [
        f"{name}: {layer} was left out, {why}."
        for name, reasons in profile.left_out.items()
        for layer, why in reasons.items()
    ]
    say_notes([*(f"{name}: {why}" for name, why in profile.refused.items()), *left_out])


@cli.command()
def plan(
    recipe: Annotated[Path, typer.Argument(help="A recipe file (YAML), in whatever order.")],
    out: Annotated[
        Path | None, typer.Option(help="Write the recipe in order here; it may be the same file.")
    ] = None,
) -> None:
    """Put the steps of a recipe in order, and say what stands better where, and why."""
    from optim.recipe import Recipe
    from optim.storage import write_atomic

    found = Recipe.load(recipe, reorder=True)
    ordered = found.in_order()
    rows = [
        (
            entry.id,
            entry.step.title if entry.is_active else f"{entry.step.title} (off)",
            ", ".join(sorted(entry.step.requires)),
            ", ".join(sorted(entry.step.ensures)),
            ", ".join(sorted(entry.step.removes)),
        )
        for entry in ordered.entries
    ]
    print_table("In order", ("step", "technique", "needs", "makes", "spoils"), rows)
    say_notes(list(found.advice.values()))
    if out:
        write_atomic(out, ordered.to_yaml().encode())
