"""The command that searches for a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from optim.cli._app import cli
from optim.cli._options import Data, Json, Model, Seed
from optim.cli._output import print_table
from optim.cli._searching import (
    MaxFlash,
    MaxJoules,
    MaxMs,
    MaxRam,
    Parallel,
    bounds,
    executor_of,
    front_rows,
    narrowed,
    seconds_of,
    tell,
    watched,
)
from optim.cli._written import check_written, files_of
from optim.data.generated import GENERATED
from optim.search.found import own_files
from optim.search.goals import BYTES_OF
from optim.search.samplers import DEFAULT_SAMPLER, SAMPLERS

__all__ = ["search"]


@cli.command()
def search(
    model: Model,
    data: Data = GENERATED,
    max_loss_points: Annotated[
        float | None, typer.Option(help="Most percentage points of quality that may be lost.")
    ] = None,
    max_bytes: Annotated[
        str | None, typer.Option(help="Largest size: 40000, 40kB, or a share of the original, 10%.")
    ] = None,
    bytes_of: Annotated[
        str, typer.Option(help=f"Whose bytes count: {', '.join(BYTES_OF)}.")
    ] = "onnx",
    device: Annotated[
        str,
        typer.Option(
            help="Of the catalogue, or a word of its title, such as cortex-m7; or here: latency is "
            "then measured on this computer."
        ),
    ] = "",
    max_ms: MaxMs = None,
    max_ram: MaxRam = None,
    max_flash: MaxFlash = None,
    max_joules: MaxJoules = None,
    max_macs: Annotated[
        str | None, typer.Option(help="Most multiply-accumulates: 2M, or a share, 25%.")
    ] = None,
    max_params: Annotated[str | None, typer.Option(help="Most parameters, or a share.")] = None,
    minutes: Annotated[float, typer.Option(help="Budget of wall-clock time.")] = 3.0,
    sampler: Annotated[
        str, typer.Option(help=f"What thinks of recipes: {', '.join(SAMPLERS)}.")
    ] = DEFAULT_SAMPLER,
    training: Annotated[
        bool, typer.Option("--training/--no-training", help="Whether candidates may be trained.")
    ] = True,
    stored: Annotated[
        bool,
        typer.Option("--stored/--from-scratch", help="Whether what was trained before counts."),
    ] = True,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Narrow the space: quantize.weight_bits=4,8; may be repeated."),
    ] = None,
    study: Annotated[
        str,
        typer.Option(
            help="Name of the study; the same one goes on, with the same limits or others.",
            show_default="made of what is asked for",
        ),
    ] = "",
    parallel: Parallel = 0,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the answer, the recipes and the verified file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find a recipe that keeps limits within a budget of time, and its verified file.

    Costs may be shares of the original's, as in 50%. Ctrl-C has the search take what it has; once
    more stops it. What was tried is kept: called again, the search goes on. Exit code 1: no recipe
    that was found keeps all limits; the closest one is written.
    """
    from optim.recipe import Recipe
    from optim.search.autopilot.asked import Asked

    limits = bounds(
        bytes=("--max-bytes", max_bytes),
        latency=("--max-ms", max_ms),
        ram=("--max-ram", max_ram),
        flash=("--max-flash", max_flash),
        energy=("--max-joules", max_joules),
        macs=("--max-macs", max_macs),
        params=("--max-params", max_params),
    )
    if max_loss_points is not None:
        limits["loss"] = max_loss_points
    asked = Asked(
        Recipe(model, data, seed=seed),
        limits,
        seconds=seconds_of(minutes),
        bytes_of=bytes_of,
        device=device,
        sampler=sampler,
        trains=training,
        reuses=stored,
        study=study,
        only=dict(narrowed(text, "quantize.weight_bits=4,8") for text in only or ()),
    )
    if out is not None:
        check_written(own_files(out), files_of(model, data))
    # What torch needs seconds for comes after all that can be refused.
    import torch

    from optim.processes import available_cores
    from optim.runs.store import store_url
    from optim.search.autopilot.answer import answer_json, save
    from optim.search.autopilot.plan import Autopilot
    from optim.search.study import studies_url

    torch.set_num_threads(available_cores())
    with watched(asked.name, to_stderr=as_json) as watch:
        autopilot = Autopilot(
            asked,
            watch,
            url=studies_url(store_url()),
            executor=executor_of(parallel, (model, data), asked.name, watch.say),
        )
        answer = autopilot.run()
    story = autopilot.session.story
    found = answer_json(answer, asked, story) if out is None else save(out, answer, asked, story)
    tell(found, _print, as_json=as_json)


def _print(found: dict[str, Any]) -> None:
    costs = found["goals"]["objectives"][1:]
    rows = [
        (row["title"], row["figures"]["loss"]["text"], test, *figures, mark)
        for row, test, figures, mark in front_rows(found)
    ]
    if rows:
        columns = ("recipe", "loss", "on test", *costs, "")
        print_table("\nThe front, cheapest first", columns, rows)
    others = [row for row in found["candidates"] if row["is_baseline"]]
    if others:
        lines = [
            (row["title"], row["figures"]["loss"]["text"], row["figures"]["bytes"]["text"])
            for row in others
        ]
        print_table("\nWhat else could be done", ("baseline", "loss", "bytes"), lines)
