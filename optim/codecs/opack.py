"""The packed file, ``.opack``: any file, with the weights inside it coded by what they are.

A file that holds weights is cut into the weights and what is left, its *skeleton*. Weights are
coded as layers (:mod:`optim.codecs.entropy`), short rows of constants together, and the skeleton is
deflated with a dictionary of the words that such files are made of. Unpacking gives the file back
byte by byte. What the file means is not known here: :mod:`optim.graph.packed` finds the weights of
an ONNX file. ``docs/opack.md`` describes the format.

Reading trusts nothing: a checksum finds what was cut or altered by accident, and what was made on
purpose meets limits before memory is taken for it. Nothing is executed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from optim.codecs import entropy
from optim.codecs._frame import Reader
from optim.codecs._packing import pack as pack_bits
from optim.codecs._packing import packed_size, sign_extended
from optim.codecs._packing import unpack as unpack_bits
from optim.codecs._words import WORDS
from optim.codecs.codes import FLOAT_BITS, LEGAL_BITS, Codes
from optim.errors import DataError

__all__ = [
    "KINDS",
    "MAX_BYTES",
    "SUFFIX",
    "Kind",
    "Part",
    "Sizes",
    "is_packed",
    "pack",
    "sizes_of",
    "unpack",
]

SUFFIX = ".opack"
MAX_BYTES = 2**29
"""Bytes of an unpacked file that are accepted unless told otherwise: 134 million float32."""

_MAGIC, _VERSION = b"OPAK", 1
_HEAD = struct.Struct("<4sBI")
_IS_ALONE = 0x80
_WIDEST_CENTRED = 8
"""Bits of numbers whose most frequent value is looked for."""
_ALONE = 256
"""Numbers of a part that is a layer of its own; shorter ones of a kind are coded together."""
_FEWEST = 8
"""Numbers of a part that is worth to be cut out."""


def _corrupt(reason: str) -> DataError:
    return DataError(
        f"The packed file is not readable: {reason}.",
        hint="It was cut or altered; pack the model again, or fetch the file again.",
    )


@dataclass(frozen=True)
class Kind:
    """How numbers of one kind lie in a file.

    Attributes:
        bits: Of one number; below eight they are packed, first one in the low bits.
        is_float: Whether they are float32.
    """

    bits: int
    is_float: bool = False

    def codes(self, data: bytes, shape: tuple[int, int]) -> Codes:
        """Return ``(R, n)`` numbers as a codec sees them, in the smallest width that holds them."""
        raw = unpack_bits(data, self.bits, prod(shape))
        none = np.zeros(shape[0], dtype=np.int32)
        if self.bits == FLOAT_BITS:
            signed = raw.view(np.int32)
            if not self.is_float:
                # Sign last: numbers near zero then have zeros on top, whatever their sign.
                signed = (signed << 1) ^ (signed >> 31)
            return Codes(signed.reshape(shape), FLOAT_BITS, none)
        values = sign_extended(raw, self.bits).reshape(shape)
        return Codes(values, max(LEGAL_BITS[0], _width(values)), none)

    def data(self, codes: Codes) -> bytes:
        """Undo :meth:`codes`."""
        if codes.bits > self.bits or codes.is_float != (self.bits == FLOAT_BITS):
            raise _corrupt(f"numbers of {codes.bits} bits stand where some of {self.bits} belong")
        values = codes.values.reshape(-1)
        if self.bits == FLOAT_BITS and not self.is_float:
            raw = values.view(np.uint32)
            values = ((raw >> np.uint32(1)).view(np.int32)) ^ -(raw & np.uint32(1)).view(np.int32)
        return pack_bits(values, self.bits)


KINDS: dict[int, Kind] = {
    1: Kind(32, is_float=True),
    2: Kind(8),
    3: Kind(16),
    4: Kind(4),
    5: Kind(2),
    6: Kind(32),
}
"""Kinds of numbers by what stands for them in the file."""


@dataclass(frozen=True)
class Part:
    """Numbers inside a file.

    Attributes:
        start: Where their first byte stands.
        kind: A key of :data:`KINDS`.
        shape: Rows and columns ``(R, n)``.
    """

    start: int
    kind: int
    shape: tuple[int, int]

    @property
    def numbers(self) -> int:
        """How many there are."""
        return self.shape[0] * self.shape[1]

    @property
    def size(self) -> int:
        """Bytes they take in the file."""
        return packed_size(KINDS[self.kind].bits, self.numbers)


@dataclass(frozen=True)
class Sizes:
    """Bytes of a packed file by what they hold.

    Attributes:
        weights: Layers that are coded alone, each with its header.
        constants: Short rows of numbers, such as biases and scales.
        graph: The skeleton, and where the numbers belong in it.
        rest: Magic, version, checksum and lengths.
    """

    weights: int
    constants: int
    graph: int
    rest: int

    @property
    def total(self) -> int:
        """Bytes of the file."""
        return self.weights + self.constants + self.graph + self.rest


def is_packed(data: bytes) -> bool:
    """Whether data begin as a packed file does."""
    return data[: len(_MAGIC)] == _MAGIC


def pack(file: bytes, parts: Sequence[Part]) -> bytes:
    """Return a file in packed form.

    Args:
        file: Any bytes.
        parts: Numbers that lie in it, apart from each other and in order.
    """
    table, skeleton, end = bytearray(), bytearray(), 0
    alone: list[Codes] = []
    pools: dict[int, list[Codes]] = {}
    for part in parts:
        codes = _codes_of(file, part)
        if codes is None:
            continue
        table += _varint(part.start - end)
        if part.numbers >= _ALONE:
            table.append(part.kind | _IS_ALONE)
            alone.append(codes)
        else:
            table += bytes([part.kind]) + _varint(part.numbers)
            pools.setdefault(part.kind, []).append(codes)
        skeleton += file[end : part.start]
        end = part.start + part.size
    skeleton += file[end:]
    layers = alone + [_joined(pools[kind]) for kind in sorted(pools)]
    body = _varint(len(file)) + _varint(len(table)) + _varint(len(skeleton))
    for section in (_deflated(bytes(table + skeleton)), *map(_encoded, layers)):
        body += _varint(len(section)) + section
    return _HEAD.pack(_MAGIC, _VERSION, zlib.crc32(body)) + body


def unpack(data: bytes, max_bytes: int = MAX_BYTES) -> bytes:
    """Undo :func:`pack`.

    Args:
        data: A packed file.
        max_bytes: Bytes of the unpacked file that are accepted.

    Raises:
        DataError: If the data was cut or altered, or declares more than ``max_bytes``.
    """
    opened = _Opened(data, max_bytes)
    pieces: list[bytes] = []
    pools: dict[int, list[tuple[int, int]]] = {}
    start = 0
    for gap, kind, numbers in opened.entries:
        pieces += (opened.skeleton[start : start + gap], b"")
        start += gap
        if numbers is None:
            pieces[-1] = KINDS[kind].data(opened.layer(kind))
        else:
            pools.setdefault(kind, []).append((len(pieces) - 1, numbers))
    pieces.append(opened.skeleton[start:])
    for kind in sorted(pools):
        codes, start = opened.layer(kind), 0
        if codes.values.size != sum(numbers for _, numbers in pools[kind]):
            raise _corrupt("constants are too few or too many")
        for place, numbers in pools[kind]:
            own = Codes(codes.values[:, start : start + numbers], codes.bits, codes.zero_points)
            pieces[place] = KINDS[kind].data(own)
            start += numbers
    opened.end()
    file = b"".join(pieces)
    if len(file) != opened.size:
        raise _corrupt(f"{len(file)} bytes come of it, and {opened.size} are declared")
    return file


def sizes_of(data: bytes) -> Sizes:
    """Return what the bytes of a packed file hold.

    Raises:
        DataError: As :func:`unpack`.
    """
    opened = _Opened(data, MAX_BYTES)
    alone = sum(numbers is None for _, _, numbers in opened.entries)
    pools = len({kind for _, kind, numbers in opened.entries if numbers is not None})
    weights = sum(opened.skip() for _ in range(alone))
    constants = sum(opened.skip() for _ in range(pools))
    opened.end()
    rest = len(data) - weights - constants - opened.deflated
    return Sizes(weights, constants, opened.deflated, rest)


class _Opened:
    """A packed file whose skeleton is read, and whose layers are read one after the other."""

    def __init__(self, data: bytes, max_bytes: int) -> None:
        if not is_packed(data):
            raise DataError(
                f"A packed file begins with {_MAGIC.decode()}: got {data[:4]!r}.",
                hint=f"Give the {SUFFIX} file that python -m optim pack has written.",
            )
        self._reader = Reader(data)
        try:
            _, version, checksum = self._reader.numbers(_HEAD)
        except DataError as error:
            raise _corrupt("it ends within its first bytes") from error
        if version != _VERSION:
            raise DataError(
                f"The packed file has version {version}; this program reads {_VERSION}.",
                hint="Update Optim Studio.",
            )
        if zlib.crc32(data[_HEAD.size :]) != checksum:
            raise _corrupt("its checksum is another one")
        self.size, table, skeleton = (self._varint() for _ in range(3))
        if self.size > max_bytes:
            raise DataError(
                f"The packed file declares {self.size:,} bytes; at most {max_bytes:,} are "
                "accepted.",
                hint="Unpack it on the command line, with a larger --max-bytes.",
            )
        # An entry takes two bytes at least, and stands for eight numbers of two bits at least.
        if skeleton > self.size or table > 8 * self.size:
            raise _corrupt("its skeleton is larger than the file")
        self.deflated = self._varint()
        whole = _inflated(self._reader.take(self.deflated), table + skeleton)
        self.skeleton = whole[table:]
        self.entries = _entries(whole[:table])
        self._left = self.size - skeleton

    def layer(self, kind: int) -> Codes:
        """Read the next layer, of no more numbers than the file has room for."""
        data = bytes(self._reader.take(self._varint()))
        codes = entropy.decode(data, max_weights=self._left * 8 // KINDS[kind].bits)
        self._left -= packed_size(KINDS[kind].bits, codes.values.size)
        return codes

    def skip(self) -> int:
        """Pass over the next layer; returns its bytes."""
        size = self._varint()
        self._reader.take(size)
        return size

    def end(self) -> None:
        """Refuse bytes that nothing asked for."""
        self._reader.end()

    def _varint(self) -> int:
        return _read_varint(self._reader)


def _entries(table: bytes) -> list[tuple[int, int, int | None]]:
    """Return, for every part, the bytes of skeleton before it, its kind, and numbers if pooled."""
    reader, found = Reader(table), []
    while not reader.is_empty:
        gap, kind = _read_varint(reader), reader.take(1)[0]
        numbers = None if kind & _IS_ALONE else _read_varint(reader)
        if kind & ~_IS_ALONE not in KINDS:
            raise _corrupt(f"no numbers are of kind {kind}")
        found.append((gap, kind & ~_IS_ALONE, numbers))
    return found


def _codes_of(file: bytes, part: Part) -> Codes | None:
    """Return the numbers of a part; None if they are few, or their bytes would not come back."""
    data = file[part.start : part.start + part.size]
    if part.numbers < _FEWEST or len(data) < part.size:
        return None
    kind = KINDS[part.kind]
    codes = kind.codes(data, part.shape)
    return codes if kind.data(codes) == data else None  # bits that only fill up a byte


def _joined(pool: Sequence[Codes]) -> Codes:
    """Return constants of one kind as one row."""
    values = np.concatenate([codes.values.reshape(-1) for codes in pool])[None]
    return Codes(values, max(codes.bits for codes in pool), np.zeros(1, dtype=np.int32))


def _encoded(codes: Codes) -> bytes:
    """Return a layer by whatever stands for zero in it: 0, or the value that each row has most."""
    data = entropy.encode(codes)
    centred = None if codes.bits > _WIDEST_CENTRED else _centred(codes)
    return data if centred is None else min(data, entropy.encode(centred), key=len)


def _centred(codes: Codes) -> Codes | None:
    """Return the same numbers with the most frequent one of each row as its zero point.

    That is where pruned weights lie on a grid with zero points; None where it is 0 anyway.
    """
    half = 2 ** (codes.bits - 1)
    rows, columns = codes.values.shape
    cells = np.arange(rows)[:, None] * 2 * half + codes.values + half
    counts = np.bincount(cells.reshape(-1), minlength=2 * half * rows).reshape(rows, -1)
    most = counts.argmax(axis=1).astype(np.int32) - half
    return Codes(codes.values, codes.bits, most) if columns and most.any() else None


def _width(values: np.ndarray) -> int:
    """Return the bits of the narrowest signed integers that hold these."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    return max((~low).bit_length(), high.bit_length()) + 1


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=WORDS)
    return packer.compress(data) + packer.flush()


def _inflated(data: memoryview, size: int) -> bytes:
    opener = zlib.decompressobj(-15, zdict=WORDS)
    try:
        found = opener.decompress(data, size) if size else b""
        more = opener.decompress(opener.unconsumed_tail, 1) if size else b""
    except zlib.error as error:
        raise _corrupt("its skeleton cannot be inflated") from error
    if len(found) != size or more or not (opener.eof or not size):
        raise _corrupt("its skeleton is not of the size that is declared")
    return found


def _varint(number: int) -> bytes:
    """Return a number of at least 0 in bytes of seven bits, the low ones first."""
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])


def _read_varint(reader: Reader) -> int:
    number = 0
    for shift in range(0, 63, 7):
        byte = reader.take(1)[0]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number
    raise _corrupt("a length has more than nine bytes")
