"""Compressed sparse rows."""

import struct

import numpy as np
import pytest

from optim.codecs import Codes, csr
from optim.codecs._packing import pack
from optim.errors import DataError

HEADER = 11


def encoded(ends, columns, values, shape=(2, 4), bits=4, count=None):
    """Write CSR by hand: row ends at 2 bits, columns at 2 bits."""
    header = struct.pack("<cBBII", b"C", bits, 0, *shape)
    count = len(columns) if count is None else count
    parts = [pack(np.array(ends), 2), pack(np.array(columns), 2), pack(np.array(values), bits)]
    return header + struct.pack("<I", count) + b"".join(parts)


def test_row_ends_columns_and_values_follow_each_other():
    codes = Codes.from_integers([[0, 5, 0, -1], [0, 0, 7, 0]], bits=4)
    assert csr.encode(codes) == encoded(ends=[2, 3], columns=[1, 3, 2], values=[5, -1, 7])


def test_an_index_is_as_wide_as_the_row_needs():
    codes = Codes.from_integers(np.eye(100), bits=8)
    # count, 100 row ends of 7 bits, 100 columns of 7 bits, 100 values
    assert len(csr.encode(codes)) == HEADER + 4 + 88 + 88 + 100


def test_an_empty_layer_costs_one_bit_a_row():
    codes = Codes.from_integers(np.zeros((80, 1000)), bits=8)
    assert len(csr.encode(codes)) == HEADER + 4 + 10


@pytest.mark.parametrize(
    ("ends", "columns", "reason"),
    [
        ([3, 2], [0, 1, 2], "rows do not add up"),
        ([1, 2], [0, 1, 2], "rows do not add up"),
        ([2, 3], [3, 1, 2], "columns are out of order"),
        ([2, 3], [1, 1, 2], "columns are out of order"),
    ],
    ids=["shrinking", "short", "unsorted", "twice"],
)
def test_inconsistent_positions_are_refused(ends, columns, reason):
    with pytest.raises(DataError, match=reason):
        csr.decode(encoded(ends, columns, [1, 1, 1]))


def test_a_column_beyond_the_row_is_refused():
    with pytest.raises(DataError, match="columns are out of order"):
        csr.decode(encoded([2, 2], [0, 3], [1, 1], shape=(2, 3)))


def test_more_values_than_weights_are_refused():
    with pytest.raises(DataError, match="1000 of 8 weights are not zero"):
        csr.decode(encoded([2, 3], [0, 1, 2], [1, 1, 1], count=1000))
