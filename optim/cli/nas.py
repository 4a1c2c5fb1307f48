"""The command that searches for an architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from optim.cli._app import cli
from optim.cli._options import Json, Seed
from optim.cli._output import print_table
from optim.cli._searching import (
    MaxFlash,
    MaxJoules,
    MaxMs,
    MaxRam,
    Parallel,
    executor_of,
    front_rows,
    narrowed,
    numbers,
    seconds_of,
    tell,
    watched,
)
from optim.cli._written import check_written, files_of
from optim.search.figures import times_text
from optim.search.found import own_files
from optim.search.nas.asked import METHODS, PRECISIONS, PREDICTOR
from optim.search.nas.families import FAMILIES, SHARED
from optim.search.nas.proxies import PROXIES
from optim.search.samplers import SAMPLERS

__all__ = ["nas"]


@cli.command()
def nas(
    space: Annotated[str, typer.Option(help=f"What is searched: {', '.join(FAMILIES)}.")],
    data: Annotated[str, typer.Option(help="Data with classes: a name, or a file.")],
    max_error_points: Annotated[
        float | None, typer.Option(help="Most percent of the validation samples to get wrong.")
    ] = None,
    max_bytes: Annotated[
        str | None, typer.Option(help="Largest ONNX file: 40000, or 40kB.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="Of the catalogue, or a word of its title, such as cortex-m4.")
    ] = "",
    max_ms: MaxMs = None,
    max_ram: MaxRam = None,
    max_flash: MaxFlash = None,
    max_joules: MaxJoules = None,
    max_macs: Annotated[str | None, typer.Option(help="Most multiply-accumulates: 2M.")] = None,
    max_params: Annotated[str | None, typer.Option(help="Most parameters.")] = None,
    max_training_s: Annotated[
        str | None, typer.Option(help="Longest training of the network: 90 seconds, or 2min.")
    ] = None,
    weigh_training: Annotated[
        bool,
        typer.Option("--weigh-training", help="Have seconds of training weighed as well."),
    ] = False,
    minutes: Annotated[float, typer.Option(help="Budget of wall-clock time.")] = 5.0,
    epochs: Annotated[int, typer.Option(help="Of a whole training; others are thirds.")] = 36,
    precision: Annotated[
        str, typer.Option(help=f"What networks are deployed with: {', '.join(PRECISIONS)}.")
    ] = "int8",
    method: Annotated[
        str,
        typer.Option(help=f"How networks are compared: {', '.join(METHODS)}."),
    ] = "trainings",
    sampler: Annotated[
        str, typer.Option(help=f"What thinks of networks: {', '.join((PREDICTOR, *SAMPLERS))}.")
    ] = PREDICTOR,
    screen: Annotated[
        str,
        typer.Option(
            help=f"Proxy that chooses the first networks: {', '.join(PROXIES)}.",
            show_default="none",
        ),
    ] = "",
    also: Annotated[
        list[str] | None,
        typer.Option(help=f"Search this field as well: {', '.join(sorted(SHARED))}."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Narrow the space: width=8,16; may be repeated.")
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(help="Times what is taken is trained again from other weights."),
    ] = 0,
    study: Annotated[
        str,
        typer.Option(
            help="Name of the study; the same one goes on.",
            show_default="made of what is asked for",
        ),
    ] = "",
    parallel: Parallel = 0,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the answer, the trained networks and the verified file."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find an architecture that keeps limits, trained, and its verified file.

    Ctrl-C has the search take what it has; once more stops it. What was tried and trained is kept:
    called again, the search goes on. Exit code 1: no network that was found keeps all limits; the
    closest one is written.
    """
    from optim.search.nas.asked import Asked

    limits = numbers(
        bytes=("--max-bytes", max_bytes),
        latency=("--max-ms", max_ms),
        ram=("--max-ram", max_ram),
        flash=("--max-flash", max_flash),
        energy=("--max-joules", max_joules),
        macs=("--max-macs", max_macs),
        params=("--max-params", max_params),
        training=("--max-training-s", max_training_s),
    )
    if max_error_points is not None:
        limits["error"] = max_error_points
    asked = Asked(
        space,
        data,
        limits,
        seconds=seconds_of(minutes),
        device=device,
        precision=precision,
        epochs=epochs,
        method=method,
        sampler=sampler,
        screen=screen,
        weighs_training=weigh_training,
        also=tuple(also or ()),
        only=dict(narrowed(text, "width=8,16") for text in only or ()),
        seeds=seeds,
        study=study,
        seed=seed,
    )
    if out is not None:
        check_written(own_files(out), files_of(data))
    # What torch needs seconds for comes after all that can be refused.
    import torch

    from optim.processes import available_cores
    from optim.runs.store import store_url
    from optim.search.nas.answer import answer_json, save
    from optim.search.nas.plan import ArchitectureSearch
    from optim.search.study import studies_url

    torch.set_num_threads(available_cores())
    with watched(asked.name, to_stderr=as_json) as watch:
        search = ArchitectureSearch(
            asked,
            watch,
            url=studies_url(store_url()),
            executor=executor_of(parallel, (data,), asked.name, watch.say),
        )
        answer = search.run()
    found = answer_json(answer, asked, search.session.state())
    if out is not None:
        found = save(out, answer, found)
    tell(found, _print, as_json=as_json)


def _print(found: dict[str, Any]) -> None:
    costs = found["goals"]["objectives"][1:]
    rows = [
        (row["title"], str(row["epochs"]), row["figures"]["error"]["text"], test, *figures, mark)
        for row, test, figures, mark in front_rows(found)
    ]
    if rows:
        columns = ("network", "epochs", "error", "on test", *costs, "")
        print_table("\nThe front, cheapest first", columns, rows)
    for error in found["seeds"].values():
        times = times_text(error["n"])
        typer.echo(f"\nTaken, trained again {times} from other weights: error {error['text']}.")
    if found["trust"]:
        lines = [(o["title"], o["tau"]["text"], o["rho"]["text"]) for o in found["trust"]]
        n = found["trust"][0]["tau"]["n"]
        columns = ("told by", "Kendall's tau", "Spearman's rho")
        print_table(f"\nTold before training, against {n} short trainings", columns, lines)
