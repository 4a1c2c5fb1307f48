"""What commands print: JSON or tables on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from optim.errors import OptimError

if TYPE_CHECKING:
    from optim.data.splits import Overlap
    from optim.measure.scorecard import Scorecard
    from optim.quantity import Quantity

__all__ = [
    "REFUSED",
    "UNUSABLE",
    "fail",
    "print_json",
    "print_scorecard",
    "print_table",
    "progress_bar",
    "say_checks",
    "say_notes",
    "say_overlap",
]

REFUSED, UNUSABLE = 1, 2

STDERR = Console(stderr=True, highlight=False)


def print_json(content: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(content, indent=1, allow_nan=False))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def print_scorecard(card: Scorecard, part: str, rows: Sequence[str] = ()) -> None:
    """Print a line a figure of quality, and of the others those that are named, if any are."""
    assert card.file is not None
    assert card.latency is not None
    conditions = (
        str(card.conditions["runtime"]),
        f"batch {card.conditions['batch_size']}",
        f"threads {card.conditions['threads']}",
    )
    costs = [
        ("file", card.file, str(card.file.how)),
        ("latency", card.latency, f"{card.latency.how}, {', '.join(conditions)}"),
        ("MACs", card.macs, str(card.macs.how)),
        ("parameters", card.params, str(card.params.how)),
        ("zero weights", card.sparsity, str(card.sparsity.how)),
        *((f"size, {name}", size, str(size.how)) for name, size in card.sizes.items()),
    ]
    shown = [cost for cost in costs if not rows or cost[0] in rows]
    for name, value, how in [*_quality_rows(card, part), *shown]:
        typer.echo(f"{name:16} {value!s:>20}  {how}")


_NO_CLASSES = ("quality", "outputs are no classes")


def _quality_rows(card: Scorecard, part: str) -> Iterator[tuple[str, Quantity | str, str]]:
    from optim.measure.quality import METRICS

    if not card.quality:
        what, why = ("accuracy", "no labels") if card.primary == "agreement" else _NO_CLASSES
        yield what, "not measured", f"{why}; --original compares with another model"
    for name, figure in card.quality.items():
        yield METRICS[name].short.lower(), figure, f"{figure.how}, {figure.n:,} samples of {part}"


def say_notes(notes: Sequence[str]) -> None:
    for note in notes:
        STDERR.print(f"Note: {note}", markup=False, soft_wrap=True)


def say_overlap(overlap: Overlap, part: str) -> None:
    from optim.data.splits import overlap_note

    if note := overlap_note(overlap, part):
        STDERR.print(f"Note: {note}", markup=False, soft_wrap=True)


def say_checks(sentences: Sequence[str]) -> None:
    if sentences:
        STDERR.print("Accuracy is near chance. What to check:")
    for sentence in sentences:
        STDERR.print(f"  - {sentence}", markup=False, soft_wrap=True)


@contextmanager
def progress_bar() -> Iterator[Callable[[float, str], None]]:
    """Show a bar on a terminal, and nothing elsewhere."""
    if not STDERR.is_terminal:
        yield lambda share, what: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=STDERR, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda share, what: bar.update(task, completed=share, description=what)


def fail(error: OptimError, code: int) -> NoReturn:
    STDERR.print(f"optim: {error.message}", markup=False, soft_wrap=True)
    if error.hint:
        STDERR.print(f"       {error.hint}", markup=False, soft_wrap=True)
    sys.stdout.flush()
    sys.exit(code)
