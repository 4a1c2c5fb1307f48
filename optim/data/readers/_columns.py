"""What the columns of a table hold, and how they become numbers.

- numbers: missing ones become the train part's median; centred and divided by its deviation;
- two words for yes and no: 0 and 1;
- a few different texts: one column each (one-hot), with one of their own for what is missing.

Everything is learned from the train part and applied to the others: a category that train does not
have is all zeros. What cannot be used is left out, and the notes say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from optim.data.readers._table_files import Column
from optim.errors import DataError

__all__ = ["MAX_CATEGORIES", "MISSING", "Contents", "Encoder", "Scan", "is_missing"]

MAX_CATEGORIES = 64
"""Different texts of one column that are worth a column each."""
_MANY = 1_000
"""Different values after which they are no longer counted."""
_MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "?"})
_YES_NO = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"})
_YES = frozenset({"true", "yes", "t", "y"})
MISSING = "(missing)"


def is_missing(text: str) -> bool:
    """Whether a cell means that nothing is known."""
    return text.lower() in _MISSING


@dataclass
class Scan:
    """What was seen of a column so far.

    Attributes:
        name: Of the column.
        rows: How many cells.
        missing: How many of them are empty.
        numbers: How many are numbers.
        whole: Whether all numbers are whole.
        values: Different values as text, as long as they are few.
        text: The first cell that is neither a number nor missing, and its row.
    """

    name: str
    rows: int = 0
    missing: int = 0
    numbers: int = 0
    whole: bool = True
    values: set[str] = field(default_factory=set)
    text: tuple[str, int] | None = None

    def add(self, cells: Column) -> None:
        """Look at more cells.

        Raises:
            DataError: If a number is not finite.
        """
        if isinstance(cells, np.ndarray):
            numbers, absent = cells, np.isnan(cells)
        else:
            numbers, absent, text = _as_numbers(cells)
            if text is not None and self.text is None:
                self.text = (cells[text], self.rows + text + 1)
            if len(self.values) <= _MANY:
                self.values |= {cell for cell in set(cells) if not is_missing(cell)}
        known = numbers[~np.isnan(numbers)]
        if np.isinf(known).any():
            row = self.rows + int(np.flatnonzero(np.isinf(numbers))[0]) + 1
            raise DataError(
                f"Column {self.name!r} holds a value that is not finite, in row {row:,}.",
                hint="Replace it, or leave it empty.",
            )
        if isinstance(cells, np.ndarray) and len(self.values) <= _MANY:
            self.values |= {_number_text(value) for value in np.unique(known)}
        self.whole &= bool((known == np.rint(known)).all())
        self.numbers += len(known)
        self.missing += int(absent.sum())
        self.rows += len(cells)

    @property
    def is_numeric(self) -> bool:
        """Whether everything that is there is a number."""
        return self.numbers > 0 and self.text is None

    @property
    def is_boolean(self) -> bool:
        """Whether everything is yes or no, in one pair of words, and nothing is missing."""
        words = {value.lower() for value in self.values}
        return not self.missing and len(words) == 2 and words in _YES_NO

    def reason_to_leave_out(self) -> str:
        """Say why the column cannot be used; empty if it can.

        Raises:
            DataError: If it looks like numbers with a slip in them: that is not for us to decide.
        """
        if self.missing == self.rows:
            return "it is empty"
        if self.is_numeric or self.is_boolean:
            return ""
        if len(self.values) <= MAX_CATEGORIES:
            return ""
        if self.text and self.numbers >= 0.5 * (self.rows - self.missing):
            raise DataError(
                f"Column {self.name!r} holds numbers, and {self.text[0][:40]!r} in row "
                f"{self.text[1]:,}.",
                hint="Correct that cell, or leave it empty.",
            )
        count = f"{len(self.values):,}" if len(self.values) <= _MANY else f"more than {_MANY:,}"
        return f"it has {count} different texts"


@dataclass
class Contents:
    """All cells of a column, in the form its scan asks for."""

    scan: Scan
    parts: list[np.ndarray] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def add(self, cells: Column) -> None:
        """Take in more cells."""
        if self.scan.is_numeric:
            numbers = cells if isinstance(cells, np.ndarray) else _as_numbers(cells)[0]
            self.parts.append(numbers)
            return
        texts = (
            cells
            if not isinstance(cells, np.ndarray)
            else tuple("" if np.isnan(v) else _number_text(v) for v in cells)
        )
        codes = [
            -1 if is_missing(text) else self.places.setdefault(text, len(self.places))
            for text in texts
        ]
        self.parts.append(np.array(codes, np.int32))

    def numbers(self) -> np.ndarray:
        """``(N,)`` float64 with NaN for missing."""
        return np.concatenate(self.parts)

    def texts(self) -> np.ndarray:
        """``(N,)`` text, ``(missing)`` where there is none."""
        if self.scan.is_numeric:
            numbers = self.numbers()
            values, at = np.unique(numbers, return_inverse=True)
            names = np.array([MISSING if np.isnan(v) else _number_text(v) for v in values])
            return names[at]
        names = np.array([*self.places, MISSING])
        return names[np.concatenate(self.parts)]


@dataclass(frozen=True)
class Encoder:
    """How one column becomes numbers, as the train part has it.

    Attributes:
        names: Of the resulting columns.
        median: Replaces missing numbers.
        mean: Subtracted from numbers.
        std: What they are divided by.
        categories: Texts that get a column each; empty for numbers.
        yes: Texts that are 1, the others 0.
        note: What a reader should know; may be empty.
    """

    names: tuple[str, ...]
    median: float = 0.0
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] = ()
    yes: tuple[str, ...] = ()
    note: str = ""

    @classmethod
    def learned(cls, train: Contents) -> Encoder:
        """Look at the train part; no names if nothing can be learned from the column."""
        scan = train.scan
        if scan.is_numeric:
            return cls._of_numbers(scan.name, train.numbers())
        texts = train.texts()
        if scan.is_boolean:
            yes = tuple(value for value in scan.values if value.lower() in _YES)
            return cls((scan.name,), yes=yes)
        found = tuple(sorted(set(map(str, texts))))
        if len(found) < 2:
            return cls((), note=f"{scan.name}: left out, train has one value")
        return cls(tuple(f"{scan.name}={value}" for value in found), categories=found)

    @classmethod
    def _of_numbers(cls, name: str, values: np.ndarray) -> Encoder:
        known = values[~np.isnan(values)]
        if not len(known) or known.min() == known.max():
            return cls((), note=f"{name}: left out, train has one value")
        median = float(np.median(known))
        filled = np.where(np.isnan(values), median, values)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = float(filled.mean()), float(filled.std())
        if not np.isfinite([mean, std]).all() or std == 0:
            return cls((), note=f"{name}: left out, its values are too large")
        missing = len(values) - len(known)
        note = f"{name}: {missing:,} missing, read as the median {median:g}" if missing else ""
        return cls((name,), median, mean, std, note=note)

    def encoded(self, contents: Contents) -> np.ndarray:
        """Return ``(N, columns)`` float32."""
        if self.categories:
            texts = contents.texts()
            return np.stack([texts == value for value in self.categories], 1).astype(np.float32)
        if self.yes:
            return np.isin(contents.texts(), self.yes).astype(np.float32)[:, None]
        values = contents.numbers()
        filled = np.where(np.isnan(values), self.median, values)
        with np.errstate(over="ignore"):
            scaled = ((filled - self.mean) / self.std).astype(np.float32)
        if not np.isfinite(scaled).all():
            largest = float(np.abs(filled).max())
            raise DataError(
                f"Column {self.names[0]!r} holds {largest:g}, far from what train has (mean "
                f"{self.mean:g}, deviation {self.std:g}).",
                hint="Correct that cell, or leave it empty.",
            )
        return scaled[:, None]


def _as_numbers(cells: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, int | None]:
    """Return cells as numbers with NaN for the others, which are missing, and the first text."""
    try:
        numbers = np.array(cells, np.float64)
        return numbers, np.isnan(numbers), None
    except ValueError:
        pass
    absent = np.array([is_missing(cell) for cell in cells])
    numbers, text = np.full(len(cells), np.nan), None
    for i in np.flatnonzero(~absent):
        try:
            numbers[i] = float(cells[i])
        except ValueError:
            text = int(i) if text is None else text
    return numbers, absent, text


def _number_text(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"
