"""Samples get worse as asked, by nothing but the severity, and the same for both models."""

import numpy as np
import pytest

from optim.errors import ConfigError
from optim.inspect.corruptions import CORRUPTIONS, SEVERITIES, corrupted, extent_of, refusal

RNG = np.random.default_rng(0)
SMALL = RNG.integers(0, 256, (4, 3, 32, 32)).astype(np.uint8)
LARGE = RNG.integers(0, 256, (1, 1, 224, 240)).astype(np.uint8)
SERIES = RNG.standard_normal((64, 2, 50)).astype(np.float32) * [[[1.0], [10.0]]]
TABLE = RNG.standard_normal((4000, 3)) * [1.0, 10.0, 0.0]


def moved(before, after):
    """Return how far samples moved, as the root of the mean square."""
    return float(np.sqrt(((after.astype(float) - before.astype(float)) ** 2).mean()))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_severity_is_worse_than_the_one_before(name):
    found = [moved(SMALL, corrupted(SMALL, name, severity)) for severity in SEVERITIES]
    assert found == sorted(found)
    assert found[0] > 1


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_samples_keep_shape_type_and_range_and_the_given_ones_stay(name):
    before = SMALL.copy()
    for inputs in (SMALL, SMALL.astype(np.float32) / 255):
        worse = corrupted(inputs, name, 5)
        assert (worse.shape, worse.dtype) == (inputs.shape, inputs.dtype)
        assert worse.min() >= inputs.min()
        assert worse.max() <= inputs.max()
    np.testing.assert_array_equal(SMALL, before)


def test_noise_has_the_published_strength():
    grey = np.full((8, 1, 32, 32), 128, np.uint8)
    assert moved(grey, corrupted(grey, "noise", 1)) / 255 == pytest.approx(0.04, rel=0.03)
    wide = np.full((1, 1, 224, 224), 128, np.uint8)
    assert moved(wide, corrupted(wide, "noise", 1)) / 255 == pytest.approx(0.08, rel=0.03)


def test_between_the_two_sizes_strengths_lie_between():
    strengths = []
    for side in (16, 32, 85, 224, 400):
        grey = np.full((2, 1, side, side), 128, np.uint8)
        strengths.append(moved(grey, corrupted(grey, "noise", 1)) / 255)
    assert strengths[0] == pytest.approx(strengths[1], rel=0.1)
    assert strengths[3] == pytest.approx(strengths[4], rel=0.1)
    assert strengths[1] + 0.01 < strengths[2] < strengths[3] - 0.01


def test_noise_is_the_same_at_every_severity_only_stronger():
    grey = np.full((2, 1, 8, 8), 0.5)
    grey[0, 0, 0, :2] = 0, 1  # the range to which pictures keep
    first, second = (corrupted(grey, "noise", s, seed=3) - grey for s in (1, 3))
    inside = (np.abs(second) < 0.4) & (grey == 0.5)
    np.testing.assert_allclose(second[inside], 2 * first[inside], atol=1e-12)
    assert not np.array_equal(corrupted(grey, "noise", 1, seed=4), first + grey)


def test_contrast_keeps_the_mean_of_every_channel():
    floats = SMALL[:, :, :8, :8].astype(np.float64) / 255
    worse = corrupted(floats, "contrast", 1)
    axes = (2, 3)
    np.testing.assert_allclose(worse.mean(axes), floats.mean(axes), atol=1e-3)
    spread = worse.std(axes) / floats.std(axes)
    np.testing.assert_allclose(spread, 0.75, atol=1e-2)


def test_blur_leaves_even_pictures_and_mixes_no_samples_or_channels():
    even = np.full((2, 3, 16, 16), 90, np.uint8)
    even[1] = 200
    np.testing.assert_array_equal(corrupted(even, "blur", 5), even)
    assert moved(LARGE, corrupted(LARGE, "blur", 1)) > moved(SMALL, corrupted(SMALL, "blur", 1))


def test_noise_of_series_and_tables_is_in_units_of_their_own_spread():
    worse = corrupted(SERIES, "noise", 3) - SERIES
    np.testing.assert_allclose(worse.std((0, 2)), [0.5, 5.0], rtol=0.05)
    worse = corrupted(TABLE, "noise", 5) - TABLE
    np.testing.assert_allclose(worse.std(0), [1.0, 10.0, 0.0], rtol=0.05)


@pytest.mark.parametrize(
    "inputs",
    [SMALL, SMALL.astype(np.float32) / 255, SERIES, TABLE],
    ids=["bytes", "floats", "series", "table"],
)
def test_some_of_the_samples_get_worse_as_they_do_among_all(inputs):
    inputs = inputs.copy()
    inputs[0] = inputs[0] / 10
    first = corrupted(inputs[:1], "noise", 5, extent=extent_of(inputs))
    np.testing.assert_array_equal(first, corrupted(inputs, "noise", 5)[:1])


@pytest.mark.parametrize(("inputs", "what"), [(SERIES, "series"), (TABLE, "rows of a table")])
def test_what_is_no_picture_is_not_blurred_and_says_why(inputs, what):
    assert what in refusal("blur", inputs)
    assert refusal("noise", inputs) == ""
    with pytest.raises(ConfigError, match="only pictures"):
        corrupted(inputs, "contrast", 1)


def test_unknown_corruptions_and_severities_are_named():
    with pytest.raises(ConfigError, match=r"noise, blur, contrast: got 'fog'"):
        corrupted(SMALL, "fog", 1)
    with pytest.raises(ConfigError, match=r"severity must be one of .*: got 6"):
        corrupted(SMALL, "noise", 6)
