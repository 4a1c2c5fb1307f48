"""Every weight at the width of its grid, zeros included: the size that pruning does not change."""

from __future__ import annotations

from optim.codecs._frame import MAX_WEIGHTS, open_frame, write_frame
from optim.codecs._packing import pack
from optim.codecs.codes import Codes

__all__ = ["decode", "encode"]

_TAG = b"D"


def encode(codes: Codes) -> bytes:
    """Pack all weights at ``codes.bits``: ``bits * R * n / 8`` bytes after the header."""
    return write_frame(_TAG, codes) + pack(codes.values.reshape(-1), codes.bits)


def decode(data: bytes, max_weights: int = MAX_WEIGHTS) -> Codes:
    """Undo :func:`encode`.

    Raises:
        DataError: If the data was cut or altered, or declares more than ``max_weights``.
    """
    frame, reader = open_frame(_TAG, data, max_weights)
    values = reader.signed(frame.bits, frame.size)
    reader.end()
    return frame.codes(values)
