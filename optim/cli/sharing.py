"""The command that writes a page with sliders that needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optim.cli._app import cli
from optim.cli._output import progress_bar
from optim.cli._written import check_written, files_of_recipe
from optim.errors import ConfigError

__all__ = ["share"]


@cli.command()
def share(
    recipe: Annotated[Path, typer.Argument(help="A recipe file (YAML).")],
    out: Annotated[Path, typer.Option("--out", help="The HTML file that is written.")],
    samples: Annotated[
        int, typer.Option(min=32, help="Validation samples a position is measured on, at most.")
    ] = 2000,
) -> None:
    """Write one HTML file whose sliders work offline, over positions computed ahead.

    The sliders are channels removed, bits of a weight and zero weights, as far as the recipe has
    the steps; every other step stays as it is.
    """
    import torch

    from optim.processes import available_cores
    from optim.recipe import Recipe
    from optim.share.grid import evaluated
    from optim.share.page import shared_html
    from optim.storage import write_atomic
    from optim.whatif.engine import Engine

    if out.suffix != ".html":
        raise ConfigError(f"--out must end in .html: got {out.name!r}.", field="out")
    steps = Recipe.load(recipe)
    check_written([out], files_of_recipe(steps, recipe))
    torch.set_num_threads(available_cores())
    with progress_bar() as told:
        found = evaluated(Engine(base=recipe.parent), steps, samples=samples, told=told)
    content = shared_html(found).encode()
    write_atomic(out, content)
    typer.echo(
        f"{out}: {len(found['points'])} positions on {found['n']:,} samples, {len(content):,} "
        f"bytes, {found['seconds']:.0f} s"
    )
