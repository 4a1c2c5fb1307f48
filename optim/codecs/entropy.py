"""Every weight in about as many bits as it carries information, given what the layer shows.

Zero or not comes first, then the weights that are not zero, in the smallest of these forms:

* *signed*: whole numbers on a grid. Zeros are coded by what their rows, columns and neighbours show
  (:mod:`optim.codecs._significance`), the others by sign, magnitude class and leading bits
  (:mod:`optim.codecs._signed`). All probabilities are learned on the way.
* *codebook*: where there are at most 256 different values, they are listed once; what is coded, in
  the same way, is the rank of each among those of its sign. This is what weight sharing needs.
* *floats*: zeros as above. The others are cut into planes of eight bits from the top, with the
  exponent on top and the sign at the bottom. The top carries nearly all structure; the lower planes
  are close to noise and are then stored as they are.
* *split*: planes as well, of any numbers, and a plane of the zeros, each with a table of
  frequencies. Neighbours are taken as unrelated, which is right where they are.

A layer that gains by none is stored as in the dense format, so that the result is never more than
one byte above it.

References:
    Han et al., Deep Compression, 2015, arXiv:1510.00149, section 4 (entropy coding of weights)
    Wiedemann et al., DeepCABAC, 2019, arXiv:1905.08318 (adaptive coding by neighbours)
    Hershcovitch et al., ZipNN: Lossless Compression for AI Models, 2024, arXiv:2411.05239 (the
    exponent of a float apart from its mantissa)
"""

from __future__ import annotations

import struct

import numpy as np

from optim.codecs._bits import BitDecoder, BitEncoder
from optim.codecs._frame import MAX_WEIGHTS, Frame, Reader, corrupt, open_frame, write_frame
from optim.codecs._packing import pack, width_of
from optim.codecs._planes import MAX_PLANE_WIDTH, decode_plane, encode_plane
from optim.codecs._signed import code_signed
from optim.codecs._significance import code_significance, density_level
from optim.codecs.codes import FLOAT_BITS, Codes

__all__ = ["decode", "encode"]

_TAG = b"E"
_PACKED, _SPLIT, _CODEBOOK, _SIGNED, _FLOATS = b"\0", b"\1", b"\2", b"\3", b"\4"
_OFFSET_AND_WIDTH = struct.Struct("<iB")
_LEVEL_AND_SIZE = struct.Struct("<BI")
_BOOK = struct.Struct("<BB")
_MAX_BOOK = 256
_MOST_MODELLED = 2**22
"""Weights of a layer whose neighbours are looked at; that takes about a second a million."""
_PROBED = 4096
"""Weights that are looked at before all are sorted to see how many different ones there are."""


def encode(codes: Codes) -> bytes:
    """Write the zeros and the other weights in the form that is smallest for this layer."""
    nonzero = codes.nonzero
    distance = (codes.values - codes.zero_points[:, None])[nonzero]
    forms = [
        _PACKED + pack(codes.values.reshape(-1), codes.bits),
        _SPLIT
        + encode_plane(nonzero.reshape(-1).view(np.uint8), 1)
        + _encode_planes(codes, distance),
    ]
    if len(distance) and nonzero.size <= _MOST_MODELLED:
        forms += _encode_modelled(codes, nonzero, distance)
    return write_frame(_TAG, codes) + min(forms, key=len)


def decode(data: bytes, max_weights: int = MAX_WEIGHTS) -> Codes:
    """Undo :func:`encode`.

    Raises:
        DataError: If the data was cut or altered, or declares more than ``max_weights``.
    """
    frame, reader = open_frame(_TAG, data, max_weights)
    form = bytes(reader.take(1))
    if form == _PACKED:
        codes = frame.codes(reader.signed(frame.bits, frame.size))
    elif form == _SPLIT:
        positions = np.flatnonzero(decode_plane(reader, 1, frame.size))
        codes = _scattered(frame, positions, _decode_planes(frame, reader, len(positions)))
    elif form in (_CODEBOOK, _SIGNED, _FLOATS) and frame.size <= _MOST_MODELLED:
        codes = _decode_modelled(frame, reader, form)
    else:
        raise corrupt(f"{frame.size} weights are in no form {form!r}")
    reader.end()
    return codes


