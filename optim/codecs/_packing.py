"""Integers of a fixed width, one after the other without gaps, first value in the low bits.

This is the layout in which ONNX stores its int4 and int2 tensors.
"""

from __future__ import annotations

import numpy as np

__all__ = ["pack", "packed_size", "sign_extended", "unpack", "width_of"]


def width_of(largest: int) -> int:
    """Return the bits that hold the numbers 0 to ``largest``; at least one."""
    return max(1, int(largest).bit_length())


def packed_size(width: int, count: int) -> int:
    """Return the bytes that ``count`` integers of ``width`` bits take."""
    return (width * count + 7) // 8


def pack(values: np.ndarray, width: int) -> bytes:
    """Pack ``(N,)`` integers, keeping the low ``width`` bits (1 to 32) of each.

    Example:
        >>> pack(np.array([1, 2, 3, -1]), width=4).hex()
        '21f3'
    """
    container = _container(width)
    narrow = values.astype(container)
    if width == 8 * container.itemsize:
        return narrow.tobytes()
    as_bytes = narrow.view(np.uint8).reshape(-1, container.itemsize)
    bits = np.unpackbits(as_bytes, axis=1, count=width, bitorder="little")
    return np.packbits(bits, bitorder="little").tobytes()


def unpack(data: bytes | memoryview, width: int, count: int) -> np.ndarray:
    """Undo :func:`pack`: return ``(count,)`` uint32; ``data`` has exactly the packed size."""
    container = _container(width)
    raw = np.frombuffer(data, dtype=np.uint8)
    if width < 8 * container.itemsize:
        bits = np.unpackbits(raw, count=width * count, bitorder="little").reshape(count, width)
        wide = np.zeros((count, container.itemsize), dtype=np.uint8)
        wide[:, : packed_size(width, 1)] = np.packbits(bits, axis=1, bitorder="little")
        raw = wide.reshape(-1)
    return raw.view(container).astype(np.uint32)


def sign_extended(values: np.ndarray, width: int) -> np.ndarray:
    """Read ``(N,)`` uint32 numbers of ``width`` bits as two's complement; returns int32."""
    shift = 32 - width
    return (values << np.uint32(shift)).view(np.int32) >> shift


def _container(width: int) -> np.dtype:
    """Return the smallest little-endian unsigned type of at least ``width`` bits."""
    return np.dtype("<u1" if width <= 8 else "<u2" if width <= 16 else "<u4")
