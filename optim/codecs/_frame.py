"""What every codec writes first, and how all of them read: in bounds or not at all.

::

    tag          1 byte, which codec wrote it
    bits         1 byte
    affine       1 byte, whether zero points follow
    rows         4 bytes
    columns      4 bytes
    zero points  bits * rows, packed; only if affine is 1

Numbers are little-endian. What a header declares is compared with what is there, and with the most
weights that the caller accepts, before memory is taken for it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from optim.codecs._packing import pack, packed_size, sign_extended, unpack
from optim.codecs.codes import FLOAT_BITS, LEGAL_BITS, Codes
from optim.errors import DataError

__all__ = ["MAX_WEIGHTS", "Frame", "Reader", "corrupt", "open_frame", "write_frame"]

MAX_WEIGHTS = 2**27
"""Weights of one layer that a decoder accepts unless told otherwise.

They take 512 MiB, and about twice that while they are decoded.
"""

_HEADER = struct.Struct("<cBBII")


def corrupt(reason: str) -> DataError:
    """Return the error for bytes that no encoder writes."""
    return DataError(
        f"The encoded layer is not readable: {reason}.",
        hint="The data was cut or altered, or another codec wrote it; encode the layer again.",
    )


class Reader:
    """Bytes read from the front, never beyond their end."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)

    def take(self, size: int) -> memoryview:
        """Return the next ``size`` bytes."""
        if size > len(self._rest):
            raise corrupt(f"{size} bytes are declared and {len(self._rest)} are left")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def numbers(self, layout: struct.Struct) -> tuple[int, ...]:
        """Return the numbers of a fixed layout."""
        return layout.unpack(self.take(layout.size))

    def packed(self, width: int, count: int) -> np.ndarray:
        """Return ``(count,)`` uint32 numbers packed at ``width`` bits."""
        return unpack(self.take(packed_size(width, count)), width, count)

    def signed(self, width: int, count: int) -> np.ndarray:
        """Return ``(count,)`` int32 numbers packed at ``width`` bits in two's complement."""
        return sign_extended(self.packed(width, count), width)

    @property
    def is_empty(self) -> bool:
        """Whether all bytes were taken."""
        return not self._rest

    def end(self) -> None:
        """Refuse bytes that nothing asked for."""
        if self._rest:
            raise corrupt(f"{len(self._rest)} bytes are left over")


@dataclass(frozen=True, eq=False)
class Frame:
    """What the header says.

    Attributes:
        bits: 2 to 16, or 32 for float32.
        rows: Number of rows.
        columns: Weights in a row.
        zero_points: ``(rows,)`` int32.
    """

    bits: int
    rows: int
    columns: int
    zero_points: np.ndarray

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.rows * self.columns

    def codes(self, values: np.ndarray) -> Codes:
        """Return the codes whose values are these ``(size,)`` int32 integers."""
        return Codes(values.reshape(self.rows, self.columns), self.bits, self.zero_points)

    def scatter(self, positions: np.ndarray, values: np.ndarray) -> Codes:
        """Return the codes that have these values at these flat positions, and 0.0 elsewhere."""
        flat = np.repeat(self.zero_points, self.columns)
        flat[positions] = values
        return self.codes(flat)


def write_frame(tag: bytes, codes: Codes) -> bytes:
    """Return the header of a codec's output."""
    affine = bool(codes.zero_points.any())
    header = _HEADER.pack(tag, codes.bits, affine, *codes.values.shape)
    return header + pack(codes.zero_points, codes.bits) if affine else header


def open_frame(tag: bytes, data: bytes, max_weights: int) -> tuple[Frame, Reader]:
    """Read the header; return it and a reader that stands behind it.

    Raises:
        DataError: If another codec wrote the data, the header is not legal, or it declares more
            than ``max_weights``.
    """
    reader = Reader(data)
    found, bits, affine, rows, columns = _HEADER.unpack(reader.take(_HEADER.size))
    if found != tag:
        raise corrupt(f"it starts with {found!r}, not with {tag!r}")
    if affine > 1 or not (bits in LEGAL_BITS or (bits == FLOAT_BITS and not affine)):
        raise corrupt(f"no layer has bits={bits} and affine={affine}")
    if max(rows, columns, rows * columns) > max_weights:
        raise DataError(
            f"The encoded layer declares {rows} x {columns} weights; at most {max_weights} are "
            "accepted.",
            hint="Pass a larger max_weights if the layer is really that large.",
        )
    zero_points = reader.signed(bits, rows) if affine else np.zeros(rows, dtype=np.int32)
    return Frame(bits, rows, columns, zero_points), reader
