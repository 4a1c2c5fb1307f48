"""What the columns of a table hold, and how they become numbers.

- numbers: missing ones become the train part's median; centred and divided by its deviation. They
  may have a decimal comma where something else separates cells;
- two words for yes and no: 0 and 1;
- a few different texts: one column each (one-hot), with one of their own for what is missing.

Everything is learned from the train part and applied to the others: a category that train does not
have is all zeros. What cannot be used is left out, and the notes say so.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from optim.data.readers._table_files import DECIMAL_COMMA, Column
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
_OTHER_NOTATION = re.compile(
    r"[+-]?[$€£]?\s?"
    r"(?:\d+(?:[.,]\d+)?|[1-9]\d{0,2}([.,'’\u00a0\u202f])\d{3}(?:\1\d{3})*(?:[.,]\d+)?)"
    r"\s?[%‰$€£]?"
)
"""Numbers with a decimal comma, separated thousands, per cent or a currency: 1,234,567 or 12 %."""


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
        comma_is_free: Whether a comma may stand in a number.
        points: Whether a number is written with a point.
        commas: How many cells are numbers only with a decimal comma.
        other_notation: How many are numbers only as others write them, with a comma or not.
        absent: Texts of missing cells, and how often each is there.
    """

    name: str
    rows: int = 0
    missing: int = 0
    numbers: int = 0
    whole: bool = True
    values: set[str] = field(default_factory=set)
    text: tuple[str, int] | None = None
    comma_is_free: bool = False
    points: bool = False
    commas: int = 0
    other_notation: int = 0
    absent: Counter[str] = field(default_factory=Counter)

    def add(self, cells: Column) -> None:
        """Look at more cells.

        Raises:
            DataError: If a number is not finite.
        """
        commas = self.commas
        if isinstance(cells, np.ndarray):
            numbers, absent = cells, np.isnan(cells)
        else:
            numbers, absent, texts = _as_numbers(cells)
            self._look_at(cells, texts, numbers)
            self.absent.update(cells[i] for i in np.flatnonzero(absent))
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
        self.numbers += len(known) - (self.commas - commas)
        self.missing += int(absent.sum())
        self.rows += len(cells)

    def _look_at(self, cells: tuple[str, ...], texts: list[int], numbers: np.ndarray) -> None:
        """Look at the cells that are texts, and put in what is a number with a decimal comma."""
        if self.comma_is_free and not self.points:
            self.points = "." in "".join(cells)
        for i in texts:
            if self.text is None:
                self.text = (cells[i], self.rows + i + 1)
            if self.comma_is_free and DECIMAL_COMMA.fullmatch(cells[i]):
                numbers[i] = _with_point(cells[i])
                self.commas += 1
            self.other_notation += _OTHER_NOTATION.fullmatch(cells[i]) is not None

    @property
    def has_decimal_comma(self) -> bool:
        """Whether everything is a number with a decimal comma, or a whole one."""
        return 0 < self.commas == self.rows - self.missing - self.numbers and not self.points

    @property
    def is_numeric(self) -> bool:
        """Whether everything that is there is a number."""
        return self.has_decimal_comma or (self.numbers > 0 and self.text is None)

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
        self.check_slips()
        count = f"{len(self.values):,}" if len(self.values) <= _MANY else f"more than {_MANY:,}"
        return f"it has {count} different texts"

    def check_slips(self) -> None:
        """Refuse many different texts most of which look like numbers.

        Raises:
            DataError: Naming the first one that is none: that is not for us to decide.
        """
        seeming = self.numbers + self.other_notation
        if (
            self.is_numeric
            or self.text is None
            or len(self.values) <= MAX_CATEGORIES
            or seeming < 0.5 * (self.rows - self.missing)
        ):
            return
        text, row = self.text
        if _OTHER_NOTATION.fullmatch(text):
            raise DataError(
                f"Column {self.name!r} looks like numbers in another notation: {text[:40]!r} in "
                f"row {row:,}.",
                hint="Write all of them as 1234.5: a point, no separated thousands and no unit.",
            )
        raise DataError(
            f"Column {self.name!r} holds numbers, and {text[:40]!r} in row {row:,}.",
            hint="Correct that cell, or leave it empty.",
        )


@dataclass
class Contents:
    """All cells of a column, in the form its scan asks for."""

    scan: Scan
    parts: list[np.ndarray] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def add(self, cells: Column) -> None:
        """Take in more cells."""
        if self.scan.is_numeric:
            if not isinstance(cells, np.ndarray):
                if self.scan.has_decimal_comma:
                    cells = tuple(cell.replace(",", ".") for cell in cells)
                cells = _as_numbers(cells)[0]
            self.parts.append(cells)
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


def _as_numbers(cells: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return cells as numbers with NaN for the others, which are missing, and which are texts."""
    try:
        numbers = np.array(cells, np.float64)
        return numbers, np.isnan(numbers), []
    except ValueError:
        pass
    absent = np.array([is_missing(cell) for cell in cells])
    numbers, texts = np.full(len(cells), np.nan), []
    for i in np.flatnonzero(~absent):
        try:
            numbers[i] = float(cells[i])
        except ValueError:
            texts.append(int(i))
    return numbers, absent, texts


def _with_point(cell: str) -> float:
    return float(cell.replace(",", "."))


def _number_text(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"
