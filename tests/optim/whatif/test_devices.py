"""Questions about devices: steps that are not trained are left out, and figures stay."""

import json

import pytest

from optim.devices import own
from optim.quantity import Comparison, Quantity
from optim.recipe import Recipe
from optim.techniques.finetune import FineTune
from optim.techniques.prune_channels import PruneChannels
from optim.whatif import devices
from optim.whatif.devices import ladder, speed
from tests.optim.devices.test_calibration import made


@pytest.fixture
def probed():
    own.keep_here(json.dumps(made()).encode())
    yield
    own._here().unlink()


def test_a_step_that_is_not_trained_is_neither_judged_nor_said_to_be_applied(engine, registered):
    recipe = Recipe(registered, "digits").with_step(FineTune())
    told = ladder(engine, recipe)
    assert told["omitted"] == [FineTune.title]
    assert not told["is_compressed"]
    pruned = recipe.with_step(PruneChannels(pruning_ratio=0.25), position=0)
    found = speed(engine, pruned, "h100")
    assert [step["title"] for step in found["steps"]] == [PruneChannels.title]
    assert found["omitted"] == [FineTune.title]
    assert found["steps"][0]["untrained"] == []
    assert ladder(engine, pruned)["is_compressed"]


def test_a_figure_that_was_measured_stays_when_the_page_runs_again(
    engine, registered, probed, monkeypatch
):
    asked = []

    class Pair:
        baseline = candidate = Quantity.exact(1.0, "ms")
        change = Comparison(Quantity.exact(1.0, "x"), better="lower")

    def compare(*files, interface):
        asked.append(files)
        return Pair

    monkeypatch.setattr(devices, "compare_files", compare)
    recipe = Recipe(registered, "digits").with_step(PruneChannels(pruning_ratio=0.25))
    first, again = (speed(engine, recipe, "here") for _ in range(2))
    assert first["steps"][0]["measured"] == again["steps"][0]["measured"]
    assert len(asked) == 1
    speed(engine, recipe.with_fields("prune_channels", pruning_ratio=0.5), "here")
    assert len(asked) == 2
