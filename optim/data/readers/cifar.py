"""CIFAR-10 and CIFAR-100 as their authors hand them out: binary batches or python batches.

Binary batches are records of one or two labels and 3,072 bytes. Python batches are pickles; they
are read by :mod:`optim.data.readers._pickled`, which executes nothing.

References:
    Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from optim.data.class_names import can_be_shown
from optim.data.dataset import Dataset
from optim.data.options import NO_LABELS, DataOptions, check_no_choice
from optim.data.readers._pickled import read_pickled
from optim.data.readers.reader import Place, Reader, ordered_parts
from optim.data.source import RawPart, Source, dataset_of
from optim.errors import DataError

__all__ = ["BINARY", "PYTHON"]

_SIDE, _PIXELS = 32, 3 * 32 * 32
_TEN = (
    "airplane automobile bird cat deer dog frog horse ship truck".split()  # noqa: SIM905
)
_BATCHES = {f"data_batch_{i}": "train" for i in range(1, 6)} | {"test_batch": "test"}
_HUNDRED = {"train": "train", "test": "test"}
_MAX_META_BYTES = 2**16
_COARSE = ("coarse", "coarse_labels")


def _found(files: Sequence[str], ending: str, batches: Mapping[str, str]) -> dict[str, list[str]]:
    """Return ``{part: files}`` of the files that are called like batches."""
    parts: dict[str, list[str]] = {}
    for file in sorted(files):
        path = PurePosixPath(file)
        if path.suffix == ending and path.stem in batches:
            parts.setdefault(batches[path.stem], []).append(file)
    return parts


def _takes_binary(files: Sequence[str]) -> bool:
    return bool(_found(files, ".bin", _BATCHES | _HUNDRED))


def _takes_python(files: Sequence[str]) -> bool:
    names = {PurePosixPath(file).name for file in files}
    return bool(_found(files, "", _BATCHES)) or {"train", "test", "meta"} <= names


def _open_binary(place: Place, options: DataOptions) -> Dataset:
    ten = _found(place.files, ".bin", _BATCHES)
    found = ten or _found(place.files, ".bin", _HUNDRED)
    if not found:  # one file of any name: its size says which
        found = {"all": place.files}
        ten = found if place.container.size(place.files[0]) % (1 + _PIXELS) == 0 else {}
    n_labels = 1 if ten else 2
    record = n_labels + _PIXELS
    for file in (file for files in found.values() for file in files):
        size = place.container.size(file)
        if not size or size % record:
            raise DataError(
                f"{file!r} is no batch of CIFAR-{10 if ten else 100}: its {size:,} bytes are not "
                f"records of {record:,}.",
                hint="Fetch it again, or unpack it as a whole.",
            )
    column = 0 if ten else _column(options)
    if ten:
        check_no_choice(place.container.name, options)

    def records(file: str) -> np.ndarray:
        with place.container.reader() as read:
            data = np.frombuffer(read(file), np.uint8)
        if len(data) % record:
            raise DataError(f"{file!r} has changed since it was opened.")
        return data.reshape(-1, record)

    def part(files: list[str]) -> RawPart:
        count = sum(place.container.size(file) // record for file in files)
        return _raw_part(
            files,
            count,
            lambda: np.concatenate([records(file)[:, n_labels:] for file in files]),
            lambda: np.concatenate([records(file)[:, column] for file in files]),
        )

    meta = "batches.meta.txt" if ten else f"{('coarse', 'fine')[column]}_label_names.txt"
    names = _text_names(place, meta) or tuple(_TEN if ten else map(str, range((20, 100)[column])))
    return _dataset(place, options, {name: part(files) for name, files in found.items()}, names)


def _open_python(place: Place, options: DataOptions) -> Dataset:
    ten = _found(place.files, "", _BATCHES)
    found = ten or _found(place.files, "", _HUNDRED)
    coarse = not ten and _column(options) == 0
    if ten:
        check_no_choice(place.container.name, options)
    key = "labels" if ten else "coarse_labels" if coarse else "fine_labels"
    batches = {name: [_Batch(place, file, key) for file in files] for name, files in found.items()}

    def part(files: list[str], of: list[_Batch]) -> RawPart:
        return _raw_part(
            files,
            sum(batch.count for batch in of),
            lambda: np.concatenate([batch.pixels() for batch in of]),
            lambda: np.concatenate([batch.labels() for batch in of]),
        )

    names = _pickled_names(place, "batches.meta" if ten else "meta", f"{key[:-1]}_names")
    names = names or tuple(_TEN if ten else map(str, range(20 if coarse else 100)))
    parts = {name: part(files, batches[name]) for name, files in found.items()}
    return _dataset(place, options, parts, names)


class _Batch:
    """One python batch; how many pictures it holds is known once it was read."""

    def __init__(self, place: Place, file: str, key: str) -> None:
        self.place, self.file, self.key = place, file, key
        self.count = len(self.pixels())

    def pixels(self) -> np.ndarray:
        pixels = self._content().get("data")
        if not isinstance(pixels, np.ndarray) or pixels.shape[1:] != (_PIXELS,):
            raise DataError(f"{self.file!r} holds no pictures of 32x32 pixels.")
        return pixels

    def labels(self) -> np.ndarray:
        labels = self._content().get(self.key)
        if not isinstance(labels, list) or not all(type(label) is int for label in labels):
            raise DataError(f"{self.file!r} holds no list {self.key!r}.")
        if not all(0 <= label < 100 for label in labels):
            raise DataError(f"{self.file!r} has labels that are not from 0 to 99.")
        return np.array(labels, np.int64)

    def _content(self) -> dict[str, Any]:
        with self.place.container.reader() as read:
            data = read(self.file)
        try:
            return read_pickled(data)
        except ValueError as error:
            raise DataError(
                f"{self.file!r} is no python batch of CIFAR: {error}.",
                hint="Use the binary version, cifar-10-binary.tar.gz; files are never unpickled.",
            ) from error


def _raw_part(
    files: list[str],
    count: int,
    pixels: Callable[[], np.ndarray],
    labels: Callable[[], np.ndarray],
) -> RawPart:
    shape = (count, 3, _SIDE, _SIDE)

    def checked_labels() -> np.ndarray:
        found = labels()
        if len(found) != count:
            raise DataError(f"{files[0]!r} has {count:,} pictures and {len(found):,} labels.")
        return found

    return RawPart(
        where=files[0],
        shape=shape,
        dtype=np.dtype(np.uint8),
        inputs=lambda: pixels().reshape(shape),
        labels=checked_labels,
        label_count=count,
        labels_where=files[0],
    )


def _dataset(
    place: Place, options: DataOptions, parts: dict[str, RawPart], names: tuple[str, ...]
) -> Dataset:
    source = Source(
        name=place.container.name,
        identity=place.container.content_hash("", sorted(place.files)),
        parts=ordered_parts(parts, place.container.name),
        layout="NCHW",
        class_names=names,
    )
    return dataset_of(source, options, ref=place.ref, title=place.title)


def _column(options: DataOptions) -> int:
    """Return which of CIFAR-100's two labels is asked for: 0 coarse, 1 fine."""
    if options.target in ("", NO_LABELS, "fine", "fine_labels"):
        return 1
    if options.target in _COARSE:
        return 0
    raise DataError(
        f"CIFAR-100 has no labels {options.target!r}.", hint="It has fine (100) and coarse (20)."
    )


