"""Arrays of numpy: an ``.npz``, or ``.npy`` files in a zip or folder, as ``x.npy`` and ``y.npy``.

Headers are read here, by one strict pattern, and the bytes behind them are taken as numbers:
:func:`numpy.load` evaluates the header as Python, and unpickles where it is allowed to. An array of
Python objects is refused.

Which array is what follows from its name: ``x``, ``images`` or ``data`` with ``y``, ``labels`` or
``targets``; with ``train``, ``val`` and ``test`` before or behind for parts. ``arr_0`` and
``arr_1``, as numpy calls what has no name, are inputs and labels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optim.data.dataset import Dataset
from optim.data.options import NO_LABELS, DataOptions
from optim.data.readers.reader import Place, Reader, ordered_parts, role_of, stem_of
from optim.data.source import RawPart, Source, dataset_of
from optim.errors import DataError

__all__ = ["READER", "Header", "header_of"]

_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 10_000
_HEADER = re.compile(
    rb"\{'descr': '([<>|=][A-Za-z][0-9]{0,9})', 'fortran_order': (True|False), "
    rb"'shape': \(([0-9, ]{0,200})\),? *\}[ \n]*"
)
_KINDS = "biufUS"


@dataclass(frozen=True)
class Header:
    """What an ``.npy`` file says about itself.

    Attributes:
        shape: Axes, at least one, none of them empty.
        dtype: Numbers, or text of a fixed length.
        fortran: Whether the first axis moves fastest.
        start: Where the numbers begin.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes the numbers take; exact however large."""
        return math.prod(self.shape) * self.dtype.itemsize


def header_of(head: bytes, size: int, name: str) -> Header:
    """Read the header of an ``.npy`` file and hold it against the file's size.

    Args:
        head: The file's first bytes.
        size: How many bytes the file has.
        name: Its name, for messages.

    Raises:
        DataError: If it is damaged, holds objects, or declares more than there is.
    """
    version = head[6:7]
    width = 2 if version == b"\x01" else 4
    start = 8 + width + int.from_bytes(head[8 : 8 + width], "little")
    if not head.startswith(_MAGIC) or version not in (b"\x01", b"\x02", b"\x03"):
        raise DataError(f"{name!r} is not an array of numpy, or it is damaged.")
    if start > len(head):
        raise DataError(f"{name!r} is damaged: its header is too long.")
    text = head[8 + width : start]
    if b"|O" in text:
        raise DataError(
            f"{name!r} holds Python objects, which are never loaded.",
            hint="Save plain numbers: np.asarray(values, dtype='float32').",
        )
    match = _HEADER.fullmatch(text)
    if match is None:
        raise DataError(
            f"{name!r} is damaged, or no plain array of numbers.", hint="Save it by numpy.save."
        )
    descr = match[1].decode()
    if descr[1] not in _KINDS:
        raise DataError(f"{name!r} holds values of type {descr!r}, which are no numbers.")
    try:
        dtype = np.dtype(descr)
        shape = tuple(int(side) for side in match[3].replace(b" ", b"").split(b",") if side)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name!r} holds values of an unknown type {descr!r}.") from error
    header = Header(shape, dtype, match[2] == b"True", start)
    if not shape or min(shape) < 1 or not dtype.itemsize:
        raise DataError(f"{name!r} holds no sample: its shape is {shape}.")
    if header.nbytes > size - start:
        raise DataError(
            f"{name!r} declares {header.nbytes:,} bytes and holds {max(0, size - start):,}."
        )
    return header


def _takes(files: Sequence[str]) -> bool:
    return any(file.lower().endswith(".npy") for file in files)


def _open(place: Place, options: DataOptions) -> Dataset:
    files = [file for file in place.files if file.lower().endswith(".npy")]
    with place.container.reader() as read:
        headers = {
            file: header_of(read(file, _MAX_HEADER_BYTES), place.container.size(file), _shown(file))
            for file in files
        }
    parts = {
        part: _raw(place, headers, found["inputs"], found.get("labels"))
        for part, found in _roles(place, headers, options).items()
    }
    prefix = _common_prefix(files)
    source = Source(
        name=place.container.name,
        identity=place.container.content_hash(prefix, sorted(files)),
        parts=ordered_parts(parts, place.container.name),
    )
    return dataset_of(source, options, ref=place.ref, title=place.title)


def _roles(
    place: Place, headers: dict[str, Header], options: DataOptions
) -> dict[str, dict[str, str]]:
    """Return ``{part: {"inputs": file, "labels": file}}``."""
    found: dict[str, dict[str, str]] = {}
    for file in headers:
        part, role = _role(file)
        if options.target not in ("", NO_LABELS):
            wanted = stem_of(file) == options.target or _without_part(file) == options.target
            role = "labels" if wanted else "" if role == "labels" else role
        if not role or (role == "labels" and options.target == NO_LABELS):
            continue
        roles = found.setdefault(part, {})
        if role in roles:
            raise DataError(
                f"{place.container.name} has two arrays that could be the {role} of {part}: "
                f"{_shown(roles[role])!r} and {_shown(file)!r}.",
                hint="Name the labels: target=NAME." if role == "labels" else "Keep one of them.",
            )
        roles[role] = file
    if not found and len(headers) == 1:  # a lone array of any name is a set of samples
        found = {"all": {"inputs": next(iter(headers))}}
    names = ", ".join(sorted(map(_shown, headers)))[:200]
    wants_labels = options.target not in ("", NO_LABELS)
    if wants_labels and not any("labels" in roles for roles in found.values()):
        raise DataError(
            f"{place.container.name} has no array {options.target!r}; it has {names}.",
            hint="Name one of those.",
        )
    for part, roles in found.items():
        if "inputs" not in roles:
            raise DataError(
                f"{place.container.name} has labels for {part} and no inputs; it has {names}.",
                hint="Name the arrays x and y, or x_train, y_train, x_test and y_test.",
            )
    if not found:
        raise DataError(
            f"{place.container.name} has no array that is called like samples; it has {names}.",
            hint="Name the arrays x and y, or x_train, y_train, x_test and y_test.",
        )
    return found


def _role(file: str) -> tuple[str, str]:
    unnamed = {"arr_0": "inputs", "arr_1": "labels"}
    if stem_of(file) in unnamed:
        return "all", unnamed[stem_of(file)]
    return role_of(file)


def _without_part(file: str) -> str:
    """Return an array's name without the part in it: ``fine`` of ``train_fine``."""
    words = re.split(r"[_\-. ]", stem_of(file))
    return "_".join(word for word in words if role_of(word)[0] == "all")


