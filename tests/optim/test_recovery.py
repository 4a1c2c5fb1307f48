"""Recovery puts training where it belongs, leaves settings alone, and is legal for every preset."""

import pytest

from optim.errors import ConfigError
from optim.presets import PRESETS, preset_recipe
from optim.recipe import Recipe
from optim.recovery import distilled, recovery
from optim.techniques import TECHNIQUES


@pytest.fixture
def no_rounded(monkeypatch):
    monkeypatch.delitem(TECHNIQUES, "finetune_quantized")


def recipe(*steps) -> Recipe:
    return Recipe.from_json({"version": 1, "model": "m", "data": "d", "steps": list(steps)})


def names(found):
    return [entry.name for entry in found.active]


PRUNE, QUANTIZE = {"prune_channels": {"pruning_ratio": 0.5}}, {"quantize": {"weight_bits": 4}}
ALL = ["prune_channels", "reestimate_batchnorm", "distill", "quantize", "finetune_quantized"]


def test_pruned_and_quantized_becomes_the_whole_chain():
    assert names(recovery(recipe(PRUNE, QUANTIZE))) == ALL


def test_pruned_only_is_not_quantized():
    assert names(recovery(recipe(PRUNE))) == ALL[:3]


def test_quantized_only_is_trained_with_the_rounding_alone():
    assert names(recovery(recipe(QUANTIZE))) == ALL[3:]


def test_without_the_technique_for_quantized_models_there_is_distillation(no_rounded):
    assert names(recovery(recipe(PRUNE, QUANTIZE))) == ALL[:4]


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([], id="no step"),
        pytest.param([{"prune_weights": {"sparsity": 0.0}}], id="neutral"),
        pytest.param([{**PRUNE, "enabled": False}], id="switched off"),
        pytest.param([{"reestimate_batchnorm": {}}, {"correct_bias": {}}], id="repairs only"),
        pytest.param([{"distill": {}}], id="training only"),
    ],
)
def test_where_nothing_is_removed_there_is_nothing_to_recover(steps):
    with pytest.raises(ConfigError, match="nothing to recover"):
        recovery(recipe(*steps))


def test_what_is_there_keeps_its_settings_and_its_place():
    found = recovery(
        recipe(
            {"prune_weights": {"sparsity": 0.7}},
            {"distill": {"epochs": 3}, "id": "teacher"},
            {"quantize": {"weight_bits": 4}},
            {"finetune_quantized": {"epochs": 7}},
            {"correct_bias": {}},
        )
    )
    assert found.entry("teacher").step.epochs == 3
    assert found.entry("finetune_quantized").step.epochs == 7
    assert names(found)[1:3] == ["reestimate_batchnorm", "distill"]
    assert names(found)[-1] == "correct_bias"


def test_what_is_off_is_switched_on_and_what_is_neutral_gets_its_defaults():
    found = recovery(
        recipe(
            {"distill": {"epochs": 0}},
            {"reestimate_batchnorm": {"samples": 128}, "enabled": False},
            PRUNE,
            QUANTIZE,
            {"finetune_quantized": {"epochs": 5}, "enabled": False},
        )
    )
    assert names(found) == ALL
    assert len(found.entries) == len(ALL)
    assert found.entry("distill").step == TECHNIQUES["distill"]()
    assert found.entry("reestimate_batchnorm").step.samples == 128
    assert found.entry("finetune_quantized").step.epochs == 5


def test_training_before_the_last_removal_is_followed_by_more():
    found = recovery(recipe({"distill": {"epochs": 3}}, PRUNE))
    assert names(found) == ["distill", *ALL[:3]]
    assert found.entries[-1].id == "distill-2"


def test_nothing_but_the_steps_is_touched():
    given = Recipe.from_json({**recipe(PRUNE).to_json(), "seed": 7, "split": "train"})
    found = recovery(given)
    assert (found.model, found.data, found.seed, found.split) == ("m", "d", 7, "train")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_recovers_legally_and_twice_is_once(name):
    found = recovery(preset_recipe(name, "m", "d"))
    assert Recipe.from_json(found.to_json()) == found
    assert recovery(found) == found
    assert names(found)[-1] == "finetune_quantized"
    assert {e.id for e in preset_recipe(name, "m", "d").entries} <= {e.id for e in found.entries}


def test_distillation_is_put_before_the_first_rounding():
    step = TECHNIQUES["distill"](epochs=3)
    assert names(distilled(recipe(PRUNE, QUANTIZE), step)) == [
        "prune_channels",
        "distill",
        "quantize",
    ]
    assert names(distilled(recipe(PRUNE), step)) == ["prune_channels", "distill"]


def test_a_distillation_that_is_there_is_replaced_where_it_stands():
    before = recipe({"distill": {"epochs": 5}}, PRUNE, {"distill": {"epochs": 0}}, QUANTIZE)
    found = distilled(before, TECHNIQUES["distill"](epochs=3))
    assert [e.id for e in found.entries] == [e.id for e in before.entries]
    assert [e.step.epochs for e in found.entries if e.name == "distill"] == [5, 3]


def test_a_distillation_that_is_switched_off_is_switched_on():
    before = recipe(PRUNE, {"distill": {"epochs": 5}})
    before = before.with_enabled("distill", False)
    assert names(distilled(before, TECHNIQUES["distill"](epochs=3))) == [
        "prune_channels",
        "distill",
    ]


def test_pruning_while_training_costs_accuracy_too():
    found = recovery(recipe({"prune_gradually": {"sparsity": 0.9}}))
    assert names(found) == ["prune_gradually", "reestimate_batchnorm", "distill"]


def test_training_alone_costs_none():
    with pytest.raises(ConfigError, match="nothing to recover"):
        recovery(recipe({"finetune": {"epochs": 2}}))


OFF = {**QUANTIZE, "enabled": False}


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([OFF, PRUNE], id="quantize is off before"),
        pytest.param([OFF, PRUNE, OFF], id="and after"),
        pytest.param([{"distill": {}, "enabled": False}, OFF, PRUNE], id="distill is off before"),
        pytest.param([OFF, {"prune_weights": {"sparsity": 0.5}}, PRUNE], id="two removals"),
    ],
)
def test_training_comes_after_all_that_it_wins_back(steps):
    for found in (recovery(recipe(*steps)), distilled(recipe(*steps), TECHNIQUES["distill"]())):
        active = names(found)
        assert active.index("distill") > active.index("prune_channels")
        assert "quantize" not in active
    assert [e.name for e in recovery(recipe(PRUNE, OFF)).entries][-1] == "quantize"


def test_channels_are_not_refitted_before_a_training():
    refitted = {"prune_channels": {"pruning_ratio": 0.5, "reconstruct": True}}
    found = recovery(recipe(refitted, QUANTIZE))
    assert names(found) == ALL
    assert not found.entries[0].step.reconstruct
    assert recovery(found) == found
    trained = recipe(refitted, {"finetune": {"epochs": 2}})
    assert not recovery(trained).entries[0].step.reconstruct


def test_what_is_refitted_behind_the_training_or_switched_off_stays():
    refitted = {"prune_channels": {"pruning_ratio": 0.5, "reconstruct": True}}
    found = recovery(recipe({**refitted, "enabled": False}, PRUNE | {"id": "second"}))
    assert found.entry("prune_channels").step.reconstruct
    zeros = {"prune_weights": {"sparsity": 0.5, "reconstruct": True}}
    assert recovery(recipe(zeros)).entry("prune_weights").step.reconstruct
