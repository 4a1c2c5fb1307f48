"""IDX files, plain or gzipped: MNIST, Fashion-MNIST, EMNIST and what is kept in their form.

Every file states its type and its axes in a few bytes; they are held against the file's size, and
a gzipped file is unpacked to the size it states and no further.

References:
    LeCun, Cortes and Burges, The MNIST database of handwritten digits, 1998
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optim.data._containers import MAX_ARRAY_BYTES, MAX_RATIO
from optim.data._tar import gunzip
from optim.data.dataset import Dataset
from optim.data.folder import is_sample
from optim.data.options import NO_LABELS, DataOptions, check_no_choice
from optim.data.readers.reader import Place, Reader, ordered_parts, role_of
from optim.data.source import RawPart, Source, dataset_of
from optim.errors import DataError

__all__ = ["READER"]

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NAME = re.compile(r"(^|[-_./])(idx\d|ubyte)([-_.]|$)|\.idx(\.gz)?$", re.IGNORECASE)
_HEAD_BYTES = 4 + 4 * 4
_GZIP = b"\x1f\x8b"
_FREE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def start(self) -> int:
        return 4 + 4 * len(self.shape)

    @property
    def nbytes(self) -> int:
        return self.start + math.prod(self.shape) * self.dtype.itemsize


def _takes(files: Sequence[str]) -> bool:
    return any(_is_idx(file) for file in files)


def _is_idx(file: str) -> bool:
    return _NAME.search(file) is not None and not is_sample(file)


def _open(place: Place, options: DataOptions) -> Dataset:
    check_no_choice(place.container.name, options)
    files = [file for file in place.files if _is_idx(file)] or place.files
    with place.container.reader() as read:
        headers = {}
        for file in files:
            head, size = read(file, 4096), place.container.size(file)
            headers[file] = _header(head, size, file)
    found: dict[str, dict[str, str]] = {}
    for file, header in headers.items():
        part, role = role_of(file)
        role = role or ("labels" if len(header.shape) == 1 else "inputs")
        if role == "labels" and options.target == NO_LABELS:
            continue
        roles = found.setdefault(part, {})
        if role in roles:
            raise DataError(
                f"{place.container.name} has two files with the {role} of {part}: "
                f"{roles[role]!r} and {file!r}.",
                hint="Keep one of them.",
            )
        roles[role] = file
    for part, roles in found.items():
        if "inputs" not in roles:
            raise DataError(
                f"{place.container.name} has labels for {part} and no images.",
                hint="Put train-images-idx3-ubyte beside train-labels-idx1-ubyte.",
            )
    parts = {part: _raw(place, headers, roles) for part, roles in found.items()}
    source = Source(
        name=place.container.name,
        identity=place.container.content_hash("", sorted(headers)),
        parts=ordered_parts(parts, place.container.name),
    )
    return dataset_of(source, options, ref=place.ref, title=place.title)


def _raw(place: Place, headers: dict[str, _Header], roles: dict[str, str]) -> RawPart:
    inputs, labels = roles["inputs"], roles.get("labels")

    def array(file: str) -> np.ndarray:
        header = headers[file]
        with place.container.reader() as read:
            data = _unpacked(read(file), header.nbytes, file)
        if len(data) < header.nbytes:
            raise DataError(f"{file!r} declares {header.nbytes:,} bytes and holds {len(data):,}.")
        flat = np.frombuffer(data, header.dtype, math.prod(header.shape), header.start)
        return flat.reshape(header.shape)

    return RawPart(
        where=inputs,
        shape=headers[inputs].shape,
        dtype=headers[inputs].dtype,
        inputs=lambda: array(inputs),
        labels=None if labels is None else lambda: array(labels),
        label_count=0 if labels is None else headers[labels].shape[0],
        labels_where=labels or "",
    )


def _header(head: bytes, size: int, file: str) -> _Header:
    packed = head.startswith(_GZIP)
    plain = _head_of(head) if packed else head
    kind, axes = plain[2:3], plain[3:4]
    if plain[:2] != b"\0\0" or not axes or kind[0] not in _DTYPES or not 1 <= axes[0] <= 4:
        raise DataError(f"{file!r} is not an IDX file, or it is damaged.")
    dims = np.frombuffer(plain[4 : 4 + 4 * axes[0]].ljust(4 * axes[0], b"\0"), ">u4")
    header = _Header(tuple(int(side) for side in dims), np.dtype(_DTYPES[kind[0]]))
    if min(header.shape) < 1:
        raise DataError(f"{file!r} holds no sample: its shape is {header.shape}.")
    # zlib packs at most 1,032 to 1: what states more than that is not there.
    most = min(MAX_ARRAY_BYTES, 1_100 * size) if packed else size
    if header.nbytes > most:
        raise DataError(f"{file!r} declares {header.nbytes:,} bytes and can hold at most {most:,}.")
    if packed and header.nbytes > max(_FREE_BYTES, MAX_RATIO * size):
        raise DataError(f"{file!r} would unpack to more than {MAX_RATIO} times its size.")
    return header


def _head_of(packed: bytes) -> bytes:
    """Return the first bytes of a gzipped file of which only the beginning was read."""
    import zlib

    try:
        return zlib.decompressobj(wbits=31).decompress(packed, _HEAD_BYTES)
    except zlib.error:
        return b""


def _unpacked(data: bytes, most: int, file: str) -> bytes:
    if not data.startswith(_GZIP):
        return data
    try:
        return gunzip(data, most)
    except ValueError as error:
        raise DataError(f"{file!r} is damaged: {error}.") from error


READER = Reader(
    title="IDX",
    endings=(".idx", "-ubyte", ".gz"),
    holds="train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., also with .gz",
    labels="labels-idx1 file",
    takes=_takes,
    open=_open,
)
