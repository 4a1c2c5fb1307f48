"""The command that searches for a recipe."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from optim.cli._app import cli
from optim.cli._options import Data, Json, Model, Seed
from optim.cli._output import REFUSED, print_json, print_table, progress_bar, say_notes
from optim.data.generated import GENERATED
from optim.errors import ConfigError
from optim.search.goals import BYTES_OF
from optim.search.samplers import DEFAULT_SAMPLER, SAMPLERS

__all__ = ["bound", "narrowed", "search"]

_UNITS = {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20}
_UNITS |= {"k": 1e3, "m": 1e6, "g": 1e9}


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
        str, typer.Option(help="Of the catalogue, or a word of its title, such as cortex-m7.")
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
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the answer, the recipes and the verified file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find a recipe that keeps limits within a budget of time, and its verified file.

    What was tried is kept: called again after it was interrupted, the search goes on. Exit code 1:
    no recipe that was found keeps all limits; the closest one is written.
    """
    import torch

    from optim.processes import available_cores
    from optim.recipe import Recipe
    from optim.runs.store import store_url
    from optim.search.autopilot.answer import answer_json, save
    from optim.search.autopilot.asked import Asked
    from optim.search.autopilot.plan import Autopilot
    from optim.search.study import studies_url
    from optim.search.watch import Watch

    limits: dict[str, float | str] = {
        figure: bound(option, text)
        for figure, option, text in (
            ("bytes", "--max-bytes", max_bytes),
            ("latency", "--max-ms", max_ms),
            ("ram", "--max-ram", max_ram),
            ("flash", "--max-flash", max_flash),
            ("energy", "--max-joules", max_joules),
            ("macs", "--max-macs", max_macs),
            ("params", "--max-params", max_params),
        )
        if text is not None
    }
    if max_loss_points is not None:
        limits["loss"] = max_loss_points
    asked = Asked(
        Recipe(model, data, seed=seed),
        limits,
        seconds=60 * minutes,
        bytes_of=bytes_of,
        device=device,
        sampler=sampler,
        trains=training,
        reuses=stored,
        study=study,
        only=dict(map(narrowed, only or ())),
    )
    torch.set_num_threads(available_cores())
    with progress_bar() as progress:
        watch = Watch(progress=progress, say=_teller(as_json=as_json))
        autopilot = Autopilot(asked, watch, url=studies_url(store_url()))
        answer = autopilot.run()
    story = autopilot.session.story
    if out is not None:
        save(out, answer, asked, story)
    found = answer_json(answer, asked, story)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if not found["satisfied"]:
        sys.stdout.flush()
        sys.exit(REFUSED)


def _teller(*, as_json: bool) -> Callable[[str], None]:
    """Return what tells the story: on standard error where JSON has the standard output."""
    return lambda text: typer.echo(text, err=as_json)


def _print(found: dict[str, Any]) -> None:
    by_number = {row["number"]: row for row in found["candidates"]}
    rows = []
    for number in found["front"]:
        row = by_number[number]
        mark = "taken" if number == found["chosen"] else "knee" if number == found["knee"] else ""
        test = found["tests"].get(str(number))
        figures = row["figures"]
        costs = [figures[name]["text"] for name in found["goals"]["objectives"][1:]]
        rows.append(
            (row["title"], figures["loss"]["text"], test["text"] if test else "", *costs, mark)
        )
    costs_of = found["goals"]["objectives"][1:]
    if rows:
        columns = ("recipe", "loss", "on test", *costs_of, "")
        print_table("\nThe front, cheapest first", columns, rows)
    others = [row for row in found["candidates"] if row["is_baseline"]]
    if others:
        lines = [
            (row["title"], row["figures"]["loss"]["text"], row["figures"]["bytes"]["text"])
            for row in others
        ]
        print_table("\nWhat else could be done", ("baseline", "loss", "bytes"), lines)
    if found["verification"]:
        checked = found["verification"]
        typer.echo(f"Verified in {checked['runtime']}: {checked['bytes']['value']:,} bytes.")
    say_notes([found["closest"]["text"]] if found["closest"] else [])


def bound(option: str, text: str) -> float | str:
    """Return a number, its unit worked out, or a share as it is written.

    Raises:
        ConfigError: If it is neither.
    """
    if text.strip().endswith("%"):
        return text.strip()
    number = text.strip().rstrip("BbGgIiKkMm")
    unit = text.strip()[len(number) :].lower()
    try:
        if unit not in _UNITS:
            raise ValueError(text)
        return float(number) * _UNITS[unit]
    except ValueError as error:
        raise ConfigError(
            f"{option} must be a number, with a unit as in 40kB, or a share as in 10%: "
            f"got {text!r}."
        ) from error


def narrowed(text: str) -> tuple[str, tuple[bool | int | float | str, ...]]:
    """Return a dimension and its values.

    Raises:
        ConfigError: If it is not written as ``name=value,value``.
    """
    name, equals, values = text.partition("=")
    if not equals or not name or not values:
        raise ConfigError(
            f"--only must be written as quantize.weight_bits=4,8: got {text!r}.", field="only"
        )
    return name.strip(), tuple(_scalar(value.strip()) for value in values.split(","))


def _scalar(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
