"""Presets are legal for every family, and every one has the same sliders."""

from dataclasses import replace

import numpy as np
import pytest

from optim.data.added import add_data
from optim.fields import Range, controls
from optim.library import add_model
from optim.models.checkpoint import save_checkpoint
from optim.presets import DEFAULT_PRESET, PRESETS, default_recipe, preset_recipe
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.subject import Subject, check_lanes, open_subject
from optim.techniques import TECHNIQUES
from tests.helpers import data_for, inputs_for, outputs_of, tiny_bundle
from tests.optim.graph.graphs import recurrent
from tests.optim.models.convert.test_refusals import declared


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


def test_what_cannot_change_a_registered_graph_is_off(own_home, tmp_path):
    (tmp_path / "g.onnx").write_bytes(declared(recurrent(), 4).SerializeToString())
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.standard_normal((40, 6, 5)), y=np.arange(40) % 4)
    add_data(tmp_path / "d.npz", name="six")
    add_model(tmp_path / "g.onnx", data="six", name="kept")
    recipe = preset_recipe("tiny", "kept", "six")
    assert [entry.id for entry in recipe.entries if entry.enabled] == ["prune_weights", "quantize"]
    check_lanes(recipe, open_subject(recipe).bundle)


def test_models_from_outside_begin_mildly_and_are_refitted_when_pruned(own_home, tmp_path):
    save_checkpoint(tiny_bundle("resnet"), tmp_path / "own.safetensors")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=images, y=np.arange(40) % 4)
    add_data(tmp_path / "d.npz", name="four")
    add_model(tmp_path / "own.safetensors", data="four", name="own")
    assert default_recipe("own").entries == preset_recipe("gentle", "own", "four").entries
    assert preset_recipe("balanced", "own", "four").entries[0].step.reconstruct
    assert not default_recipe().entries[0].step.reconstruct
    assert default_recipe().entries == preset_recipe("balanced", "m", "d").entries
