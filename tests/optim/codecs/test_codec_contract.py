"""What every codec must do; a new one joins by its line in CODECS."""

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optim.codecs import CODECS, SPARSE, Codes, best_sparse
from optim.errors import DataError

SHAPES = [(1, 1), (1, 2), (3, 1), (1, 65), (7, 13), (16, 64)]
EMPTY_SHAPES = [(0, 0), (0, 5), (5, 0)]
WIDTHS = [*range(2, 17), 32]


def draw(shape, bits, sparsity=0.0, affine=False, seed=0):
    """Draw codes of which a share is zero."""
    rng = np.random.default_rng(seed)
    zero = rng.random(shape) < sparsity
    if bits == 32:
        return Codes.from_float(np.where(zero, 0, rng.standard_normal(shape)))
    half = 2 ** (bits - 1)
    integers = np.clip(np.round(rng.standard_normal(shape) * half / 3), -half, half - 1)
    zero_points = rng.integers(-half, half, shape[0]) if affine else np.zeros(shape[0])
    return Codes.from_integers(np.where(zero, zero_points[:, None], integers), bits, zero_points)


def assert_same(found, expected):
    assert found.bits == expected.bits
    assert found.values.dtype == found.zero_points.dtype == np.int32
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.zero_points, expected.zero_points)


@pytest.fixture(params=CODECS)
def codec(request):
    return CODECS[request.param]


