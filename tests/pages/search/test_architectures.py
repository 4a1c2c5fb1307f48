"""Architecture search: what is asked for becomes a run, and what it has is shown meanwhile."""

import json
from types import SimpleNamespace

import pytest
from streamlit.proto.Block_pb2 import Block

from optim.pairs import confirmed_check
from optim.quantity import How, Quantity
from optim.runs.artefacts import keep
from optim.search.candidate import Candidate
from optim.search.goals import Goals, Limit
from optim.search.nas.answer import state_of
from optim.search.nas.asked import Asked
from optim.search.nas.families import space_of
from optim.search.target import device_named
from pages.components.networks.shown import axes_and_lines, lineage_points, points_of, table_rows
from pages.components.server import run_store
from tests.pages.helpers import click, open_app, recipe_of, small_recipe, texts

GOALS = Goals(("error", "bytes", "macs"), (Limit("bytes", 20_000.0),))
ASKED = Asked("dscnn", "digits", {"bytes": 20_000.0}, epochs=9)
SPACE = space_of("ds-cnn", (1, 8, 8))


def open_page(recipe=None, **options):
    at = open_app(recipe or small_recipe(), **options)
    return at.switch_page("pages/search/architectures.py").run()


def network(number, error, size, *, epochs=1, outcome="measured", **fields):
    point = SPACE.clean({"ds-cnn.width": 8 * number, "ds-cnn.depth": 1 + number % 2})
    figures = {
        "bytes": Quantity.exact(size, "bytes", How.ESTIMATED),
        "macs": Quantity.exact(1000.0 * number, "macs"),
    }
    if outcome == "measured":
        figures["error"] = Quantity(error, "points", error - 1, error + 1, 362, How.SIMULATED)
        figures["training"] = Quantity.exact(2.0, "s")
        good = 1 - error / 100
        fields["quality"] = Quantity(good, "fraction", good, good, 362, How.SIMULATED)
    made = {"architecture": {"ds-cnn": {"width": 8 * number}}, "epochs": epochs}
    title = f"width {8 * number}"
    return Candidate(
        point, made, figures, outcome, "short training", title, number=number, **fields
    )


NETWORKS = [
    network(1, 40.0, 6000, scores={"params": 1.0, "synflow": 2.0}),
    network(2, 9.0, 15_000, epochs=9),
    network(3, 4.0, 30_000),
    network(4, 0.0, 90_000, outcome="sized", note="It takes 90 kB; 20 kB allowed."),
]
LAYERS = [
    {"name": "stem", "kind": "conv", "shape": [8, 1, 3, 3], "params": 80, "macs": 1152},
    {"name": "classifier", "kind": "linear", "shape": [10, 8], "params": 90, "macs": 80},
]


LEARNED = {
    "epochs": 12,
    "seconds": 30.0,
    "each_s": 0.02,
    "samples": 362,
    "how": {"bytes": "estimated", "macs": "measured"},
    "columns": ["ds-cnn.width", "ds-cnn.depth", "ds-cnn.kernel", "ds-cnn.stem", "error", "bytes"],
    "rows": [
        [width, depth, 3, "3x3", 50.0 - width - depth, 900.0 * width * depth]
        for width in (8, 16, 24)
        for depth in (1, 2)
        if width < 24 or depth < 2
    ],
}


def state(networks=NETWORKS, supernet=None, chance=0.0):
    return state_of(
        networks,
        GOALS,
        ASKED,
        SPACE,
        layers={
            n.number: [{**layer, "activations": 9} for layer in LAYERS]
            for n in networks
            if n.is_whole
        },
        supernet=supernet,
        chance=chance,
        story=[{"at": 3.0, "text": "Networks are trained for 1, 3, 9 epochs."}],
        stage="short training",
        spent_s=40.0,
    )


@pytest.fixture
def searching(worked):
    """Return a function that submits a search and shows what it has so far."""

    def searching(content=None, asked=ASKED):
        run = worked.store.submit("nas", asked.to_json(), title="Architecture search")
        lease = worked.lease(run)
        if content is not None:
            worked.store.publish(run.id, content)
        return run, lease

    return searching


