"""A recipe as a run: the files of ``optim run``, trained steps kept, and no files for strangers."""

import errno
import json
import os
from pathlib import Path

import pytest

from optim.errors import UnsupportedModelError
from optim.export.verify import Verification
from optim.recipe import Recipe
from optim.runs.artefacts import is_intact
from optim.runs.job import perform
from optim.runs.jobs import JOBS
from optim.runs.run import State
from optim.runs.work import Work
from optim.storage import store_home
from optim.stored import stored_file

RECIPE = """\
version: 1
model: wine-mlp
data: wine
steps:
  - prune_channels: {pruning_ratio: 0.25}
  - distill: {epochs: 1}
  - quantize: {weight_bits: 8, activation_bits: 8}
"""


@pytest.fixture
def recipe():
    return Recipe.from_yaml(RECIPE)


@pytest.fixture
def done(store, take):
    """Return a function that runs a specification in this process."""

    def done(**spec):
        run = store.submit("recipe", spec)
        perform(Work(run, take(run.id), threads=1), JOBS)
        return store.get(run.id)

    return done


def contents(store, run):
    assert all(map(is_intact, store.artefacts(run.id)))
    return {file.name: file.path.read_bytes() for file in store.artefacts(run.id)}


def test_it_leaves_what_the_command_leaves(store, done, recipe):
    run = done(recipe=recipe.to_json())
    assert run.state is State.FINISHED, run.error
    files = contents(store, run)
    assert set(files) == {"recipe.yaml", "scorecard.json", "report.txt", "model.onnx"}
    assert Recipe.from_yaml(files["recipe.yaml"].decode()) == recipe
    students = run.result.pop("students")
    assert json.loads(files["scorecard.json"]) == run.result
    assert all(stored_file(key) for key in students)
    assert len(students) == 1
    assert run.result["schema"] == "optim.scorecard/1"
    assert run.result["verdict"] in files["report.txt"].decode()
    assert len(files["model.onnx"]) == run.result["result"]["file"]["value"]


def test_what_was_trained_is_found_by_the_next_run(store, done, recipe):
    first = done(recipe=recipe.to_json())
    assert len(list((store_home() / "students").glob("*.safetensors"))) == 1
    again = done(recipe=recipe.to_json())
    assert again.result["result"]["accuracy"] == first.result["result"]["accuracy"]
    assert "trained before" in again.result["steps"]["distill"]["summary"]


def test_what_was_trained_is_not_trained_again_after_the_disk_was_full(
    store, done, take, recipe, monkeypatch
):
    fsync = os.fsync

    def full(file):
        if "students" in str(Path(f"/proc/self/fd/{file}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/path")
        fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        run = done(recipe=recipe.to_json())
    assert run.state is State.FAILED
    assert run.error == {
        "kind": "RunError",
        "message": "A file cannot be written: No space left on device.",
        "hint": "Free some space, or make the folder writable; then resume the run.",
        "traceback": "",
    }
    [row] = store.epochs(run.id)
    store.resume(run.id)
    perform(Work(store.get(run.id), take(run.id), threads=1), JOBS)
    assert store.get(run.id).state is State.FINISHED
    # Equal seconds: it is the same epoch, and not another one.
    assert [again.figures for again in store.epochs(run.id)] == [row.figures]


def test_figures_of_a_training_step_are_recorded_under_its_name(store, done, recipe, monkeypatch):
    from optim.techniques.distill import Distill

    apply = Distill.apply

    def applied(self, bundle, context):
        assert context.resume.load() is None
        context.record({"epoch": 1, "loss": 0.5, "accuracy": 0.9})
        context.resume.save({"epoch": 1})
        return apply(self, bundle, context)

    monkeypatch.setattr(Distill, "apply", applied)
    run = done(recipe=recipe.to_json())
    rows = {(row.step, row.epoch): row.figures for row in store.epochs(run.id)}
    assert rows["distill", 1] == {"loss": 0.5, "accuracy": 0.9}


def test_a_file_that_is_refused_is_no_artefact(store, done, recipe, monkeypatch):
    monkeypatch.setattr(Verification, "problem", "It differs.")
    run = done(recipe=recipe.to_json())
    assert (run.state, run.error["kind"]) == (State.FAILED, "ParityError")
    assert "It differs." in run.error["message"]
    assert set(contents(store, run)) == {"recipe.yaml", "scorecard.json", "report.txt"}


def test_without_a_folder_only_registered_names_are_opened(done, recipe, tmp_path):
    (tmp_path / "w.onnx").write_bytes(b"secret")
    stranger = {**recipe.to_json(), "model": str(tmp_path / "w.onnx")}
    refused = done(recipe=stranger)
    assert refused.error["kind"] == UnsupportedModelError.__name__
    assert "no registered model" in refused.error["message"]
    own = done(recipe=stranger, base=str(tmp_path))
    assert "no registered model" not in own.error["message"]


def test_a_recipe_that_is_none_is_a_sentence(done):
    run = done(recipe={"version": 1})
    assert run.error["message"].startswith("model must be a name")


def test_a_stop_is_noticed_between_the_parts(store, take, recipe):
    run = store.submit("recipe", {"recipe": recipe.to_json()})
    work = Work(run, take(run.id), threads=1)
    work.ask_to_stop()
    perform(work, JOBS)
    assert store.get(run.id).state is State.RUNNING
    assert store.artefacts(run.id) == []