def _raw(place: Place, headers: dict[str, Header], inputs: str, labels: str | None) -> RawPart:
    header = headers[inputs]

    def array(file: str) -> np.ndarray:
        with place.container.reader() as read:
            return _array(read(file), headers[file])

    return RawPart(
        where=_shown(inputs),
        shape=header.shape,
        dtype=header.dtype,
        inputs=lambda: array(inputs),
        labels=None if labels is None else lambda: array(labels),
        label_count=0 if labels is None else headers[labels].shape[0],
        labels_where="" if labels is None else _shown(labels),
    )


def _array(data: bytes, header: Header) -> np.ndarray:
    flat = np.frombuffer(data, header.dtype, math.prod(header.shape), header.start)
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


def _shown(file: str) -> str:
    return file[:80].removesuffix(".npy")


def _common_prefix(files: Sequence[str]) -> str:
    """Return the folder all files lie in, with its slash, or nothing."""
    folders = {file.rpartition("/")[0] for file in files}
    folder = folders.pop() if len(folders) == 1 else ""
    return f"{folder}/" if folder else ""


READER = Reader(
    title="NumPy arrays",
    endings=(".npz", ".npy"),
    holds="x.npy and y.npy, or x_train.npy, y_train.npy, x_test.npy, y_test.npy",
    labels="array y, labels or targets; or the one that is named",
    takes=_takes,
    open=_open,
)
