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


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1_000, 900_000), min_size=1, max_size=6),
    st.integers(0, 6),
    st.sampled_from([1, 0.37]),
    st.randoms(use_true_random=False),
)
def test_never_more_harmful_than_the_same_setting_everywhere(sizes, same, unit, random):
    """Few layers of odd sizes: nothing but the common width spends the budget to the last bit."""
    costs = [[size * bits * unit for bits in range(2, 9)] for size in sizes]
    harms = [[random.uniform(0.2, 5) * 4.0**-bits for bits in range(2, 9)] for _ in sizes]
    known = [same] * len(sizes)
    budget = total(costs, known)
    chosen = allocate(harms, costs, budget, known)
    assert total(costs, chosen) <= budget * (1 + 1e-9)
    assert total(harms, chosen) <= total(harms, known)


def test_a_choice_that_the_budget_does_not_pay_for_is_no_reason_to_exceed_it():
    assert allocate([[0, 1], [0, 1]], [[9, 4], [8, 2]], budget=6, known=[0, 0]) == [1, 1]


def test_large_whole_costs_with_a_common_divisor_are_exact():
    """The first two parts spend the budget to the last unit, and nobody says so beforehand."""
    costs = [[50_000 * size * bits for bits in (2, 3)] for size in (3, 8, 11)]
    harms = [[0.3, 0.1], [0.3, 0.1], [0.3, 0.0]]
    budget = 50_000 * (3 * 3 + 8 * 3 + 11 * 2)
    assert allocate(harms, costs, budget) == [1, 1, 0]
