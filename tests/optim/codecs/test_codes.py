"""The value that every codec takes and returns."""

import numpy as np
import pytest

from optim.codecs import Codes
from optim.errors import ConfigError


def test_float_weights_come_back_bit_for_bit():
    weights = np.array([[1.5, -2.25, np.inf], [np.nan, 1e-45, -3e38]], dtype=np.float32)
    back = Codes.from_float(weights).to_float()
    np.testing.assert_array_equal(back.view(np.int32), weights.view(np.int32))


def test_negative_zero_is_zero():
    codes = Codes.from_float([[-0.0, 0.0, 1.0]])
    assert codes.values[0, 0] == 0
    assert codes.nonzero.tolist() == [[False, False, True]]


def test_float_weights_may_be_transposed():
    weights = np.arange(6, dtype=np.float32).reshape(2, 3).T
    np.testing.assert_array_equal(Codes.from_float(weights).to_float(), weights)


def test_each_row_has_its_own_zero():
    codes = Codes.from_integers([[1, 2], [1, 2]], bits=4, zero_points=[1, 2])
    assert codes.nonzero.tolist() == [[False, True], [True, False]]


def test_zero_share_counts_weights_that_are_zero():
    codes = Codes.from_integers([[1, 2, 1, 1], [0, 0, 1, 3]], bits=4, zero_points=[1, 0])
    assert codes.zero_share == 5 / 8


def test_one_zero_point_serves_all_rows():
    codes = Codes.from_integers(np.zeros((3, 2)), bits=4, zero_points=-8)
    assert codes.zero_points.tolist() == [-8, -8, -8]


def test_whole_numbers_of_a_float_type_are_integers():
    codes = Codes.from_integers(np.array([[-128.0, 127.0]], dtype=np.float32), bits=8)
    assert codes.values.dtype == np.int32
    assert codes.values.tolist() == [[-128, 127]]


def test_later_changes_of_the_input_do_not_reach_the_codes():
    integers = np.ones((1, 2), dtype=np.int32)
    codes = Codes.from_integers(integers, bits=2)
    integers[:] = 0
    assert codes.values.tolist() == [[1, 1]]


@pytest.mark.parametrize("bits", [0, 1, 17, 32])
def test_widths_that_no_grid_has_are_refused(bits):
    with pytest.raises(ConfigError, match=f"bits must be 2 to 16: got bits={bits}") as caught:
        Codes.from_integers([[0]], bits=bits)
    assert caught.value.field == "bits"


@pytest.mark.parametrize("number", [-5, 4, 0.5, np.nan, np.inf])
def test_numbers_off_the_grid_are_refused(number):
    with pytest.raises(ConfigError, match="integers must be whole numbers from -4 to 3"):
        Codes.from_integers([[number]], bits=3)
    with pytest.raises(ConfigError, match="zero_points must be whole numbers from -4 to 3"):
        Codes.from_integers([[0]], bits=3, zero_points=number)


def test_zero_points_must_fit_the_rows():
    with pytest.raises(ConfigError, match=r"one a row: got shape \(3,\) for 2 rows"):
        Codes.from_integers(np.zeros((2, 5)), bits=3, zero_points=[0, 0, 0])


def test_weights_must_be_a_matrix():
    with pytest.raises(ConfigError, match=r"matrix \(R, n\): got shape \(2, 3, 4\)"):
        Codes.from_float(np.zeros((2, 3, 4)))
    with pytest.raises(ConfigError, match=r"matrix \(R, n\): got shape \(4,\)"):
        Codes.from_integers(np.zeros(4), bits=4)


def test_integers_on_a_grid_have_no_float_form():
    with pytest.raises(ConfigError, match="integers on a grid"):
        Codes.from_integers([[1]], bits=4).to_float()
