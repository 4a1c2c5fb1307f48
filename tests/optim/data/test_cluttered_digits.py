"""Scenes made from digits: the same bytes for ever, and no digit on both sides of a split."""

import hashlib

import numpy as np
import pytest

from optim.data import open_data, overlap, trained_on
from optim.data._sources import digit_sources

PARTS = ("train", "validation", "test")


def test_first_scenes_have_the_bytes_they_always_had():
    scenes = np.asarray(open_data("cluttered-digits").part("validation").inputs[:100])
    checksum = "0fe73cd2f6f8a61e9345720c980eadccfde07ff51484ab33c847b504baafa086"
    assert hashlib.sha256(scenes.tobytes()).hexdigest() == checksum


@pytest.mark.parametrize("seed", [0, 1])
def test_no_source_digit_is_in_two_parts(seed):
    sources = digit_sources(seed)
    ids = np.concatenate([sources[part].ids for part in PARTS])
    np.testing.assert_array_equal(np.sort(ids), np.arange(1_797))


def test_source_digits_are_balanced_in_every_part():
    sources = digit_sources(0)
    for part in PARTS:
        shares = np.bincount(sources[part].targets) / len(sources[part])
        np.testing.assert_allclose(shares, 0.1, atol=0.01)


def test_classes_are_nearly_balanced():
    targets = open_data("cluttered-digits").part("validation").targets
    np.testing.assert_allclose(np.bincount(targets) / len(targets), 0.1, atol=0.02)


def test_difficulty_makes_other_scenes_of_less_contrast():
    def deviation(difficulty):
        data = open_data(f"cluttered-digits?difficulty={difficulty}")
        return data.part("test").inputs[:500, :, 12:20, 12:20].std(axis=(2, 3)).mean()

    assert deviation(0.0) > 1.1 * deviation(1.0)


def test_seed_makes_other_scenes():
    one, other = (open_data(f"cluttered-digits?seed={seed}").part("test") for seed in (0, 1))
    assert not np.array_equal(one.inputs[:10], other.inputs[:10])


def test_validation_of_the_same_seed_is_unseen_at_any_difficulty():
    seen = trained_on(open_data("cluttered-digits?difficulty=0.2"))
    assert overlap(open_data("cluttered-digits?difficulty=0.8"), "validation", seen) == "unseen"


def test_validation_of_another_seed_may_hold_digits_that_were_trained_on():
    seen = trained_on(open_data("cluttered-digits?seed=1"))
    assert overlap(open_data("cluttered-digits"), "validation", seen) == "seen"
