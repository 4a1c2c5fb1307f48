"""Autopilot: what is asked for becomes a run, and what it has is shown while it searches."""

import json
from dataclasses import replace

import pytest

from optim.quantity import How, Quantity
from optim.recipe import Recipe
from optim.runs.artefacts import keep
from optim.runs.run import State
from optim.search.autopilot.answer import state_of
from optim.search.candidate import Candidate
from optim.search.goals import Goals, Limit
from optim.search.target import device_named
from pages.components.search.shown import front_shown, points_of, table_rows, under
from pages.components.server import run_store
from tests.pages.helpers import MODEL, click, open_app, recipe_of, small_recipe, texts

GOALS = Goals(limits=(Limit("bytes", 50_000.0), Limit("loss", 1.0)))


def open_page(recipe=None, **options):
    at = open_app(recipe or small_recipe(), **options)
    return at.switch_page("pages/search/autopilot.py").run()


def candidate(number, loss, size, **fields):
    figures = {
        "loss": Quantity(loss, "points", loss - 0.5, loss + 0.5, 362, How.SIMULATED),
        "bytes": Quantity.exact(size, "bytes"),
    }
    made = {"recipe": small_recipe(seed=number).to_json()}
    options = {"stage": "without training", "outcome": "measured", **fields}
    return Candidate({}, made, figures, title=f"recipe {number}", number=number, **options)


CANDIDATES = [
    candidate(1, 4.0, 20_000),
    candidate(2, 0.5, 45_000, stage="long training"),
    candidate(3, 0.1, 90_000),
    candidate(4, 9.0, 95_000, outcome="stopped", note="Another one is better."),
    candidate(5, 3.0, 40_000, is_baseline=True, stage="baseline"),
]


def state(candidates=CANDIDATES, goals=GOALS, **fields):
    original = {"loss": Quantity.exact(0.0, "points"), "bytes": Quantity.exact(4e5, "bytes")}
    story = [{"at": 3.0, "text": "Then recipes without training."}]
    options = {"story": story, "stage": "trying", "spent_s": 40.0, "seconds": 180.0, **fields}
    return state_of(candidates, goals, original, None, **options)


@pytest.fixture
def searching(worked):
    """Return a function that submits a search and shows what it has so far."""

    def searching(content=None, **fields):
        spec = {"recipe": Recipe(MODEL, "digits").to_json(), "limits": {"bytes": "10%"}}
        run = worked.store.submit("search", {**spec, "seconds": 180, **fields}, title="Autopilot")
        lease = worked.lease(run)
        if content is not None:
            worked.store.publish(run.id, content)
        return run, lease

    return searching


def finish(worked, run, lease, content):
    result = {"schema": "optim.search/1", "impossible": "", "tests": {}, **content}
    result["verification"] = {"runtime": "ONNX Runtime 1.32", "bytes": {"value": 45_000}}
    result["tests"] = {"2": {**Quantity(0.7, "points", 0.1, 1.3, 359).to_json(), "text": "0.7"}}
    lease.artefact(keep(worked.store.kept, "model.onnx", b"not really"))
    lease.finish(json.loads(json.dumps(result)))
    return worked.store.get(run.id)


def labels(at):
    return {button.label for button in at.button}


def test_nothing_was_searched_yet_and_it_says_what_to_do(worked):
    at = open_page()
    assert not at.exception
    assert "Nothing searched yet" in texts(at)
    assert "Start" in labels(at)


def test_what_is_asked_for_becomes_a_run_that_the_engine_is_woken_for(worked, woken):
    at = open_page()
    at.select_slider(key="autopilot_share").set_value(20)
    at.select_slider(key="autopilot_loss").set_value(2.0)
    at.select_slider(key="autopilot_minutes").set_value(5)
    at = click(at.run(), "Start")
    assert not at.exception
    assert not at.error
    (run,) = worked.store.runs()
    assert run.kind == "search"
    assert run.spec["limits"] == {"bytes": "20%", "loss": 2.0}
    assert run.spec["seconds"] == 300
    assert run.recipe == Recipe(MODEL, "digits")
    assert woken
    assert "queued" in " ".join(str(m.proto) for m in at.main)


def test_limits_can_be_bytes_or_of_a_device_or_none(worked):
    at = open_page()
    at = at.segmented_control(key="autopilot_size_kind").set_value("kilobytes").run()
    at.number_input(key="autopilot_kilobytes").set_value(64.0)
    at = at.selectbox(key="autopilot_device").set_value("disco-f746ng").run()
    at.number_input(key="autopilot_ram").set_value(128.0)
    at = click(at.run(), "Start")
    (run,) = worked.store.runs()
    assert run.spec["limits"] == {"bytes": 64_000.0, "loss": 1.0, "ram": 128_000.0}
    assert run.spec["device"] == "disco-f746ng"


