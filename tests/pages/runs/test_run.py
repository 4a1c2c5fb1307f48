"""The page of one run: opens by its address, in every state, and acts on it."""

import json

import pytest

from optim.export.archive import files_of
from optim.recipe import Recipe
from optim.runs.run import EpochRow, State
from optim.runs.snapshots import snapshots
from pages.components.runs.actions import is_of
from pages.components.runs.reported import report_of
from tests.pages.helpers import OTHER, click, open_app, recipe_of, small_recipe, texts
from tests.pages.worked import scorecard, trainable

PAGE = "pages/runs/run.py"


def open_run(run_id=None):
    at = open_app(small_recipe()).switch_page(PAGE)
    if run_id is not None:
        at.query_params["id"] = run_id
    at.run()
    assert not at.exception
    return at


def section(at, name):
    at.segmented_control(key="run_section").set_value(name).run()
    assert not at.exception
    return at


def labels(at):
    return {button.label for button in at.main.button}


def charts(at):
    return [json.loads(c.proto.spec) for c in at.main.get("plotly_chart")]


# --- opens --------------------------------------------------------------------------------------


def test_without_an_id_it_leads_to_the_list(worked):
    at = open_run()
    assert "No run is chosen" in texts(at)
    assert [link.label for link in at.main.page_link] == ["Open the list of runs"]


def test_an_id_that_is_not_here_is_explained(worked):
    assert "There is no run 'nosuchrun'" in open_run("nosuchrun").error[0].value


def test_a_store_that_cannot_be_opened_is_explained(no_store):
    assert "The run store" in open_run("any").error[0].value


def test_the_recipe_of_a_finished_run_is_kept_as_a_snapshot(worked):
    at = open_run(worked.finished("Half of it").id)
    assert "id=" in texts(at)
    before = {one.id for one in snapshots()}
    at.text_input(key="snapshot_title").set_value("From a run").run()
    click(at, "Save snapshot")
    assert not at.exception
    assert [one.title for one in snapshots() if one.id not in before] == ["From a run"]


def test_what_has_not_finished_is_not_shared(worked):
    assert "Save snapshot" not in labels(open_run(worked.queued().id))


def test_a_title_says_which_and_a_badge_how_it_is(worked):
    run = worked.queued("half the channels")
    at = open_run(run.id)
    assert at.subheader[0].value == "half the channels"
    assert f"Small ResNet · Digits · id {run.id}" in texts(at)
    assert "queued" in texts(at)


# --- while it runs ------------------------------------------------------------------------------


def test_progress_and_curves_stand_there_while_it_trains(worked):
    at = open_run(worked.running(epochs=3).id)
    (bar,) = at.main.get("progress")
    assert bar.proto.text.startswith("48 % · epoch 3 of 4, loss")
    accuracy, loss = charts(at)
    assert accuracy["layout"]["yaxis"]["title"]["text"] == "Accuracy, %"
    assert loss["layout"]["yaxis"]["title"]["text"] == "Loss"
    assert labels(at) >= {"Pause", "Cancel", "Open in the Lab"}


def test_before_the_first_epoch_it_says_that_curves_will_come(worked):
    at = open_run(worked.queued().id)
    assert "Curves appear with the first epoch" in texts(at)
    assert charts(at) == []


def test_where_no_validation_accuracy_is_recorded_the_chart_says_so(worked):
    run = worked.queued()
    worked.lease(run).epochs([EpochRow("distill", 1, {"loss": 1.0}, 0.0)])
    at = open_run(run.id)
    assert "Not measured: the steps of this run do not look at validation samples." in texts(at)
    assert len(charts(at)) == 1


def test_it_can_be_paused_resumed_and_cancelled(worked, woken):
    run = worked.running()
    at = click(open_run(run.id), "Pause")
    assert worked.store.get(run.id).state is State.PAUSED
    click(at, "Resume")
    assert worked.store.get(run.id).state is State.QUEUED
    assert woken == ["ensure"]
    click(at, "Cancel")
    assert worked.store.get(run.id).state is State.CANCELLED
    assert "Pause" not in labels(at)


# --- looks by itself ----------------------------------------------------------------------------