def finish(worked, run, lease, weights=b"weights", shown=None):
    result = {
        **(shown or state()),
        "schema": "optim.nas/1",
        "impossible": "",
        "verification": {"runtime": "ONNX Runtime 1.32", "bytes": {"value": 15_000}},
        "tests": {"2": {**Quantity(8.0, "points", 7.0, 9.0, 359).to_json(), "text": "8.0"}},
    }
    for name in ("model.onnx", "model.safetensors"):
        lease.artefact(keep(worked.store.kept, name, weights))
    lease.finish(json.loads(json.dumps(result)))


def newest_id():
    return run_store().runs()[0].id


def buttons(at):
    return {button.label: button for button in at.button}


def test_nothing_was_searched_yet_and_it_says_what_to_do(worked):
    at = open_page()
    assert not at.exception
    assert "No architecture searched yet" in texts(at)
    assert "Start" in buttons(at)


def test_what_is_asked_for_becomes_a_run_that_the_engine_is_woken_for(worked, woken):
    at = open_page()
    at = at.selectbox(key="networks_device").set_value("nrf52840").run()
    at.number_input(key="networks_ram").set_value(64.0)
    at.number_input(key="networks_accuracy").set_value(90.0)
    at = click(at.run(), "Start")
    assert not at.exception
    assert not at.error
    (run,) = worked.store.runs()
    assert run.kind == "nas"
    assert run.spec["limits"] == {"ram": 64_000.0, "error": 10.0}
    assert (run.spec["space"], run.spec["data"]) == ("ds-cnn", "digits")
    assert run.spec["device"] == "nrf52840"
    assert Asked.from_json(run.spec).seconds == 300
    assert woken


def test_a_page_that_is_opened_again_shows_what_the_newest_search_was_asked(searching):
    asked = Asked(
        "mlp",
        "digits",
        {"ram": 32_000.0, "error": 7.5},
        device=device_named("cortex-m7").name,
        seconds=90.0,
        precision="float32",
        epochs=20,
        sampler="nsga2",
        screen="synflow",
        seeds=2,
        weighs_training=True,
    )
    searching(asked=asked)
    at = open_page()
    assert at.selectbox(key="networks_device").value == asked.device
    assert at.number_input(key="networks_ram").value == 32.0
    assert at.number_input(key="networks_accuracy").value == 92.5
    assert at.select_slider(key="networks_minutes").value == 1.5
    assert at.selectbox(key="networks_screen").value == "synflow"
    again = click(at, "Start")
    assert not again.error
    assert run_store().runs()[0].spec == asked.to_json()


def test_any_data_with_classes_can_be_searched_for_whatever_the_model_on_the_left(worked, woken):
    at = open_page()
    before = recipe_of(at)
    picker = at.selectbox(key="networks_data")
    assert picker.value == "digits"
    assert {"Wine", "Bearing vibration", "Cluttered digits"} <= set(picker.options)
    assert not {"Generated inputs", "Digit scenes"} & set(picker.options)
    at = picker.set_value("wine").run()
    assert not at.exception
    assert next(box for box in at.selectbox if box.label == "Space").options == ["MLP"]
    at = click(at, "Start")
    assert worked.store.runs()[0].spec["data"] == "wine"
    assert "No architecture searched yet" not in texts(at), "its search is shown"
    assert recipe_of(at) == before, "the recipe of the session is what it was"


def test_data_follow_the_recipe_until_others_are_chosen(worked):
    at = open_page()
    at = at.selectbox(key="networks_data").set_value("wine").run()
    at = at.switch_page("pages/lab/lab.py").run()
    at = at.switch_page("pages/search/architectures.py").run()
    assert at.selectbox(key="networks_data").value == "wine"
    at = at.selectbox(key="model_picker").set_value("wine-mlp").run()
    at = at.selectbox(key="model_picker").set_value("breast-cancer-mlp").run()
    assert at.selectbox(key="networks_data").value == recipe_of(at).data == "breast-cancer"


def test_data_with_settings_stay_as_they_are(worked):
    at = open_page(small_recipe(data="digits?seed=3"))
    assert at.selectbox(key="networks_data").value == "digits?seed=3"
    assert "Start" in buttons(at)


def test_spaces_are_those_that_take_the_data(worked):
    at = open_page()
    options = next(box for box in at.selectbox if box.label == "Space").options
    assert "MLP" in options
    assert "1-D CNN" not in options


