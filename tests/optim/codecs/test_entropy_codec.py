"""About as many bits as a weight carries information."""

import numpy as np
import pytest

from optim.codecs import Codes, bitmap, dense, entropy

HEADER = 11
FORM = HEADER
"""Where the byte stands that says which form was chosen."""


def gaussian(bits, sparsity, shape=(64, 1024), seed=0):
    """Draw weights on a grid, the smallest of them pruned."""
    weights = np.random.default_rng(seed).standard_normal(shape)
    weights[np.abs(weights) < np.quantile(np.abs(weights), sparsity)] = 0
    half = 2 ** (bits - 1) - 1
    return Codes.from_integers(np.round(weights / np.abs(weights).max() * half), bits)


def information_bytes(values):
    counts = np.unique(values, return_counts=True)[1]
    return float(counts @ np.log2(counts.sum() / counts)) / 8


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("sparsity", [0, 0.5, 0.9, 0.99])
def test_size_is_within_a_percent_of_the_shannon_bound(bits, sparsity):
    codes = gaussian(bits, sparsity)
    tables = 2 + 6 * 2**bits / 8
    fields = HEADER + 1 + 5 + 2 * (7 + 4)  # form, offset and width, two planes with a last word
    bound = information_bytes(codes.values)
    assert len(entropy.encode(codes)) <= 1.01 * bound + tables + fields


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_splitting_a_wide_grid_costs_less_than_three_percent(bits):
    codes = gaussian(bits, 0, shape=(512, 512))
    assert len(entropy.encode(codes)) < 1.03 * information_bytes(codes.values)


def test_zero_points_that_differ_by_row_do_not_cost_information():
    symmetric = gaussian(4, 0.5)
    zero_points = np.arange(64) % 5 - 2
    shifted = np.clip(symmetric.values, -4, 4) + zero_points[:, None]
    affine = Codes.from_integers(np.clip(shifted, -8, 7), 4, zero_points)
    assert len(entropy.encode(affine)) < 1.01 * len(entropy.encode(symmetric))


def test_shared_float_weights_are_listed_once():
    rng = np.random.default_rng(0)
    centroids = rng.standard_normal(16).astype(np.float32)
    codes = Codes.from_float(centroids[rng.integers(0, 16, (64, 1024))])
    data = entropy.encode(codes)
    assert data[FORM] == 2
    assert len(data) < 64 * 1024 * 4 / 8 + 16 * 4 + 64


def test_exponents_of_floats_are_coded_and_mantissas_are_not():
    weights = np.random.default_rng(0).standard_normal((64, 1024)).astype(np.float32)
    codes = Codes.from_float(weights)
    data = entropy.encode(codes)
    exponent = (weights.view(np.uint32) >> 23) & 0xFF
    bound = information_bytes(exponent) + weights.size * 3
    assert data[FORM] == 1
    assert 0.99 * bound < len(data) < 1.01 * bound


def test_few_wide_weights_do_not_pay_for_a_table():
    integers = np.random.default_rng(0).integers(-(2**15), 2**15, (4, 10))
    codes = Codes.from_integers(integers, bits=16)
    assert len(entropy.encode(codes)) == len(dense.encode(codes)) + 1


@pytest.mark.parametrize("bits", [2, 5, 8, 16])
def test_noise_costs_one_byte_more_than_dense(bits):
    half = 2 ** (bits - 1)
    integers = np.random.default_rng(0).integers(-half, half, (16, 16))
    codes = Codes.from_integers(integers, bits)
    assert len(entropy.encode(codes)) <= len(dense.encode(codes)) + 1


def test_ternary_weights_take_less_than_a_bitmap_and_two_bits():
    signs = np.random.default_rng(0).choice([-1, 0, 1], (64, 64), p=[0.25, 0.5, 0.25])
    codes = Codes.from_integers(signs, bits=2)
    assert len(entropy.encode(codes)) < 0.8 * len(bitmap.encode(codes))


def test_a_layer_of_zeros_costs_a_few_bytes():
    assert len(entropy.encode(Codes.from_float(np.zeros((1000, 1000))))) < 50
