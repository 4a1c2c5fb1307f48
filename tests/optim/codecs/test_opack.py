"""What is packed comes back byte by byte, and what was cut, altered or made to harm is refused."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optim.codecs.opack import KINDS, Part, is_packed, pack, sizes_of, unpack
from optim.errors import DataError

HEAD = struct.Struct("<4sBI")


def pruned(rows=40, columns=60, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, columns)) * (rng.random((rows, columns)) < 0.1)).astype(
        "<f4"
    )


def some_file():
    """Return a file with a layer, two rows of constants, and text between, and its parts."""
    weights = (pruned() + np.float32(0)).tobytes()
    biases = [np.arange(20, dtype="<f4").tobytes(), np.ones(9, "<f4").tobytes()]
    pieces = [b"begin ", weights, b" middle ", biases[0], b"", biases[1], b" end"]
    starts = np.cumsum([0, *map(len, pieces)])
    parts = [Part(int(starts[1]), 1, (40, 60)), Part(int(starts[3]), 1, (1, 20))]
    return b"".join(pieces), [*parts, Part(int(starts[5]), 1, (1, 9))]


def sealed(body, version=1):
    return HEAD.pack(b"OPAK", version, zlib.crc32(body)) + body


def body_of(size, table, skeleton, deflated, *layers):
    body = varint(size) + varint(len(table)) + varint(len(skeleton))
    return body + b"".join(varint(len(part)) + part for part in (deflated, *layers))


def varint(number):
    data = []
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])


def deflated(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def test_a_file_comes_back_and_every_byte_is_accounted_for():
    file, parts = some_file()
    data = pack(file, parts)
    assert is_packed(data)
    assert not is_packed(file)
    assert unpack(data) == file
    sizes = sizes_of(data)
    assert sizes.total == len(data)
    assert 0 < sizes.rest < 25
    assert sizes.weights < 0.2 * 4 * 2400
    assert 0 < sizes.constants < 4 * 29


@st.composite
def any_file(draw):
    file, parts = draw(st.binary(max_size=40)), []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(sorted(KINDS)))
        shape = (draw(st.integers(1, 9)), draw(st.integers(1, 60)))
        part = Part(len(file), kind, shape)
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        numbers = rng.integers(0, 256, part.size, np.uint8) * (rng.random(part.size) < 0.4)
        file += numbers.astype(np.uint8).tobytes() + draw(st.binary(max_size=9))
        parts.append(part)
    return file, parts


@given(any_file())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_numbers_in_any_file_come_back(case):
    file, parts = case
    assert unpack(pack(file, parts)) == file


def test_whole_numbers_on_a_grid_with_zero_points_are_pruned_where_their_rows_say():
    rng = np.random.default_rng(0)
    zeros = rng.integers(-100, 100, (40, 1))
    steps = rng.integers(-9, 10, (40, 100)) * (rng.random((40, 100)) < 0.1)
    size = [
        len(pack(weights.astype(np.int8).tobytes(), [Part(0, 2, (40, 100))]))
        for weights in (steps, steps + zeros)
    ]
    assert size[1] < size[0] + 40 + 20


def test_the_sign_of_a_zero_comes_back():
    file = np.where(pruned() == 0, np.float32(-0.0), pruned()).astype("<f4").tobytes()
    assert unpack(pack(file, [Part(0, 1, (40, 60))])) == file


def test_bits_behind_the_last_number_stay_with_the_file():
    file = b"\x21" * 40 + b"\xf3"
    assert unpack(pack(file, [Part(0, 4, (1, 81))])) == file


def test_every_cut_is_noticed():
    data = pack(*some_file())
    for end in range(len(data)):
        with pytest.raises(DataError):
            unpack(data[:end])


def test_every_flipped_bit_is_noticed():
    data = pack(*some_file())
    for at in range(0, len(data), 3):
        altered = bytearray(data)
        altered[at] ^= 1 << at % 8
        with pytest.raises(DataError):
            unpack(bytes(altered))


def test_what_is_no_packed_file_is_told_apart_from_a_damaged_one():
    with pytest.raises(DataError, match="begins with OPAK: got b'onnx'"):
        unpack(b"onnx file")
    with pytest.raises(DataError, match="version 2; this program reads 1"):
        unpack(sealed(b"", version=2))
    data = pack(*some_file())
    with pytest.raises(DataError, match="checksum"):
        unpack(data[:-1] + bytes([data[-1] ^ 1]))


def test_the_caller_may_accept_less():
    file, parts = some_file()
    assert unpack(pack(file, parts), len(file)) == file
    with pytest.raises(DataError, match=f"declares {len(file):,} bytes; at most"):
        unpack(pack(file, parts), len(file) - 1)


BOMB = deflated(bytes(2**26))
LIES = {
    "more than anybody accepts": body_of(2**40, b"", b"", b""),
    "a skeleton larger than the file": body_of(5, b"", b"x" * 6, deflated(b"x" * 6)),
    "a skeleton that is a bomb": body_of(100, b"", b"x" * 100, BOMB),
    "a skeleton that is cut": body_of(100, b"", b"x" * 100, deflated(b"x" * 99)),
    "a skeleton that is noise": body_of(100, b"", b"x" * 100, b"\xff\xfe\xfd"),
    "an unknown kind": body_of(100, b"\0\x7f\x09", b"", deflated(b"\0\x7f\x09")),
    "a layer that is missing": body_of(400, b"\0\x81", b"", deflated(b"\0\x81")),
    "a layer larger than the file": body_of(
        400, b"\0\x81", b"", deflated(b"\0\x81"), b"E\x20\0" + struct.pack("<II", 2**13, 2**13)
    ),
    "a layer of other numbers": body_of(
        400, b"\0\x81", b"", deflated(b"\0\x81"), b"E\x08\0" + struct.pack("<II", 1, 4) + b"\0abcd"
    ),
    "constants that are too few": body_of(
        400,
        b"\0\x02\x09",
        b"",
        deflated(b"\0\x02\x09"),
        b"E\x08\0" + struct.pack("<II", 1, 4) + b"\0abcd",
    ),
    "bytes that nothing asks for": body_of(1, b"", b"x", deflated(b"x")) + b"more",
    "a file of another size": body_of(9, b"", b"x", deflated(b"x")),
    "a length without end": b"\xff" * 12,
    "nothing": b"",
}


@pytest.mark.parametrize("lie", LIES)
def test_files_made_to_harm_are_refused_before_memory_is_taken(lie):
    import tracemalloc

    data = sealed(LIES[lie])
    tracemalloc.start()
    with pytest.raises(DataError):
        unpack(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20


def test_parts_beyond_the_end_are_left_out():
    file, parts = some_file()
    assert unpack(pack(file, [*parts, replace(parts[-1], start=len(file) - 8)])) == file
