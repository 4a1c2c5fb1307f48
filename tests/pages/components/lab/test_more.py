"""The sections below the first screen: each computed only when it is looked at."""

import json

import pytest

from optim.export.targets import TARGETS
from optim.recipe import Recipe
from optim.whatif.questions import QUESTIONS
from pages.components.lab import more
from tests.pages.helpers import (
    MODEL,
    OTHER,
    click,
    edit_cells,
    open_app,
    open_section,
    panel_data,
    recipe_of,
    small_recipe,
    texts,
)

QUESTION = {
    "Layers": "layers",
    "Classes": "classes",
    "Fidelity": "fidelity",
    "Weights": "weights",
    "Sizes": "sizes",
    "Files": "files",
}
"""What each section asks; the others ask nothing."""


def row_of(at, layer):
    """Return the index and the row of a layer in the table."""
    table = at.data_editor[0].value
    (index,) = table.index[table["Layer"] == layer]
    return int(index), table.loc[index]


@pytest.fixture
def layers(lab):
    return open_section(lab, "Layers")


# --- opening ------------------------------------------------------------------------------------


def test_nothing_is_computed_before_a_section_is_opened(questions):
    at = open_app(small_recipe())
    assert questions == ["model"]
    assert not at.data_editor
    assert not panel_data(at)["wants_settled"]


@pytest.mark.parametrize("section", more._SECTIONS)
def test_each_section_opens_with_content_and_asks_only_for_itself(lab, questions, section):
    before = len(list(lab.main))
    open_section(lab, section)
    assert not lab.exception
    assert not lab.error
    assert len(list(lab.main)) > before + 2
    wanted = {QUESTION[section]} if section in QUESTION else set()
    assert set(questions) - {"model"} == wanted
    assert panel_data(lab)["wants_settled"], "figures of the section follow once they settle"


def test_the_open_section_stays_open_while_the_recipe_changes(layers):
    edit_cells(layers, {0: {"Bits": "4"}})
    assert layers.segmented_control(key="more_section").value == "Layers"


def test_every_question_of_a_section_is_one_the_evaluator_knows():
    assert set(QUESTION.values()) <= set(QUESTIONS)


# --- layers -------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_every_layer_with_its_settings(layers):
    table = layers.data_editor[0].value
    assert len(table) == table["Layer"].nunique() == 8
    assert set(table["Bits"]) == {"8"}
    assert table["Size"].sum() == pytest.approx(100)
    assert set(table["Ratio"].dropna()) == {25}
    assert (table["Channels"] != "").all(), "a group, or why there is none"


def test_edited_bits_become_a_setting_of_that_layer(layers):
    index, row = row_of(layers, "conv1")
    edit_cells(layers, {index: {"Bits": "ternary"}})
    assert not layers.exception
    assert recipe_of(layers).entry("quantize").step.layers == {row["Layer"]: "ternary"}
    assert row_of(layers, "conv1")[1]["Bits"] == "ternary"
    assert panel_data(layers)["can_undo"]


def test_a_layer_can_be_left_in_floating_point(layers):
    index, _ = row_of(layers, "conv1")
    edit_cells(layers, {index: {"Bits": "float"}})
    assert recipe_of(layers).entry("quantize").step.layers == {"conv1": "float"}


def test_an_edited_ratio_becomes_a_setting_of_the_whole_group(layers):
    table = layers.data_editor[0].value
    index = int(table.index[table["Ratio"].notna()][0])
    edit_cells(layers, {index: {"Ratio": 50}})
    assert not layers.exception
    (own,) = recipe_of(layers).entry("prune_channels").step.layers.items()
    assert own == (table.loc[index, "Channels"], 0.5)
    again = layers.data_editor[0].value
    same_group = again[again["Channels"] == own[0]]
    assert set(same_group["Ratio"]) == {50}


def test_the_common_value_needs_no_entry_of_its_own(layers):
    index, _ = row_of(layers, "conv1")
    edit_cells(layers, {index: {"Bits": "4"}})
    index, _ = row_of(layers, "conv1")
    edit_cells(layers, {index: {"Bits": "8"}})
    assert recipe_of(layers) == small_recipe()


@pytest.mark.parametrize("column", ["Bits", "Ratio"])
def test_an_emptied_cell_returns_to_the_common_value(layers, column):
    table = layers.data_editor[0].value
    index = int(table.index[table["Ratio"].notna()][0])
    edit_cells(layers, {index: {"Bits": "4", "Ratio": 50}})
    edit_cells(layers, {index: {column: None}})
    assert not layers.exception
    entry = {"Bits": "quantize", "Ratio": "prune_channels"}
    steps = {name: recipe_of(layers).entry(step).step for name, step in entry.items()}
    assert {name for name, step in steps.items() if step.layers} == {"Bits", "Ratio"} - {column}


def test_edits_of_several_cells_are_one_step_back(layers):
    edit_cells(layers, {0: {"Bits": "4"}, 1: {"Bits": "5"}})
    assert len(recipe_of(layers).entry("quantize").step.layers) == 2
    assert layers.session_state["history"].past == (small_recipe(),)


