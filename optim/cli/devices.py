"""Commands about devices: what is known of them, and how long models are expected to take there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optim.cli._app import cli
from optim.cli._options import Json
from optim.cli._output import print_json, print_table
from optim.errors import ConfigError
from optim.quantity import format_value

if TYPE_CHECKING:
    from optim.devices.profile import DeviceProfile

__all__ = ["devices", "list_devices", "predict", "show"]

devices = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Devices a model may run on: list, show, predict.",
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
    out: Annotated[Path, typer.Option(help="Where latency_ms, low_ms and high_ms go.")],
) -> None:
    """Estimate latencies of the rows of a CSV file, with intervals that hold four times in five."""
    from optim.devices.predict import predict as estimate
    from optim.devices.tables import read_workloads, write_estimates

    rows = read_workloads(csv)
    estimates = estimate(rows)
    write_estimates(out, estimates)
    unknown = sum(not one.validated for one in estimates)
    outside = sum(one.extrapolated for one in estimates)
    typer.echo(
        f"{len(rows):,} rows written to {out}; {unknown:,} not validated, {outside:,} extrapolated."
    )


def _profiles(file: Path | None) -> dict[str, DeviceProfile]:
    from optim.devices.profile import catalogue, load_profiles

    return dict(catalogue()) if file is None else load_profiles(file)


def _print_json(profiles: list[DeviceProfile]) -> None:
    rows: list[dict[str, Any]] = [
        {**profile.model_dump(mode="json"), "limits": profile.limits} for profile in profiles
    ]
    print_json({"schema": "optim.devices/1", "devices": rows})
