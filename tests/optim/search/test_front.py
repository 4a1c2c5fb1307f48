"""Fronts and their volume against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optim.search.front import dominates, front, hypervolume, knee

POINTS = st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=9)


@settings(max_examples=60, deadline=None)
@given(POINTS)
def test_the_front_is_what_no_other_dominates(points):
    found = {points[i] for i in front(points)}
    expected = {p for p in points if not any(dominates(q, p) for q in points)}
    assert found == expected
    assert len(front(points)) == len(found), "one of each"


@settings(max_examples=40, deadline=None)
@given(POINTS)
def test_the_volume_is_the_number_of_unit_cells_that_are_dominated(points):
    cells = itertools.product(range(6), repeat=3)
    count = sum(
        any(all(a <= c for a, c in zip(p, cell, strict=True)) for p in points) for cell in cells
    )
    assert hypervolume(points, (6, 6, 6)) == pytest.approx(count)


def test_what_lies_beyond_the_reference_adds_nothing():
    assert hypervolume([(1.0, 9.0)], (3.0, 3.0)) == 0.0
    assert hypervolume([], (3.0, 3.0)) == 0.0


def test_a_better_point_never_lessens_the_volume():
    rng = np.random.default_rng(0)
    points = [tuple(p) for p in rng.random((6, 3))]
    assert hypervolume([*points, (0.1, 0.1, 0.1)], (1, 1, 1)) >= hypervolume(points, (1, 1, 1))


def test_the_knee_of_an_elbow_is_its_corner():
    assert knee([(0.0, 10.0), (0.5, 2.0), (1.0, 1.0), (9.0, 0.0)]) == 2
    assert knee([(5.0, 5.0)]) == 0
    assert knee([]) is None
