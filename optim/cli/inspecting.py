"""Commands that look into a model: beside its original, layer by layer, and a recipe's order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from optim.cli._app import cli
from optim.cli._options import Data, Json, Model, Original, Seed
from optim.cli._output import print_json, print_table, progress_bar, say_notes
from optim.data.generated import GENERATED
from optim.errors import ConfigError, OptimError
from optim.inspect.kept import SAMPLES as LOOKED_AT
from optim.sensitivity.profile import SAMPLES
from optim.sensitivity.trials import techniques

if TYPE_CHECKING:
    from optim.inspect.flips import Flips
    from optim.inspect.layers import Layers
    from optim.inspect.overview import Overview
    from optim.inspect.pair import Pair
    from optim.inspect.robustness import Robustness
    from optim.measure.predictions import Predictions

__all__ = ["inspect", "plan", "sensitivity"]

EQUAL = ("cost", "time")
VIEWS = ("overview", "layers", "samples", "corruption")
_FLIPS = 20
"""Samples that are listed; JSON has all."""


@cli.command()
def sensitivity(
    model: Model,
    data: Data = GENERATED,
    technique: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(techniques())}; may be repeated. All without it."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples to look at, at most.")] = SAMPLES,
    times: Annotated[
        bool, typer.Option("--times", help="Measure what each variant gains in time, here.")
    ] = False,
    common: Annotated[
        str | None,
        typer.Option(
            help="A level, as 0.5 or 4 bits: find a setting for each layer that all together cost "
            "no more than it on all layers. With one --technique."
        ),
    ] = None,
    equal: Annotated[
        str,
        typer.Option(help=f"What they cost no more of: {', '.join(EQUAL)}; time implies --times."),
    ] = EQUAL[0],
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Try techniques on one layer at a time: where the model can be compressed, and where not.

    Looks at validation samples, never at test samples. Layers that can only change together are one
    row. With --common the settings of layers that follow are printed as a step of a recipe.
    """
    import torch

    from optim.processes import available_cores
    from optim.recipe import Recipe
    from optim.recovery import norms_measured
    from optim.sensitivity.analysis import analyse
    from optim.sensitivity.settings import settings_of_layers
    from optim.sensitivity.times import timed
    from optim.subject import open_subject
    from optim.techniques import TECHNIQUES

    if equal not in EQUAL:
        raise ConfigError(f"--equal must be one of {', '.join(EQUAL)}: got {equal!r}.")
    if common is not None and len(technique or ()) != 1:
        raise ConfigError("--common is a level of one technique: name it with --technique.")
    in_time = common is not None and equal == "time"
    torch.set_num_threads(1)  # chunks of samples are shared out instead
    recipe = Recipe(model, data, seed=seed)
    subject = open_subject(recipe)
    with progress_bar() as progress:
        *_, profile = analyse(
            subject, technique, samples=samples, workers=available_cores(), told=progress
        )
        if times or in_time:
            *_, profile = [profile, *timed(profile, subject, told=progress)]
    found = None
    if common is not None and technique:
        step, level = TECHNIQUES[technique[0]](), yaml.safe_load(common)
        found = settings_of_layers(subject, profile, step, level, in_time=in_time)
        recipe = recipe.with_step(found.step)
        if technique[0] in profile.structural:
            recipe = norms_measured(recipe)
    if as_json:
        asked = {"schema": "optim.sensitivity/1", "model": model, "data": data}
        settings = {**found.to_json(), "recipe": recipe.to_json()} if found else None
        print_json({**asked, **profile.to_json(), "settings": settings})
        return
    titles = {(row.technique, row.layer): row.title for row in profile.rows}
    rows = [
        (
            cell.technique,
            titles[cell.technique, cell.layer],
            cell.level,
            cell.quality,
            cell.change.verdict() if cell.change else "",
            cell.time or "",
        )
        for cell in profile.cells
    ]
    columns = ("technique", "layer", "level", profile.metric, "against the original", "time")
    print_table(f"{profile.n:,} {profile.part} samples", columns, rows)
    left_out = [
        f"{name}: {layer} was left out, {why}."
        for name, reasons in profile.left_out.items()
        for layer, why in reasons.items()
    ]
    say_notes([*(f"{name}: {why}" for name, why in profile.refused.items()), *left_out])
    if found is not None:
        say_notes([found.summary()])
        typer.echo(recipe.to_yaml())


