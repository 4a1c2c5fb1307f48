"""Tables with a column of classes or of a quantity: CSV, TSV, Parquet; one file, or one a part.

A table alone is cut into train, validation and test, for what is learned about its columns
(medians, deviations, categories) may come from the train part only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from optim.data.class_names import check_class_names
from optim.data.dataset import Dataset, Samples, cached_json, cached_part
from optim.data.folder import MAX_CLASSES, MAX_DECODED_BYTES, is_sample
from optim.data.options import NO_LABELS, DataOptions
from optim.data.readers._columns import MISSING, Contents, Encoder, Scan
from optim.data.readers._table_files import ENDINGS, TableFile, table_file
from optim.data.readers.reader import Place, Reader, ordered_parts, role_of
from optim.data.splits import PART_SHARES, cut_origin, part_hash, stratified_split
from optim.data.task import NO_LABEL, Classification, Regression, Task, Unlabelled
from optim.errors import DataError
from optim.hashing import digest

__all__ = ["READER"]

_VERSION = 3
MAX_FEATURES = 10_000
_MAX_NUMERIC_CLASSES = 100
_MAX_NOTES = 12
_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls the columns of an index in Parquet."""
_GUESSES = ("target", "label", "labels", "class", "y", "outcome", "species", "category")


@dataclass(frozen=True)
class _Found:
    """What is known about a table once it was looked through; kept in the cache as JSON."""

    target: str
    guessed: bool
    class_names: list[str]
    features: list[str]
    sizes: dict[str, int]
    notes: list[str]
    is_quantity: bool


@dataclass(frozen=True, eq=False)
class _Arrays:
    """The table as numbers."""

    found: _Found
    samples: dict[str, Samples]


def _takes(files: Sequence[str]) -> bool:
    return any(_is_table(file) for file in files) and not any(is_sample(file) for file in files)


def _is_table(file: str) -> bool:
    return file.lower().endswith(ENDINGS)


def _open(place: Place, options: DataOptions) -> Dataset:
    files = _files(place)
    content = place.container.content_hash("", sorted(files.values()))
    seed = options.seed if len(files) == 1 else 0
    source = digest("table", content)
    identity = digest(source, _VERSION, options.target, seed)

    def look() -> dict[str, Any]:
        arrays = _read(place, files, options)
        for part in arrays.samples:  # looked through once, whichever part is asked for first
            cached_part(identity, part, partial(arrays.samples.__getitem__, part))
        return asdict(arrays.found)

    def load(part: str) -> Samples:
        return cached_part(identity, part, lambda: _read(place, files, options).samples[part])

    found = _Found(**cached_json(identity, "table", look))

    return Dataset(
        ref=place.ref,
        title=place.title,
        task=_task(found),
        hash=identity,
        parts=found.sizes,
        input_shape=(len(found.features),),
        load=load,
        notes=tuple(found.notes),
        origin=cut_origin(source, seed)
        if len(files) == 1
        else {part: (part_hash(source, part),) for part in files},
        feature_names=tuple(found.features),
    )


def _task(found: _Found) -> Task:
    if found.is_quantity:
        return Regression((found.target,))
    return Classification(tuple(found.class_names)) if found.class_names else Unlabelled()


def _files(place: Place) -> dict[str, str]:
    parts: dict[str, str] = {}
    for file in place.files:
        if not _is_table(file):
            continue
        part = role_of(file.rpartition(".")[0])[0]
        if part in parts:
            raise DataError(
                f"{place.container.name} has two tables for {part}: {parts[part]!r} and {file!r}.",
                hint="Keep one, or call them train.csv and test.csv.",
            )
        parts[part] = file
    return ordered_parts(parts, place.container.name)


