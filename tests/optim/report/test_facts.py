"""What a report says is what the run stored, and nothing besides."""

import pytest

from optim.errors import RunError
from optim.report.facts import facts_of, settings_of
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize
from tests.pages.worked import trainable


def test_figures_and_verdict_are_those_of_the_run(worked):
    run = worked.finished()
    facts = facts_of(run)
    assert facts.verdict == run.result["verdict"]
    assert [figure.name for figure in facts.figures] == ["Accuracy", "Size", "Latency", "MACs"]
    assert facts.figures[0].change.to_json() == run.result["change"]["accuracy"]
    assert facts.measured.startswith("Quality of both models on the same 362 validation samples.")
    assert [step.title for step in facts.steps] == [e.step.title for e in run.recipe.active]


def test_the_trade_off_has_other_finished_runs_of_the_same_model_and_data(worked):
    run, same = worked.finished(), worked.finished("Another", accuracy=0.9)
    elsewhere = worked.finished("Elsewhere", recipe=trainable(data="wine"))
    facts = facts_of(run, [run, same, elsewhere, worked.queued(), worked.failed()])
    assert [point.title for point in facts.points] == ["original", "result", "Another"]
    assert facts.points[2].quality.value == 0.9


def test_devices_stand_as_the_ladder_answered(worked):
    side = {
        "fits": True,
        "latency": {"text": "2.00 ms (1.00 ms to 4.00 ms)"},
        "limit_title": "Compute",
    }
    row = {"title": "Cortex-M7", "class_title": "Microcontroller", "after": side}
    row["before"] = {**side, "fits": False}
    (line,) = facts_of(worked.finished(), ladder={"devices": [row]}).devices
    assert (line.title, line.fits, line.before) == ("Cortex-M7", True, "")
    assert line.after == "2.00 ms (1.00 ms to 4.00 ms)"


def test_what_is_known_of_overlap_and_simulation_is_said(worked):
    run = worked.finished()
    run.result["overlap"] = "seen"
    limits = " ".join(facts_of(run).limits)
    assert "The model was trained on samples of part validation" in limits
    assert "simulation" in limits


@pytest.mark.parametrize("state", ["queued", "failed", "running"])
def test_a_run_without_a_result_is_refused(worked, state):
    with pytest.raises(RunError, match="has no result to report"):
        facts_of(getattr(worked, state)())


def test_settings_in_words():
    assert settings_of(PruneChannels()) == ""
    step = PruneChannels(pruning_ratio=0.5, importance={"taylor": {"samples": 512}}, round_to=8)
    assert settings_of(step) == (
        "channels removed 50 %, importance Taylor (512 samples), round to 8 channels"
    )
    own = Quantize(weight_bits=4, layers={"a": 8, "b": "float", "c": 6, "d": 2})
    assert settings_of(own).endswith("a 8, b float, c 6 and 1 more")
