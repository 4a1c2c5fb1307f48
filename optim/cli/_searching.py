"""What commands that search have in common: limits with units, and how an answer is told."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optim.cli._output import REFUSED, print_json, progress_bar, say_notes
from optim.errors import ConfigError
from optim.hashing import digest
from optim.search.budget import MOST_S
from optim.search.figures import FIGURES

if TYPE_CHECKING:
    from optim.search.executor import Executor
    from optim.search.watch import Watch

__all__ = [
    "MaxFlash",
    "MaxJoules",
    "MaxMs",
    "MaxRam",
    "Parallel",
    "amount",
    "bounds",
    "executor_of",
    "front_rows",
    "narrowed",
    "numbers",
    "seconds_of",
    "tell",
    "watched",
]

MaxMs = Annotated[
    str | None,
    typer.Option(help="Longest inference on the device, in ms unless it says us or s."),
]
MaxRam = Annotated[str | None, typer.Option(help="Most RAM on the device: 64kB, or 64KiB.")]
MaxFlash = Annotated[str | None, typer.Option(help="Most flash for weights: 1MB, or 1MiB.")]
MaxJoules = Annotated[
    str | None,
    typer.Option(help="Most energy of an inference on the device, in joules: 0.001, or 1mJ."),
]

Parallel = Annotated[
    int,
    typer.Option(
        help="Trainings at once, given to the engine of runs: on this machine, or on the nodes of "
        "a cluster (OPTIM_ENGINE=ray). 0: one after the other, in this process."
    ),
]


@dataclass(frozen=True)
class _Kind:
    """What may be written for a figure of one unit.

    Attributes:
        what: Its unit in words, for "a number of".
        examples: As somebody may write it.
        units: ``{unit: what it is in the figure's own}``.
    """

    what: str
    examples: str
    units: Mapping[str, float]

    def factor(self, unit: str) -> float | None:
        """Return what a unit is in the figure's own; None if it is none of it.

        Capitals matter for energy alone: 1 MJ is no millijoule.
        """
        return self.units.get(unit, self.units.get(unit.lower()))


_COUNTS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_BYTES = {**_COUNTS, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9}
_BYTES |= {"kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30}
_KINDS = {
    "bytes": _Kind("bytes", "40000, 40kB or 64KiB", _BYTES),
    "macs": _Kind("MACs", "20000 or 2M", _COUNTS),
    "params": _Kind("parameters", "20000 or 2M", _COUNTS),
    "ms": _Kind(
        "milliseconds",
        "5, 5ms or 800us",
        {"": 1.0, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "s": 1e3},
    ),
    "s": _Kind(
        "seconds", "90, 90s or 2min", {"": 1.0, "s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
    ),
    "j": _Kind(
        "joules",
        "0.001, 1mJ or 500uJ",
        {"": 1.0, "J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "µJ": 1e-6, "μJ": 1e-6, "nJ": 1e-9},
    ),
}
"""What may be written, by the unit of a figure."""

_NO_SHARE = ", and no share: there is no original"
_AMOUNT = re.compile(r"(?P<number>[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)\s*(?P<unit>[^\W\d]*)", re.I)


@contextlib.contextmanager
def watched(name: str, *, to_stderr: bool) -> Iterator[Watch]:
    """Yield who watches a search from the terminal; states of trainings outlive a kill.

    Ctrl-C has the search take what it has; a second one stops it, and what was tried is kept.

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

    try:
        with progress_bar() as progress, _interrupts() as is_enough:
            yield Watch(progress=progress, say=say, states=states, is_enough=is_enough)
    except KeyboardInterrupt:
        typer.echo("Stopped. What was tried is kept: the same command goes on with it.", err=True)
        raise
    kept.remove("")


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Have the first Ctrl-C take what there is, and the second stop at once.

    Yields:
        Whether somebody wants no more.
    """
    asked: list[int] = []

    def interrupted(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        # A print within a print is an error: whatever is being printed is left alone.
        os.write(2, b"The best so far is taken. Ctrl-C once more stops at once.\n")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread hears of signals
        return
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


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
    from optim.runs.trainings import MOST_PLACES, QueuedTrainings

    if not 0 < parallel <= MOST_PLACES:
        raise ConfigError(
            f"--parallel must be from 0 to {MOST_PLACES}, 0 for one after the other in this "
            f"process: got {parallel}.",
            field="parallel",
        )

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
        figure: text.strip() if text.strip().endswith("%") else amount(figure, option, text)
        for figure, (option, text) in given.items()
        if text is not None
    }


def numbers(**given: tuple[str, str | None]) -> dict[str, float]:
    """Return limits like :func:`bounds` where there is no original that one could be a share of.

    Raises:
        ConfigError: If one is no number.
    """
    return {
        figure: amount(figure, option, text, _NO_SHARE if "%" in text else "")
        for figure, (option, text) in given.items()
        if text is not None
    }


def amount(figure: str, option: str, text: str, also: str = ", or a share as in 10%") -> float:
    """Return a number with a unit of its figure, in the figure's own unit.

    Args:
        figure: A key of ``FIGURES``.
        option: What it stands behind.
        text: As somebody wrote it.
        also: What else it may be, for the message.

    Raises:
        ConfigError: If it is none, of another unit, or not finite.

    Example:
        >>> amount("latency", "--max-ms", "800us"), amount("energy", "--max-joules", "1 mJ")
        (0.8, 0.001)
    """
    kind = _KINDS[FIGURES[figure].unit]
    found = _AMOUNT.fullmatch(text.strip())
    factor = kind.factor(found["unit"]) if found else None
    value = float(found["number"]) * factor if found and factor else math.inf
    if not math.isfinite(value):
        raise ConfigError(
            f"{option} must be a number of {kind.what}, as in {kind.examples}{also}: got {text!r}.",
            field=figure,
        )
    return value


def seconds_of(minutes: float) -> float:
    """Return the seconds of a budget.

    Raises:
        ConfigError: If there are no such minutes.
    """
    most = MOST_S / 60
    if not 0 < minutes <= most:
        raise ConfigError(
            f"--minutes must be more than 0 and at most {most:,.0f}, a week: got {minutes:g}.",
            field="budget_s",
        )
    return 60 * minutes


def narrowed(text: str, example: str) -> tuple[str, tuple[bool | int | float | str, ...]]:
    """Return a dimension and its values.

    Args:
        text: As somebody wrote it.
        example: How one is written, for the message.

    Raises:
        ConfigError: If it is not written as ``name=value,value``.
    """
    name, equals, values = text.partition("=")
    if not equals or not name or not values:
        raise ConfigError(f"--only must be written as {example}: got {text!r}.", field="only")
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
    if found["earlier"]:
        say_notes([f"Of an earlier search, and left as they are: {', '.join(found['earlier'])}."])
    if not found["satisfied"]:
        sys.stdout.flush()
        sys.exit(REFUSED)
