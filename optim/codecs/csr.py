"""Compressed sparse rows: for every weight that is not zero, its column and its value.

The format of sparse matrix libraries, with the narrowest integers that do for the layer. A column
index often costs as much as the weight itself, so this pays only where most weights are zero; an
empty row costs next to nothing.
"""

from __future__ import annotations

import struct

import numpy as np

from optim.codecs._frame import MAX_WEIGHTS, Frame, Reader, corrupt, open_frame, write_frame
from optim.codecs._packing import pack, width_of
from optim.codecs.codes import Codes

__all__ = ["decode", "encode"]

_TAG = b"C"
_COUNT = struct.Struct("<I")


def encode(codes: Codes) -> bytes:
    """Write the number of non-zeros, where each row ends, then the columns, then the values.

    With ``m`` non-zeros among ``(R, n)`` weights, a row end takes the bits of ``m`` and a column
    those of ``n - 1``. The pointer to the start of the first row is always 0 and is left out.
    """
    nonzero = codes.nonzero
    ends = np.cumsum(np.count_nonzero(nonzero, axis=1))
    columns = np.nonzero(nonzero)[1]
    return b"".join(
        [
            write_frame(_TAG, codes),
            _COUNT.pack(len(columns)),
            pack(ends, width_of(len(columns))),
            pack(columns, _column_width(nonzero.shape[1])),
            pack(codes.values[nonzero], codes.bits),
        ]
    )


def decode(data: bytes, max_weights: int = MAX_WEIGHTS) -> Codes:
    """Undo :func:`encode`.

    Raises:
        DataError: If the data was cut or altered, or declares more than ``max_weights``.
    """
    frame, reader = open_frame(_TAG, data, max_weights)
    positions = _read_positions(frame, reader)
    values = reader.signed(frame.bits, len(positions))
    reader.end()
    return frame.scatter(positions, values)


def _read_positions(frame: Frame, reader: Reader) -> np.ndarray:
    """Return the flat position of each non-zero, strictly increasing: ``(m,)`` int64."""
    (count,) = reader.numbers(_COUNT)
    if count > frame.size:
        raise corrupt(f"{count} of {frame.size} weights are not zero")
    ends = reader.packed(width_of(count), frame.rows).astype(np.int64)
    in_row = np.diff(ends, prepend=0)
    if in_row.sum() != count or (in_row < 0).any():
        raise corrupt("the rows do not add up")
    columns = reader.packed(_column_width(frame.columns), count)
    positions = np.repeat(np.arange(frame.rows) * frame.columns, in_row) + columns
    if (columns >= frame.columns).any() or (np.diff(positions) <= 0).any():
        raise corrupt("the columns are out of order")
    return positions


def _column_width(columns: int) -> int:
    return width_of(max(columns - 1, 0))
