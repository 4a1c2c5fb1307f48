"""Sensitivity: the analysis runs aside, its map is drawn, and its settings reach the recipe."""

import json
from dataclasses import replace

import pytest

from optim.errors import MeasurementError
from optim.processes import refusal
from optim.quantity import Quantity
from optim.sensitivity.analysis import analyse
from optim.sensitivity.kept import SHELF, key_of
from optim.sensitivity.profile import SAMPLES
from optim.subject import open_subject
from optim.techniques.prune_weights import PruneWeights
from pages.components.server import evaluator
from tests.pages.helpers import click, open_app, recipe_of, small_recipe, texts


@pytest.fixture(scope="module")
def profile(served):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPTIM_HOME", str(served))
        *_, last = analyse(open_subject(small_recipe()), samples=100)
    return last


def open_page(recipe):
    return open_app(recipe).switch_page("pages/inspect/sensitivity.py").run()


def test_a_model_is_analysed_in_a_process_of_its_own(jobs, profile):
    recipe = small_recipe(seed=1)
    at = open_page(recipe)
    assert "not analysed yet" in texts(at)
    at = click(at, "Analyse")
    (job,) = jobs
    assert job.command[1:] == ["-m", "optim.sensitivity.child"]
    asked = json.loads(job.stdin.getvalue())
    assert asked["key"] == key_of(recipe, SAMPLES)
    assert asked["samples"] == SAMPLES
    assert "Stop" in [button.label for button in at.button]
    assert "Analyse" not in [button.label for button in at.button]
    SHELF.keep(asked["key"], profile.to_json())
    at.run()
    assert "variants on 100 of 100 validation samples" in texts(at)
    job.code = 0
    at.run()
    assert not at.exception
    assert "Analyse again" in [button.label for button in at.button]


def test_what_failed_says_why(jobs):
    recipe = small_recipe(seed=2)
    at = click(open_page(recipe), "Analyse")
    SHELF.tell(key_of(recipe, SAMPLES), refused=refusal(MeasurementError("It does not run.")))
    jobs[0].code = 0
    at.run()
    assert "It does not run." in at.error[0].value
    for number, code in ((1, 1), (2, -9)):
        at = click(at, "Analyse")
        jobs[number].code = code
        at.run()
        assert "could not be analysed" in at.error[0].value


def test_an_analysis_can_be_stopped_and_is_the_only_one(jobs):
    click(open_page(small_recipe(seed=3)), "Analyse")
    at = open_page(small_recipe(seed=4))
    assert {"Analyse", "Stop"}.isdisjoint(button.label for button in at.button)
    at = click(open_page(small_recipe(seed=3)), "Stop")
    assert jobs[0].code == -15
    assert not at.error


def test_settings_of_single_layers_reach_the_recipe(profile):
    recipe = small_recipe(seed=5)
    SHELF.keep(key_of(recipe, SAMPLES), profile.to_json())
    at = open_page(recipe)
    (technique,) = at.button_group
    at = technique.set_value("prune_weights").run()
    assert "by layer and sparsity" in texts(at)
    (find,) = [toggle for toggle in at.toggle if toggle.label == "Find and measure"]
    at = find.set_value(True).run()
    assert not at.exception
    assert not at.error, at.error[0].value
    table = at.dataframe[0].value
    assert list(table[""]) == ["One for all", "One a layer"]
    at = click(at, "Use in the Lab")
    (step,) = [e.step for e in recipe_of(at).entries if isinstance(e.step, PruneWeights)]
    assert step.layers
    assert recipe_of(at).entries[1:] == recipe.entries


def test_what_is_used_in_the_lab_is_what_was_measured(profile):
    """Channels were taken away with new batch norm statistics behind them."""
    recipe = small_recipe(seed=9)
    SHELF.keep(key_of(recipe, SAMPLES), profile.to_json())
    at = open_page(recipe)
    at = at.button_group[0].set_value("prune_channels").run()
    (find,) = [toggle for toggle in at.toggle if toggle.label == "Find and measure"]
    at = click(find.set_value(True).run(), "Use in the Lab")
    assert not at.error, at.error[0].value
    names = [e.name for e in recipe_of(at).active]
    at_channels = names.index("prune_channels")
    assert recipe_of(at).active[at_channels].step.layers
    assert names[at_channels + 1] == "reestimate_batchnorm"


def test_layers_are_timed_when_asked_and_settings_may_take_as_little_time(
    jobs, profile, monkeypatch
):
    recipe = small_recipe(seed=8)
    key = key_of(recipe, SAMPLES)
    SHELF.keep(key, profile.to_json())
    at = click(open_page(recipe), "Measure times")
    (job,) = jobs
    asked = json.loads(job.stdin.getvalue())
    assert (asked["key"], asked["times"]) == (key, True)
    faster = [
        replace(cell, time=Quantity(0.8, "x", 0.75, 0.85, 15))
        if cell.technique in profile.structural
        else cell
        for cell in profile.cells
    ]
    SHELF.keep(key, replace(profile, cells=tuple(faster)).to_json())
    job.code = 0
    at.run()
    assert "Measure times" not in [button.label for button in at.button]
    at = at.button_group[0].set_value("prune_channels").run()
    at = at.button_group[1].set_value("time").run()
    wanted = []

    def ask(question, recipe, **arguments):
        wanted.append((question, arguments))
        raise MeasurementError("Not now.")

    monkeypatch.setattr(evaluator(), "ask", ask)
    (find,) = [toggle for toggle in at.toggle if toggle.label == "Find and measure"]
    at = find.set_value(True).run()
    assert "Not now." in at.error[0].value
    (question, arguments) = wanted[-1]
    assert question == "spread"
    assert arguments["in_time"] is True


def test_settings_that_cannot_join_the_recipe_are_refused_with_the_reason(profile):
    recipe = small_recipe(seed=6)
    SHELF.keep(key_of(recipe, SAMPLES), profile.to_json())
    at = open_page(recipe)
    (technique,) = at.button_group
    at = technique.set_value("share_weights").run()
    (find,) = [toggle for toggle in at.toggle if toggle.label == "Find and measure"]
    at = click(find.set_value(True).run(), "Use in the Lab")
    assert not at.exception
    assert "Only one of 'Share weights' and 'Quantize'" in at.error[0].value
    assert recipe_of(at) == recipe


def test_in_a_presentation_nothing_is_started(monkeypatch, jobs):
    monkeypatch.setenv("OPTIM_PRESENTATION", "1")
    at = open_page(small_recipe(seed=7))
    assert not at.exception
    assert "Analyse" not in [button.label for button in at.button]