def test_what_cannot_be_told_of_a_device_is_not_offered_as_a_limit(worked):
    at = open_page()
    at = at.selectbox(key="autopilot_device").set_value("h100").run()
    keys = [field.key for field in at.number_input]
    assert "autopilot_latency" in keys
    assert "autopilot_ram" not in keys


def test_time_on_this_computer_is_a_share_of_the_original_s(worked):
    at = open_page()
    at = at.selectbox(key="autopilot_device").set_value("here").run()
    assert [field.key for field in at.number_input if "latency" in (field.key or "")] == []
    at.select_slider(key="autopilot_time_share").set_value(40)
    at = click(at.run(), "Start")
    (run,) = worked.store.runs()
    assert run.spec["device"] == "here"
    assert run.spec["limits"]["latency"] == "40%"


def test_a_page_that_is_opened_again_shows_what_the_newest_search_was_asked(searching):
    searching(
        limits={"bytes": 12_000.0, "loss": 0.8, "ram": 70_000.0, "latency": 4.0},
        device="cortex-m7",
        seconds=420,
        sampler="random",
        trains=False,
    )
    at = open_page()
    assert at.button_group(key="autopilot_size_kind").value == "kilobytes"
    assert at.number_input(key="autopilot_kilobytes").value == 12.0
    assert at.select_slider(key="autopilot_loss").value == 0.8
    assert at.selectbox(key="autopilot_device").value == device_named("cortex-m7").name
    assert at.number_input(key="autopilot_ram").value == 70.0
    assert at.number_input(key="autopilot_latency").value == 4.0
    assert at.select_slider(key="autopilot_minutes").value == 7
    assert at.selectbox(key="autopilot_sampler").value == "random"
    assert not at.toggle(key="autopilot_trains").value

    searching(limits={"bytes": "12%"}, device="here")  # by somebody else
    assert at.run().number_input(key="autopilot_kilobytes").value == 12.0, "nothing moves"
    again = open_page()
    assert again.select_slider(key="autopilot_share").value == 12
    assert not again.toggle(key="autopilot_limits_loss").value
    assert again.select_slider(key="autopilot_time_share").value == 100


def test_a_search_that_asked_otherwise_leaves_the_controls_as_they_are(searching):
    searching(sampler="of another version")
    assert open_page().selectbox(key="autopilot_sampler").value == "tpe"


def test_what_it_has_is_shown_while_it_searches(searching):
    searching(state())
    at = open_page()
    assert not at.exception
    assert "recipe 2** keeps all limits" in texts(at)
    assert "Then recipes without training." in texts(at)
    assert {"Take what it has", "Pause", "Cancel", "Open in the Lab"} <= labels(at)
    assert list(at.dataframe[0].value["Recipe"]) == ["recipe 1", "recipe 2", "recipe 3"]


def test_it_can_be_asked_to_take_what_it_has(searching):
    run, _ = searching(state())
    at = click(open_page(), "Take what it has")
    assert not at.error
    assert run_store().is_enough(run.id)


def test_a_closest_miss_says_what_to_relax(searching):
    searching(state([candidate(1, 4.0, 20_000), candidate(2, 3.0, 45_000)]))
    at = open_page()
    assert "No candidate keeps all limits yet" in texts(at)
    assert "What would do: allow loss of quality up to 3.00 points" in texts(at)


def test_a_finished_search_hands_over_its_file_and_what_it_does_on_test(searching, worked):
    run, lease = searching(state())
    finish(worked, run, lease, state())
    at = open_page()
    assert not at.exception
    assert "on test 0.7" in texts(at)
    assert "Start" in labels(at)
    assert "Take what it has" not in labels(at)
    assert "ONNX Runtime 1.32" in texts(at)


def test_a_candidate_opens_in_the_lab(searching):
    searching(state())
    at = click(open_page(), "Open in the Lab")
    assert not at.exception
    assert recipe_of(at) == small_recipe(seed=2)


def test_the_front_can_be_picked_from_by_its_knee_and_by_a_budget(searching):
    searching(state())
    at = open_page()
    at = at.segmented_control(key="autopilot_pick").set_value("under").run()
    at = at.select_slider(key="autopilot_budget_3").set_value(20_000.0).run()
    assert "recipe 1: loses" in texts(at)
    at = at.segmented_control(key="autopilot_pick").set_value("knee").run()
    assert "recipe 2: loses" in texts(at)


