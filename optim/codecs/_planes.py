"""Small symbols coded in about as many bits as they carry information.

A *plane* is a sequence of symbols of at most eight bits. It is stored with the table of how often
each symbol occurs, followed by the symbols coded by asymmetric numeral systems (ANS, Duda 2013,
arXiv:1311.2540); or packed as it is, where that is smaller.

A frequency is stored in six bits, as a floating-point number of four exponent and two mantissa
bits. It is then at most 1/8 off, which costs less than 0.01 bits a symbol. The decoder computes its
model from the table by integer arithmetic only, so that every machine decodes the same symbols.
"""

from __future__ import annotations

import struct

import constriction
import numpy as np

from optim.codecs._frame import Reader, corrupt
from optim.codecs._packing import pack, packed_size

__all__ = ["MAX_PLANE_WIDTH", "decode_plane", "encode_plane"]

MAX_PLANE_WIDTH = 8

_PACKED, _CODED = 0, 1
_KIND = struct.Struct("<B")
_TABLE = struct.Struct("<BB")
_WORDS = struct.Struct("<I")
_WORD = np.dtype("<u4")

_LEVEL_BITS = 6
_LEVELS = np.array([0, *((4 + m) << e for e in range(16) for m in range(4))][: 2**_LEVEL_BITS])
"""The frequencies a table can state; 0 is a symbol that does not occur."""

_PRECISION = 24
"""The coder's probabilities are multiples of ``2**-24``."""


def encode_plane(symbols: np.ndarray, width: int) -> bytes:
    """Encode ``(N,)`` symbols of ``width`` bits (1 to 8), in the smaller of the two ways."""
    packed_bytes = packed_size(width, len(symbols))
    counts = np.bincount(symbols, minlength=1)
    if not len(symbols) or _least_size(counts) >= packed_bytes:
        return _KIND.pack(_PACKED) + pack(symbols, width)
    coded = _encode_coded(symbols, counts)
    if len(coded) >= packed_bytes:
        return _KIND.pack(_PACKED) + pack(symbols, width)
    return _KIND.pack(_CODED) + coded


def decode_plane(reader: Reader, width: int, count: int) -> np.ndarray:
    """Undo :func:`encode_plane`: return ``(count,)`` uint32.

    Raises:
        DataError: If the data was cut or altered.
    """
    (kind,) = reader.numbers(_KIND)
    if kind == _PACKED:
        return reader.packed(width, count)
    if kind != _CODED:
        raise corrupt(f"no plane is of kind {kind}")
    return _decode_coded(reader, width, count)


def _least_size(counts: np.ndarray) -> float:
    """Return a lower bound of the coded bytes: the information in the symbols, and the table."""
    used = counts[counts > 0]
    information = float(used @ np.log2(used.sum() / used))
    return (information + _LEVEL_BITS * len(used)) / 8


def _encode_coded(symbols: np.ndarray, counts: np.ndarray) -> bytes:
    used = np.flatnonzero(counts)
    first, last = int(used[0]), int(used[-1])
    levels = _nearest_levels(counts[first : last + 1])
    words = _compress(np.searchsorted(used, symbols), _LEVELS[levels[levels > 0]])
    table = _TABLE.pack(first, last) + pack(levels, _LEVEL_BITS)
    return table + _WORDS.pack(len(words)) + words.astype(_WORD).tobytes()


def _decode_coded(reader: Reader, width: int, count: int) -> np.ndarray:
    first, last = reader.numbers(_TABLE)
    if not first <= last < 2**width:
        raise corrupt(f"a table from symbol {first} to {last} in a plane of {width} bits")
    frequencies = _LEVELS[reader.packed(_LEVEL_BITS, last - first + 1)]
    used = first + np.flatnonzero(frequencies)
    if not len(used):
        raise corrupt("a table without symbols")
    (size,) = reader.numbers(_WORDS)
    words = np.frombuffer(reader.take(size * _WORD.itemsize), dtype=_WORD)
    ranks = _decompress(words.astype(np.uint32), frequencies[frequencies > 0], count)
    return used.astype(np.uint32)[ranks]


def _nearest_levels(counts: np.ndarray) -> np.ndarray:
    """Return the index of the level nearest to each count, when the largest has the last level."""
    scaled = counts * (_LEVELS[-1] / counts.max())
    between = (_LEVELS[1:] + _LEVELS[:-1]) / 2
    return np.where(counts > 0, np.maximum(np.searchsorted(between, scaled), 1), 0)


def _model(frequencies: np.ndarray) -> constriction.stream.model.Categorical:
    """Return the model of two or more symbols that occur this often.

    ``constriction`` gives each symbol one part in ``2**24`` and shares out what is left in
    proportion. Shares that are whole numbers and add up to exactly what is left need no rounding.
    """
    free = 2**_PRECISION - len(frequencies)
    shares = frequencies * free // frequencies.sum()
    shares[np.argmax(shares)] += free - shares.sum()
    return constriction.stream.model.Categorical(shares.astype(np.float64), perfect=False)


def _compress(ranks: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Return the words of ``(N,)`` ranks; a symbol that is alone needs none."""
    coder = constriction.stream.stack.AnsCoder()
    if len(frequencies) > 1:
        coder.encode_reverse(ranks.astype(np.int32), _model(frequencies))
    return coder.get_compressed()


def _decompress(words: np.ndarray, frequencies: np.ndarray, count: int) -> np.ndarray:
    if len(words) and words[-1] == 0:
        raise corrupt("the coded symbols end in a word of zeros")
    coder = constriction.stream.stack.AnsCoder(words)
    if len(frequencies) > 1:
        ranks = coder.decode(_model(frequencies), count)
    else:
        ranks = np.zeros(count, dtype=np.int32)
    if not coder.is_empty():
        raise corrupt("the coded symbols do not come out even")
    return ranks
