"""Zeros before each weight that is not zero."""

import struct

import numpy as np
import pytest

from optim.codecs import Codes, run_length
from optim.codecs._packing import pack
from optim.codecs.run_length import _best_width, _with_fillers
from optim.errors import DataError

HEADER = 11
COUNT_AND_WIDTH = 5


def encoded(runs, width, values, shape, bits=4):
    header = struct.pack("<cBBII", b"R", bits, 0, *shape)
    body = pack(np.array(runs), width) + pack(np.array(values), bits)
    return header + struct.pack("<IB", len(runs), width) + body


def test_a_run_that_does_not_fit_is_cut_by_a_filler_zero():
    # Figure 2 of Han et al.: non-zeros at 1, 4 and 15 with runs of three bits.
    zeros_before = np.array([1, 2, 10])
    assert _with_fillers(zeros_before, 3).tolist() == [1, 2, 7, 2]


def test_runs_and_values_follow_each_other():
    codes = Codes.from_integers([[0, 5, 0, 0], [-1, 7, 0, 0]], bits=4)
    assert run_length.encode(codes) == encoded([1, 2, 0], 2, [5, -1, 7], shape=(2, 4))


def test_a_filler_is_read_as_a_zero():
    codes = run_length.decode(encoded([1, 3, 0], 2, [5, 0, 7], shape=(1, 8)))
    assert codes.values.tolist() == [[0, 5, 0, 0, 0, 0, 7, 0]]


def test_a_filler_holds_the_zero_point_of_its_row():
    integers = np.repeat([[2], [-3]], 40, axis=1)
    integers[0, :10] = 1
    integers[1, 30] = 5
    codes = Codes.from_integers(integers, bits=4, zero_points=[2, -3])
    data = run_length.encode(codes)
    np.testing.assert_array_equal(run_length.decode(data).values, integers)


@pytest.mark.parametrize("spacing", [1, 2, 5, 33, 1000])
@pytest.mark.parametrize("bits", [2, 8, 32])
def test_the_width_is_the_best_of_all(spacing, bits):
    rng = np.random.default_rng(spacing)
    zeros_before = rng.geometric(1 / spacing, 500) - 1
    sizes = {w: len(_with_fillers(zeros_before, w)) * (w + bits) for w in range(1, 21)}
    assert sizes[_best_width(zeros_before, bits)] == min(sizes.values())


def test_a_layer_of_zeros_costs_the_header():
    codes = Codes.from_integers(np.zeros((100, 1000)), bits=8)
    assert len(run_length.encode(codes)) == HEADER + COUNT_AND_WIDTH


def test_every_tenth_weight_costs_its_value_and_four_bits():
    codes = Codes.from_integers(np.tile([0] * 9 + [1], (1, 80)), bits=8)
    assert len(run_length.encode(codes)) == HEADER + COUNT_AND_WIDTH + 40 + 80


@pytest.mark.parametrize("width", [0, 33, 255])
def test_runs_of_no_width_are_refused(width):
    header = struct.pack("<cBBII", b"R", 4, 0, 1, 8)
    with pytest.raises(DataError, match=f"1 runs of {width} bits"):
        run_length.decode(header + struct.pack("<IB", 1, width) + bytes(10))


def test_runs_beyond_the_layer_are_refused():
    with pytest.raises(DataError, match="longer than the layer"):
        run_length.decode(encoded([3, 3, 3], 2, [1, 1, 1], shape=(1, 8)))


def test_more_runs_than_weights_are_refused():
    with pytest.raises(DataError, match="9 runs of 2 bits for 8 weights"):
        run_length.decode(encoded([0] * 9, 2, [1] * 9, shape=(1, 8)))
