"""Lossless encoders of one layer's weights: the bytes behind every size that is shown.

===========  ====================================================================
dense        every weight at the width of its grid
bitmap       one bit says whether a weight is zero; the others follow
csr          rows of columns and values, as in sparse matrix libraries
run_length   zeros before each weight that is not zero, as in Deep Compression
entropy      about as many bits as a weight carries information, given its neighbours
===========  ====================================================================

Each has ``encode(codes) -> bytes`` and ``decode(data) -> Codes``. Scales are not in the bytes: they
belong to the layer, not to the format, and are the same for all.
"""

from __future__ import annotations

from typing import Protocol

from optim.codecs import bitmap, csr, dense, entropy, run_length
from optim.codecs.codes import Codes

__all__ = ["CODECS", "SPARSE", "Codec", "Codes", "best_sparse"]


class Codec(Protocol):
    """What every module of this room offers."""

    def encode(self, codes: Codes) -> bytes:
        """Return the layer as bytes."""

    def decode(self, data: bytes, max_weights: int = ...) -> Codes:
        """Return the layer; raise DataError for bytes that ``encode`` does not write."""


CODECS: dict[str, Codec] = {
    "dense": dense,
    "bitmap": bitmap,
    "csr": csr,
    "run_length": run_length,
    "entropy": entropy,
}

SPARSE = ("bitmap", "csr", "run_length")
"""The formats that skip zeros and keep the width of what is left."""


def best_sparse(codes: Codes) -> tuple[str, bytes]:
    """Encode a layer in every sparse format; return name and bytes of the smallest.

    Example:
        >>> from optim.codecs import Codes, best_sparse
        >>> name, data = best_sparse(Codes.from_integers([[0] * 9 + [5]] * 10, bits=8))
        >>> name, len(data)
        ('run_length', 31)
    """
    encoded = {name: CODECS[name].encode(codes) for name in SPARSE}
    return min(encoded.items(), key=lambda item: len(item[1]))