def _read(place: Place, files: Mapping[str, str], options: DataOptions) -> _Arrays:
    """Look through the tables, learn from the train part, and return everything as numbers."""
    with place.container.reader() as read:
        tables = {part: table_file(read(file), file) for part, file in files.items()}
    scans = {part: _scanned(table) for part, table in tables.items()}
    first = next(iter(tables))
    _check_columns(tables, first)
    whole = {name: _joined([scan[name] for scan in scans.values()]) for name in scans[first]}
    indices = _indices(tables, whole, options.target)
    able = {name: scan for name, scan in whole.items() if name not in indices}
    target, guessed = _target(able, options.target, files[first])
    left_out, columns = [f"{name}: left out, it numbers the rows" for name in indices], []
    for name, scan in able.items():
        if name == target:
            continue
        if reason := scan.reason_to_leave_out():
            left_out.append(f"{name}: left out, {reason}")
        else:
            columns.append(name)
    wanted = [*columns, target] if target else columns
    contents = {part: _contents(table, whole, wanted) for part, table in tables.items()}
    return _encoded(tables[first], contents, columns, target, guessed, left_out, options)


def _scanned(table: TableFile) -> dict[str, Scan]:
    scans = {name: Scan(name, comma_is_free=table.comma_is_free) for name in table.columns}
    for chunk in table.chunks():
        for name, cells in chunk.items():
            scans[name].add(cells)
    if not scans or not next(iter(scans.values())).rows:
        raise DataError(f"{table.name!r} holds no row below its header.")
    return scans


def _joined(scans: list[Scan]) -> Scan:
    """Return what all parts together hold in one column."""
    return Scan(
        scans[0].name,
        rows=sum(s.rows for s in scans),
        missing=sum(s.missing for s in scans),
        numbers=sum(s.numbers for s in scans),
        whole=all(s.whole for s in scans),
        values=set().union(*(s.values for s in scans)),
        text=next((s.text for s in scans if s.text), None),
        comma_is_free=all(s.comma_is_free for s in scans),
        points=any(s.points for s in scans),
        commas=sum(s.commas for s in scans),
        other_notation=sum(s.other_notation for s in scans),
        absent=sum((s.absent for s in scans), Counter[str]()),
    )


def _indices(
    tables: Mapping[str, TableFile], scans: Mapping[str, Scan], target: str
) -> tuple[str, ...]:
    """Return the columns that only number the rows, as an index that pandas has written does.

    The order of rows often gives the classes away: nothing shall be learned from it. One without a
    name is such a column if it holds whole numbers that all differ.
    """
    found = [name for name in scans if _INDEX.fullmatch(name)]
    name = next(iter(tables.values())).unnamed
    scan = scans.get(name)
    if scan and scan.is_numeric and scan.whole and not scan.missing:
        numbers = [_contents(table, scans, [name])[name].numbers() for table in tables.values()]
        found += [name] if all(len(np.unique(one)) == len(one) for one in numbers) else []
    return tuple(name for name in found if name != target)


def _contents(
    table: TableFile, scans: Mapping[str, Scan], wanted: list[str]
) -> dict[str, Contents]:
    contents = {name: Contents(scans[name]) for name in wanted}
    for chunk in table.chunks():
        for name, column in contents.items():
            column.add(chunk[name])
    return contents


def _check_columns(tables: Mapping[str, TableFile], first: str) -> None:
    for part, table in tables.items():
        odd = sorted(set(table.columns) ^ set(tables[first].columns))
        if odd:
            has, lacks = (first, part) if odd[0] in tables[first].columns else (part, first)
            raise DataError(
                f"All parts need the same columns: {has} has {odd[0]!r}, {lacks} does not."
            )


def _target(scans: Mapping[str, Scan], asked: str, file: str) -> tuple[str, bool]:
    """Return the column that is to be predicted, and whether it was guessed; empty for none."""
    if asked == NO_LABELS:
        return "", False
    names = ", ".join(scans)[:200]
    if asked and asked not in scans:
        raise DataError(
            f"{file!r} has no column {asked!r}; it has {names}.", hint="Name one of those."
        )
    if asked:
        if reason := _no_target(scans[asked]):
            raise DataError(f"Column {asked!r} cannot be the target: {reason}.", hint=_NO_TARGET)
        scans[asked].check_slips()
        return asked, False
    by_name = [name for guess in _GUESSES for name in scans if name.lower() == guess]
    last, first = list(scans)[-1], next(iter(scans))
    classes = [name for name in (last, first) if not _is_quantity(scans[name])]
    for name in [*by_name, *classes, last]:
        if not _no_target(scans[name]):
            scans[name].check_slips()
            return name, True
    raise DataError(
        f"{file!r} does not say which column is to be predicted; it has {names}.",
        hint="Name it, as in target=species, or read the table without: target=none.",
    )


