"""ONNX files in packed form: where the numbers of an ONNX file lie, found in its bytes.

Weights are the initializers of the graph. They are found by walking over the fields of the file (it
is a Protocol Buffers message), and not by writing it anew, so that unpacking gives back every byte,
whoever wrote the file. See :mod:`optim.codecs.opack` for the form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from onnx import TensorProto

from optim.codecs.opack import KINDS, Part, pack
from optim.errors import UnsupportedModelError

__all__ = ["pack_onnx", "parts_of"]

_KIND_OF: dict[int, int] = {
    TensorProto.FLOAT: 1,
    TensorProto.INT8: 2,
    TensorProto.UINT8: 2,
    TensorProto.INT16: 3,
    TensorProto.UINT16: 3,
    TensorProto.FLOAT16: 3,
    TensorProto.BFLOAT16: 3,
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.INT2: 5,
    TensorProto.UINT2: 5,
    TensorProto.INT32: 6,
}
"""Kinds of numbers by the types of ONNX; tensors of other types stay in the skeleton."""

# Numbers of the fields, as onnx.proto gives them.
_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _FLOAT_DATA, _RAW_DATA, _EXTERNAL_DATA = 1, 2, 4, 9, 13
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def pack_onnx(file: bytes) -> bytes:
    """Return an ONNX file in packed form; :func:`optim.codecs.opack.unpack` gives it back.

    Raises:
        UnsupportedModelError: If the bytes are no ONNX file, or its weights lie in others.
    """
    return pack(file, parts_of(file))


def parts_of(file: bytes) -> list[Part]:
    """Return the numbers of an ONNX file, those of every initializer of its graph, in order.

    Raises:
        UnsupportedModelError: If the bytes are no ONNX file, or its weights lie in others.
    """
    found = []
    for graph in _fields(file, 0, len(file)):
        if (graph.number, graph.wire) != (_GRAPH, _LENGTH):
            continue
        for tensor in _fields(file, graph.start, graph.end):
            if (tensor.number, tensor.wire) == (_INITIALIZER, _LENGTH):
                part = _part(file, tensor)
                found += [part] if part else []
    return found


@dataclass(frozen=True)
class _Field:
    """One field of a message: its number, how it is written, its value or where its bytes are."""

    number: int
    wire: int
    value: int
    start: int
    end: int


def _part(file: bytes, tensor: _Field) -> Part | None:
    """Return where the numbers of an initializer lie; None if they lie elsewhere."""
    dims: list[int] = []
    kind, data = 0, None
    for field in _fields(file, tensor.start, tensor.end):
        if field.number == _DIMS:
            packed = field.wire == _LENGTH
            dims += _varints(file, field.start, field.end) if packed else [field.value]
        elif field.number == _DATA_TYPE:
            kind = _KIND_OF.get(field.value, 0)
        elif field.number in (_RAW_DATA, _FLOAT_DATA) and field.wire == _LENGTH:
            data = field
        elif field.number == _EXTERNAL_DATA:
            raise UnsupportedModelError(
                "The ONNX file keeps its weights in further files, and a packed file is one.",
                hint="Save it with its weights first: onnx.save(onnx.load(path), path).",
            )
    if kind not in KINDS or data is None or (data.number == _FLOAT_DATA and kind != 1):
        return None
    shape = (dims[0], prod(dims[1:])) if len(dims) > 1 else (1, prod(dims))
    part = Part(data.start, kind, shape)
    return part if part.size == data.end - data.start else None


def _fields(file: bytes, start: int, end: int) -> Iterator[_Field]:
    """Walk over the fields of a message."""
    while start < end:
        key, start = _varint(file, start, end)
        number, wire = key >> 3, key & 7
        value, size = 0, {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(wire, 0)
        if wire == _VARINT:
            value, start = _varint(file, start, end)
        elif wire == _LENGTH:
            size, start = _varint(file, start, end)
        if wire not in (_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES) or size > end - start:
            raise _no_onnx()
        yield _Field(number, wire, value, start, start + size)
        start += size


def _varints(file: bytes, start: int, end: int) -> list[int]:
    found = []
    while start < end:
        value, start = _varint(file, start, end)
        found.append(value)
    return found


def _varint(file: bytes, start: int, end: int) -> tuple[int, int]:
    """Return the number that starts there, and where the next one does."""
    value = 0
    for shift in range(0, 70, 7):
        if start >= end:
            raise _no_onnx()
        byte = file[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
    raise _no_onnx()


def _no_onnx() -> UnsupportedModelError:
    return UnsupportedModelError(
        "The file is no ONNX file: its fields do not fit into each other.",
        hint="Export the model again.",
    )
