"""What commands that search have in common: limits with units, and how an answer is told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from optim.cli._output import REFUSED, print_json, say_notes
from optim.errors import ConfigError

__all__ = [
    "MaxFlash",
    "MaxJoules",
    "MaxMs",
    "MaxRam",
    "bound",
    "bounds",
    "front_rows",
    "narrowed",
    "numbers",
    "tell",
]

MaxMs = Annotated[
    str | None, typer.Option(help="Longest estimated inference on the device, in ms.")
]
MaxRam = Annotated[str | None, typer.Option(help="Most RAM on the device: 64kB, or 64KiB.")]
MaxFlash = Annotated[str | None, typer.Option(help="Most flash for weights.")]
MaxJoules = Annotated[
    str | None, typer.Option(help="Most energy of an inference on the device, in joules.")
]

_UNITS = {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20}
_UNITS |= {"k": 1e3, "m": 1e6, "g": 1e9}


def bounds(**given: tuple[str, str | None]) -> dict[str, float | str]:
    """Return limits by figure, of the options that were given.

    Args:
        given: Option and what stands behind it, by figure.

    Raises:
        ConfigError: If one is neither a number nor a share.
    """
    return {
        figure: bound(option, text) for figure, (option, text) in given.items() if text is not None
    }


def numbers(**given: tuple[str, str | None]) -> dict[str, float]:
    """Return limits like :func:`bounds` where there is no original that one could be a share of.

    Raises:
        ConfigError: If one is no number.
    """
    found: dict[str, float] = {}
    for figure, value in bounds(**given).items():
        if isinstance(value, str):
            option, text = given[figure]
            raise ConfigError(f"{option} must be a number, with a unit as in 40kB: got {text!r}.")
        found[figure] = value
    return found


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


def front_rows(found: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, list[str], str]]:
    """Yield each candidate of the front with its test, costs, and what it is, as text."""
    by_number = {row["number"]: row for row in found["candidates"]}
    for number in found["front"]:
        row = by_number[number]
        test = found["tests"].get(str(number))
        costs = [row["figures"][name]["text"] for name in found["goals"]["objectives"][1:]]
        mark = "taken" if number == found["chosen"] else "knee" if number == found["knee"] else ""
        yield row, test["text"] if test else "", costs, mark


def tell(found: dict[str, Any], show: Callable[[dict[str, Any]], None], *, as_json: bool) -> None:
    """Print an answer; end with the code of what is refused where limits are missed.

    Args:
        found: The answer, plain data.
        show: Prints its tables.
        as_json: Whether plain data are printed alone.
    """
    if as_json:
        print_json(found)
    else:
        show(found)
        if checked := found["verification"]:
            typer.echo(f"Verified in {checked['runtime']}: {checked['bytes']['value']:,} bytes.")
        say_notes([found["closest"]["text"]] if found["closest"] else [])
    if not found["satisfied"]:
        sys.stdout.flush()
        sys.exit(REFUSED)
