"""Commands that measure: one model, an exported file, a whole recipe, a file against a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optim.cli._app import cli
from optim.cli._options import (
    Batch,
    Data,
    Json,
    Mean,
    Model,
    Original,
    Part,
    Seed,
    Std,
    Threads,
    Trust,
    normalisation_of,
)
from optim.cli._output import (
    UNUSABLE,
    fail,
    print_json,
    print_scorecard,
    progress_bar,
    say_checks,
    say_notes,
    say_overlap,
)
from optim.cli._written import check_written, files_of, files_of_recipe
from optim.data.generated import GENERATED
from optim.errors import ConfigError, OptimError
from optim.export.targets import TARGETS, container_notes, target_of
from optim.quantity import Quantity
from optim.storage import write_atomic

if TYPE_CHECKING:
    from optim.measure.chance import Check
    from optim.runner import Measured

__all__ = ["check", "export", "measure", "run", "verify"]


@cli.command()
def measure(
    model: Model,
    data: Data = GENERATED,
    original: Original = None,
    part: Part = None,
    seed: Seed = 0,
    mean: Mean = None,
    std: Std = None,
    batch: Batch = 1,
    threads: Threads = 1,
    save_baseline: Annotated[
        Path | None, typer.Option(help="Write a baseline for `check`, and its ONNX file beside it.")
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Measure accuracy, size, MACs and latency of one model.

    Samples without labels, and inputs that are made for the model where there is no data, tell
    nothing about accuracy: with --original they tell how closely it follows another model.
    """
    from optim.gate.baseline import Baseline, check_place
    from optim.runner import measure_model

    if save_baseline:
        check_place(save_baseline)
        check_written(
            (save_baseline, save_baseline.with_suffix(".onnx")),
            files_of(model, data, original),
            "--save-baseline",
        )
    with progress_bar() as progress:
        found = measure_model(
            model,
            data,
            original=original,
            part=part,
            seed=seed,
            normalisation=normalisation_of(mean, std),
            batch_size=batch,
            threads=threads,
            trust=trust,
            progress=progress,
        )
    if save_baseline:
        Baseline.of(found, seed=seed).save(save_baseline)
    checks = _checks(found)
    _say_order(found)
    if as_json:
        more = {"checks": [check.to_json() for check in checks]} if checks else {}
        asked = {"model": model, "data": data, "original": original}
        print_json({**found.to_json(), **asked, **more})
        say_checks([check.sentence for check in checks])
        return
    print_scorecard(found.scorecard, found.part)
    _say_notes(found)
    say_checks([check.sentence for check in checks])


