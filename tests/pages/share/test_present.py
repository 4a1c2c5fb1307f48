"""Snapshots one after the other; and what the Lab hands on."""

import pytest

from optim.runs.jobs.share import KIND
from optim.runs.snapshots import save_snapshot, snapshots
from pages.components.present.slides import place_after
from pages.components.sharing import is_local
from tests.pages.helpers import click, open_app, serving, small_recipe, texts

PAGE = "pages/share/present.py"


@pytest.fixture(scope="module")
def home(optim_home):
    with serving(optim_home.parent / "present-home", optim_home / "cache") as home:
        yield home


@pytest.fixture(autouse=True)
def here(home, monkeypatch):
    monkeypatch.setenv("OPTIM_HOME", str(home))
    monkeypatch.delenv("OPTIM_STORE", raising=False)


def test_without_snapshots_it_says_how_to_save_some():
    at = open_app(small_recipe()).switch_page(PAGE).run()
    assert "No snapshots yet" in texts(at)


def test_without_snapshots_the_model_and_its_presets_can_be_shown():
    at = open_app(small_recipe()).switch_page(PAGE).run()
    click(at, "Show the presets")
    assert not at.exception
    model = small_recipe().model
    assert at.query_params["snapshots"].split(",")[:2] == [
        f"model:{model}",
        f"preset:gentle@{model}",
    ]
    assert [metric.label for metric in at.main.metric] == ["Accuracy", "File", "MACs"]
    assert at.main.metric[0].delta == "", "the original is compared with nothing"
    click(at, "Next")
    assert at.header[0].value.startswith("Gentle")
    assert "points" in at.main.metric[0].delta


def test_a_slide_that_is_not_there_is_named():
    at = open_app(small_recipe()).switch_page(PAGE)
    at.query_params["snapshots"] = "preset:none@nothing"
    at.run()
    assert not at.exception
    assert "names no preset" in at.error[0].value


def test_slides_step_forth_and_back_and_stop_at_the_ends():
    saved = [save_snapshot(f"Slide {n}", small_recipe(), "somebody") for n in (1, 2)]
    at = open_app(small_recipe()).switch_page(PAGE)
    at.query_params["snapshots"] = ",".join(one.id for one in saved)
    at.run()
    assert not at.exception
    assert not at.error
    assert at.header[0].value == "Slide 1"
    assert [metric.label for metric in at.main.metric] == ["Accuracy", "File", "MACs"]
    click(at, "Next")
    assert at.header[0].value == "Slide 2"
    assert at.query_params["at"] == "2"
    (button,) = [b for b in at.main.button if b.label == "Next"]
    assert button.disabled
    assert "Delete this snapshot" not in {b.label for b in at.main.button}, "somebody else's"


@pytest.mark.parametrize(
    ("place", "go", "after"),
    [(1, "previous", 1), (1, "next", 2), (2, "last", 4), (4, "next", 4), (3, "first", 1)],
)
def test_keys_lead_to_the_next_slide(place, go, after):
    assert place_after(place, go, 4) == after


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("http://localhost:8501/lab", True),
        ("http://127.0.0.1:8501/lab", True),
        ("http://[::1]:8501/", True),
        ("", True),
        ("https://studio.example.org/lab", False),
        ("http://192.168.0.7:8501/lab", False),
    ],
)
def test_a_link_for_others_needs_an_address_that_others_reach(address, local):
    assert is_local(address) is local


def test_the_lab_saves_snapshots_and_starts_the_offline_page(monkeypatch):
    from pages.components import sharing
    from pages.components.server import run_store

    monkeypatch.setattr(sharing, "wake_engine", lambda: None)
    at = open_app(small_recipe())
    assert "answers on this machine only" in texts(at)
    at.text_input(key="snapshot_title").set_value("Half").run()
    click(at, "Save snapshot")
    assert "Half" in [one.title for one in snapshots()]
    click(at, "Make offline page")
    (run,) = [run for run in run_store().runs() if run.kind == KIND]
    assert run.spec["recipe"] == small_recipe().to_json()
    assert "Make offline page" not in {b.label for b in at.main.button}