_NO_TARGET = "Name a column of classes or numbers, or target=none."


def _no_target(scan: Scan) -> str:
    """Say why a column cannot be predicted; empty if it can."""
    if len(scan.values) < 2:
        return f"it has one value, {next(iter(scan.values), MISSING)!r}"
    if not scan.is_numeric and len(scan.values) > MAX_CLASSES:
        return f"it has more than {MAX_CLASSES:,} different values"
    return ""


def _is_quantity(scan: Scan) -> bool:
    """Whether a column holds quantities: fractions, or more whole numbers than are classes."""
    return scan.is_numeric and (not scan.whole or len(scan.values) > _MAX_NUMERIC_CLASSES)


def _encoded(
    table: TableFile,
    contents: Mapping[str, Mapping[str, Contents]],
    columns: list[str],
    target: str,
    guessed: bool,
    left_out: list[str],
    options: DataOptions,
) -> _Arrays:
    is_quantity = bool(target) and _is_quantity(next(iter(contents.values()))[target].scan)
    if is_quantity:
        classes: list[str] = []
        labels = {p: _quantities(c[target]) for p, c in contents.items()}
        known = {part: np.flatnonzero(np.isfinite(values)) for part, values in labels.items()}
    else:
        classes, labels = _classes(contents, target)
        known = {part: np.flatnonzero(values != NO_LABEL) for part, values in labels.items()}
    if not target:
        known = {part: np.arange(len(values)) for part, values in labels.items()}
    dropped = sum(len(values) - len(known[part]) for part, values in labels.items())
    rows = {part: (part, index) for part, index in known.items()}
    notes = list(table.notes)
    if len(contents) == 1:
        lone = next(iter(contents))
        pieces = stratified_split(
            labels[lone][known[lone]], tuple(PART_SHARES.values()), options.seed
        )
        rows = {
            part: (lone, known[lone][piece])
            for part, piece in zip(PART_SHARES, pieces, strict=True)
        }
        by = "size of the target" if is_quantity else "class"
        notes.append(f"Cut into train, validation and test by {by} with seed {options.seed}.")
    for part, (_, index) in rows.items():
        if not len(index):
            raise DataError(
                f"{table.name!r} has too few rows: its {part} part would be empty.",
                hint="Bring at least five rows of each class.",
            )
    train_source, train_rows = rows["train"]
    encoders = {
        name: Encoder.learned(_taken(contents[train_source][name], train_rows)) for name in columns
    }
    features = [feature for encoder in encoders.values() for feature in encoder.names]
    _check_features(table, features, rows)
    kind = ", a quantity" if is_quantity else ""
    notes += [f"Target: column {target!r}{kind}{', guessed' if guessed else ''}."] if target else []
    notes.append("Numbers are standardised with the train part's mean and deviation.")
    if dropped:
        what = "number to be predicted" if is_quantity else "class"
        notes.append(f"{dropped:,} rows without a {what} are left out.")
        notes += _absent(next(iter(contents.values()))[target].scan)
    commas = [name for name, scan in _scans_of(contents).items() if scan.has_decimal_comma]
    if commas:
        notes.append(f"Numbers with a decimal comma: {', '.join(commas)[:200]}.")
    remarks = [*left_out, *(encoder.note for encoder in encoders.values() if encoder.note)]
    notes += _shortened(remarks)
    samples = {}
    start = dict(zip(labels, np.cumsum([0, *(len(v) for v in labels.values())]), strict=False))
    for part, (source, index) in rows.items():
        blocks = [
            encoder.encoded(_taken(contents[source][name], index))
            for name, encoder in encoders.items()
            if encoder.names
        ]
        inputs = np.concatenate(blocks, axis=1)
        samples[part] = Samples(inputs, labels[source][index], index + start[source])
    sizes = {part: len(index) for part, (_, index) in rows.items()}
    return _Arrays(_Found(target, guessed, classes, features, sizes, notes, is_quantity), samples)