def test_curves_grow_without_the_page_while_it_trains(worked, timers):
    run = worked.running(epochs=1)
    at = section(open_run(run.id), "Environment")
    assert timers.seconds == [1.0]
    before = charts(at)[1]
    worked.train(worked.lease_of(run), 3)
    timers.tick(at)
    assert not at.subheader  # only progress and curves ran
    (bar,) = at.main.get("progress")
    assert bar.proto.text.startswith("48 % · epoch 3 of 4, loss")
    after = charts(at)[1]
    assert len(after["data"][0]["x"]) == len(before["data"][0]["x"]) + 2
    assert after["layout"]["xaxis"]["range"] == before["layout"]["xaxis"]["range"]


def test_steps_and_log_grow_as_well(worked, timers):
    run = worked.running(epochs=1)
    at = section(open_run(run.id), "Log")
    assert timers.seconds == [1.0, 1.0]
    worked.lease_of(run).event("A checkpoint is damaged.", "warning")
    timers.tick(at)
    assert at.table[0].value["What happened"][0] == "A checkpoint is damaged."


def test_when_it_ends_the_page_shows_what_came_of_it_and_looks_no_more(worked, timers):
    run = worked.running()
    at = open_run(run.id)
    worked.lease_of(run).finish(scorecard(trainable()))
    timers.tick(at)
    assert at.metric[0].value == "92 ± 2 %"
    assert "Pause" not in labels(at)
    assert timers.seconds == []


@pytest.mark.parametrize("kind", ["finished", "failed"])
def test_a_run_that_has_ended_is_not_looked_at(worked, timers, kind):
    open_run(getattr(worked, kind)().id)
    assert timers.seconds == []


def test_what_another_browser_does_is_seen(worked, timers):
    run = worked.running()
    at, other = open_run(run.id), open_run(run.id)
    click(other, "Pause")
    at.run()
    assert "Resume" in labels(at)
    assert timers.seconds == []


# --- what came of it ----------------------------------------------------------------------------


def test_results_have_interval_origin_change_and_what_was(worked):
    at = open_run(worked.finished().id)
    accuracy, size, latency, macs = at.metric
    assert (accuracy.value, accuracy.delta) == ("92 ± 2 %", "loses 1.4 ± 0.9 points")
    assert "simulated" in accuracy.label
    assert "measured" in size.label
    assert (size.value, size.delta) == ("80.5 kB", "4.10x less")
    assert latency.delta == "2.00 ± 0.08x less"
    assert macs.value == "402 k MACs"
    shown = texts(at)
    assert "was 330 kB" in shown
    assert "This network is 4.1x smaller" in shown


def test_a_change_within_noise_is_said_so_briefly_that_no_card_cuts_it_off(worked):
    assert open_run(worked.finished(change=-0.2).id).metric[0].delta == "within noise"


def test_the_original_is_a_line_in_the_curves(worked):
    accuracy = charts(open_run(worked.finished().id))[0]
    assert any("original" in a["text"] for a in accuracy["layout"]["annotations"])


def test_an_error_is_shown_with_what_to_do_and_the_run_can_go_on(worked):
    at = open_run(worked.failed().id)
    assert at.error[0].value == "The loss is no longer a number.\n\nLower the learning rate."
    assert "Resume" in labels(at)


def test_a_deleted_run_still_opens_and_comes_back(worked):
    run = worked.finished()
    worked.store.delete(run.id)
    at = click(open_run(run.id), "Restore")
    assert not worked.store.get(run.id).deleted
    assert "Restore" not in labels(at)


def test_its_recipe_opens_in_the_lab_which_follows_it(worked):
    run = worked.finished()
    at = click(open_run(run.id), "Open in the Lab")
    assert not at.exception
    assert recipe_of(at) == trainable()
    assert at.session_state["followed"] == run.id


def test_a_recipe_this_program_cannot_read_is_explained_and_the_rest_stands(worked):
    run = worked.store.submit("recipe", {"recipe": {"version": 99}}, title="from tomorrow")
    at = open_run(run.id)
    assert "version must be 2" in at.error[0].value
    assert at.subheader[0].value == "from tomorrow"
    assert "Submitted." in at.table[0].value.to_string()


# --- sections -----------------------------------------------------------------------------------


def test_steps_say_what_they_did_how_long_they_trained_and_what_they_reached(worked):
    (table,) = open_run(worked.finished().id).table
    rows = {row["Step"]: row for row in table.value.to_dict("records")}
    assert list(rows) == ["Prune channels", "Re-estimate batch norm", "Distil", "Quantize"]
    assert rows["Distil"]["Epochs"] == "4 of 4"
    assert rows["Distil"]["Training time"] == "10 s"
    assert rows["Distil"]["Validation accuracy"] == "90.3 %"
    assert rows["Quantize"]["What it did"] == "Quantize did what it does."
    assert rows["Quantize"]["Epochs"] == "–"


