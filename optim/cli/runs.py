"""Commands for work in the background: submit, look, stop, go on."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optim.cli._app import cli
from optim.cli._options import Json
from optim.cli._output import print_json, print_table
from optim.errors import ConfigError, OptimError, RunError

if TYPE_CHECKING:
    from optim.runs.run import Run
    from optim.runs.store import RunStore

__all__ = ["runs"]

runs = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Work in the background: submit, look, stop, go on.",
)
cli.add_typer(runs, name="runs")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run; `runs list` shows them.")]


@runs.command("list")
def list_runs(as_json: Json = False) -> None:
    """List all runs, newest first."""
    found = _store().runs()
    if as_json:
        print_json({"schema": "optim.runs/1", "runs": [run.to_json() for run in found]})
        return
    rows = [
        (r.id, r.title, r.state, f"{r.progress:.0%}", f"{r.seconds:.0f} s", _time(r.created_at))
        for r in found
    ]
    print_table("Runs", ("id", "title", "state", "progress", "work", "submitted"), rows)


@runs.command()
def show(run_id: RunId, as_json: Json = False) -> None:
    """Show one run: figures of every epoch, files, and what happened."""
    store = _store()
    run, epochs = store.get(run_id), store.epochs(run_id)
    events, files = store.events(run_id), store.artefacts(run_id)
    if as_json:
        print_json(
            {
                "schema": "optim.run/1",
                "run": run.to_json(),
                "epochs": [asdict(row) for row in epochs],
                "events": [asdict(event) for event in events],
                "artefacts": [{**asdict(file), "path": store.where(file)} for file in files],
            }
        )
        return
    _print_head(run)
    names = list(dict.fromkeys(name for row in epochs for name in row.figures))
    if epochs:
        rows = [
            (row.step, row.epoch, *(_figure(row.figures.get(name)) for name in names))
            for row in epochs
        ]
        print_table("\nEpochs", ("step", "epoch", *names), rows)
    if files:
        rows = [(file.name, f"{file.bytes:,} bytes", store.where(file)) for file in files]
        print_table("\nFiles", ("name", "size", "path"), rows)
    print_table("\nEvents", ("time", "", ""), [(_time(e.at), e.level, e.message) for e in events])


@runs.command()
def report(
    run_id: RunId,
    out: Annotated[
        Path, typer.Option("--out", help="The file that is written: .html, or .zip with more.")
    ],
    devices: Annotated[
        bool, typer.Option(help="Ask what every device would do: applies the recipe again.")
    ] = True,
) -> None:
    """Write what came of a run as one HTML file that needs nothing else.

    A zip also holds the recipe and a program that runs it and compares the figures.
    """
    from optim.report.facts import facts_of
    from optim.report.page import report_html, report_zip
    from optim.storage import write_atomic

    if out.suffix not in (".html", ".zip"):
        raise ConfigError(f"A report ends in .html or .zip: got {out.name!r}.")
    store = _store()
    run = store.get(run_id)
    facts_of(run)  # refused before anything is computed
    ladder = _ladder(run) if devices else None
    facts, result = facts_of(run, store.runs(), ladder), run.result or {}
    text = report_html(facts, result).encode() if out.suffix == ".html" else None
    write_atomic(out, report_zip(facts, result) if text is None else text)
    typer.echo(f"{out}: {facts.verdict}")


@runs.command()
def tensorboard(
    run_id: RunId,
    out: Annotated[Path, typer.Option("--out", help="A folder; the run gets one in it.")],
) -> None:
    """Write the curves of a run for TensorBoard, which tensorboardX has to be installed for."""
    from optim.report.trackers import to_tensorboard

    store = _store()
    own = to_tensorboard(store.get(run_id), store.epochs(run_id), out)
    typer.echo(f"{own}: tensorboard --logdir {out}")


@runs.command()
def mlflow(
    run_id: RunId,
    experiment: Annotated[str, typer.Option(help="Where it stands there.")] = "Optim Studio",
    uri: Annotated[
        str | None,
        typer.Option(help="Of the server, or a folder.", show_default="MLflow's own setting"),
    ] = None,
) -> None:
    """Log a finished run and its model to MLflow, which has to be installed."""
    from optim.report.trackers import to_mlflow

    store = _store()
    run = store.get(run_id)
    files = {file.name: store.read(file) for file in store.artefacts(run_id)}
    typer.echo(to_mlflow(run, store.epochs(run_id), files, experiment, uri))


def _ladder(run: Run) -> dict[str, Any] | None:
    """Return what every device would do with the result; None if the model is gone."""
    from optim.whatif.devices import ladder
    from optim.whatif.engine import Engine

    recipe = run.recipe
    assert recipe is not None
    try:
        return ladder(Engine(), recipe)
    except OptimError as error:
        typer.echo(f"Without devices: {error}", err=True)
        return None


@runs.command()
def submit(
    recipe: Annotated[Path, typer.Argument(help="A recipe file (YAML).")],
    title: Annotated[str, typer.Option(help="Name for a reader.", show_default="file")] = "",
    priority: Annotated[int, typer.Option(help="Higher ones are started first.")] = 0,
    budget: Annotated[
        float | None, typer.Option(help="Interrupt it after so many seconds of work.")
    ] = None,
) -> None:
    """Queue a recipe and print the id of its run."""
    from optim.recipe import Recipe

    spec = {"recipe": Recipe.load(recipe).to_json(), "base": str(recipe.parent.resolve())}
    run = _store().submit(
        "recipe", spec, title=title or recipe.stem, priority=priority, budget_s=budget
    )
    typer.echo(run.id)
    _wake()


@runs.command()
def cancel(run_id: RunId) -> None:
    """Stop a run for good."""
    _store().cancel(run_id)


@runs.command()
def pause(run_id: RunId) -> None:
    """Stop a run so that it can go on later."""
    _store().pause(run_id)


@runs.command()
def resume(run_id: RunId) -> None:
    """Queue a run again that was paused, interrupted, cancelled or has failed."""
    _store().resume(run_id)
    _wake()


@runs.command()
def work(
    jobs: Annotated[
        int | None, typer.Option(min=1, max=256, help="Most runs at once.", show_default="by cores")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Threads of a run.", show_default="all cores but one"),
    ] = None,
) -> None:
    """Work on the queue here, until Ctrl-C."""
    import logging

    from optim.runs import supervisor

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    typer.echo("Working on the queue; Ctrl-C ends it, and runs wait for the next time.", err=True)
    if not supervisor.work(slots=jobs, threads=threads):
        raise RunError(
            "Another process works on this queue already.",
            hint="It ends by itself a while after the last run; or end it.",
        )


def _store() -> RunStore:
    from optim.runs.store import RunStore

    return RunStore.open()


def _wake() -> None:
    from optim.runs.engine import engine

    engine().ensure()


def _print_head(run: Run) -> None:
    typer.echo(f"{run.title} ({run.id}): {run.state}, {run.progress:.0%}, {run.seconds:.0f} s")
    if run.message:
        typer.echo(run.message)
    if run.error:
        typer.echo(f"{run.error['message']} {run.error['hint']}".strip())
    if run.result and "verdict" in run.result:
        typer.echo(run.result["verdict"])


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
