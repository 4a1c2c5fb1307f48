"""Decisions by learned probabilities: what goes in comes out, at the price of their surprise."""

import hashlib

import numpy as np
import pytest

from optim.codecs import Codes, entropy
from optim.codecs._bits import AdaptiveBits, BitDecoder, BitEncoder
from optim.codecs._signed import MAX_CLASS, code_signed
from optim.codecs._significance import code_significance, density_level
from optim.errors import DataError


def information(share, count):
    return count * -(share * np.log2(share) + (1 - share) * np.log2(1 - share)) / 8


def block_sparse(seed=0):
    """Return zeros as pruning leaves them: whole rows and columns are nearly empty."""
    rng = np.random.default_rng(seed)
    chance = 0.5 * np.outer(rng.random(120) < 0.4, rng.random(300) < 0.4) + 0.005
    return rng.random((120, 300)) < chance


def test_decisions_cost_what_they_surprise():
    rng = np.random.default_rng(0)
    probabilities = rng.integers(1, 2**16, 20_000) / 2**16
    bits = rng.random(20_000) < probabilities
    coder = BitEncoder()
    coder.code(probabilities, bits)
    data = coder.to_bytes()
    surprise = -np.log2(np.where(bits, probabilities, 1 - probabilities)).sum() / 8
    assert surprise < len(data) < surprise + 12
    decoder = BitDecoder(data)
    halves = [decoder.code(part, None) for part in np.split(probabilities, [7_001])]
    decoder.end()
    np.testing.assert_array_equal(np.concatenate(halves), bits)


def test_contexts_learn_their_own_frequencies():
    rng = np.random.default_rng(0)
    contexts = rng.integers(0, 3, 30_000)
    bits = rng.random(30_000) < np.array([0.02, 0.5, 0.9])[contexts]
    coder = BitEncoder()
    AdaptiveBits(3).code(coder, contexts, bits)
    best = sum(information(bits[contexts == c].mean(), (contexts == c).sum()) for c in range(3))
    assert len(coder.to_bytes()) < 1.01 * best + 16


def test_numbers_of_every_size_come_back():
    largest = 2**MAX_CLASS - 1
    values = np.array([1, -1, 2, -3, 255, -256, largest, -largest] * 5)
    places = np.arange(60).reshape(4, 15) % 3 > 0
    for alike in (True, False):
        coder = BitEncoder()
        code_signed(coder, places, values, alike=alike)
        decoder = BitDecoder(coder.to_bytes())
        np.testing.assert_array_equal(code_signed(decoder, places, None, alike=alike), values)
        decoder.end()


def test_signs_of_smooth_kernels_cost_less_than_a_bit():
    rng = np.random.default_rng(0)
    smooth = np.repeat(rng.choice([-1, 1], (64, 40)), 9, axis=1)
    coders = [BitEncoder(), BitEncoder()]
    for coder, values in zip(coders, (smooth, rng.permuted(smooth, axis=1)), strict=True):
        code_signed(coder, values != 0, values.reshape(-1), alike=True)
    sizes = [len(coder.to_bytes()) for coder in coders]
    assert sizes[1] < 1.01 * smooth.size / 8 + 20
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (3, 5), (64, 64)], ids=str)
def test_zeros_of_every_density_come_back(shape):
    rng = np.random.default_rng(0)
    for density in (0, 1e-3, 0.1, 0.5, 0.99, 1):
        nonzero = rng.random(shape) < density
        coder, level = BitEncoder(), density_level(nonzero)
        code_significance(coder, shape, level, nonzero)
        decoder = BitDecoder(coder.to_bytes())
        np.testing.assert_array_equal(code_significance(decoder, shape, level, None), nonzero)
        decoder.end()


def test_zeros_that_lie_in_rows_and_columns_cost_a_third_less_than_their_frequency():
    nonzero = block_sparse()
    coder = BitEncoder()
    code_significance(coder, nonzero.shape, density_level(nonzero), nonzero)
    assert len(coder.to_bytes()) < 0.67 * information(nonzero.mean(), nonzero.size)


def test_zeros_without_any_order_cost_little_more_than_their_frequency():
    nonzero = np.random.default_rng(0).random((120, 300)) < 0.1
    coder = BitEncoder()
    code_significance(coder, nonzero.shape, density_level(nonzero), nonzero)
    assert len(coder.to_bytes()) < 1.03 * information(nonzero.mean(), nonzero.size)


def test_neighbours_make_a_pruned_layer_smaller_than_frequencies_alone():
    rng, nonzero = np.random.default_rng(0), block_sparse()
    pruned = np.where(nonzero, np.round(rng.standard_normal(nonzero.shape) * 30), 0)
    apart = rng.permutation(pruned.reshape(-1)).reshape(pruned.shape)
    sizes = [
        len(entropy.encode(Codes.from_integers(w.clip(-127, 127), 8))) for w in (pruned, apart)
    ]
    assert sizes[0] < 0.85 * sizes[1]


@pytest.mark.parametrize("end", [0, 1, 4, 8])
def test_decisions_that_do_not_come_out_even_are_refused(end):
    coder = BitEncoder()
    coder.code(np.full(400, 0.3), np.arange(400) % 3 == 0)
    data = coder.to_bytes()
    with pytest.raises(DataError):  # noqa: PT012  (either may notice)
        decoder = BitDecoder(data[end + 4 :] if end % 4 == 0 else data[:-end])
        decoder.code(np.full(400, 0.3), None)
        decoder.end()


FORMS = {
    "signed": "bce008042a625f21",
    "codebook": "87e0c12651390ec4",
    "floats": "47be168ca57776f5",
    "split": "0b111de6e7b67cd9",
}
"""Digests of layers as they were written when the format was fixed: every machine writes them."""


def layer(form):
    nonzero = block_sparse(1)
    rng = np.random.default_rng(2)
    steps = rng.integers(-9, 10, nonzero.shape) * nonzero
    if form == "signed":
        return Codes.from_integers(steps, 6)
    if form == "codebook":
        return Codes.from_float(steps / 8)
    if form == "floats":
        return Codes.from_float(rng.integers(-(2**20), 2**20, nonzero.shape) * nonzero / 2**20)
    return Codes.from_float(rng.integers(1, 2**20, nonzero.shape) / 2**20)


@pytest.mark.parametrize("form", FORMS)
def test_files_written_once_are_read_for_ever(form):
    data = entropy.encode(layer(form))
    assert data[11] == {"split": 1, "codebook": 2, "signed": 3, "floats": 4}[form]
    assert hashlib.sha256(data).hexdigest()[:16] == FORMS[form]
