"""Each weight that is not zero with the number of zeros before it.

A run takes a fixed number of bits, chosen for the layer. A longer run is cut by *fillers*: a zero
that is stored as if it were a value. Suits layers where most weights are zero and the non-zeros
lie evenly.

References:
    Han et al., Deep Compression: Compressing Deep Neural Networks with Pruning, Trained
    Quantization and Huffman Coding, 2015, arXiv:1510.00149, section 2

Differs from the paper: the width is the best one for each layer, where the paper takes 8 bits for
convolutions and 5 for linear layers; and the last run of zeros is not stored.
"""

from __future__ import annotations

import struct

import numpy as np

from optim.codecs._frame import MAX_WEIGHTS, corrupt, open_frame, write_frame
from optim.codecs._packing import pack, width_of
from optim.codecs.codes import Codes

__all__ = ["decode", "encode"]

_TAG = b"R"
_COUNT_AND_WIDTH = struct.Struct("<IB")
_WIDEST_RUN = 32


def encode(codes: Codes) -> bytes:
    """Write the number of entries and the width of a run, then all runs, then all values."""
    flat = codes.values.reshape(-1)
    zeros_before = np.diff(np.flatnonzero(codes.nonzero), prepend=-1) - 1
    width = _best_width(zeros_before, codes.bits)
    runs = _with_fillers(zeros_before, width)
    # A filler stands on a zero, so what it stores is what the layer has at its position.
    values = flat[_positions(runs)]
    return b"".join(
        [
            write_frame(_TAG, codes),
            _COUNT_AND_WIDTH.pack(len(runs), width),
            pack(runs, width),
            pack(values, codes.bits),
        ]
    )


def decode(data: bytes, max_weights: int = MAX_WEIGHTS) -> Codes:
    """Undo :func:`encode`.

    Raises:
        DataError: If the data was cut or altered, or declares more than ``max_weights``.
    """
    frame, reader = open_frame(_TAG, data, max_weights)
    count, width = reader.numbers(_COUNT_AND_WIDTH)
    if not 1 <= width <= _WIDEST_RUN or count > frame.size:
        raise corrupt(f"{count} runs of {width} bits for {frame.size} weights")
    positions = _positions(reader.packed(width, count))
    if count and positions[-1] >= frame.size:
        raise corrupt("the runs are longer than the layer")
    values = reader.signed(frame.bits, count)
    reader.end()
    return frame.scatter(positions, values)


def _best_width(zeros_before: np.ndarray, bits: int) -> int:
    """Return the width of a run, in bits, that makes runs and values together smallest."""
    if not len(zeros_before):
        return 1
    often = np.bincount(zeros_before)
    lengths = np.arange(len(often))

    def total_bits(width: int) -> int:
        entries = len(zeros_before) + int(often @ (lengths >> width))
        return entries * (width + bits)

    return min(range(1, width_of(len(often) - 1) + 1), key=total_bits)


def _with_fillers(zeros_before: np.ndarray, width: int) -> np.ndarray:
    """Cut runs that do not fit: a filler stands for ``2**width - 1`` zeros and one more."""
    entries = (zeros_before >> width) + 1
    runs = np.full(entries.sum(), 2**width - 1, dtype=np.int64)
    runs[np.cumsum(entries) - 1] = zeros_before & (2**width - 1)
    return runs


def _positions(runs: np.ndarray) -> np.ndarray:
    """Return the flat position of each entry: ``(entries,)`` int64."""
    return np.cumsum(runs.astype(np.int64) + 1) - 1
