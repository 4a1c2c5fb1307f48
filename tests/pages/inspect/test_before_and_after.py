"""Before and after: every view opens, says what to do while it is empty, and shows what is kept."""

import json
import re

import pytest

from optim.errors import MeasurementError
from optim.inspect import child
from optim.inspect.kept import SAMPLES, SHELF, key_of
from optim.processes import refusal
from optim.quantity import Comparison, Quantity
from optim.recipe import Recipe
from optim.sensitivity.analysis import analyse
from optim.sensitivity.kept import SHELF as SENSITIVITIES
from optim.sensitivity.kept import key_of as sensitivity_key
from optim.sensitivity.profile import SAMPLES as SENSITIVITY_SAMPLES
from optim.subject import open_subject
from pages.components.inspect.overview import _calibration_words
from pages.components.server import evaluator
from tests.pages.helpers import OTHER, click, open_app, small_recipe, texts


@pytest.fixture(scope="module")
def looked(served):
    """A recipe at whose layers and under whose corruption somebody looked."""
    recipe = small_recipe()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPTIM_HOME", str(served))
        for look in ("layers", "corruption"):
            key = key_of(recipe, look, SAMPLES[look])
            request = {"key": key, "recipe": recipe.to_json(), "look": look, "samples": 40}
            child._look(request, lambda share, what: None, lambda: None)
        few = key_of(recipe, "distributions", 40)
        SHELF.keep(key_of(recipe, "distributions", SAMPLES["distributions"]), SHELF.kept(few))
    return recipe


def open_view(recipe, view="Overview"):
    at = open_app(recipe).switch_page("pages/inspect/before_and_after.py").run()
    assert not at.exception
    if view != "Overview":
        at = choose(at, view)
    return at


def choose(at, view):
    (views,) = [group for group in at.button_group if "Overview" in str(group.options)]
    at = views.set_value(view).run()
    assert not at.exception
    return at


def test_the_overview_has_the_mean_and_the_worst_class_beside_it():
    at = open_view(small_recipe())
    assert not at.error
    names = [metric.label for metric in at.metric]
    assert names == ["Accuracy", "Worst class", "Agreement", "Calibration error", "Confidence"]
    assert "validation samples" in texts(at)
    assert re.search(r"class \d, was ", texts(at))
    assert "Change of every class" in texts(at)
    assert "a calibrated model would show up to" in texts(at)
    (table,) = [toggle for toggle in at.toggle if toggle.label == "Table"]
    at = table.set_value(True).run()
    assert len(at.dataframe[0].value) == 10


def test_a_calibration_error_that_chance_explains_is_called_so():
    found = confidence_of(0.05, by_chance=0.06)
    assert "no larger, so that its interval begins at 0" in _calibration_words(found)
    assert "no larger" not in _calibration_words(confidence_of(0.07, by_chance=0.06))


def confidence_of(ece, by_chance):
    """Return what the page is told of a model's confidence, as far as words need it."""
    share = Quantity(ece, "fraction", 0.0, 0.1, 100)
    change = Comparison(Quantity(0.0, "points", -1.0, 1.0, 100), better="lower")
    after = {"ece": share.to_json(), "by_chance": Quantity.exact(by_chance, "fraction").to_json()}
    return {"after": after, "ece_change": change.to_json()}


def test_before_anybody_looked_there_is_a_button_and_what_it_takes(jobs):
    recipe = small_recipe(seed=1)
    at = open_view(recipe, "Layers")
    assert "Nobody looked into this model yet" in texts(at)
    at = click(at, "Look inside")
    (job,) = jobs
    assert job.command[1:] == ["-m", "optim.inspect.child"]
    asked = json.loads(job.stdin.getvalue())
    assert asked["key"] == key_of(recipe, "layers", SAMPLES["layers"])
    assert (asked["look"], asked["samples"]) == ("layers", SAMPLES["layers"])
    assert "Stop" in [button.label for button in at.button]
    assert "Corrupt the samples" not in [b.label for b in choose(at, "Corruption").button]


