"""Spaces of architectures: what is searched, what fits the data, what is refused."""

import pytest

from optim.errors import ConfigError, UnsupportedModelError
from optim.models.zoo import ARCHITECTURES
from optim.search.nas.families import (
    FAMILIES,
    SHARED,
    architecture_at,
    families_for,
    family_named,
    space_of,
)
from optim.search.nas.words import title_of

SHAPES = {"mlp": (13,), "cnn-1d": (1, 64)}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_space_whose_points_are_architectures(family):
    shape = SHAPES.get(family, (1, 8, 8))
    space = space_of(family, shape)
    assert space.count() > 50
    assert not {d.name.split(".")[1] for d in space} & SHARED
    for point in (space.clean({}), space.clean({d.name: d.values[-1] for d in space})):
        found = architecture_at(family, point)
        assert type(found) is ARCHITECTURES[family]
        found.check(shape)
        assert title_of(family, point)


def test_values_that_no_image_of_that_size_takes_are_left_out():
    assert space_of("vit", (1, 12, 12))["vit.patch"].values == (2, 4)
    assert space_of("vit", (1, 8, 8))["vit.patch"].values == (2, 4, 8)


def test_a_family_that_does_not_take_the_data_is_refused_with_its_own_words():
    with pytest.raises(UnsupportedModelError, match="DS-CNN takes inputs of shape"):
        space_of("ds-cnn", (30,))
    with pytest.raises(UnsupportedModelError, match="square images"):
        space_of("vit", (1, 9, 9))


def test_families_are_those_that_take_the_data():
    assert families_for((30,)) == ["mlp"]
    assert families_for((1, 64)) == ["mlp", "cnn-1d"]
    assert families_for((1, 8, 8)) == ["ds-cnn", "mobilenetv2", "resnet", "mlp", "vit", "cells"]
    assert "vit" not in families_for((1, 9, 9))


def test_shared_fields_are_searched_on_request_and_narrowed_by_short_names():
    space = space_of("mlp", (4,), also=["activation"], only={"width": [8, 16], "depth": [1]})
    assert space["mlp.width"].values == (8, 16)
    assert space.count() == 2 * len(space["mlp.activation"].values)
    assert title_of("mlp", space.clean({"mlp.activation": "gelu"})).endswith("activation GELU")


def test_a_shared_field_that_is_narrowed_is_part_of_the_space():
    space = space_of("mlp", (4,), only={"mlp.normalisation": ["none", "batch"], "width": [8]})
    assert space["mlp.normalisation"].values == ("batch", "none")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"only": {"width": [7]}}, "must be one of"),
        ({"only": {"colour": [7]}}, "no dimension"),
        ({"also": ["width"]}, "also must be of"),
    ],
)
def test_what_is_not_there_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        space_of("mlp", (4,), **arguments)


def test_names_of_families_are_forgiving():
    assert family_named("DSCNN") == "ds-cnn"
    assert family_named("cnn_1d") == "cnn-1d"
    with pytest.raises(ConfigError, match="space must be one of"):
        family_named("lenet-5")
