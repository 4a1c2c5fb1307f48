"""What the panel is given comes from the fields of the techniques, and from nothing else."""

import re

import pytest

from optim.fields import controls
from optim.presets import PRESETS
from optim.techniques import TECHNIQUES
from pages.components import live_panel
from pages.components.live_panel.routes import asset_version
from tests.pages.helpers import open_app, panel_data, presets_marked, small_recipe, tell


@pytest.fixture
def data(lab):
    return panel_data(lab)


def test_the_browser_can_draw_every_technique(data):
    assert set(data["schema"]) == set(TECHNIQUES)
    for name, technique in TECHNIQUES.items():
        schema = data["schema"][name]
        assert (schema["title"], schema["about"]) == (technique.title, technique.about)
        assert schema["controls"] == [control.to_json() for control in controls(technique)]


def test_each_of_the_first_sliders_stands_for_a_field_with_its_stops(data):
    assert [(q["entry"], q["field"]) for q in data["quick"]] == [
        ("prune_channels", "pruning_ratio"),
        ("quantize", "weight_bits"),
        ("quantize", "activation_bits"),
        ("distill", "epochs"),
    ]
    for quick in data["quick"]:
        for stop in quick["stops"]:
            TECHNIQUES[quick["entry"]](**{quick["field"]: stop})
        assert len(set(map(str, quick["stops"]))) == len(quick["stops"]) >= 3


def test_distillation_stops_where_students_are_stored(data):
    from optim.pretrain import STUDENT_EPOCHS

    assert data["quick"][-1]["stops"] == [0, *STUDENT_EPOCHS]


def test_presets_are_those_of_the_library_and_the_panel_knows_where_they_stand(lab):
    assert [p["name"] for p in panel_data(lab)["presets"]] == list(PRESETS)
    assert presets_marked(lab) == []
    for name in PRESETS:
        tell(lab, "command", name="preset", value=name)
        assert presets_marked(lab) == [name]


def test_another_model_is_another_subject_and_other_steps_are_not():
    first = panel_data(open_app(small_recipe()))
    steps = panel_data(open_app(small_recipe(steps=[])))
    seed = panel_data(open_app(small_recipe(seed=5)))
    assert first["subject"] == steps["subject"] != seed["subject"]
    assert first["revision"] != steps["revision"]


def test_a_step_that_is_off_is_given_as_off():
    recipe = small_recipe().with_enabled("quantize", False)
    entries = panel_data(open_app(recipe))["entries"]
    assert [e["enabled"] for e in entries] == [True, True, False]


def test_scripts_are_fetched_under_the_version_they_have(data):
    assert data["version"] == asset_version()
    assert data["base"] == "/optim"
    assert "panel.js?v=${version}" in live_panel._LOADER


def test_every_import_of_a_script_is_a_script_that_is_there():
    folder = live_panel._FOLDER / "static"
    names = {path.name for path in folder.glob("*.js")}
    for path in folder.glob("*.js"):
        found = set(re.findall(r"""from\s+["']\./([^"'?]+)""", path.read_text(encoding="utf-8")))
        assert found <= names, path.name


def test_no_script_asks_anybody_else():
    folder = live_panel._FOLDER / "static"
    for path in folder.glob("*.js"):
        hosts = re.findall(r"https?://([^/\"'`\s]+)", path.read_text(encoding="utf-8"))
        assert set(hosts) <= {"www.w3.org"}, path.name