@cli.command()
def inspect(
    model: Annotated[
        str,
        typer.Argument(help="A recipe file (YAML), or a model as elsewhere; then with --original."),
    ],
    data: Annotated[
        str | None, typer.Option(help="As elsewhere; a recipe names its own, unless another is.")
    ] = None,
    original: Original = None,
    view: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(VIEWS)}; may be repeated. All without it."),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=2, help="Samples for overview, samples and corruption, at most.")
    ] = LOOKED_AT["corruption"],
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Look into a model beside its original: what compression changed, and where it shows.

    Compares a recipe's model with what its steps make of it, or MODEL with --original. Looks at
    validation samples, never at test samples.
    """
    import torch

    views = view or list(VIEWS)
    for name in views:
        if name not in VIEWS:
            raise ConfigError(
                f"view must be one of {', '.join(VIEWS)}: got {name!r}.", field="view"
            )
    torch.set_num_threads(1)  # batches of samples are shared out instead
    with progress_bar() as progress:
        pair, asked = _pair(model, data, original, seed, progress)
        found, refused = {}, {}
        for name in views:
            try:
                found[name] = _LOOKS[name](pair, samples, progress)
            except OptimError as error:
                if view:
                    raise
                refused[name] = str(error)
    if as_json:
        content = {name: one.to_json() for name, one in found.items()}
        head = {"schema": "optim.inspect/1", **asked, "part": pair.subject.part}
        print_json({**head, **content, "refused": refused})
        return
    for name, one in found.items():
        _PRINTERS[name](one, pair)
    say_notes([f"{name} was left out: {why}" for name, why in refused.items()])


def _pair(
    model: str,
    data: str | None,
    original: str | None,
    seed: int,
    progress: _Progress,
) -> tuple[Pair, dict[str, Any]]:
    """Return both models, and what was asked for."""
    from dataclasses import replace

    from optim.inspect.pair import Pair, pair_of
    from optim.models.open import check_pair
    from optim.recipe import Recipe
    from optim.subject import open_subject

    is_recipe = Path(model).suffix in (".yaml", ".yml")
    if is_recipe == (original is not None):
        raise ConfigError(
            "A recipe brings its original: leave out --original."
            if is_recipe
            else "A model alone has nothing to be compared with.",
            hint="" if is_recipe else "Name its --original, or give a recipe.",
            field="original",
        )
    if is_recipe:
        recipe = Recipe.load(Path(model))
        recipe = replace(recipe, data=data) if data else recipe
        subject = open_subject(recipe, base=Path(model).parent)
        pair = pair_of(recipe, subject, train=True, told=progress)
    else:
        assert original is not None
        recipe = Recipe(original, data or GENERATED, seed=seed)
        subject = open_subject(recipe)
        other = open_subject(replace(recipe, model=model)).bundle
        check_pair(subject.bundle, other)
        pair = Pair(subject, subject.bundle, other)
    return pair, {"model": model, "data": recipe.data, "original": original}


_Progress = Callable[[float, str], None]


def _both(pair: Pair, samples: int, progress: _Progress) -> list[Predictions]:
    from optim.measure.evaluate import predict

    looked_at = pair.samples(samples)
    progress(0.0, f"both models on {len(looked_at):,} samples")
    return [predict(bundle, looked_at) for bundle in (pair.original, pair.result)]


def _overview(pair: Pair, samples: int, progress: _Progress) -> Overview:
    from optim.inspect.overview import overview

    before, after = _both(pair, samples, progress)
    return overview(before, after, pair.result.task)


def _layers(pair: Pair, samples: int, progress: _Progress) -> Layers:
    from optim.inspect.layers import layers_of

    return layers_of(pair, told=progress)


def _samples(pair: Pair, samples: int, progress: _Progress) -> Flips:
    from optim.inspect.flips import flips

    before, after = _both(pair, samples, progress)
    return flips(before, after, pair.result.task)


def _corruption(pair: Pair, samples: int, progress: _Progress) -> Robustness:
    from optim.inspect.robustness import under_corruption
    from optim.processes import available_cores

    *_, found = under_corruption(pair, samples=samples, workers=available_cores(), told=progress)
    return found


_LOOKS: dict[str, Callable[[Pair, int, _Progress], Any]] = {
    "overview": _overview,
    "layers": _layers,
    "samples": _samples,
    "corruption": _corruption,
}


def _print_overview(found: Overview, pair: Pair) -> None:
    rows: list[tuple[Any, ...]] = [
        (name, found.before.figures.get(name, ""), figure, "")
        for name, figure in found.after.figures.items()
    ]
    rows[0] = (*rows[0][:3], found.after.change.verdict() if found.after.change else "")
    if worst := found.worst:
        rows.append(
            (f"worst class, {worst.name}", worst.before, worst.after, worst.change.verdict())
        )
    if sure := found.confidence:
        shift = sure.shift.difference
        rows.append(("confidence", sure.before.confidence, sure.after.confidence, f"{shift}"))
        if sure.ece_change:
            moved = sure.ece_change.difference
            rows.append(("calibration error", sure.before.ece, sure.after.ece, f"{moved}"))
    title = f"{found.n:,} {pair.subject.part} samples"
    print_table(title, ("figure", "original", "now", "change"), rows)
    classes = [(c.name, c.before, c.after, c.change.verdict()) for c in found.classes]
    if classes:
        print_table("Classes", ("class", "original", "now", "change"), classes)
    say_notes([found.missing] if found.missing else [])


def _print_layers(found: Layers, pair: Pair) -> None:
    rows = [
        (
            row.layer,
            "x".join(map(str, row.shape)),
            row.macs,
            f"{100 * row.sparsity:.0f} %",
            f"{row.bits}/{row.activation_bits}",
            _sqnr(row.error.sqnr, row.error.missing and "other channels") if row.error else "",
            _sqnr(row.error.rounding) if row.error else "",
            f"{row.error.still} of {row.error.channels}" if row.error else "",
        )
        for row in found.rows
    ]
    columns = ("layer", "weight", "MACs", "zero", "bits", "SQNR", "rounding", "dead channels")
    print_table(f"Layers, {found.n:,} {found.part} samples", columns, rows)


def _sqnr(figure: Any, missing: str = "") -> str:
    return str(figure) if figure else missing or "no difference"


def _print_samples(found: Flips, pair: Pair) -> None:
    names = pair.result.task.class_names
    rows = [
        (
            flip.id,
            "" if flip.target is None else names[flip.target],
            f"{names[flip.before]}, {100 * flip.confidence_before:.0f} %",
            f"{names[flip.after]}, {100 * flip.confidence_after:.0f} %",
            flip.kind,
        )
        for flip in found.found[:_FLIPS]
    ]
    title = f"{found.share} of the samples get another class"
    print_table(title, ("sample", "class", "original", "now", "kind"), rows)


def _print_corruption(found: Robustness, pair: Pair) -> None:
    rows = [
        (
            cell.corruption or "clean",
            cell.severity or "",
            cell.before or "",
            cell.after or "no difference",
            cell.change.verdict() if cell.change else "",
            f"{cell.worst.name} {cell.worst.after}" if cell.worst else "",
        )
        for cell in (found.clean, *found.cells)
    ]
    columns = ("corruption", "severity", "original", "now", "change", "worst class")
    print_table(f"{found.metric}, {found.n:,} {found.part} samples", columns, rows)
    means = [
        (
            one.corruption or "all",
            one.before,
            one.after,
            one.change.verdict(),
            f"{one.worst.name} {one.worst.after}, {one.worst.change.verdict()}",
        )
        for one in found.averages
    ]
    if means:
        without = ("corruption", "original", "now", "change", "worst class")
        print_table("Mean over severities", without, means)
    say_notes([f"{name}: {why}" for name, why in found.left_out.items()])


_PRINTERS: dict[str, Callable[[Any, Pair], None]] = {
    "overview": _print_overview,
    "layers": _print_layers,
    "samples": _print_samples,
    "corruption": _print_corruption,
}


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
