"""One bit a weight says whether it is zero."""

import numpy as np
import pytest

from optim.codecs import Codes, bitmap, dense

HEADER = 11


def with_nonzeros(count, bits, shape=(64, 128)):
    values = np.zeros(shape)
    values.reshape(-1)[:count] = 1
    return Codes.from_integers(values, bits)


def test_map_comes_before_the_values():
    codes = Codes.from_integers([[0, 5, 0, 0, -1, 0, 0, 0, 2]], bits=4)
    assert bitmap.encode(codes)[HEADER:] == bytes([0b0001_0010, 0b1, 0xF5, 0x02])


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_it_beats_dense_once_one_weight_in_bits_is_zero(bits):
    break_even = 64 * 128 * (bits - 1) // bits
    dense_size = len(dense.encode(with_nonzeros(0, bits)))
    assert len(bitmap.encode(with_nonzeros(break_even, bits))) == dense_size
    assert len(bitmap.encode(with_nonzeros(break_even - 8, bits))) == dense_size - bits
    assert len(bitmap.encode(with_nonzeros(break_even + 8, bits))) == dense_size + bits


def test_zero_points_count_as_zero():
    codes = Codes.from_integers([[3] * 8, [-1] * 8], bits=4, zero_points=[3, -1])
    assert len(bitmap.encode(codes)) == HEADER + 1 + 2  # two zero points, two bytes of map