def test_what_it_has_is_shown_while_it_searches(searching):
    searching(state())
    at = open_page()
    assert not at.exception
    assert "width 16** keeps all limits" in texts(at)
    assert "Networks are trained for 1, 3, 9 epochs." in texts(at)
    assert "1 more would miss a limit" in texts(at)
    assert list(at.dataframe[0].value["Network"]) == ["width 8", "width 16", "width 24"]
    found = buttons(at)
    assert {"Take what it has", "Cancel"} <= found.keys()
    assert found["Open in the Lab"].disabled
    assert "Train to the end" not in found  # what is taken was trained to the end
    at = at.segmented_control(key="networks_view").set_value("all").run()
    assert not at.exception


def rows_of_page(block):
    """Yield the containers whose children stand in one row."""
    for child in getattr(block, "children", {}).values():
        proto = getattr(child, "proto", None)
        if isinstance(proto, Block) and (
            proto.flex_container.direction == Block.FlexContainer.Direction.HORIZONTAL
        ):
            yield child
        yield from rows_of_page(child)


def test_the_views_wrap_on_a_phone(searching):
    searching(state())
    at = open_page()
    # In a row it is as wide as its options, and what is beyond the card is cut off.
    rows = list(rows_of_page(at.main))
    keys = {getattr(child, "key", None) for row in rows for child in row.children.values()}
    assert rows
    assert "networks_view" not in keys


def test_a_network_can_be_trained_to_the_end(searching, worked):
    run, _ = searching(state())
    at = open_page()
    at = at.selectbox(key=f"networks_picked_{run.id}").set_value(1).run()
    at = click(at, "Train to the end")
    assert not at.exception
    assert not at.error
    newest = worked.store.runs()[0]
    assert newest.id != run.id
    asked = Asked.from_json(newest.spec)
    assert asked.only["ds-cnn.width"] == (8,)
    assert space_of("ds-cnn", (1, 8, 8), only=asked.only).count() == 1


def test_a_finished_search_hands_over_its_file(searching, worked):
    finish(worked, *searching(state()))
    at = open_page()
    assert not at.exception
    assert "error on test 8.0" in texts(at)
    assert "ONNX Runtime 1.32" in texts(at)
    assert not buttons(at)["Open in the Lab"].disabled


def test_a_finished_search_warns_of_a_network_that_was_hardly_trained(searching, worked):
    at_chance = network(1, 88.0, 6000, epochs=3)
    shown = state([at_chance], chance=0.1)
    assert len(shown["doubts"]) == 2
    searching(shown)
    assert not open_page().warning, "it is still at it"
    finish(worked, *searching(shown), shown=shown)
    at = open_page()
    (warning,) = at.warning
    assert "It was trained for 3 of 9 epochs. It does hardly better than guessing" in warning.value
    assert "right for 10% of the validation samples" in warning.value
    assert "*Train to the end*" in warning.value
    assert "Train to the end" in buttons(at)
    assert at.get("download_button")[0].proto.type == "secondary"


def test_what_came_closest_is_not_called_taken(searching):
    shown = state([network(3, 4.0, 30_000)])
    searching(shown)
    at = open_page()
    assert "No network keeps all limits yet.** Closest: width 24" in texts(at)
    assert "closest · width 24" in at.selectbox(key="networks_picked_" + newest_id()).options[0]
    (point,) = points_of(shown, "bytes")
    assert (point["is_taken"], point["is_closest"]) == (False, True)
    (line,) = axes_and_lines(shown)[1]
    assert (line["is_taken"], line["is_closest"]) == (False, True)


def test_its_trained_network_becomes_a_model_in_the_lab(searching, worked, monkeypatch):
    from tests.pages.helpers import MODEL

    taken = []

    def take(content, filename, **fields):
        taken.append((content, filename, fields["data"], fields["title"]))
        return MODEL

    monkeypatch.setattr("pages.components.networks.chosen.take_model", take)
    finish(worked, *searching(state()))
    at = click(open_page(), "Open in the Lab")
    assert not at.exception
    assert taken == [(b"weights", "model.safetensors", "digits", "DS-CNN, width 16")]
    assert (recipe_of(at).model, recipe_of(at).entries) == (MODEL, ())
    # It was trained here on these data: nobody has to confirm how they are read.
    assert confirmed_check(MODEL, "digits") is not None


