"""Every weight at the width of its grid."""

import numpy as np
import pytest

from optim.codecs import Codes, dense

HEADER = 11


def test_eight_weights_of_three_bits_take_three_bytes():
    codes = Codes.from_integers([[0, 1, 2, 3, -1, -2, -3, -4]], bits=3)
    data = dense.encode(codes)
    assert data[HEADER:] == bytes([0b10_001_000, 0b0_111_011_0, 0b100_101_11])


def test_a_float_takes_four_bytes():
    data = dense.encode(Codes.from_float([[1.0, -2.0]]))
    assert data[HEADER:] == np.array([1.0, -2.0], dtype="<f4").tobytes()


def test_a_zero_point_takes_the_width_of_a_weight():
    integers = np.zeros((3, 8))
    symmetric = dense.encode(Codes.from_integers(integers, bits=5))
    affine = dense.encode(Codes.from_integers(integers, bits=5, zero_points=[0, 1, -1]))
    assert len(affine) - len(symmetric) == 2  # 15 bits


@pytest.mark.parametrize("bits", [2, 8, 16])
def test_zeros_do_not_make_it_smaller(bits):
    full = Codes.from_integers(np.ones((20, 20)), bits=bits)
    empty = Codes.from_integers(np.zeros((20, 20)), bits=bits)
    assert len(dense.encode(full)) == len(dense.encode(empty)) == HEADER + 400 * bits // 8
