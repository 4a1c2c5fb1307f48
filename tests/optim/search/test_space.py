"""Spaces come from the fields of techniques and architectures, and mean what they say."""

import random

import pytest

from optim.errors import ConfigError
from optim.models.resnet import ResNet
from optim.search.space import Dimension, Space, configured, dimensions_of
from optim.techniques import TECHNIQUES
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize


def small():
    """Two ways, one of which asks for more."""
    way = Dimension("way", "Way", ("plain", "deep"), "plain", False)
    depth = Dimension("depth", "Depth", (1, 2, 3), 2, True, {"way": ("deep",)})
    return Space((way, depth, Dimension("width", "Width", (4, 8), 8, True)))


def test_points_that_mean_the_same_are_one():
    points = list(small().points())
    assert len(points) == 2 + 3 * 2 == small().count()
    assert all(("depth" in p) == (p["way"] == "deep") for p in points)
    assert small().clean({"way": "plain", "depth": 3}) == {"way": "plain", "width": 8}


def test_counting_agrees_with_enumerating_where_conditions_are_nested():
    a = Dimension("a", "A", (1, 2), 1, True)
    b = Dimension("b", "B", (1, 2, 3), 1, True, {"a": (2,)})
    c = Dimension("c", "C", (1, 2, 3, 4), 1, True, {"a": (2,), "b": (1, 3)})
    space = Space((a, b, c, Dimension("d", "D", (0, 1), 0, True)))
    assert space.count() == len(list(space.points())) == 2 * (1 + (4 + 1 + 4))


def test_what_is_drawn_is_a_point():
    space = Space(dimensions_of(Quantize, "quantize"))
    for seed in range(20):
        point = space.drawn(random.Random(seed))
        assert space.clean(point) == point


def test_narrowing_keeps_the_order_and_moves_the_default():
    space = small().narrowed({"depth": [3, 1], "width": [4]})
    assert space["depth"].values == (1, 3)
    assert space["width"].default == 4
    assert space.key != small().key


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"colour": [1]}, "no dimension 'colour'"),
        ({"depth": [7]}, "must be one of 1, 2, 3: got 7"),
        ({"depth": [True]}, "must be one of 1, 2, 3: got True"),
        ({"depth": []}, "at least one value"),
    ],
)
def test_what_a_space_has_not_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        small().narrowed(values)


@pytest.mark.parametrize("name", list(TECHNIQUES))
def test_every_technique_is_a_space_whose_points_are_legal(name):
    space = Space(dimensions_of(TECHNIQUES[name], name))
    assert configured(TECHNIQUES[name], name, space.clean({})) == TECHNIQUES[name]()
    for seed in range(10):
        configured(TECHNIQUES[name], name, space.drawn(random.Random(seed)))


def test_ranges_are_their_stops_and_methods_bring_their_fields():
    space = Space(dimensions_of(PruneChannels, "p"))
    assert space["p.pruning_ratio"].values[:3] == (0.0, 0.05, 0.1)
    assert space["p.importance.taylor.samples"].when == {"p.importance": ("taylor",)}
    step = configured(
        PruneChannels, "p", {"p.importance": "taylor", "p.importance.taylor.samples": 64}
    )
    assert step.importance.samples == 64
    assert "p.layers" not in space


def test_an_architecture_is_a_space_as_well():
    space = Space(dimensions_of(ResNet, "resnet"))
    built = configured(ResNet, "resnet", {"resnet.depth": 20, "resnet.width": 16})
    assert built == ResNet(depth=20, width=16)
    assert space["resnet.depth"].default == ResNet().depth


def test_expert_fields_are_dimensions_only_on_request():
    plain = {d.name for d in dimensions_of(Quantize, "q")}
    every = {d.name for d in dimensions_of(Quantize, "q", expert=True)}
    assert "q.samples" in every - plain
    assert plain < every