# --- forms that look at neighbours ----------------------------------------------------------------


def _encode_modelled(codes: Codes, nonzero: np.ndarray, distance: np.ndarray) -> list[bytes]:
    """Return the forms that look at neighbours."""
    forms = []
    orders = _orders(distance, codes.is_float)
    if not codes.is_float:
        forms.append(_SIGNED + _encode_decisions(nonzero, orders, alike=True))
    book = _codebook(orders) if codes.bits > MAX_PLANE_WIDTH else None
    if book is not None:
        ranks = _ranks(book)[np.searchsorted(book, orders)]
        forms.append(
            _CODEBOOK
            + _encode_book(book, codes.is_float)
            + _encode_decisions(nonzero, ranks, alike=False)
        )
    elif codes.is_float and not nonzero.all():
        zeros = _encode_decisions(nonzero, None)
        forms.append(_FLOATS + zeros + _encode_planes(codes, distance))
    return forms


def _encode_decisions(
    nonzero: np.ndarray, values: np.ndarray | None, *, alike: bool = True
) -> bytes:
    """Code which weights are not zero, and what they are where that is whole numbers."""
    level, coder = density_level(nonzero), BitEncoder()
    rows, columns = nonzero.shape
    code_significance(coder, (rows, columns), level, nonzero)
    if values is not None:
        code_signed(coder, nonzero, values, alike=alike)
    words = coder.to_bytes()
    return _LEVEL_AND_SIZE.pack(level, len(words)) + words


def _decode_modelled(frame: Frame, reader: Reader, form: bytes) -> Codes:
    book = _read_book(reader, frame.bits == FLOAT_BITS) if form == _CODEBOOK else None
    level, size = reader.numbers(_LEVEL_AND_SIZE)
    coder = BitDecoder(reader.take(size))
    nonzero = code_significance(coder, (frame.rows, frame.columns), level, None)
    positions = np.flatnonzero(nonzero)
    if form == _FLOATS:
        coder.end()
        return _scattered(frame, positions, _decode_planes(frame, reader, len(positions)))
    values = code_signed(coder, nonzero, None, alike=book is None)
    coder.end()
    if book is not None:
        ranks = _ranks(book)
        found = np.searchsorted(ranks, values)
        if len(values) and not np.array_equal(ranks[np.minimum(found, len(ranks) - 1)], values):
            raise corrupt(f"a weight is none of the {len(book)} of the codebook")
        values = book[found]
    return _scattered(frame, positions, _distance(values, frame.bits == FLOAT_BITS))


