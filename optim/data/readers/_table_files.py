"""CSV, TSV and Parquet files as streams of columns, a few thousand rows at a time.

Nothing is converted here: a chunk is text or, from Parquet, numbers with NaN for what is missing.
Rows, columns, cells and the length of a line are bounded before they are read. CSV is read by the
standard library; Parquet needs pyarrow, which streamlit brings along.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from optim.errors import DataError
from optim.optional import optional_package

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["DECIMAL_COMMA", "ENDINGS", "Column", "TableFile", "table_file"]

MAX_TABLE_BYTES = 512 * 2**20
MAX_COLUMNS = 5_000
MAX_ROWS = 5_000_000
MAX_CELLS = 20_000_000
"""Rows times columns: 160 MB as numbers, and about a minute to read as text."""
_MAX_LINE = 4 * 2**20
_CHUNK_ROWS = 4_096

_LOOKED_AT = 20
"""Lines that say what separates cells."""

ENDINGS = (".csv", ".tsv", ".parquet")

DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?([eE][+-]?\d{1,3})?")
"""A number as many languages write it: 3,14. No other separators, and no point."""
_TOLD = re.compile(r"sep=([,;\t|])\r?\n")
_MARK = 16
"""Bytes that hold the line by which Excel is told what separates cells."""
_UNNAMED = ("", "Unnamed: 0")
"""What pandas calls the column of its index, and what it calls it once that was read again."""

Column = np.ndarray | tuple[str, ...]
"""Part of a column: ``(n,)`` float64 with NaN for missing, or text with an empty one."""


class TableFile:
    """One table: the names of its columns, and its chunks.

    Attributes:
        name: For messages.
        columns: Different names, in the order of the file.
        notes: What a reader should know about how it was read.
        comma_is_free: Whether a comma may stand in a number, for something else separates cells.
        unnamed: The first column, where the file has names and none for it; otherwise empty.
    """

    name: str
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()
    comma_is_free: bool = False
    unnamed: str = ""

    def chunks(self) -> Iterator[Mapping[str, Column]]:
        """Yield ``{column: values}`` of some thousand rows each, from the first row on.

        Raises:
            DataError: If a row is damaged or there are more of them than allowed.
        """
        raise NotImplementedError


def table_file(data: bytes, name: str) -> TableFile:
    """Open a table by the ending of its name.

    Raises:
        DataError: If it is empty, too large or damaged.
        MissingDependencyError: If it is Parquet and pyarrow is not installed.
    """
    if len(data) > MAX_TABLE_BYTES:
        raise DataError(f"{name!r} is larger than {MAX_TABLE_BYTES // 2**20} MiB.")
    if not data.strip():
        raise DataError(f"{name!r} is empty.")
    if PurePosixPath(name).suffix.lower() == ".parquet":
        return _Parquet(data, name)
    return _Text(data, name)


class _Text(TableFile):
    """Text with one row a line."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self._data = data
        self._encoding, title = _encoding_of(data)
        if title:
            self.notes = (f"Text is read as {title}: it is not UTF-8.",)
        if b"\0" in data[:65_536]:
            raise DataError(f"{name!r} is not text.", hint="Save the table as CSV in UTF-8.")
        told = _TOLD.match(data[:_MARK].decode(self._encoding, "ignore"))
        self._skips = told is not None
        lines = list(itertools.islice(self._lines(), _LOOKED_AT))
        if not lines:  # what looks blank in its encoding
            raise DataError(f"{name!r} is empty.")
        self._delimiter = told[1] if told else self._delimiter_of(lines)
        self.comma_is_free = self._delimiter != ","
        header = [cell.strip() for cell in next(self._rows(), [])]
        if not header:
            raise DataError(f"{name!r} is empty.")
        if len(header) > MAX_COLUMNS:
            raise DataError(
                f"{name!r} has {len(header):,} columns: at most {MAX_COLUMNS:,} are allowed."
            )
        self._has_header = not all(
            _is_number(cell) or (self.comma_is_free and DECIMAL_COMMA.fullmatch(cell))
            for cell in header
        )
        if not self._has_header:
            header = [f"column {i + 1}" for i in range(len(header))]
            self.notes = (*self.notes, "The first row holds numbers: columns have no names.")
        self.columns = _different(header)
        if self._has_header and header[0] in _UNNAMED:
            self.unnamed = self.columns[0]

    def chunks(self) -> Iterator[Mapping[str, Column]]:
        rows = self._rows()
        if self._has_header:
            next(rows)
        width, count = len(self.columns), 0
        while chunk := list(itertools.islice(rows, _CHUNK_ROWS)):
            for row in chunk:
                count += 1
                if len(row) != width:
                    raise DataError(
                        f"Row {count:,} of {self.name!r} has {len(row):,} cells and the table has "
                        f"{width:,} columns.",
                        hint="Cells that hold the separator belong in quotation marks.",
                    )
            _check_count(self.name, count, width)
            cells = zip(*chunk, strict=True)
            yield {
                name: tuple(cell.strip() for cell in column)
                for name, column in zip(self.columns, cells, strict=True)
            }

    def _rows(self) -> Iterator[list[str]]:
        """Yield the cells of every line that is not blank."""
        try:
            for row in csv.reader(self._lines(), delimiter=self._delimiter, strict=True):
                if row:
                    yield row
        except csv.Error as error:
            raise DataError(f"{self.name!r} cannot be read as a table: {error}.") from error

    def _lines(self) -> Iterator[str]:
        text = io.TextIOWrapper(io.BytesIO(self._data), self._encoding, newline="")
        found = False
        if self._skips:
            text.readline(_MARK)
        while line := text.readline(_MAX_LINE + 1):
            if len(line) > _MAX_LINE:
                raise DataError(f"{self.name!r} has a line of more than {_MAX_LINE:,} characters.")
            if line.strip():
                found = True
            if found:  # blank lines above the header
                yield line

    def _delimiter_of(self, lines: list[str]) -> str:
        if self.name.lower().endswith(".tsv"):
            return "\t"
        if _are_separated_by_semicolons([line for line in lines if line.strip()]):
            return ";"
        return max(",;\t|", key=lambda mark: len(_cells(lines[0], mark)))


