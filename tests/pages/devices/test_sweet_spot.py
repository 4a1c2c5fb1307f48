"""Sweet spot: a measurement in a process of its own, and the best setting under a limit."""

import json

from optim.errors import MeasurementError
from optim.processes import refusal
from optim.quantity import Comparison, Quantity
from optim.sweet_spot.fusion import Fusion
from optim.sweet_spot.grid import runtimes_here
from optim.sweet_spot.kept import SHELF, key_of
from tests.optim.sweet_spot.test_grid import LARGE, MIDDLE, OTHER, SMALL, at_level, grid
from tests.pages.helpers import click, open_app, small_recipe, texts

GRID = grid(SMALL, MIDDLE, LARGE, OTHER, refused={"compile": "It has no compiler."})
LEVELLED = grid(
    SMALL,
    fusion=Fusion(
        (
            at_level("off", 1, 1, 2.0),
            at_level("all", 1, 1, 1.0, Comparison(Quantity(0.5, "x", 0.4, 0.6, 21), "lower")),
            at_level("off", 2, 8, 4.0),
        ),
        {"basic": "It knows no such kernel."},
    ),
    layout=Fusion(
        (
            at_level("channels_first", 1, 1, 2.0),
            at_level(
                "channels_last", 1, 1, 1.0, Comparison(Quantity(0.5, "x", 0.4, 0.6, 21), "lower")
            ),
        )
    ),
)


def open_page(recipe):
    return open_app(recipe).switch_page("pages/devices/sweet_spot.py").run()


def test_a_model_is_measured_in_a_process_of_its_own(jobs):
    recipe = small_recipe(seed=1)
    at = open_page(recipe)
    assert "not measured yet" in texts(at)
    assert "Not tested on GPU" in texts(at)
    at = click(at, "Measure")
    (job,) = jobs
    assert job.command[1:] == ["-m", "optim.sweet_spot.child"]
    assert json.loads(job.stdin.getvalue()) == {
        "key": key_of(recipe),
        "recipe": recipe.to_json(),
        "runtimes": list(runtimes_here()),
    }
    assert "Stop" in [button.label for button in at.button]
    assert "Measure" not in [button.label for button in at.button]
    SHELF.keep(key_of(recipe), GRID.to_json())
    job.code = 0
    at.run()
    assert not at.exception
    assert "Measured on a chip" in texts(at)


def test_what_failed_says_why(jobs):
    recipe = small_recipe(seed=2)
    at = click(open_page(recipe), "Measure")
    SHELF.tell(key_of(recipe), refused=refusal(MeasurementError("It does not run.")))
    jobs[0].code = 0
    at.run()
    assert "It does not run." in at.error[0].value
    for number, code in ((1, 1), (2, -9)):
        at = click(at, "Measure")
        jobs[number].code = code
        at.run()
        assert "could not be measured" in at.error[0].value


def test_a_measurement_can_be_stopped(jobs):
    at = click(click(open_page(small_recipe(seed=3)), "Measure"), "Stop")
    assert jobs[0].code == -15
    assert not at.error
    assert "not measured yet" in texts(at)


def test_only_one_model_is_measured_at_a_time(jobs):
    click(open_page(small_recipe(seed=4)), "Measure")
    at = open_page(small_recipe(seed=5))
    assert not at.exception
    assert {"Measure", "Stop"}.isdisjoint(button.label for button in at.button)


def test_the_best_under_the_limit_is_named_and_the_runtimes_stand_side_by_side():
    recipe = small_recipe(seed=6)
    SHELF.keep(key_of(recipe), GRID.to_json())
    at = open_page(recipe)
    assert "Fusion and layout" not in texts(at)
    (slider,) = at.select_slider
    at = slider.set_value(5.0).run()
    assert "ONNX Runtime, 2 threads, batch 8" in texts(at)
    assert "It has no compiler." in texts(at)
    assert "not tested on GPU" in texts(at)
    at = slider.set_value(2.0).run()
    assert "OpenVINO, 2 threads, batch 2" in texts(at)
    assert "Not told apart from it by the intervals: ONNX Runtime, 2 threads" in texts(at)
    table = at.dataframe[0].value
    assert list(table["Runtime"]) == ["onnx 1.0", "openvino 1.0"]
    assert list(table["Batch"]) == [2, 2]
    at = slider.set_value(1.0).run()
    assert "Nothing is that fast" in texts(at)


def test_a_model_that_pytorch_does_not_take_says_why_its_layouts_were_not_measured():
    recipe = small_recipe(seed=9)
    refused = dict.fromkeys(("channels_first", "channels_last"), "It is an ONNX graph.")
    SHELF.keep(key_of(recipe), grid(SMALL, layout=Fusion(refused=refused)).to_json())
    at = open_page(recipe)
    assert not at.table
    found = "**Channels first** and **Channels last** were not measured, or not to the end. It is"
    assert found in texts(at)


def test_levels_of_fusion_and_layout_stand_side_by_side():
    recipe = small_recipe(seed=8)
    SHELF.keep(key_of(recipe), LEVELLED.to_json())
    at = open_page(recipe)
    table, layouts = at.table
    rows = table.value
    last = LEVELLED.layout.measured[1]
    assert list(layouts.value["1 thread, batch 1"])[1] == f"{last.latency}, {last.change.verdict()}"
    assert [text.split(".")[0] for text in rows["What ONNX Runtime does"]] == [
        "**Off",
        "**Basic",
        "**Extended",
        "**All",
    ]
    off, best, large = LEVELLED.fusion.measured
    small = list(rows["1 thread, batch 1"])
    assert small[:3] == [str(off.latency), "not measured", "not measured"]
    assert small[3] == f"{best.latency}, {best.change.verdict()}"
    assert list(rows["2 threads, batch 8"]) == [str(large.latency), *["not measured"] * 3]
    assert "It knows no such kernel." in texts(at)


def test_in_a_presentation_nothing_is_measured(monkeypatch, jobs):
    monkeypatch.setenv("OPTIM_PRESENTATION", "1")
    at = open_page(small_recipe(seed=7))
    assert not at.exception
    assert "Measure" not in [button.label for button in at.button]
