"""Symbols coded by their frequencies."""

import hashlib

import numpy as np
import pytest

from optim.codecs._frame import Reader
from optim.codecs._planes import _LEVELS, _nearest_levels, decode_plane, encode_plane
from optim.errors import DataError


def draw(probabilities, count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.choice(len(probabilities), size=count, p=probabilities).astype(np.uint32)


def information_bytes(symbols):
    counts = np.unique(symbols, return_counts=True)[1]
    return float(counts @ np.log2(counts.sum() / counts)) / 8


def decode(data, width, count):
    reader = Reader(data)
    symbols = decode_plane(reader, width, count)
    reader.end()
    return symbols


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
@pytest.mark.parametrize("width", range(1, 9))
def test_planes_come_back(width, count):
    symbols = np.random.default_rng(width).integers(0, 2**width, count).astype(np.uint32) // 2
    np.testing.assert_array_equal(decode(encode_plane(symbols, width), width, count), symbols)


def test_a_single_symbol_costs_its_table_only():
    symbols = np.full(10_000, 200, dtype=np.uint32)
    data = encode_plane(symbols, 8)
    # kind, first, last, one frequency in a byte, number of words
    assert len(data) == 1 + 1 + 1 + 1 + 4
    np.testing.assert_array_equal(decode(data, 8, 10_000), symbols)


def test_noise_is_stored_as_it_is():
    symbols = np.random.default_rng(0).integers(0, 256, 5000).astype(np.uint32)
    assert len(encode_plane(symbols, 8)) == 1 + 5000


@pytest.mark.parametrize(
    ("probabilities", "width"),
    [
        ([0.9, 0.1], 1),
        ([0.01, 0.99], 1),
        ([0.7, 0.2, 0.05, 0.05], 2),
        (np.exp(-np.abs(np.arange(-128, 128) / 10)), 8),
        (np.exp(-((np.arange(-128, 128) / 40.0) ** 2)), 8),
    ],
    ids=["sparse", "dense", "skewed", "laplace", "gauss"],
)
def test_size_is_within_a_percent_of_the_information(probabilities, width):
    symbols = draw(np.array(probabilities) / np.sum(probabilities), 50_000)
    table = 1 + 2 + (6 * len(probabilities) + 7) // 8 + 4
    # The coder ends on a whole word of four bytes.
    assert len(encode_plane(symbols, width)) <= 1.01 * information_bytes(symbols) + table + 4


def test_a_frequency_is_stored_within_an_eighth():
    counts = np.unique(np.geomspace(10, 100_000, 200).astype(int))
    levels = _LEVELS[_nearest_levels(counts)]
    shares = counts / counts.max()
    assert np.all(np.abs(levels / _LEVELS[-1] / shares - 1) <= 0.125)


def test_a_rare_symbol_keeps_a_place_in_the_table():
    levels = _nearest_levels(np.array([100_000_000, 0, 1]))
    assert levels.tolist() == [63, 0, 1]


def test_a_symbol_that_is_rarer_than_any_level_comes_back():
    symbols = np.zeros(1_000_000, dtype=np.uint32)
    symbols[123_456] = 1
    data = encode_plane(symbols, 1)
    assert len(data) < 50
    np.testing.assert_array_equal(decode(data, 1, len(symbols)), symbols)


def test_bytes_are_the_same_on_every_machine():
    symbols = (np.arange(3000, dtype=np.uint32) ** 2 % 97) // 3
    data = encode_plane(symbols, 8)
    assert (len(data), hashlib.sha256(data).hexdigest()[:16]) == (1852, "107dfebf75b99284")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\2", "no plane is of kind 2"),
        (b"\1\5\4", "a table from symbol 5 to 4"),
        (b"\1\0\4", "a table from symbol 0 to 4 in a plane of 2 bits"),
        (b"\1\0\0\0", "a table without symbols"),
        (b"\1\0\0\1\xff\xff\xff\xff", "bytes are declared and 0 are left"),
        (b"\1\0\0\1\1\0\0\0\0\0\0\0", "end in a word of zeros"),
        (b"\1\0\0\1\1\0\0\0\7\0\0\0", "do not come out even"),
    ],
)
def test_planes_that_no_encoder_writes_are_refused(data, reason):
    with pytest.raises(DataError, match=reason):
        decode_plane(Reader(data), 2, 10)
