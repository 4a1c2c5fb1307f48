"""One click, a file that was measured in its runtime, or the reason why there is none."""

import json

import pytest

from optim.errors import ParityError
from optim.export.downloads import find_export
from pages.components.server import evaluator
from tests.pages.helpers import click, open_app, panel_data, recipe_of, small_recipe, tell, texts

BUTTON = "Download verified file"


def handed_over(at):
    """Return what the browser is told to fetch, or None."""
    found = [e for e in at.main if (getattr(e, "key", None) or "").startswith("deliver_")]
    return json.loads(found[0].proto.json) if found else None


@pytest.fixture
def delivered(lab):
    return click(lab, BUTTON)


def test_nothing_is_written_before_it_is_asked_for(lab, questions):
    lab.run()
    assert "export" not in questions
    assert handed_over(lab) is None


def test_the_browser_is_told_where_the_verified_file_lies(delivered):
    told = handed_over(delivered)
    token, name = told["href"].split("/")[-2:]
    assert told["href"].startswith("/optim/files/")
    assert name == told["name"] == f"small-resnet-{recipe_of(delivered).hash[:8]}.onnx"
    assert find_export(token, name).stat().st_size > 1000


def test_a_file_is_verified_once_however_often_the_page_runs(lab, questions):
    click(lab, BUTTON)
    lab.run()
    assert questions.count("export") == 1
    assert handed_over(lab) is not None


def test_the_card_can_be_closed(delivered):
    click(delivered, "Close")
    assert handed_over(delivered) is None
    assert not delivered.get("download_button")


def test_the_card_goes_when_the_recipe_does(delivered):
    tell(delivered, "command", name="preset", value="gentle")
    assert handed_over(delivered) is None
    tell(delivered, "command", name="undo", value=None)
    assert handed_over(delivered) is None, "a file is asked for anew"


def test_a_refused_file_is_explained_and_not_handed_over(lab, monkeypatch):
    ask = evaluator().ask

    def refuse(question, recipe, **arguments):
        if question == "export":
            raise ParityError("It does something else.", hint="Choose more bits.")
        return ask(question, recipe, **arguments)

    monkeypatch.setattr(evaluator(), "ask", refuse)
    shown = recipe_of(lab)
    click(lab, BUTTON)
    assert not lab.exception
    assert lab.error[0].value == "It does something else.\n\nChoose more bits."
    assert handed_over(lab) is None
    assert "verified" not in texts(lab)
    assert panel_data(lab)["revision"] == shown.hash
    lab.run()
    assert not lab.error, "the next run does not try again by itself"
    monkeypatch.undo()
    assert handed_over(click(lab, BUTTON)) is not None


def test_a_wider_container_is_named():
    recipe = small_recipe(steps=[{"quantize": {"weight_bits": 5, "samples": 128}}])
    at = click(open_app(recipe), BUTTON)
    assert not at.error
    assert "5-bit weights are stored in int8." in texts(at)


def test_distillation_that_is_not_in_the_file_is_named():
    recipe = small_recipe(steps=[{"distill": {"epochs": 4}}])
    at = click(open_app(recipe), BUTTON)
    assert not at.error
    assert "Distillation is not in the file" in texts(at)


def test_a_file_that_was_cleared_away_is_not_offered_again(delivered):
    token, name = handed_over(delivered)["href"].split("/")[-2:]
    find_export(token, name).unlink()
    delivered.run()
    assert not delivered.exception
    assert not delivered.get("download_button")
