"""Commands about devices: what is known of them, and how long models are expected to take there."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optim.cli._app import cli
from optim.cli._options import Json
from optim.cli._output import print_json, print_table, progress_bar, say_notes
from optim.cli._written import check_written
from optim.errors import ConfigError
from optim.quantity import Comparison, format_value
from optim.sweet_spot.fusion import LAYOUTS, LEVELS, Fusion, Level
from optim.sweet_spot.grid import RUNTIMES

if TYPE_CHECKING:
    from optim.devices.profile import DeviceProfile

__all__ = ["add", "devices", "list_devices", "predict", "probe", "saturation", "show", "sweet_spot"]

devices = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Devices a model may run on: list, show, predict, probe, add, sweet-spot, saturation.",
)
cli.add_typer(devices, name="devices")

_Own = Annotated[
    Path | None, typer.Option("--file", help="A YAML file of devices; the catalogue without it.")
]


@devices.command("list")
def list_devices(file: _Own = None, as_json: Json = False) -> None:
    """List the devices of the catalogue, or of a file."""
    found = _profiles(file)
    if as_json:
        _print_json(list(found.values()))
        return
    rows = [
        (
            profile.name,
            profile.device_class,
            profile.title,
            ", ".join(profile.precisions),
            "" if profile.ram_bytes is None else format_value(profile.ram_bytes, "bytes"),
            "yes" if profile.measured_as else "not validated",
        )
        for profile in found.values()
    ]
    print_table("Devices", ("name", "class", "title", "precisions", "RAM", "measured"), rows)


@devices.command()
def show(
    name: Annotated[str, typer.Argument(help="As in `devices list`.")],
    file: _Own = None,
    as_json: Json = False,
) -> None:
    """Show what is known of a device, and from where."""
    found = _profiles(file)
    if name not in found:
        raise ConfigError(f"device must be one of {', '.join(found)}: got {name!r}.")
    profile = found[name]
    if as_json:
        _print_json([profile])
        return
    source = {figure: text for text, figures in profile.sources.items() for figure in figures}
    plain = profile.model_dump(mode="json", exclude={"name", "sources", "runtimes", "notes"})
    for key, value in plain.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        known = "not known" if value is None or value == {} else text
        typer.echo(f"{key:16} {known!s:>34}  {source.get(key, '')}".rstrip())
    for runtime in profile.runtimes:
        typer.echo(f"{'runtime':16} {runtime.name}: {', '.join(runtime.precisions)}")
    for line in (profile.notes, profile.limits):
        if line:
            typer.echo(f"\n{line}")


@devices.command()
def predict(
    csv: Annotated[
        Path, typer.Option(help="Rows: device, device_class, runtime, precision, macs, params, ...")
    ],
    out: Annotated[
        Path, typer.Option(help="Where latency_ms, low_ms, high_ms, peak_memory_mb, ... go.")
    ],
) -> None:
    """Estimate latency and peak memory of the rows of a CSV file.

    Intervals hold four times in five; memory is blank where nothing was published of a class.
    """
    from optim.devices.memory import predict_memory
    from optim.devices.predict import predict as estimate
    from optim.devices.tables import read_workloads, write_estimates

    check_written([out], [csv])
    rows = read_workloads(csv)
    estimates = estimate(rows)
    memories = predict_memory(rows)
    write_estimates(out, estimates, memories)
    unknown = sum(not one.validated for one in estimates)
    outside = sum(one.extrapolated for one in estimates)
    typer.echo(
        f"{len(rows):,} rows written to {out}; {unknown:,} not validated, {outside:,} "
        f"extrapolated, {len(rows) - memories.count(None):,} with peak memory."
    )


@devices.command()
def probe(
    threads: Annotated[int, typer.Option(min=1, help="Threads of one inference.")] = 1,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Time for measuring.")] = 60.0,
    name: Annotated[str, typer.Option(help="How the device shall be called.")] = "",
    here: Annotated[
        bool,
        typer.Option(
            "--here", help="Keep it as this machine's, and check it with the networks of the zoo."
        ),
    ] = False,
) -> None:
    """Measure single operators on this device; standard output is what pages and `add` take."""
    import json

    from optim.devices.probe import probe as measure

    found = measure(threads, seconds, _told)
    if name:
        found["device"]["name"] = name[:80]
    if not here:
        typer.echo(json.dumps(found, indent=1))
        return
    from optim.devices.calibration import Calibration
    from optim.devices.own import keep_here
    from optim.ladder.checking import check_here

    rows = check_here(Calibration(keep_here(json.dumps(found).encode())), _told)
    print_table(
        "Predicted and measured on this machine",
        ("network", "predicted", "measured", "error", "in interval"),
        [
            (
                r.name,
                r.predicted,
                r.measured,
                f"{100 * r.error:+.0f} %",
                "yes" if r.is_inside else "",
            )
            for r in rows
        ],
    )
    errors = sorted(abs(row.error) for row in rows)
    typer.echo(f"Median error {100 * errors[len(errors) // 2]:.0f} % over {len(rows)} networks.")


@devices.command()
def add(
    file: Annotated[Path, typer.Argument(help="What the probe wrote on the device.")],
) -> None:
    """Add a device that was probed; the pages show it to whoever has no other owner."""
    from optim.devices.calibration import Calibration
    from optim.devices.own import keep_probe

    kept = keep_probe(file.read_bytes())
    error = Calibration(kept).error
    typer.echo(
        f"{kept.device.name}: {len(kept.operators)} operators; networks of the probe are predicted "
        f"to within {100 * error:.0f} %."
    )


@devices.command("sweet-spot")
def sweet_spot(
    recipe: Annotated[Path, typer.Argument(help="A recipe file (YAML).")],
    max_ms: Annotated[
        float, typer.Option(min=0, help="Longest latency of an inference, whatever its batch.")
    ] = math.inf,
    runtime: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(RUNTIMES)}; may be repeated. All that are here."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Most threads that are tried; all cores.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure runtimes, threads and batches on this machine; the best under a latency limit."""
    # Before OpenMP is loaded: threads that spin while idle would slow down whose turn is next.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from optim.recipe import Recipe
    from optim.sweet_spot.measuring import measure_recipe
    from optim.whatif.engine import Engine

    with progress_bar() as progress:
        grid = measure_recipe(
            Engine(base=recipe.parent),
            Recipe.load(recipe),
            runtime or None,
            cores=threads,
            told=progress,
        )
    best = grid.best(max_ms)
    if as_json:
        found = {
            "max_ms": max_ms if math.isfinite(max_ms) else None,
            "best": best.to_json() if best else None,
        }
        print_json({"schema": "optim.sweet-spot/1", **found, **grid.to_json()})
        return
    rows = [
        (
            RUNTIMES[cell.runtime],
            cell.threads,
            cell.batch,
            cell.latency,
            cell.throughput,
            "best" if cell is best else "" if cell.is_within(max_ms) else "too slow",
        )
        for cell in grid.cells
    ]
    columns = ("runtime", "threads", "batch", "latency", "samples a second", "")
    print_table(f"Measured on {grid.device}", columns, rows)
    _print_fusion("Fusion and layout in ONNX Runtime", LEVELS, grid.fusion)
    _print_fusion("Layout of images in PyTorch", LAYOUTS, grid.layout)
    refused = [f"{RUNTIMES[name]} was left out: {why}" for name, why in grid.refused.items()]
    levels = [f"{LEVELS[name].title}: {why}" for name, why in grid.fusion.refused.items()]
    levels += [f"{LAYOUTS[name].title}: {why}" for name, why in grid.layout.refused.items()]
    others = grid.equals_of(best, max_ms) if best else []
    noise = [f"The intervals do not tell {len(others)} others from the best."] if others else []
    say_notes([*noise, *refused, *levels, *grid.notes])


