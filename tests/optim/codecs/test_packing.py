"""Integers without gaps."""

import numpy as np
import pytest

from optim.codecs._packing import pack, packed_size, sign_extended, unpack, width_of


@pytest.mark.parametrize("width", range(1, 33))
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 100])
def test_every_width_comes_back(width, count):
    rng = np.random.default_rng(width)
    values = rng.integers(0, 2**width, count, dtype=np.uint32)
    data = pack(values, width)
    assert len(data) == packed_size(width, count)
    np.testing.assert_array_equal(unpack(data, width, count), values)


@pytest.mark.parametrize("width", range(2, 33))
def test_signed_numbers_come_back(width):
    half = 2 ** (width - 1)
    values = np.array([-half, -1, 0, 1, half - 1]).astype(np.int32)
    back = sign_extended(unpack(pack(values, width), width, len(values)), width)
    np.testing.assert_array_equal(back, values)


def test_first_value_takes_the_low_bits():
    assert pack(np.array([0b001, 0b011, 0b111]), width=3) == bytes([0b11_011_001, 0b1])


@pytest.mark.parametrize(("largest", "width"), [(0, 1), (1, 1), (2, 2), (255, 8), (256, 9)])
def test_width_is_the_narrowest_that_holds_the_largest(largest, width):
    assert width_of(largest) == width