def _scattered(frame: Frame, positions: np.ndarray, distance: np.ndarray) -> Codes:
    """Return the codes with these distances ``(m,)`` from zero at these flat positions."""
    values = frame.zero_points[positions // max(frame.columns, 1)] + distance
    half = 2 ** (frame.bits - 1)
    if len(values) and not -half <= values.min() <= values.max() < half:
        raise corrupt("a weight is not on its grid")
    return frame.scatter(positions, values)


# --- codebook -------------------------------------------------------------------------------------


def _orders(distance: np.ndarray, is_float: bool) -> np.ndarray:
    """Turn distances from zero into numbers of the same sign that rise with the weights.

    Args:
        distance: ``(N,)`` int32, none of them 0; integers on a grid less their zero point, or bits
            of float32.
        is_float: Which of the two.

    Returns:
        ``(N,)`` int64, none of them 0.
    """
    wide = distance.astype(np.int64)
    # Floats compare like their bits, but the negative ones from the other end; -0.0 becomes -1.
    return np.where(wide < 0, -1 - (wide + 2**31), wide) if is_float else wide


def _distance(orders: np.ndarray, is_float: bool) -> np.ndarray:
    """Undo :func:`_orders`; returns ``(N,)`` int64."""
    return np.where(orders < 0, -1 - orders - 2**31, orders) if is_float else orders


def _codebook(orders: np.ndarray) -> np.ndarray | None:
    """Return the different weights in order, ``(K,)`` with 1 to 256 of them, or None."""
    if not len(orders) or len(set(orders[:_PROBED].tolist())) > _MAX_BOOK:
        return None
    # Sorting is many times faster here than numpy's unique, which hashes.
    ordered = np.sort(orders)
    first_of_kind = np.flatnonzero(np.diff(ordered)) + 1
    return ordered[np.append(0, first_of_kind)] if len(first_of_kind) < _MAX_BOOK else None


def _ranks(book: np.ndarray) -> np.ndarray:
    """Return the rank of each entry among those of its sign, ``(K,)``: -2, -1, 1, 2, 3."""
    negative = np.count_nonzero(book < 0)
    ranks = np.arange(len(book)) - negative
    return ranks + (ranks >= 0)


def _encode_book(book: np.ndarray, is_float: bool) -> bytes:
    """Write the weights of a codebook without the low bits that all of them have as zeros."""
    entries = _distance(book, is_float).astype(np.int32).view(np.uint32)
    used = int(np.bitwise_or.reduce(entries))
    low = (used & -used).bit_length() - 1
    return _BOOK.pack(len(book) - 1, low) + pack(entries >> np.uint32(low), FLOAT_BITS - low)


def _read_book(reader: Reader, is_float: bool) -> np.ndarray:
    last, low = reader.numbers(_BOOK)
    if low >= FLOAT_BITS:
        raise corrupt(f"a codebook of numbers without {low} of {FLOAT_BITS} bits")
    entries = reader.packed(FLOAT_BITS - low, last + 1) << np.uint32(low)
    book = _orders(entries.view(np.int32), is_float)
    if (np.diff(book) <= 0).any() or (book == 0).any():
        raise corrupt("the codebook is out of order")
    return book


# --- planes ---------------------------------------------------------------------------------------


def _encode_planes(codes: Codes, distance: np.ndarray) -> bytes:
    """Write distances ``(N,)`` from zero, plane by plane from the top."""
    offset, width, symbols = _to_symbols(distance, codes.is_float)
    planes, below = [_OFFSET_AND_WIDTH.pack(offset, width)], width
    for plane_width in _plane_widths(width):
        below -= plane_width
        plane = (symbols >> np.uint32(below)) & np.uint32(2**plane_width - 1)
        planes.append(encode_plane(plane, plane_width))
    return b"".join(planes)


def _decode_planes(frame: Frame, reader: Reader, count: int) -> np.ndarray:
    """Undo :func:`_encode_planes`; returns ``(count,)`` int64."""
    offset, width = reader.numbers(_OFFSET_AND_WIDTH)
    is_float = frame.bits == FLOAT_BITS
    if not (width == FLOAT_BITS if is_float else 1 <= width <= frame.bits + 1):
        raise corrupt(f"symbols of {width} bits for weights of {frame.bits}")
    symbols = np.zeros(count, dtype=np.uint32)
    for plane_width in _plane_widths(width):
        symbols = (symbols << np.uint32(plane_width)) | decode_plane(reader, plane_width, count)
    return _from_symbols(symbols, offset, is_float)


def _to_symbols(distance: np.ndarray, is_float: bool) -> tuple[int, int, np.ndarray]:
    """Turn distances from zero into symbols from 0 up.

    Args:
        distance: ``(N,)`` int32; integers on a grid less their zero point, or bits of float32.
        is_float: Which of the two.

    Returns:
        What was subtracted, bits of a symbol, and the ``(N,)`` uint32 symbols.
    """
    if is_float:
        bits = distance.view(np.uint32)
        return 0, FLOAT_BITS, (bits << np.uint32(1)) | (bits >> np.uint32(31))
    offset = int(distance.min(initial=0))
    symbols = (distance - offset).astype(np.uint32)
    return offset, width_of(symbols.max(initial=0)), symbols


def _from_symbols(symbols: np.ndarray, offset: int, is_float: bool) -> np.ndarray:
    """Undo :func:`_to_symbols`; returns ``(N,)`` int64."""
    if is_float:
        bits = (symbols >> np.uint32(1)) | (symbols << np.uint32(31))
        return bits.view(np.int32).astype(np.int64)
    return symbols.astype(np.int64) + offset


def _plane_widths(width: int) -> list[int]:
    """Cut ``width`` bits into planes from the top: 10 bits become 8 and 2."""
    full, rest = divmod(width, MAX_PLANE_WIDTH)
    return [MAX_PLANE_WIDTH] * full + [rest] * bool(rest)
