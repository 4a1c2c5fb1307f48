"""Every weight in about as many bits as it carries information, given the layer's frequencies.

Zero or not is coded first, weight by weight. The weights that are not zero follow in the smaller of
two forms:

* *split*: the number is cut into planes of eight bits from the top, and each plane is coded by its
  own frequencies. The top bits carry nearly all structure; the lower ones are close to noise and
  are then stored as they are. In a float32 the exponent is put on top and the sign at the bottom.
* *codebook*: where there are at most 256 different values, they are listed once and what is coded
  is which of them comes. This is what weight sharing needs.

A layer that gains by neither is stored as in the dense format, so that the result is never more
than one byte above it. Tables of frequencies are part of the bytes. Neighbouring weights are taken
as unrelated.

References:
    Han et al., Deep Compression, 2015, arXiv:1510.00149, section 4 (entropy coding of weights)
    Hershcovitch et al., ZipNN: Lossless Compression for AI Models, 2024, arXiv:2411.05239 (the
    exponent of a float apart from its mantissa)
"""

from __future__ import annotations

import struct

import numpy as np

from optim.codecs._frame import MAX_WEIGHTS, Frame, Reader, corrupt, open_frame, write_frame
from optim.codecs._packing import pack, width_of
from optim.codecs._planes import MAX_PLANE_WIDTH, decode_plane, encode_plane
from optim.codecs.codes import FLOAT_BITS, Codes

__all__ = ["decode", "encode"]

_TAG = b"E"
_PACKED, _SPLIT, _CODEBOOK = b"\0", b"\1", b"\2"
_OFFSET_AND_WIDTH = struct.Struct("<iB")
_BOOK_SIZE = struct.Struct("<B")
_MAX_BOOK = 2**MAX_PLANE_WIDTH


def encode(codes: Codes) -> bytes:
    """Write the zeros and the other weights, each by their frequencies in this layer."""
    packed = _PACKED + pack(codes.values.reshape(-1), codes.bits)
    return write_frame(_TAG, codes) + min(_encode_modelled(codes), packed, key=len)


def decode(data: bytes, max_weights: int = MAX_WEIGHTS) -> Codes:
    """Undo :func:`encode`.

    Raises:
        DataError: If the data was cut or altered, or declares more than ``max_weights``.
    """
    frame, reader = open_frame(_TAG, data, max_weights)
    form = bytes(reader.take(1))
    if form == _PACKED:
        codes = frame.codes(reader.signed(frame.bits, frame.size))
    elif form in (_SPLIT, _CODEBOOK):
        codes = _decode_modelled(frame, reader, form)
    else:
        raise corrupt(f"no form is {form!r}")
    reader.end()
    return codes


def _encode_modelled(codes: Codes) -> bytes:
    nonzero = codes.nonzero
    distance = (codes.values - codes.zero_points[:, None])[nonzero]
    offset, width, symbols = _to_symbols(distance, codes.is_float)
    form, body = _SPLIT, _encode_split(symbols, width)
    book = _codebook(symbols) if width > MAX_PLANE_WIDTH else None
    if book is not None:
        other = _encode_with_book(symbols, width, book)
        form, body = (_CODEBOOK, other) if len(other) < len(body) else (form, body)
    zeros = encode_plane(nonzero.reshape(-1).view(np.uint8), 1)
    return form + zeros + _OFFSET_AND_WIDTH.pack(offset, width) + body


def _decode_modelled(frame: Frame, reader: Reader, form: bytes) -> Codes:
    positions = np.flatnonzero(decode_plane(reader, 1, frame.size))
    offset, width = reader.numbers(_OFFSET_AND_WIDTH)
    is_float = frame.bits == FLOAT_BITS
    if not (width == FLOAT_BITS if is_float else 1 <= width <= frame.bits + 1):
        raise corrupt(f"symbols of {width} bits for weights of {frame.bits}")
    read = _decode_split if form == _SPLIT else _decode_with_book
    distance = _from_symbols(read(reader, width, len(positions)), offset, is_float)
    values = frame.zero_points[positions // max(frame.columns, 1)] + distance
    half = 2 ** (frame.bits - 1)
    if len(values) and not -half <= values.min() <= values.max() < half:
        raise corrupt("a weight is not on its grid")
    return frame.scatter(positions, values)


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


def _encode_split(symbols: np.ndarray, width: int) -> bytes:
    planes, below = [], width
    for plane_width in _plane_widths(width):
        below -= plane_width
        plane = (symbols >> np.uint32(below)) & np.uint32(2**plane_width - 1)
        planes.append(encode_plane(plane, plane_width))
    return b"".join(planes)


def _decode_split(reader: Reader, width: int, count: int) -> np.ndarray:
    symbols = np.zeros(count, dtype=np.uint32)
    for plane_width in _plane_widths(width):
        symbols = (symbols << np.uint32(plane_width)) | decode_plane(reader, plane_width, count)
    return symbols


def _codebook(symbols: np.ndarray) -> np.ndarray | None:
    """Return the different symbols in order, ``(K,)`` with 1 to 256 of them, or None."""
    # Sorting is many times faster here than numpy's unique, which hashes.
    ordered = np.sort(symbols)
    first_of_kind = np.flatnonzero(np.diff(ordered)) + 1
    if not len(ordered) or len(first_of_kind) >= _MAX_BOOK:
        return None
    return ordered[np.append(0, first_of_kind)]


def _encode_with_book(symbols: np.ndarray, width: int, book: np.ndarray) -> bytes:
    indices = encode_plane(np.searchsorted(book, symbols), width_of(len(book) - 1))
    return _BOOK_SIZE.pack(len(book) - 1) + pack(book, width) + indices


def _decode_with_book(reader: Reader, width: int, count: int) -> np.ndarray:
    (last,) = reader.numbers(_BOOK_SIZE)
    book = reader.packed(width, last + 1)
    indices = decode_plane(reader, width_of(last), count)
    if indices.max(initial=0) > last:
        raise corrupt(f"a weight takes entry {indices.max()} of a codebook of {last + 1}")
    return book[indices]
