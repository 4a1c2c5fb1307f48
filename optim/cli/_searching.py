"""What commands that search have in common: limits with units, and how an answer is told."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optim.cli._output import REFUSED, print_json, progress_bar, say_notes
from optim.errors import ConfigError
from optim.hashing import digest

if TYPE_CHECKING:
    from optim.search.executor import Executor
    from optim.search.watch import Watch

__all__ = [
    "MaxFlash",
    "MaxJoules",
    "MaxMs",
    "MaxRam",
    "Parallel",
    "bound",
    "bounds",
    "executor_of",
    "front_rows",
    "narrowed",
    "numbers",
    "tell",
    "watched",
]

MaxMs = Annotated[
    str | None,
    typer.Option(help="Longest inference on the device, in ms; for search also a share, 50%."),
]
MaxRam = Annotated[str | None, typer.Option(help="Most RAM on the device: 64kB, or 64KiB.")]
MaxFlash = Annotated[str | None, typer.Option(help="Most flash for weights.")]
MaxJoules = Annotated[
    str | None, typer.Option(help="Most energy of an inference on the device, in joules.")
]

Parallel = Annotated[
    int,
    typer.Option(
        help="Trainings at once, given to the engine of runs: on this machine, or on the nodes of "
        "a cluster (OPTIM_ENGINE=ray). 0: one after the other, in this process."
    ),
]

_UNITS = {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20}
_UNITS |= {"k": 1e3, "m": 1e6, "g": 1e9}


@contextlib.contextmanager
def watched(name: str, *, to_stderr: bool) -> Iterator[Watch]:
    """Yield who watches a search from the terminal; states of trainings outlive a kill.

    Args:
        name: Tells the search from others: its states are kept under this name until it has ended.
        to_stderr: Whether its story goes to standard error.
    """
    from optim.runs.checkpoint import Checkpoint
    from optim.runs.files import LocalFiles
    from optim.search.watch import Watch
    from optim.storage import store_home

    kept = LocalFiles(store_home() / "searching").within(digest(name)[:16])

    def say(text: str) -> None:
        typer.echo(text, err=to_stderr)

    def states(step: str) -> Checkpoint:
        return Checkpoint(kept.within(digest(step)[:16]), step, on_damage=say)

    with progress_bar() as progress:
        yield Watch(progress=progress, say=say, states=states)
    kept.remove("")


def executor_of(
    parallel: int, refs: Sequence[str], search: str, say: Callable[[str], None]
) -> Executor | None:
    """Return who trains for a search; None for this process.

    Args:
        parallel: How many trainings at once; 0 for this process.
        refs: What model and data are called: files are looked up in the present folder.
        search: Name of the search.
        say: Told what happens to trainings.

    Raises:
        ConfigError: If there are no so many places.
        RunError: If the engine cannot be started.
    """
    if parallel == 0:
        return None
    from optim.runs.store import RunStore
    from optim.runs.trainings import QueuedTrainings

    are_files = any(Path(ref.partition("?")[0]).exists() for ref in refs)
    base = str(Path.cwd()) if are_files else ""
    return QueuedTrainings(RunStore.open(), parallel, base=base, search=search, say=say)


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
