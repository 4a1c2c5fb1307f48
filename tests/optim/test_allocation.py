"""The knapsack behind per-layer settings: exact where it can be checked, never over the budget."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optim.allocation import allocate
from optim.errors import ConfigError

OPTIONS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 40)), min_size=1, max_size=4)


def total(values, chosen):
    return sum(part[option] for part, option in zip(values, chosen, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(OPTIONS, min_size=1, max_size=5), st.integers(0, 200))
def test_nothing_within_the_budget_is_less_harmful(parts, more):
    harms = [[h for h, _ in part] for part in parts]
    costs = [[c for _, c in part] for part in parts]
    budget = sum(map(min, costs)) + more
    chosen = allocate(harms, costs, budget)
    every = itertools.product(*(range(len(part)) for part in parts))
    best = min(total(harms, c) for c in every if total(costs, c) <= budget)
    assert total(costs, chosen) <= budget
    assert total(harms, chosen) == best


def test_a_budget_nothing_fits_into_is_refused_with_the_least_that_would():
    with pytest.raises(ConfigError, match=r"at least 6, .* got 5"):
        allocate([[0, 1], [0, 1]], [[9, 4], [8, 2]], budget=5)


def test_a_budget_of_exactly_the_cheapest_takes_them():
    assert allocate([[0, 1], [0, 1]], [[9, 4], [8, 2]], budget=6) == [1, 1]


def test_many_layers_stay_within_the_budget_and_use_nearly_all_of_it():
    generator = np.random.default_rng(0)
    costs = [[n * bits for bits in (2, 3, 4, 6, 8)] for n in generator.integers(1e3, 1e6, 60)]
    harms = [list(1 / np.array(part) * generator.uniform(1e3, 1e5)) for part in costs]
    budget = sum(part[2] for part in costs)
    chosen = allocate(harms, costs, budget)
    assert 0.995 * budget <= total(costs, chosen) <= budget
    assert total(harms, chosen) < total(harms, [2] * 60)


def test_no_parts_need_nothing():
    assert allocate([], [], 0) == []