def test_layers_that_were_left_alone_are_named(worked):
    at = open_run(worked.finished().id)
    layers = at.dataframe[0].value
    assert set(layers["Layer"]) == {"stem.conv", "head"}
    assert "left alone" in layers.to_string()


def test_the_log_has_the_newest_event_first_and_the_traceback_of_a_bug(worked):
    at = section(open_run(worked.failed(traceback="Traceback: here").id), "Log")
    happened = list(at.table[0].value["What happened"])
    assert happened[0].startswith("Failed: ")
    assert happened[-1] == "Submitted."
    assert "Traceback: here" in texts(at)


def test_files_can_be_downloaded(worked):
    run = worked.finished()
    at = section(open_run(run.id), "Files")
    assert "**model.onnx** · 10 B" in texts(at)
    assert [b.label for b in at.get("download_button")] == ["Report", "Download", "Download"]


def test_a_finished_run_offers_a_report(worked):
    run = worked.finished()
    at = open_run(run.id)
    assert "Report" in [button.label for button in at.get("download_button")]
    files = files_of(report_of(run.id, ""))
    assert run.result["verdict"] in files["report.html"].decode()
    for other in (worked.running(), worked.failed()):
        offered = [button.label for button in open_run(other.id).get("download_button")]
        assert "Report" not in offered


def test_a_file_that_was_cleared_away_is_not_offered(worked):
    run = worked.finished()
    for artefact in worked.store.artefacts(run.id):
        artefact.path.unlink()
    at = section(open_run(run.id), "Files")
    assert [b.label for b in at.get("download_button")] == ["Report"]
    assert "no longer on this machine" in texts(at)


def test_without_files_it_says_when_there_will_be_some(worked):
    assert "No files yet" in texts(section(open_run(worked.running().id), "Files"))


def test_the_recipe_can_be_copied_as_command_and_as_python(worked):
    at = section(open_run(worked.finished().id), "Recipe")
    shown = texts(at)
    assert "python -m optim run recipe.yaml" in shown
    assert "optim.Recipe.from_yaml(" in shown


def test_the_environment_of_the_last_attempt_is_listed(worked):
    at = section(open_run(worked.finished().id), "Environment")
    rows = dict(at.table[0].value.to_numpy().tolist())
    assert rows["versions torch"] == "2.13.0"
    assert "submitted" in texts(at)
    assert "Known as soon as" in texts(section(open_run(worked.queued().id), "Environment"))


@pytest.mark.parametrize("kind", ["queued", "running", "failed", "finished"])
def test_every_section_opens_in_every_state(worked, kind):
    at = open_run(getattr(worked, kind)().id)
    for name in at.segmented_control(key="run_section").options:
        section(at, name)
        assert len(at.error) == (kind == "failed")


def test_work_that_follows_no_recipe_has_a_log_and_no_recipe(worked):
    run = worked.store.submit("something", {}, title="of another kind")
    at = open_run(run.id)
    assert "Recipe" not in at.segmented_control(key="run_section").options
    assert "Open in the Lab" not in labels(at)
    assert "Submitted." in at.table[0].value.to_string()


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("regularisation", "What keeps a network"),
        ("speed", "What shortens training"),
        ("distillation", "Train a student"),
    ],
)
def test_a_comparison_leads_to_the_page_that_shows_it(worked, topic, words):
    spec = {"topic": topic, "model": OTHER, "data": "wine", "seeds": [0], "alternatives": []}
    run = worked.store.submit("alternatives", spec, title="Side by side")
    at = click(open_run(run.id), "See the comparison")
    assert not at.exception
    assert words in texts(at)
    assert (recipe_of(at).model, recipe_of(at).data) == (OTHER, "wine")


def test_a_run_is_of_its_recipe_whatever_version_that_was_written_in(worked):
    old = {"version": 1, "model": "m", "data": "d", "steps": [{"quantize": {}}]}
    run = worked.store.submit("recipe", {"recipe": old}, title="of before")
    wanted = Recipe.from_json(old)
    assert is_of(run, wanted)
    assert not is_of(run, wanted.with_fields("quantize", weight_bits=4))
    unread = worked.store.submit("recipe", {"recipe": {"version": 99}}, title="from tomorrow")
    assert not is_of(unread, wanted)
