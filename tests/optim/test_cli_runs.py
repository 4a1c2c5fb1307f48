"""Runs from the command line: what is submitted, shown, stopped and resumed."""

import json
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from optim.cli import main
from optim.export.archive import files_of
from optim.recipe import Recipe
from optim.runs import supervisor
from optim.runs.artefacts import keep
from optim.runs.engine import LocalEngine
from optim.runs.lease import Lease
from optim.runs.lock import Lock
from optim.runs.queue import Queue
from optim.runs.run import EpochRow, State
from optim.runs.store import RunStore
from tests.pages.worked import Worked

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"
RECIPE = "version: 1\nmodel: wine-mlp\ndata: wine\nsteps:\n  - distill: {}\n"


@pytest.fixture
def woken(monkeypatch):
    """Count instead of starting processes."""
    calls = []
    monkeypatch.setattr(LocalEngine, "ensure", lambda self: calls.append(self.url))
    return calls


@pytest.fixture
def store(own_home, monkeypatch):
    monkeypatch.delenv("OPTIM_STORE", raising=False)
    store = RunStore.open()
    yield store
    store.database.close()


@pytest.fixture
def optim(store, woken, monkeypatch, capsys, tmp_path):
    """Return a function that runs a command line: ``(exit code, stdout, stderr)``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["optim", "runs", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def finished(store):
    """A run with one of everything."""
    run = store.submit("recipe", {"recipe": {}}, title="Mine")
    lease = Lease(store, run.id, Queue(store).take(Queue(store).active()[0], "here:1:1:1"))
    lease.epochs([EpochRow("distill", 1, {"loss": 0.51234, "accuracy": 0.9}, 5.0)])
    lease.artefact(keep(store.kept, "report.txt", b"report"))
    lease.finish({"verdict": "It is smaller."})
    return run.id


def obeys(content, name):
    schema = json.loads((SCHEMAS / f"{name}-1.json").read_text())
    Draft202012Validator.check_schema(schema)
    return not list(Draft202012Validator(schema).iter_errors(content))


def test_a_recipe_is_queued_with_the_folder_of_its_files(optim, store, woken, tmp_path):
    code, text, _ = optim("submit", "recipe.yaml", "--priority", 3, "--budget", 60)
    run = store.get(text.strip())
    assert code == 0
    assert (run.kind, run.title, run.priority, run.budget_s) == ("recipe", "recipe", 3, 60)
    assert run.spec["base"] == str(tmp_path)
    assert run.recipe.model == "wine-mlp"
    assert len(woken) == 1


def test_runs_are_a_table_for_people_and_json_for_programs(optim, finished):
    code, text, _ = optim("list")
    assert code == 0
    assert "Mine" in text
    assert "finished" in text
    _, text, _ = optim("list", "--json")
    found = json.loads(text)
    assert obeys(found, "runs")
    assert [run["id"] for run in found["runs"]] == [finished]


def test_one_run_is_shown_with_figures_files_and_events(optim, finished):
    code, text, _ = optim("show", finished)
    assert code == 0
    for words in ("Mine", "It is smaller.", "0.5123", "report.txt", "6 bytes", "Finished."):
        assert words in text
    _, text, _ = optim("show", finished, "--json")
    found = json.loads(text)
    assert obeys(found, "run")
    assert found["epochs"][0]["figures"] == {"loss": 0.51234, "accuracy": 0.9}


def test_a_failure_is_shown_with_what_to_do(optim, store):
    run = store.submit("recipe", {})
    lease = Lease(store, run.id, Queue(store).take(Queue(store).active()[0], "here:1:1:1"))
    lease.report(0.4, "training")
    assert "training" in optim("show", run.id)[1]
    lease.fail({"kind": "RunError", "message": "No.", "hint": "Try that.", "traceback": ""})
    assert "No. Try that." in optim("show", run.id)[1]


def test_a_run_is_paused_cancelled_and_resumed(optim, store, woken):
    run = store.submit("recipe", {})
    for command, state in (
        ("pause", State.PAUSED),
        ("resume", State.QUEUED),
        ("cancel", State.CANCELLED),
    ):
        assert optim(command, run.id) == (0, "", "")
        assert store.get(run.id).state is state
    assert len(woken) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "gone"), "no run 'gone'"),
        (("cancel", "gone"), "no run 'gone'"),
        (("report", "gone", "--out", "a.html"), "no run 'gone'"),
        (("report", "gone", "--out", "a.pdf"), "ends in .html or .zip: got 'a.pdf'"),
        (("submit", "nosuch.yaml"), "'nosuch.yaml'"),
        (("submit", "recipe.yaml", "--budget", -1), "budget_s must be"),
    ],
)
def test_unusable_input_is_a_sentence_and_exit_code_2(optim, arguments, words):
    code, text, error = optim(*arguments)
    assert (code, text) == (2, "")
    assert words in error


def test_a_report_is_a_page_or_an_archive(optim, store, tmp_path):
    run = Worked(store).finished(recipe=Recipe("wine-mlp", "wine"))
    code, text, _ = optim("report", run.id, "--out", "report.html", "--no-devices")
    assert (code, text) == (0, f"report.html: {run.result['verdict']}\n")
    assert "On devices" not in (tmp_path / "report.html").read_text()
    assert optim("report", run.id, "--out", "report.zip")[0] == 0
    page = files_of((tmp_path / "report.zip").read_bytes())["report.html"].decode()
    assert "Raspberry Pi" in page


def test_a_run_without_a_result_has_no_report(optim, store):
    code, _, error = optim("report", Worked(store).failed().id, "--out", "report.html")
    assert code == 2
    assert "has no result to report" in error


def test_the_queue_is_worked_on_here(optim, monkeypatch):
    asked = []
    monkeypatch.setattr(supervisor, "work", lambda **options: asked.append(options) or True)
    code, _, error = optim("work", "--jobs", 2)
    assert code == 0
    assert "Ctrl-C" in error
    assert asked == [{"slots": 2, "threads": None}]


def test_only_one_works_on_the_queue(optim, store):
    with Lock(store.files / "supervisor.lock") as lock:
        assert lock.take()
        code, _, error = optim("work")
    assert code == 2
    assert "Another process works on this queue already." in error
