"""Shipped checkpoints: made by their command, with a card that says how good they are."""

import json
from dataclasses import replace

import pytest
import torch

from optim import pretrain as module
from optim.data import open_data
from optim.errors import ConfigError
from optim.measure.evaluate import predict
from optim.models.cards import ModelCard, model_cards
from optim.models.checkpoint import load_checkpoint
from optim.presets import default_recipe
from optim.pretrain import PLANS, STUDENT_EPOCHS, pretrain
from optim.storage import ASSETS
from optim.stored import stored_file
from optim.subject import open_subject
from optim.train import Schedule


@pytest.fixture
def quick(monkeypatch):
    plan = replace(PLANS["wine-mlp"], schedule=Schedule(epochs=3, batch_size=16))
    monkeypatch.setitem(PLANS, "wine-mlp", plan)


@pytest.mark.usefixtures("quick")
def test_a_plan_gives_weights_and_a_card(tmp_path):
    told = []
    card_file = pretrain("wine-mlp", tmp_path, on_epoch=lambda e, n: told.append((e.number, n)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    card = ModelCard.read(card_file)
    bundle = load_checkpoint(card.weights)
    assert card.command == "python -m optim pretrain wine-mlp"
    assert card.params == sum(p.numel() for p in bundle.module.parameters())
    found = predict(bundle, open_data("wine").part("validation")).accuracy()
    assert card.accuracy["validation"] == found
    assert card.accuracy["test"].n == 36
    assert bundle.provenance.seen == module.trained_on(open_data("wine"))


@pytest.mark.usefixtures("quick")
def test_the_same_command_gives_the_same_weights(tmp_path):
    first = load_checkpoint(pretrain("wine-mlp", tmp_path / "a").with_suffix(".safetensors"))
    second = load_checkpoint(pretrain("wine-mlp", tmp_path / "b").with_suffix(".safetensors"))
    assert first.hash == second.hash
    cards = [json.loads((tmp_path / d / "wine-mlp.json").read_text()) for d in "ab"]
    for card in cards:
        card["training"].pop("seconds")
    assert cards[0] == cards[1]


def test_an_unknown_plan_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="name must be one of clutter-resnet8") as caught:
        pretrain("gpt", ASSETS)
    assert caught.value.field == "name"


@pytest.mark.parametrize("name", PLANS)
def test_every_plan_fits_its_data(name):
    plan = PLANS[name]
    data = open_data(plan.data)
    plan.architecture.check(data.input_shape)
    with torch.device("meta"):
        plan.architecture.compose(data.input_shape, data.task.n_outputs)


def shipped():
    return sorted((ASSETS / "models").glob("*.json"))


def test_something_ships_and_all_of_it_is_small():
    assert shipped()
    total = sum(path.stat().st_size for path in ASSETS.rglob("*.safetensors"))
    assert total < 8_000_000


@pytest.mark.parametrize("path", shipped(), ids=lambda p: p.stem)
def test_what_ships_is_what_its_card_says(path):
    card = model_cards()[path.stem]
    bundle = load_checkpoint(card.weights)
    assert card.params == sum(p.numel() for p in bundle.module.parameters())
    assert card.command == f"python -m optim pretrain {path.stem}"
    assert {"validation", "test"} <= set(card.reached)
    data = open_data(card.data)
    assert bundle.spec.shape == data.input_shape
    assert bundle.task == data.task
    assert bundle.provenance.seen == module.trained_on(data)


def test_every_student_that_ships_is_found_by_what_it_was_made_from():
    """The Lab looks students up by these keys; whoever changes them has to rename the files."""
    index = json.loads((ASSETS / "students" / "index.json").read_text())
    subject = open_subject(default_recipe())
    found = set()
    for stored in index.values():
        assert stored["epochs"] in STUDENT_EPOCHS
        recipe = default_recipe().without("quantize").without("correct_bias")
        recipe = recipe.with_fields("prune_channels", pruning_ratio=stored["pruning_ratio"])
        recipe = recipe.with_fields("distill", epochs=stored["epochs"])
        found.add(recipe.chain(subject.bundle.hash, subject.data.hash)[-1])
    assert found == set(index)
    assert all(stored_file(key) is not None for key in index)