@pytest.mark.parametrize("sparsity", [0, 0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("bits", WIDTHS)
def test_codes_come_back(codec, bits, sparsity):
    for shape in SHAPES:
        codes = draw(shape, bits, sparsity)
        assert_same(codec.decode(codec.encode(codes)), codes)


@pytest.mark.parametrize("sparsity", [0, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("bits", WIDTHS[:-1])
def test_zero_points_come_back(codec, bits, sparsity):
    for shape in SHAPES:
        codes = draw(shape, bits, sparsity, affine=True)
        assert_same(codec.decode(codec.encode(codes)), codes)


@pytest.mark.parametrize("shape", EMPTY_SHAPES, ids=str)
@pytest.mark.parametrize("bits", [4, 32])
def test_layers_without_weights_come_back(codec, bits, shape):
    codes = draw(shape, bits)
    assert_same(codec.decode(codec.encode(codes)), codes)


@pytest.mark.parametrize("affine", [False, True])
def test_rows_of_zeros_come_back(codec, affine):
    codes = draw((9, 50), 8, 0.5, affine)
    codes.values[[0, 4, 5, 8]] = codes.zero_points[[0, 4, 5, 8], None]
    assert_same(codec.decode(codec.encode(codes)), codes)


@pytest.mark.parametrize("position", [0, 1, 4999, 9999])
def test_a_lone_weight_comes_back(codec, position):
    values = np.zeros((10, 1000))
    values.reshape(-1)[position] = -7
    codes = Codes.from_integers(values, bits=4)
    assert_same(codec.decode(codec.encode(codes)), codes)


def test_the_ends_of_the_grid_come_back(codec):
    for bits in WIDTHS[:-1]:
        half = 2 ** (bits - 1)
        integers = np.tile([-half, half - 1, 0], (2, 40))
        for zero_points in ([0, 0], [-half, half - 1]):
            codes = Codes.from_integers(integers, bits, zero_points)
            assert_same(codec.decode(codec.encode(codes)), codes)


def test_unusual_floats_come_back(codec):
    weights = [[np.nan, np.inf, -np.inf, 1e-45, -1e-45, 3.4e38, 0.0, 1.0]]
    codes = Codes.from_float(np.tile(weights, (3, 20)))
    assert_same(codec.decode(codec.encode(codes)), codes)


@st.composite
def any_codes(draw_from):
    bits = draw_from(st.sampled_from(WIDTHS))
    shape = draw_from(st.tuples(st.integers(1, 12), st.integers(1, 40)))
    sparsity = draw_from(st.sampled_from([0, 0.3, 0.8, 0.97, 1]))
    affine = bits != 32 and draw_from(st.booleans())
    return draw(shape, bits, sparsity, affine, seed=draw_from(st.integers(0, 2**32 - 1)))


@pytest.mark.parametrize("name", CODECS)
@given(codes=any_codes())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_codes_come_back(name, codes):
    data = CODECS[name].encode(codes)
    assert_same(CODECS[name].decode(data), codes)


@pytest.mark.parametrize("bits", [3, 8, 32])
def test_encoding_is_repeatable_and_leaves_its_input(codec, bits):
    codes = draw((8, 100), bits, 0.7)
    before = codes.values.copy()
    assert codec.encode(codes) == codec.encode(codes)
    np.testing.assert_array_equal(codes.values, before)


def test_order_in_memory_does_not_matter(codec):
    codes = draw((8, 100), 5, 0.7)
    turned = Codes(np.asfortranarray(codes.values), codes.bits, codes.zero_points)
    assert codec.encode(turned) == codec.encode(codes)


def test_data_of_another_codec_is_refused(codec):
    for other in CODECS.values():
        if other is not codec:
            with pytest.raises(DataError, match="it starts with"):
                codec.decode(other.encode(draw((4, 9), 4)))


@pytest.mark.parametrize("bits", [4, 12, 32])
def test_cut_data_is_refused_wherever_it_is_cut(codec, bits):
    data = codec.encode(draw((6, 40), bits, 0.6, affine=bits != 32))
    for end in range(len(data)):
        with pytest.raises(DataError, match="bytes are declared"):
            codec.decode(data[:end])


def test_surplus_data_is_refused(codec):
    with pytest.raises(DataError, match="1 bytes are left over"):
        codec.decode(codec.encode(draw((6, 40), 4, 0.6)) + b"\0")


@pytest.mark.parametrize(
    ("bits", "affine"), [(0, 0), (1, 0), (17, 0), (31, 0), (255, 0), (8, 2), (32, 1)]
)
def test_headers_that_no_layer_has_are_refused(codec, bits, affine):
    data = bytearray(codec.encode(draw((6, 40), 8)))
    data[1:3] = bits, affine
    with pytest.raises(DataError, match=f"bits={bits} and affine={affine}"):
        codec.decode(bytes(data))


@pytest.mark.parametrize("shape", [(2**32 - 1, 2**32 - 1), (2**32 - 1, 0), (0, 2**32 - 1)])
def test_absurd_shapes_are_refused_before_memory_is_taken(codec, shape):
    data = bytearray(codec.encode(draw((6, 40), 8)))
    data[3:11] = struct.pack("<II", *shape)
    with pytest.raises(DataError, match="at most 134217728 are accepted"):
        codec.decode(bytes(data))


def test_the_caller_may_accept_less(codec):
    data = codec.encode(draw((6, 40), 8))
    assert codec.decode(data, max_weights=240).values.shape == (6, 40)
    with pytest.raises(DataError, match="declares 6 x 40 weights; at most 239"):
        codec.decode(data, max_weights=239)


@pytest.mark.parametrize("bits", [2, 4, 12, 32])
def test_altered_data_is_refused_or_read_as_other_legal_codes(codec, bits):
    rng = np.random.default_rng(bits)
    original = codec.encode(draw((12, 40), bits, 0.7, affine=bits != 32))
    tracemalloc.start()
    for _ in range(400):
        data = bytearray(original)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            data[at] = rng.choice([0, 1, 127, 255, rng.integers(256)])
        try:
            codes = codec.decode(bytes(data), max_weights=2**12)
        except DataError:
            continue
        half = 2 ** (codes.bits - 1)
        assert codes.values.size <= 2**12
        assert codes.values.shape[0] == len(codes.zero_points)
        assert np.all((codes.values >= -half) & (codes.values < half))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20


@pytest.mark.parametrize("bits", [4, 8, 32])
@pytest.mark.parametrize("sparsity", [0, 0.5, 0.9, 0.99])
def test_the_best_sparse_format_is_the_smallest(bits, sparsity):
    codes = draw((32, 200), bits, sparsity)
    name, data = best_sparse(codes)
    assert data == CODECS[name].encode(codes)
    assert len(data) == min(len(CODECS[other].encode(codes)) for other in SPARSE)


@pytest.mark.parametrize("bits", WIDTHS)
def test_no_codec_beats_entropy_coding_on_a_large_layer(bits):
    codes = draw((64, 1000), bits, 0.8)
    sizes = {name: len(member.encode(codes)) for name, member in CODECS.items()}
    assert min(sizes, key=sizes.__getitem__) == "entropy"
