"""Parts are read once, kept on disk, and refused with a reason."""

from dataclasses import replace

import numpy as np
import pytest

from optim.data import Samples
from optim.data.dataset import cached_part
from optim.errors import DataError


@pytest.fixture
def count_calls():
    """Count how often samples are made."""
    calls = []

    def make():
        calls.append(None)
        return Samples(np.zeros((2, 3), np.float32), np.array([0, 1]), np.array([4, 5]))

    return make, calls


def test_taken_samples_keep_their_order_targets_and_ids():
    samples = Samples(np.array([[1.0], [2.0], [3.0]]), np.array([0, 1, 2]), np.array([7, 8, 9]))
    taken = samples.take(np.array([2, 0]))
    assert taken.inputs.tolist() == [[3.0], [1.0]]
    assert (taken.targets.tolist(), taken.ids.tolist()) == ([2, 0], [9, 7])


def test_part_is_loaded_once(dataset):
    data = dataset(all=4)
    assert data.part("all") is data.part("all")


def test_unknown_part_names_those_there_are(dataset):
    with pytest.raises(DataError, match="has no part 'validation'; it has train, test"):
        dataset(train=4, test=2).part("validation")


def test_targets_of_an_unknown_part_are_refused(dataset):
    with pytest.raises(DataError, match="has no part 'all'"):
        dataset(train=4, test=2).targets("all")


def test_empty_part_is_refused(dataset):
    with pytest.raises(DataError, match="'all' of Made up holds no sample"):
        dataset(all=0).part("all")


def test_targets_need_no_samples_where_the_source_can_do_without(dataset):
    def fail(part):
        raise AssertionError("loaded")

    data = replace(dataset(all=4), load=fail, load_targets=lambda part: np.array([0, 1, 0, 1]))
    assert data.targets("all").tolist() == [0, 1, 0, 1]


def test_cached_part_is_made_once(own_cache, count_calls):
    make, calls = count_calls
    first, again = (cached_part("1d", "train", make) for _ in range(2))
    assert len(calls) == 1
    np.testing.assert_array_equal(first.inputs, again.inputs)
    np.testing.assert_array_equal(first.ids, again.ids)


@pytest.mark.parametrize(
    "left", [b"", b"\x93NUMPY", b"not an array"], ids=["empty", "cut", "other"]
)
def test_broken_cache_file_is_made_again(own_cache, count_calls, left):
    make, calls = count_calls
    cached_part("1d", "train", make)
    (own_cache / "cache" / "data" / "1d" / "train-inputs.npy").write_bytes(left)
    assert cached_part("1d", "train", make).inputs.shape == (2, 3)
    assert len(calls) == 2


def test_cache_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch, count_calls):
    (tmp_path / "home").write_bytes(b"a file where a folder should be")
    monkeypatch.setenv("OPTIM_HOME", str(tmp_path / "home"))
    make, _ = count_calls
    assert len(cached_part("1d", "train", make)) == 2