class _Parquet(TableFile):
    """Columns as Parquet keeps them."""

    def __init__(self, data: bytes, name: str) -> None:
        pyarrow = _pyarrow()
        self.name = name
        try:
            from pyarrow import parquet

            self._file = parquet.ParquetFile(pyarrow.BufferReader(data))
            about = self._file.metadata
            rows, columns = int(about.num_rows), int(about.num_columns)
            size = sum(
                int(about.row_group(i).total_byte_size) for i in range(int(about.num_row_groups))
            )
            schema = self._file.schema_arrow
        except DataError:
            raise
        except Exception as error:
            # pyarrow raises classes of many kinds for damaged files.
            raise DataError(f"{name!r} is not a Parquet file, or it is damaged.") from error
        if columns > MAX_COLUMNS:
            raise DataError(
                f"{name!r} has {columns:,} columns: at most {MAX_COLUMNS:,} are allowed."
            )
        _check_count(name, rows, columns)
        if rows < 1:
            raise DataError(f"{name!r} holds no row.")
        if not 0 <= size <= 4 * MAX_TABLE_BYTES:
            raise DataError(f"{name!r} would unpack to {size:,} bytes.")
        kinds = pyarrow.types
        usable = {
            field.name
            for field in schema
            if kinds.is_integer(field.type)
            or kinds.is_floating(field.type)
            or kinds.is_boolean(field.type)
            or kinds.is_decimal(field.type)
            or _is_text(kinds, field.type)
        }
        others = [field.name for field in schema if field.name not in usable]
        if others:
            self.notes = (
                f"Left out, for they hold neither numbers nor text: {', '.join(others)[:200]}.",
            )
        names = [field.name for field in schema if field.name in usable]
        if len(set(names)) < len(names):
            raise DataError(f"{name!r} has two columns of one name.")
        self.columns = tuple(names)
        if names and names[0] in _UNNAMED:
            self.unnamed = names[0]

    def chunks(self) -> Iterator[Mapping[str, Column]]:
        count = 0
        try:
            batches = self._file.iter_batches(_CHUNK_ROWS, columns=list(self.columns))
            for batch in batches:
                count += batch.num_rows
                _check_count(self.name, count, len(self.columns))
                arrays = zip(self.columns, batch.columns, strict=True)
                yield {name: _parquet_column(array) for name, array in arrays}
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{self.name!r} is damaged and cannot be read.") from error


def _encoding_of(data: bytes) -> tuple[str, str]:
    """Return the encoding of a text, and what a reader calls it where it is not UTF-8."""
    for encoding, title in (("utf-8-sig", ""), ("cp1252", "Windows-1252")):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding, title
    return "latin-1", "Latin-1"


def _cells(line: str, mark: str) -> list[str]:
    """Return the cells of a line if they are separated by ``mark``."""
    try:
        return next(csv.reader([line], delimiter=mark))
    except csv.Error:  # a single cell that is larger than any cell may be
        return [line]


def _are_separated_by_semicolons(lines: list[str]) -> bool:
    """Whether semicolons give the same number of cells on several lines, whatever commas give.

    Where commas do as well, those that semicolons leave must all stand in numbers.
    """
    rows = [_cells(line, ";") for line in lines]
    if len(rows) < 2 or len(rows[0]) < 2 or len({len(row) for row in rows}) > 1:
        return False
    if len({len(_cells(line, ",")) for line in lines}) > 1:
        return True
    cells = (cell.strip() for row in rows[1:] for cell in row)
    return all(DECIMAL_COMMA.fullmatch(cell) for cell in cells if "," in cell)


def _parquet_column(array: Any) -> Column:
    kinds = _pyarrow().types
    if kinds.is_boolean(array.type) or _is_text(kinds, array.type):
        values = array.to_pylist()
        return tuple("" if v is None else str(v).strip() for v in values)
    values = array.to_numpy(zero_copy_only=False)
    return np.asarray([np.nan if v is None else v for v in values], np.float64)


def _is_text(kinds: Any, kind: Any) -> bool:
    if kinds.is_dictionary(kind):
        kind = kind.value_type
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _pyarrow() -> ModuleType:
    return optional_package(
        "pyarrow", "Parquet files need pyarrow.", "pip install pyarrow, or save the table as CSV."
    )


def _check_count(name: str, rows: int, columns: int) -> None:
    if rows > MAX_ROWS or rows * columns > MAX_CELLS:
        raise DataError(
            f"{name!r} has more than {MAX_ROWS:,} rows or {MAX_CELLS:,} cells.",
            hint="Use fewer rows or columns.",
        )


def _different(names: list[str]) -> tuple[str, ...]:
    """Give columns without a name one, and those of one name a number."""
    seen: dict[str, int] = {}
    found = []
    for i, name in enumerate(names):
        name = name[:80] or f"column {i + 1}"
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    if len(set(found)) < len(found):
        raise DataError("The columns of a table need names that differ.")
    return tuple(found)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