def _scans_of(contents: Mapping[str, Mapping[str, Contents]]) -> dict[str, Scan]:
    return {name: column.scan for name, column in next(iter(contents.values())).items()}


def _absent(target: Scan) -> list[str]:
    """Say which texts of the target were read as missing: one may be the name of a class."""
    counts = [f"{text!r} ({n:,} rows)" for text, n in sorted(target.absent.items()) if text]
    return [f"Of column {target.name!r} is read as missing: {', '.join(counts)}."] if counts else []


def _quantities(column: Contents) -> np.ndarray:
    """Return ``(N,)`` float32 with NaN for missing."""
    numbers = column.numbers()
    with np.errstate(over="ignore"):
        single = numbers.astype(np.float32)
    beyond = np.flatnonzero(np.isinf(single))
    if len(beyond):
        raise DataError(
            f"Column {column.scan.name!r} holds {numbers[beyond[0]]:g}: quantities are at most "
            f"{np.finfo(np.float32).max:.1e} in size.",
            hint="Correct that cell, or write the column in a larger unit.",
        )
    return single


def _classes(
    contents: Mapping[str, Mapping[str, Contents]], target: str
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the names of the classes, and each part's class indices, -1 where there is none."""
    if not target:
        sizes = {p: sum(map(len, next(iter(c.values())).parts)) for p, c in contents.items()}
        return [], {part: np.full(size, NO_LABEL, np.int64) for part, size in sizes.items()}
    texts = {part: columns[target].texts() for part, columns in contents.items()}
    found = {str(text) for values in texts.values() for text in np.unique(values)} - {MISSING}
    numeric = next(iter(contents.values()))[target].scan.is_numeric
    names = sorted(found, key=float) if numeric else sorted(found)
    if len(names) < 2:
        raise DataError(f"Column {target!r} holds one class only.")
    check_class_names(names, lambda name: _place_of(name, target, texts))
    place = {name: i for i, name in enumerate(names)} | {MISSING: NO_LABEL}
    labels = {
        part: np.array([place[str(text)] for text in values], np.int64)
        for part, values in texts.items()
    }
    return names, labels


def _place_of(name: str, target: str, texts: Mapping[str, np.ndarray]) -> str:
    part, row = next(
        (part, rows[0] + 1)
        for part, values in texts.items()
        if len(rows := np.flatnonzero(values == name))
    )
    of = f" of {part}" if len(texts) > 1 else ""
    return f"Row {row:,} of column {target!r}{of}"


def _taken(contents: Contents, rows: np.ndarray) -> Contents:
    return Contents(contents.scan, [np.concatenate(contents.parts)[rows]], contents.places)


def _check_features(
    table: TableFile, features: list[str], rows: Mapping[str, tuple[str, np.ndarray]]
) -> None:
    if not features:
        raise DataError(f"{table.name!r} has no column to predict from.")
    most = max(len(index) for _, index in rows.values())
    if len(features) > MAX_FEATURES or len(features) * most * 4 > MAX_DECODED_BYTES:
        raise DataError(
            f"{table.name!r} would have {len(features):,} columns once its texts are encoded.",
            hint="Leave out columns with many different texts.",
        )


def _shortened(remarks: list[str]) -> list[str]:
    if len(remarks) <= _MAX_NOTES:
        return [f"{remark}." for remark in remarks]
    rest = len(remarks) - _MAX_NOTES
    return [f"{remark}." for remark in remarks[:_MAX_NOTES]] + [f"And {rest:,} more columns."]


READER = Reader(
    title="Tables",
    endings=ENDINGS,
    holds="a table, or train.csv and test.csv",
    labels="column target, label, class or the last one; or the one that is named",
    takes=_takes,
    open=_open,
)