def _beside(place: Place, name: str) -> bytes | None:
    """Return a small file that lies with the batches."""
    for file in place.files:
        if PurePosixPath(file).name == name and place.container.size(file) <= _MAX_META_BYTES:
            with place.container.reader() as read:
                return read(file)
    return None


def _text_names(place: Place, name: str) -> tuple[str, ...]:
    text = (_beside(place, name) or b"").decode("utf-8", "replace")
    return _legal(tuple(line.strip() for line in text.splitlines() if line.strip()))


def _pickled_names(place: Place, name: str, key: str) -> tuple[str, ...]:
    data = _beside(place, name)
    try:
        names = read_pickled(data).get(key) if data else None
    except ValueError:
        names = None
    if not isinstance(names, list):
        return ()
    return _legal(
        tuple(n.decode("utf-8", "replace") if type(n) is bytes else str(n) for n in names)
    )


def _legal(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of classes, or nothing where they could not be shown."""
    fine = all(name and can_be_shown(name) for name in names)
    return names if fine and len(names) in (10, 20, 100) and len(set(names)) == len(names) else ()


BINARY = Reader(
    title="CIFAR, binary",
    endings=(".bin",),
    holds="data_batch_1.bin to test_batch.bin, or train.bin and test.bin",
    labels="in each record; of CIFAR-100 the fine ones, or coarse",
    takes=_takes_binary,
    open=_open_binary,
)
PYTHON = Reader(
    title="CIFAR, python",
    endings=(),
    holds="data_batch_1 to test_batch, or train, test and meta",
    labels="in each batch; of CIFAR-100 the fine ones, or coarse",
    takes=_takes_python,
    open=_open_python,
)
