"""The command that searches for an architecture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from optim.cli._app import cli
from optim.cli._options import Json, Seed
from optim.cli._output import REFUSED, print_json, print_table, progress_bar, say_notes
from optim.cli.searching import bound, narrowed
from optim.errors import ConfigError
from optim.search.nas.asked import PRECISIONS
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
    max_ms: Annotated[
        str | None, typer.Option(help="Longest estimated inference on the device, in ms.")
    ] = None,
    max_ram: Annotated[
        str | None, typer.Option(help="Most RAM on the device: 64kB, or 64KiB.")
    ] = None,
    max_flash: Annotated[str | None, typer.Option(help="Most flash for weights.")] = None,
    max_joules: Annotated[
        str | None, typer.Option(help="Most energy of an inference on the device, in joules.")
    ] = None,
    max_macs: Annotated[str | None, typer.Option(help="Most multiply-accumulates: 2M.")] = None,
    max_params: Annotated[str | None, typer.Option(help="Most parameters.")] = None,
    max_training_s: Annotated[
        str | None, typer.Option(help="Longest training of the network, in seconds.")
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
    sampler: Annotated[
        str, typer.Option(help=f"What thinks of networks: {', '.join(SAMPLERS)}.")
    ] = "nsga2",
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
    study: Annotated[
        str,
        typer.Option(
            help="Name of the study; the same one goes on.",
            show_default="made of what is asked for",
        ),
    ] = "",
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the answer, the trained networks and the verified file."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find an architecture that keeps limits, trained, and its verified file.

    What was tried and trained is kept: called again after it was interrupted, the search goes on.
    Exit code 1: no network that was found keeps all limits; the closest one is written.
    """
    import torch

    from optim.processes import available_cores
    from optim.runs.store import store_url
    from optim.search.nas.answer import answer_json, save
    from optim.search.nas.asked import Asked
    from optim.search.nas.plan import ArchitectureSearch
    from optim.search.study import studies_url
    from optim.search.watch import Watch

    limits = {
        figure: _amount(option, text)
        for figure, option, text in (
            ("bytes", "--max-bytes", max_bytes),
            ("latency", "--max-ms", max_ms),
            ("ram", "--max-ram", max_ram),
            ("flash", "--max-flash", max_flash),
            ("energy", "--max-joules", max_joules),
            ("macs", "--max-macs", max_macs),
            ("params", "--max-params", max_params),
            ("training", "--max-training-s", max_training_s),
        )
        if text is not None
    }
    if max_error_points is not None:
        limits["error"] = max_error_points
    asked = Asked(
        space,
        data,
        limits,
        seconds=60 * minutes,
        device=device,
        precision=precision,
        epochs=epochs,
        sampler=sampler,
        screen=screen,
        weighs_training=weigh_training,
        also=tuple(also or ()),
        only=dict(map(narrowed, only or ())),
        study=study,
        seed=seed,
    )
    torch.set_num_threads(available_cores())
    with progress_bar() as progress:
        watch = Watch(progress=progress, say=lambda text: typer.echo(text, err=as_json))
        search = ArchitectureSearch(asked, watch, url=studies_url(store_url()))
        answer = search.run()
    found = answer_json(answer, asked, search.session.state())
    if out is not None:
        save(out, answer, found)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if not found["satisfied"]:
        sys.stdout.flush()
        sys.exit(REFUSED)


def _amount(option: str, text: str) -> float:
    """Return a number, its unit worked out.

    Raises:
        ConfigError: If it is none: there is no original that it could be a share of.
    """
    value = bound(option, text)
    if isinstance(value, str):
        raise ConfigError(f"{option} must be a number, with a unit as in 40kB: got {text!r}.")
    return value


def _print(found: dict[str, Any]) -> None:
    by_number = {row["number"]: row for row in found["candidates"]}
    costs = found["goals"]["objectives"][1:]
    rows = []
    for number in found["front"]:
        row = by_number[number]
        mark = "taken" if number == found["chosen"] else "knee" if number == found["knee"] else ""
        test = found["tests"].get(str(number))
        rows.append(
            (
                row["title"],
                str(row["epochs"]),
                row["figures"]["error"]["text"],
                test["text"] if test else "",
                *(row["figures"][name]["text"] for name in costs),
                mark,
            )
        )
    if rows:
        columns = ("network", "epochs", "error", "on test", *costs, "")
        print_table("\nThe front, cheapest first", columns, rows)
    if found["trust"]:
        lines = [(one["title"], one["tau"]["text"]) for one in found["trust"]]
        n = found["trust"][0]["tau"]["n"]
        print_table(f"\nProxies against {n} short trainings", ("proxy", "Kendall's tau"), lines)
    if found["verification"]:
        checked = found["verification"]
        typer.echo(f"Verified in {checked['runtime']}: {checked['bytes']['value']:,} bytes.")
    say_notes([found["closest"]["text"]] if found["closest"] else [])