def test_sliders_say_at_once_what_a_network_of_the_supernet_reaches(searching):
    searching(state(supernet=LEARNED))
    at = open_page()
    assert not at.exception
    sliders = {s.label: s for s in at.select_slider}
    assert list(sliders["Width"].options) == ["8", "16", "24"]
    assert "Error with shared weights" not in texts(at)
    assert any(m.value.startswith("32") for m in at.metric)  # width 16, depth 2
    assert "20.0 kB allowed: missed" in texts(at)
    at = sliders["Depth"].set_value(1).run()
    assert any(m.value.startswith("33") for m in at.metric)
    assert "20.0 kB allowed: kept" in texts(at)
    at = {s.label: s for s in at.select_slider}["Width"].set_value(24).run()
    at = {s.label: s for s in at.select_slider}["Depth"].set_value(2).run()
    assert not at.exception
    assert "This network was not looked at" in texts(at)


def test_descent_is_drawn(searching):
    grown = [*NETWORKS, network(5, 3.0, 14_000, parents=(1, 2), parent=-1)]
    searching(state(grown))
    at = open_page()
    at = at.segmented_control(key="networks_view").set_value("lineage").run()
    assert not at.exception
    assert "crossing two" in texts(at)
    points = {p["number"]: p for p in lineage_points(state(grown))}
    assert points[5]["parents"] == [1, 2]
    assert "from number 1 and 2" in points[5]["text"]


def test_a_found_network_is_taught_by_the_model_on_the_left(searching, worked, monkeypatch):
    from tests.pages.helpers import MODEL

    monkeypatch.setattr("pages.components.networks.chosen.take_model", lambda *a, **k: "taken-in")
    card = SimpleNamespace(name=MODEL, title="My model", data="digits")
    monkeypatch.setattr("pages.components.networks.chosen.model_cards", lambda: {MODEL: card})
    started = []
    monkeypatch.setattr(
        "pages.components.networks.chosen.actions.train_recipe",
        lambda recipe, title: started.append(recipe),
    )
    finish(worked, *searching(state()))
    at = click(open_page(), "Distil from my model")
    assert not at.exception
    (recipe,) = started
    assert (recipe.model, recipe.data) == ("taken-in", "digits")
    assert recipe.entries[0].step.teacher == (MODEL,)


def test_limits_out_of_reach_are_said(searching, worked):
    _, lease = searching()
    result = {**state([]), "impossible": "Size is out of reach.", "verification": None}
    lease.finish(json.loads(json.dumps({**result, "schema": "optim.nas/1", "tests": {}})))
    at = open_page()
    assert not at.exception
    assert "Size is out of reach." in texts(at)


def test_data_that_cannot_be_learned_are_refused_with_what_to_do(worked):
    at = open_page(small_recipe(data="generated"))
    assert not at.exception
    assert "Generated inputs cannot be learned" in " ".join(error.value for error in at.error)
    at = at.selectbox(key="networks_data").set_value("digits").run()
    assert not at.error
    assert "Start" in buttons(at)


def test_points_lines_and_rows_are_those_of_what_was_trained():
    found = state()
    assert [(p["x"], p["y"], p["is_taken"]) for p in points_of(found, "bytes")] == [
        (6000, 40.0, False),
        (15_000, 9.0, True),
        (30_000, 4.0, False),
    ]
    axes, lines = axes_and_lines(found)
    assert [axis["title"] for axis in axes][:2] == ["Width", "Depth"]
    assert [axis["title"] for axis in axes][-1] == "Error"
    assert axes[0]["labels"] == [8, 16, 24]
    assert [line["positions"][0] for line in lines] == [0.0, 0.5, 1.0]
    assert [line["positions"][-1] for line in lines] == [1.0, pytest.approx(5 / 36), 0.0]
    assert all(len(line["positions"]) == len(axes) for line in lines)
    assert [row["Limits"] for row in table_rows(found)] == [
        "It takes 90 kB; 20 kB allowed.",
        "missed",
        "kept",
        "kept",
    ]