def test_what_failed_says_why(jobs):
    recipe = small_recipe(seed=2)
    at = click(open_view(recipe, "Corruption"), "Corrupt the samples")
    key = key_of(recipe, "corruption", SAMPLES["corruption"])
    SHELF.tell(key, refused=refusal(MeasurementError("It does not run.")))
    jobs[0].code = 0
    at.run()
    assert "It does not run." in at.error[0].value


def test_layers_are_drawn_listed_found_and_handed_over(looked):
    at = open_view(looked, "Layers")
    written = texts(at)
    for heading in ("Architecture", "Error propagation", "Layer by layer", "Scales of batch norms"):
        assert f"**{heading}**" in written
    table = at.dataframe[0].value
    assert {"Layer", "MACs", "Bits", "SQNR, dB", "Dead channels"} <= set(table.columns)
    assert set(table["Bits"]) == {8}
    at = at.selectbox(key="architecture_colour").set_value("Sparsity").run()
    assert not at.exception
    at = at.text_input(key="layer_find").set_value("layer1").run()
    assert all(at.dataframe[0].value["Layer"].str.startswith("layer1"))
    at = at.text_input(key="layer_find").set_value("nothing").run()
    assert "No layer has 'nothing'" in texts(at)


def test_after_the_sensitivity_analysis_layers_can_be_coloured_by_it(looked):
    *_, profile = analyse(open_subject(looked), ["prune_weights"], samples=16)
    SENSITIVITIES.keep(sensitivity_key(looked, SENSITIVITY_SAMPLES), profile.to_json())
    at = open_view(looked, "Layers")
    colours = at.selectbox(key="architecture_colour")
    assert "Sensitivity: Prune weights" in colours.options
    at = colours.set_value("Sensitivity: Prune weights").run()
    assert not at.exception
    assert "at the strongest level" in texts(at)


def test_distributions_are_those_of_the_layer_that_is_chosen(looked):
    at = open_view(looked, "Distributions")
    assert "Weights on their grid" in texts(at)
    assert "8 bits, one scale a channel" in texts(at)
    layer = at.selectbox(key="distribution_layer")
    at = layer.set_value(layer.options[-1]).run()
    assert not at.exception
    assert "of 256 levels are used" in texts(at)


def test_samples_that_change_are_shown_by_kind():
    at = open_view(small_recipe(), "Samples")
    assert not at.error
    assert "get another class" in texts(at)
    assert "lost most of the probability" in texts(at)
    kinds = [group for group in at.button_group if "wrong now" in str(group.options)]
    assert kinds


def test_under_corruption_the_worst_class_stands_beside_the_mean(looked):
    at = open_view(looked, "Corruption")
    written = texts(at)
    assert "40 validation samples" in written
    for title in ("Noise", "Blur", "Contrast"):
        assert f"**{title}**" in written
    assert "**Mean over five severities**, and the worst class beside it" in written
    assert "**One sample**, from severity 0 to 5" in written


@pytest.mark.parametrize("view", ["Overview", "Samples"])
def test_a_recipe_without_steps_changes_nothing_and_says_so(view):
    at = open_view(small_recipe(steps=[]), view)
    assert not at.error
    told = "no difference between the outputs" if view == "Overview" else "Every sample keeps"
    assert told in texts(at)


def test_tables_have_no_pictures_but_rows():
    recipe = Recipe.from_json(
        {
            "version": 1,
            "model": OTHER,
            "data": "wine",
            "steps": [{"prune_weights": {"sparsity": 0.8}}],
        }
    )
    at = open_view(recipe, "Samples")
    assert not at.error
    assert {"Class", "Original", "Now"} <= set(at.dataframe[0].value.columns)


def test_where_outputs_are_no_classes_that_is_said(monkeypatch):
    def ask(question, recipe, **arguments):
        raise MeasurementError("Samples can only get another class where outputs are classes.")

    at = open_view(small_recipe())
    monkeypatch.setattr(evaluator(), "ask", ask)
    at = choose(at, "Samples")
    assert not at.error
    assert "No sample has a class" in texts(at)


def test_in_a_presentation_nothing_is_started(monkeypatch, jobs):
    monkeypatch.setenv("OPTIM_PRESENTATION", "1")
    at = open_view(small_recipe(seed=7), "Layers")
    assert "Look inside" not in [button.label for button in at.button]