def test_an_illegal_edit_is_refused_with_the_reason_and_nothing_is_lost(layers):
    edit_cells(layers, {0: {"Bits": "99"}})
    assert not layers.exception
    assert "99" in layers.error[0].value
    assert recipe_of(layers) == small_recipe()


def test_without_quantization_there_are_no_bits_to_set():
    recipe = small_recipe(steps=[])
    at = open_section(open_app(recipe), "Layers")
    assert set(at.data_editor[0].value["Bits"]) == {"float"}
    edit_cells(at, {0: {"Bits": "4"}})
    assert not at.exception
    assert recipe_of(at) == recipe


def test_each_step_says_what_it_did(layers):
    shown = "\n".join(e.value for e in layers.expander[0].markdown)
    assert all(f"**{entry.id}**" in shown for entry in small_recipe().entries)


# --- the others ---------------------------------------------------------------------------------


def test_classes_show_both_charts(lab):
    open_section(lab, "Classes")
    charts = [json.loads(e.proto.spec) for e in lab.get("plotly_chart")]
    assert [c["data"][0]["type"] for c in charts] == ["scatter", "heatmap"]
    assert charts[1]["data"][0]["x"] == list("0123456789")


def test_weights_follow_the_chosen_layer(lab):
    open_section(lab, "Weights")
    first = lab.get("plotly_chart")[0].proto.spec
    names = lab.selectbox(key="weights_layer").options
    assert len(names) > 5
    lab.selectbox(key="weights_layer").set_value(names[-1]).run()
    assert not lab.exception
    assert lab.get("plotly_chart")[0].proto.spec != first


def test_the_weights_of_a_layer_that_another_model_lacks_are_not_asked_for(lab, questions):
    open_section(lab, "Weights")
    names = lab.selectbox(key="weights_layer").options
    lab.selectbox(key="weights_layer").set_value(names[-1]).run()
    lab.sidebar.selectbox(key="model_picker").set_value(OTHER).run()
    assert not lab.exception
    assert not lab.error
    lab.sidebar.selectbox(key="model_picker").set_value(MODEL).run()
    assert not lab.exception
    assert not lab.error


def test_sizes_are_those_of_both_models(lab):
    open_section(lab, "Sizes")
    (chart,) = [json.loads(e.proto.spec) for e in lab.get("plotly_chart")]
    assert [trace["name"] for trace in chart["data"]] == ["Original", "Now"]


@pytest.mark.parametrize(
    "target", [n for n in TARGETS if n not in ("onnx_nbits", "openvino", "qonnx")]
)
def test_every_kind_of_file_is_verified_before_it_is_handed_over(lab, target):
    """Bytes lie midway between steps here, which those two round otherwise: they may miss 99 %."""
    open_section(lab, "Files")
    lab.button(key=f"file_{target}").click().run()
    assert not lab.exception
    assert not lab.error
    assert f"{TARGETS[target].suffix}**" in texts(lab)
    assert [b.label for b in lab.get("download_button")] == ["Save again"]


def test_what_cannot_be_written_is_refused_at_the_button_with_the_reason(questions):
    at = open_app(small_recipe(steps=[]))
    open_section(at, "Files")
    disabled = [name for name in TARGETS if at.button(key=f"file_{name}").disabled]
    assert disabled == ["onnx_nbits", "c"]
    assert "no such kernel for convolutions" in texts(at)
    assert "input is not quantized" in texts(at)


def test_the_recipe_section_gives_the_recipe_as_a_file(lab):
    open_section(lab, "Recipe")
    yaml = next(c.value for c in lab.code if c.language == "yaml")
    assert Recipe.from_yaml(yaml) == small_recipe()
    assert [b.label for b in lab.get("download_button")] == ["recipe.yaml"]


def test_another_seed_is_taken_into_the_recipe(lab):
    open_section(lab, "Recipe")
    lab.number_input[0].set_value(7).run()
    assert not lab.exception
    assert recipe_of(lab) == small_recipe(seed=7)
    assert lab.number_input[0].value == 7
    assert panel_data(lab)["head"]["seed"] == 7


def test_batch_and_threads_of_the_latency_reach_the_panel_and_stay(lab):
    open_section(lab, "Measurement")
    lab.number_input(key="latency_batch").set_value(16).run()
    assert panel_data(lab)["latency"] == {"batch_size": 16, "threads": 1}
    open_section(lab, "Recipe")
    assert panel_data(lab)["latency"] == {"batch_size": 16, "threads": 1}
    lab.number_input[0].set_value(3).run()
    open_section(lab, "Measurement")
    assert lab.number_input(key="latency_batch").value == 16


def test_closing_a_section_leaves_the_first_screen(lab):
    open_section(lab, "Sizes")
    open_section(lab, None)
    assert not lab.exception
    assert not lab.get("plotly_chart")
    click(lab, "Download verified file")
    assert not lab.error
