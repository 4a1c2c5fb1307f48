"""The page that puts models side by side: the address says which, every view opens."""

import json

import pytest

from optim.runs.snapshots import save_snapshot
from pages.components.compare.views import parallel_info
from tests.pages.helpers import click, open_app, serving, small_recipe, texts

PAGE = "pages/compare/compare.py"


@pytest.fixture(scope="module")
def home(optim_home):
    with serving(optim_home.parent / "compare-home", optim_home / "cache") as home:
        yield home


@pytest.fixture
def page(home, monkeypatch):
    monkeypatch.setenv("OPTIM_HOME", str(home))
    monkeypatch.delenv("OPTIM_STORE", raising=False)

    def opened(*refs, **query):
        at = open_app(small_recipe()).switch_page(PAGE)
        if refs:
            at.query_params["runs"] = ",".join(refs)
        for name, value in query.items():
            at.query_params[name] = value
        at.run()
        assert not at.exception
        return at

    return opened


def refs():
    return "model:small-resnet", f"recipe:{small_recipe().to_link()}"


def test_without_models_it_says_how_to_choose_some(page, monkeypatch):
    monkeypatch.setattr("pages.components.compare.page._asked", lambda *_: None)
    at = page()
    assert "Nothing is chosen yet" in texts(at)
    click(at, "Compare the presets")
    assert at.query_params["runs"].startswith("model:small-resnet,preset:gentle@small-resnet")


def test_models_of_the_address_stand_there_with_paired_changes_in_every_view(page):
    at = page(*refs())
    assert not at.error
    shown = texts(at)
    assert "Paired over 362 samples" in shown
    assert "Of 362 validation samples" in shown
    for view, chart in (
        ("Trade-off", 1),
        ("All figures", 1),
        ("Classes", 1),
        ("Layers", 1),
        ("Predictions", 0),
        ("Origin", 1),
    ):
        at.segmented_control(key="compare_view").set_value(view).run()
        assert not at.exception
        assert not at.error
        assert len(at.main.get("plotly_chart")) == chart, view


def test_the_reference_is_the_one_that_the_address_names(page):
    _, second = refs()
    at = page(*refs(), reference=second)
    assert at.selectbox(key="compare_reference").value == second


def test_what_is_gone_is_explained_and_the_others_stand(page):
    at = page("model:small-resnet", "nosuchrun")
    assert "There is no run 'nosuchrun'" in at.error[0].value
    assert "Choose a second model" in texts(at)


def test_snapshots_of_others_open_by_their_link_and_stand_in_no_list(page, home):
    theirs = save_snapshot("Of somebody", small_recipe(), "user-other")
    at = page("model:small-resnet")
    assert "Of somebody" not in json.dumps(at.multiselect(key="compare_refs").options)
    at = page("model:small-resnet", f"snapshot:{theirs.id}")
    assert not at.error
    assert "Of somebody" in "".join(h.proto.body for h in at.main.get("html"))


def test_up_is_better_on_every_axis():
    def entry(quality, size):
        return {
            "figures": {
                "quality": {"value": quality, "text": str(quality)},
                "file": {"value": size, "text": str(size)},
            }
        }

    axes, lines = parallel_info(
        ["a", "b", "c"], {"entries": [entry(0.9, 100), entry(0.8, 50), {"problem": "gone"}]}
    )
    assert [axis["title"] for axis in axes] == ["Quality", "File"]
    assert [line["positions"] for line in lines] == [[1.0, 0.0], [0.0, 1.0], [None, None]]
    assert (axes[1]["top"], axes[1]["bottom"]) == ("50", "100")
