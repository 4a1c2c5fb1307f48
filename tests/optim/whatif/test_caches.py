"""Bounded by bytes, least recently used out first."""

import numpy as np
import pytest
import torch

from optim.layers.statistics import Statistics
from optim.models.bundle import GraphModel
from optim.whatif.caches import ByteCache, bytes_of


@pytest.fixture
def cache():
    return ByteCache(10, len)


def test_the_least_recently_used_goes_first(cache):
    for key in "abc":
        cache.put(key, "xxx")
    cache.get("a")
    cache.put("d", "xxx")
    assert [key for key in "abcd" if key in cache] == ["a", "c", "d"]
    assert cache.used == 9


def test_what_is_larger_than_all_is_returned_and_not_kept(cache):
    cache.put("a", "xx")
    assert cache.put("b", "x" * 11) == "x" * 11
    assert "b" not in cache
    assert "a" in cache


def test_a_new_value_takes_the_place_of_the_old(cache):
    cache.put("a", "x" * 9)
    cache.put("a", "x")
    assert cache.used == 1
    cache.put("a", "x" * 11)
    assert cache.used == 0
    assert cache.get("a") is None


def test_a_value_is_computed_once(cache):
    calls = []
    for _ in range(3):
        assert cache.get_or("k", lambda: calls.append(1) or "v") == "v"
    assert calls == [1]


def test_a_failed_computation_leaves_nothing(cache):
    with pytest.raises(ZeroDivisionError):
        cache.get_or("k", lambda: 1 / 0)
    assert "k" not in cache


def test_a_cleared_cache_holds_nothing_and_counts_anew():
    cache = ByteCache(10, len)
    cache.put("a", "12345")
    cache.clear()
    assert "a" not in cache
    assert cache.used == 0
    assert cache.put("b", "1234567890") == cache.get("b")


def test_bytes_are_those_of_the_arrays_inside():
    statistics = Statistics(torch.zeros(1, 100), torch.zeros(1), torch.zeros(1))
    assert bytes_of({"a": statistics, "b": statistics}) == 2 * 4 * 102
    assert bytes_of((np.zeros(5), [b"12345", "123"])) == 48
    assert bytes_of(GraphModel(b"x" * 1000)) >= 1000
    assert bytes_of(object()) > 0