def _print_fusion(title: str, named: Mapping[str, Level], fusion: Fusion) -> None:
    rows = [
        (
            named[one.level].title,
            one.threads,
            one.batch,
            one.latency,
            one.change.verdict() if one.change else "",
        )
        for one in fusion.measured
    ]
    if rows:
        print_table(title, ("level", "threads", "batch", "latency", "against the first"), rows)


@devices.command()
def saturation(
    recipe: Annotated[Path, typer.Argument(help="A recipe file (YAML).")],
    samples: Annotated[
        int, typer.Option(min=1, help="Samples of the validation part at most.")
    ] = 512,
    as_json: Json = False,
) -> None:
    """Simulate an 8-bit model on x86 processors without VNNI, where sums of products saturate."""
    from optim.instructions import vnni_here
    from optim.measure.quality import METRICS
    from optim.recipe import Recipe
    from optim.whatif.engine import Engine
    from optim.whatif.saturation import measure_sums

    sums = measure_sums(Engine(base=recipe.parent), Recipe.load(recipe), samples)
    found = sums.found
    if as_json:
        print_json({"schema": "optim.saturation/1", "samples": sums.n, **found.to_json()})
        return
    rows: list[tuple[Any, ...]] = [
        ("32 bits: VNNI, AMX, Arm", found.exact or "by definition", ""),
        ("16 bits: x86 without them", found.saturated or "no difference", _in_words(found.change)),
    ]
    if sums.change is not None and (found.reduced or found.reduced_change):
        rows.append(
            ("either, weights of reduced range", found.reduced, _in_words(found.reduced_change))
        )
    title = f"Simulated on {sums.n} samples of the validation part"
    print_table(title, ("sums of products in", METRICS[found.metric].title, "change"), rows)
    layers = [name for name, share in found.at_risk.items() if share]
    notes = (
        [f"Sums may saturate in {len(layers)} of {len(found.at_risk)} layers."] if layers else []
    )
    if found.agreement is not None and layers:
        notes.append(f"Both sums choose the same class for {found.agreement} of the samples.")
    if sums.change is not None:
        notes.append("`reduce_range: true` in the step quantize keeps weights to -64..63.")
    if layers and vnni_here() is False:
        notes.append(
            "This machine adds in 16 bits unless a session says session.x64quantprecision = 1, as "
            "those of this program do."
        )
    say_notes([*notes, *sums.notes])


def _in_words(value: Comparison | None) -> str:
    return value.verdict() if value else ""


def _told(share: float) -> None:
    """Tell on standard error how far it is."""
    typer.echo(f"\r{share:4.0%} ", err=True, nl=False)


def _profiles(file: Path | None) -> dict[str, DeviceProfile]:
    from optim.devices.profile import catalogue, load_profiles

    return dict(catalogue()) if file is None else load_profiles(file)


def _print_json(profiles: list[DeviceProfile]) -> None:
    rows: list[dict[str, Any]] = [
        {**profile.model_dump(mode="json"), "limits": profile.limits} for profile in profiles
    ]
    print_json({"schema": "optim.devices/1", "devices": rows})