def test_limits_out_of_reach_are_said(searching, worked):
    run, lease = searching()
    content = {**state([]), "impossible": "Size at most 5 B is out of reach."}
    finish(worked, run, lease, {**content})
    result = dict(worked.store.get(run.id).result)
    assert result["impossible"]
    at = open_page()
    assert "out of reach" in texts(at)


def test_what_failed_says_why(searching, worked):
    _, lease = searching()
    lease.fail(
        {"kind": "ConfigError", "message": "It is too small.", "hint": "Give at least 20 s."}
    )
    at = open_page()
    assert "It is too small. Give at least 20 s." in at.error[0].value
    assert worked.store.runs()[0].state is State.FAILED


def test_a_search_about_another_model_is_not_shown(searching):
    searching(state(), recipe=Recipe("wine-mlp", "wine").to_json())
    assert "Nothing searched yet" in texts(open_page())


def test_the_page_of_the_run_leads_here(searching):
    run, _ = searching(state())
    at = open_app(small_recipe())
    at.query_params["id"] = run.id
    at = at.switch_page("pages/runs/run.py").run()
    assert not at.exception
    assert "See the search" in labels(at)


# --- plain functions ----------------------------------------------------------------------------


def test_points_and_rows_are_those_of_the_candidates():
    found = state()
    points = points_of(found, "bytes")
    assert [p["is_front"] for p in points] == [True, True, True, False, False]
    assert [p["is_taken"] for p in points] == [False, True, False, False, False]
    rows = table_rows(found)
    assert rows[0]["Recipe"] == "recipe 5"
    assert rows[1]["Limits"] == "Another one is better."


def test_what_came_closest_is_not_called_taken(searching):
    shown = state([candidate(1, 4.0, 20_000), candidate(2, 3.0, 45_000)])
    points = points_of(shown, "bytes")
    assert [p["is_taken"] for p in points] == [False, False]
    assert [p["is_closest"] for p in points] == [False, True]
    searching(shown)
    options = list(open_page().button_group(key="autopilot_pick").options)
    assert options == ["Closest", "Knee of the front", "Best under a budget"]


def test_what_was_measured_on_some_samples_alone_is_left_out_of_the_front():
    ranked = candidate(6, 79.0, 1000, outcome="ranked")
    shown = state([*CANDIDATES, ranked])
    assert 6 in shown["front"]
    assert front_shown(shown) == [1, 2, 3]
    assert not next(p for p in points_of(shown, "bytes") if p["y"] == 79.0)["is_front"]
    assert front_shown(state([ranked])) == [6], "there is nothing else"


def test_the_front_of_three_figures_is_told_by_the_first_cost_cheapest_first():
    goals = Goals(("loss", "bytes", "macs"))

    def one(number, loss, size, macs):
        found = candidate(number, loss, size)
        return replace(found, figures={**found.figures, "macs": Quantity.exact(macs, "macs")})

    shown = state([one(1, 3.0, 60_000, 2e6), one(2, 1.0, 50_000, 4e6)], goals)
    assert front_shown(shown) == [2, 1]


def test_a_search_that_measured_nothing_says_so_and_not_that_a_budget_is_too_small(
    searching, worked
):
    nothing = state([candidate(4, 9.0, 95_000, outcome="stopped", note="Another one is better.")])
    _, lease = searching(nothing)
    assert "Nothing was measured to the end yet." in texts(open_page())
    lease.finish(
        {"schema": "optim.search/1", "impossible": "", "tests": {}, "verification": None, **nothing}
    )
    at = open_page()
    assert "Nothing was measured to the end. Give it more minutes" in texts(at)
    assert "within that budget" not in texts(at)
    assert "There is none: nothing was measured to the end." in texts(at)


def test_the_best_under_a_budget_is_of_the_front():
    assert under(state(), "bytes", 50_000) == 2
    assert under(state(), "bytes", 1) is None


def test_a_measured_latency_has_its_unit_and_its_interval(searching):
    shown = state()
    shown["goals"]["objectives"] = ["loss", "bytes", "latency"]
    told = Quantity(0.053, "ms", 0.051, 0.055, 15)
    for row in shown["candidates"]:
        row["figures"]["latency"] = {**told.to_json(), "text": str(told)}
    shown["original"]["latency"] = {**told.to_json(), "text": str(told)}
    searching(shown)
    at = open_page()
    assert not at.exception
    (latency,) = [metric for metric in at.metric if metric.label.startswith("Latency")]
    assert latency.value == "53 µs"
    assert "53 ± 2 µs; was 53 ± 2 µs" in texts(at)