@cli.command()
def verify(
    file: Annotated[Path, typer.Argument(help="An ONNX file.")],
    data: Data = GENERATED,
    part: Part = None,
    seed: Seed = 0,
    mean: Mean = None,
    std: Std = None,
    batch: Batch = 1,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Measure an ONNX file in its runtime.

    Loads it in ONNX Runtime, and measures its accuracy, bytes and latency there.
    """
    from optim.runner import measure_model

    if file.suffix != ".onnx":
        raise ConfigError(
            f"verify takes an ONNX file: got {file.name!r}.", hint="Use measure for anything else."
        )
    with progress_bar() as progress:
        found = measure_model(
            str(file),
            data,
            part=part,
            seed=seed,
            normalisation=normalisation_of(mean, std),
            batch_size=batch,
            threads=threads,
            progress=progress,
        )
    _say_order(found)
    if as_json:
        card = found.to_json()
        keys = ("part", "overlap", "accuracy", "latency", "conditions")
        head = {"schema": "optim.verify/1", "model": str(file), "data": data}
        print_json({**head, **{key: card[key] for key in keys}, "bytes": card["file"]})
        return
    print_scorecard(found.scorecard, found.part, rows=("file", "latency"))
    _say_notes(found)


@cli.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe file (YAML).")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    as_json: Json = False,
) -> None:
    """Apply a recipe, export and verify.

    Writes recipe.yaml, scorecard.json (with baseline and result), model.onnx and report.txt. The
    file is refused, with exit code 1, if it does not do in ONNX Runtime what was simulated.
    """
    from optim.recipe import Recipe
    from optim.runner import WRITTEN
    from optim.runner import run as run_recipe

    steps = Recipe.load(recipe)
    check_written((out / name for name in WRITTEN), files_of_recipe(steps, recipe))
    with progress_bar() as progress:
        result = run_recipe(steps, base=recipe.parent, progress=progress)
    try:
        result.save(out)
    finally:
        if as_json:
            print_json(result.to_json())
            say_checks([check.sentence for check in result.checks])
        else:
            typer.echo(result.report(), nl=False)
    if not as_json:
        typer.echo(f"\nWritten to {out}.")


@cli.command()
def export(
    recipe: Annotated[Path, typer.Argument(help="A recipe file (YAML).")],
    out: Annotated[Path, typer.Option("--out", help="The file that is written.")],
    target: Annotated[str, typer.Option(help=f"Kind of file: {', '.join(TARGETS)}.")] = "onnx",
    as_json: Json = False,
) -> None:
    """Apply a recipe and write one kind of file.

    The file is loaded in its runtime and measured there first; with exit code 1 nothing is written,
    if it does not do what was simulated or cannot be made of this model.
    """
    from optim.recipe import Recipe
    from optim.runner import export_recipe

    suffix = target_of(target).suffix
    if out.suffix != suffix:
        raise ConfigError(f"A file of kind {target} ends in {suffix}: got {out.name!r}.")
    steps = Recipe.load(recipe)
    check_written([out], files_of_recipe(steps, recipe))
    with progress_bar() as progress:
        made = export_recipe(steps, target, base=recipe.parent, progress=progress)
    write_atomic(out, made.data)
    notes = list(container_notes(made.deployed.table).values())
    if as_json:
        found = {"target": target, "file": str(out), "bytes": len(made.data), "notes": notes}
        verification = made.verification.to_json()
        more = {"checks": [check.to_json() for check in made.checks]} if made.checks else {}
        print_json({"schema": "optim.export/1", **found, "verification": verification, **more})
        say_checks([check.sentence for check in made.checks])
        return
    typer.echo(f"{out}, {Quantity.exact(len(made.data), 'bytes')}")
    typer.echo(f"In {made.verification.runtime}: {made.verification.found}.")
    typer.echo(f"{made.verification.latency} for one sample on one thread.")
    say_notes(notes)
    say_checks([check.sentence for check in made.checks])


@cli.command()
def check(
    file: Model,
    against: Annotated[Path, typer.Option(help="Baseline of `measure --save-baseline`.")],
    data: Data = GENERATED,
    max_loss_points: Annotated[
        float,
        typer.Option(
            min=0,
            max=100,
            help="Largest acceptable loss of accuracy or mAP, in points; of quantities, percent "
            "more squared error; without labels, percent of samples that get another class.",
        ),
    ] = 1.0,
    min_sqnr: Annotated[
        float,
        typer.Option(
            min=0,
            max=200,
            help="Least acceptable SQNR in dB, without labels where outputs are no classes.",
        ),
    ] = 20.0,
    max_bytes: Annotated[
        int | None, typer.Option(min=1, help="Largest acceptable ONNX file, in bytes.")
    ] = None,
    max_latency_ratio: Annotated[
        float | None,
        typer.Option(min=0.01, help="Largest acceptable time, as a multiple of the baseline's."),
    ] = None,
    mean: Mean = None,
    std: Std = None,
    batch: Batch = 1,
    threads: Threads = 1,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a Markdown table here.")] = None,
    as_json: Json = False,
) -> None:
    """Hold a model against a baseline.

    The gate for pipelines, a paired test of non-inferiority. Samples without labels need the
    baseline's ONNX file beside it, and generated inputs will not do. Exit code 0: it holds, 1: it
    has regressed, 2: unusable input, 3: inconclusive at this sample size.
    """
    from optim.gate import Baseline, check_model
    from optim.runner import measure_model

    try:
        baseline = Baseline.load(against)
        read = [against, against.with_suffix(".onnx"), *files_of(file, data)]
        for option, path in (("--junit", junit), ("--markdown", markdown)):
            check_written([path] if path else [], read, option)
        with progress_bar() as progress:
            found = measure_model(
                file,
                data,
                part=baseline.part,
                seed=baseline.seed,
                split=baseline.split,
                normalisation=normalisation_of(mean, std),
                batch_size=batch,
                threads=threads,
                progress=progress,
            )
        result = check_model(
            found, baseline, max_loss_points, max_bytes, max_latency_ratio, min_sqnr
        )
        if junit:
            write_atomic(junit, result.to_junit(file).encode())
        if markdown:
            write_atomic(markdown, result.to_markdown(file).encode())
    except OptimError as error:
        # A file that cannot be measured is no regression: nothing is known about it.
        fail(error, UNUSABLE)
    _say_order(found)
    if as_json:
        measured = {
            "model": file,
            "data": data,
            "part": found.part,
            "overlap": found.overlap,
            "accuracy": _accuracy(found.scorecard.quality.get("accuracy")),
            "baseline": {
                "accuracy": _accuracy(baseline.accuracy),
                "bytes": baseline.size.to_json(),
            },
        }
        print_json({**result.to_json(), **measured})
    else:
        for criterion in result.criteria:
            typer.echo(f"{criterion.outcome:13} {criterion.name:9} {criterion.detail}")
            typer.echo(f"{'':13} {'':9} limit: {criterion.requirement}")
        typer.echo(f"\n{result.outcome}")
        _say_notes(found)
    raise typer.Exit(result.exit_code)


def _checks(found: Measured) -> list[Check]:
    """Return what to check where accuracy is near chance; nothing otherwise."""
    from optim.measure.chance import is_near_chance, what_to_check

    if not is_near_chance(found.predictions):
        return []
    subject = found.subject
    return what_to_check(subject.bundle, subject.data, subject.samples(found.part))


def _accuracy(value: Quantity | None) -> dict[str, Any] | None:
    return value.to_json() if value else None


def _say_notes(found: Measured) -> None:
    """Say what a reader must know about the samples: of a file, how it was read."""
    from optim.data.added import data_cards

    say_overlap(found.overlap, found.part)
    data = found.subject.data
    if data.is_generated or data.ref.partition("?")[0] not in data_cards():
        say_notes(data.notes)


def _say_order(found: Measured) -> None:
    """Say, with JSON as well, that classes are counted as others than their names say."""
    from optim.subject import order_note

    note = order_note(found.subject.bundle, found.subject.data)
    say_notes([note] if note else [])
