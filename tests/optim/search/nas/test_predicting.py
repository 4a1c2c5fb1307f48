"""What promises most is tried next: by a model of the error, and costs that are known."""

import math
import random

import pytest

from optim.search.front import front, hypervolume
from optim.search.nas.families import space_of
from optim.search.nas.predicting import Known, _gain, most_promising

SPACE = space_of("mlp", (13,), only={"width": tuple(range(4, 65, 4)), "depth": (1, 2, 3, 4)})


def known(point, trained=True):
    width, depth = point["mlp.width"], point["mlp.depth"]
    cost = 13.0 * width + (depth - 1) * width * width
    error = 3 + 70 * math.exp(-0.08 * width - 0.4 * depth)
    return Known(point, {"macs": cost}, error if trained else None)


NETWORKS = list(SPACE.points())


def volume(points):
    values = [(k.error / 80, math.log(k.costs["macs"]) / 10) for k in map(known, points)]
    return hypervolume([values[i] for i in front(values)], (1.0, 1.0))


@pytest.mark.parametrize("seed", [0, 3])
def test_it_finds_the_front_with_far_fewer_trainings_than_chance(seed):
    chance = random.Random(seed)
    order = chance.sample(NETWORKS, len(NETWORKS))
    done, whole = order[:6], volume(NETWORKS)
    while len(done) < 16:
        left = [point for point in NETWORKS if point not in done]
        pool = [known(point, trained=False) for point in left]
        done.append(left[most_promising(SPACE, list(map(known, done)), pool)])
    assert volume(done) > 0.99 * whole
    assert volume(done) > volume(order[:28])


def test_without_a_pool_nothing_is_promised():
    assert most_promising(SPACE, list(map(known, NETWORKS[:6])), []) is None


def test_where_nothing_promises_more_the_least_known_is_tried():
    trained = [known(point) for point in NETWORKS if point["mlp.depth"] == 1]
    worse = [Known(point, {"macs": 1e6}) for point in NETWORKS if point["mlp.depth"] == 4]
    position = most_promising(SPACE, trained, worse)
    assert 0 <= position < len(worse)


def test_what_a_point_adds_is_the_difference_of_two_volumes():
    chance, corner = random.Random(0), (1.05, 1.05, 1.05)
    for _ in range(50):
        own = [tuple(chance.random() for _ in corner) for _ in range(12)]
        one = tuple(chance.uniform(-0.1, 1.2) for _ in corner)
        more = hypervolume([*own, one], corner) - hypervolume(own, corner)
        assert _gain(own, one, corner) == pytest.approx(max(0.0, more), abs=1e-12)
