"""Presets are legal for every family, and every one has the same sliders."""

from dataclasses import replace

import pytest

from optim.fields import Range, controls
from optim.presets import DEFAULT_PRESET, PRESETS, preset_recipe
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.subject import Subject
from optim.techniques import TECHNIQUES
from tests.helpers import data_for, inputs_for, outputs_of


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_works_on_every_family(name, bundle):
    recipe = preset_recipe(name, "m", "d")
    # Training takes long; what it starts from and leads to is what matters here.
    recipe = recipe.with_enabled("distill", False)
    data = data_for(bundle)
    subject = Subject(bundle, data, "validation", "unseen", 0)
    result, reports = apply_recipe(recipe, subject)
    assert set(reports) == {entry.id for entry in recipe.active}
    x = inputs_for(bundle)
    assert outputs_of(result, x).isfinite().all()
    assert result.table.is_quantized


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_comes_back_from_its_link(name):
    recipe = preset_recipe(name, "m", "d", seed=4)
    assert Recipe.from_link(recipe.to_link()) == recipe


def test_all_have_the_same_steps_in_an_order_that_is_legal():
    orders = {tuple(PRESETS[name].fields) for name in PRESETS}
    assert len(orders) == 1
    assert set(next(iter(orders))) <= set(TECHNIQUES)
    assert DEFAULT_PRESET in PRESETS


def test_channels_are_removed_at_stops_of_the_slider():
    kind = next(c.kind for c in controls(TECHNIQUES["prune_channels"]) if c.name == "pruning_ratio")
    assert isinstance(kind, Range)
    for preset in PRESETS.values():
        assert preset.fields["prune_channels"]["pruning_ratio"] in kind.stops()


def test_they_go_from_mild_to_strong():
    ratios = [preset.fields["prune_channels"]["pruning_ratio"] for preset in PRESETS.values()]
    assert ratios == sorted(ratios)
    assert preset_recipe("gentle", "m", "d").active[-1].name == "correct_bias"


def test_nothing_is_trained_where_nothing_was_removed():
    gentle = preset_recipe("gentle", "m", "d")
    assert "distill" not in [entry.name for entry in gentle.active]
    assert replace(gentle, entries=()).active == ()
