"""One bit a weight says whether it is zero; the others follow, packed.

Smaller than dense as soon as more than one weight in ``bits`` is zero: one in 8 at 8 bits, one in
32 in float32. The map costs its bit a weight however many zeros there are, so with very many the
other sparse formats overtake it.
"""

from __future__ import annotations

import numpy as np

from optim.codecs._frame import MAX_WEIGHTS, open_frame, write_frame
from optim.codecs._packing import pack
from optim.codecs.codes import Codes

__all__ = ["decode", "encode"]

_TAG = b"B"


def encode(codes: Codes) -> bytes:
    """Write ``R * n / 8`` bytes of map and ``bits / 8`` bytes for each weight that is not zero."""
    nonzero = codes.nonzero
    bitmap = np.packbits(nonzero, bitorder="little").tobytes()
    return write_frame(_TAG, codes) + bitmap + pack(codes.values[nonzero], codes.bits)


def decode(data: bytes, max_weights: int = MAX_WEIGHTS) -> Codes:
    """Undo :func:`encode`.

    Raises:
        DataError: If the data was cut or altered, or declares more than ``max_weights``.
    """
    frame, reader = open_frame(_TAG, data, max_weights)
    positions = np.flatnonzero(reader.packed(1, frame.size))
    values = reader.signed(frame.bits, len(positions))
    reader.end()
    return frame.scatter(positions, values)
