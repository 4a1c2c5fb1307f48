"""The operator's commands: who has what, delete, sweep, audit."""

import json
import sys
import time
from pathlib import Path

import pytest

from optim.access.audit import record
from optim.belongings.found import belongings
from optim.cli import main
from tests.optim.belongings.conftest import give, store  # noqa: F401  (fixtures)
from tests.optim.test_cli import obeys_schema


@pytest.fixture
def optim(store, monkeypatch, capsys):  # noqa: F811
    """Return a function that runs a command line: ``(exit code, stdout, stderr)``."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["optim", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def ann(give):  # noqa: F811
    give.model("my-a", "user-ann")
    give.run("user-ann", student="hers")
    give.model("my-b", "user-bob")


def test_owners_are_listed_with_what_they_have(optim, ann):
    code, text, _ = optim("owners", "list", "--json")
    assert code == 0
    found = json.loads(text)
    assert obeys_schema(found)
    first, second = found["owners"]
    assert (first["owner"], first["models"], first["runs"]) == ("user-ann", 1, 1)
    assert (second["owner"], second["models"], second["runs"]) == ("user-bob", 1, 0)
    assert "user-ann" in optim("owners", "list")[1]


def test_everything_of_an_owner_is_deleted_and_counted(optim, ann, store):  # noqa: F811
    code, text, _ = optim("owners", "delete", "user-ann", "--yes")
    assert code == 0
    assert text.startswith("1 model, 1 run, 1 trained result; ")
    assert belongings("user-ann", store).is_empty
    assert not belongings("user-bob", store).is_empty
    _, text, _ = optim("audit", "--json", "--what", "deleted")
    (entry,) = json.loads(text)["entries"]
    assert (entry["who"], entry["of"]) == ("operator", "user-ann")


@pytest.mark.parametrize("who", ["", "../models", "nobody", "user-eve"])
def test_who_is_not_listed_cannot_be_deleted(who, optim, ann, store, give, monkeypatch):  # noqa: F811
    give.model("by-command", "")
    monkeypatch.setattr(Path, "unlink", lambda *a, **k: pytest.fail("a file was removed"))
    code, text, said = optim("owners", "delete", who, "--yes")
    assert (code, text) == (2, "")
    assert f"{who!r} has nothing here" in said


def test_nothing_is_deleted_that_was_not_confirmed(optim, ann, store, monkeypatch):  # noqa: F811
    monkeypatch.setattr("typer.confirm", lambda question, err: False)
    code, _, _ = optim("owners", "delete", "user-ann")
    assert code == 1
    assert not belongings("user-ann", store).is_empty


def test_an_owner_who_has_nothing_is_said(optim):
    code, _, told = optim("owners", "delete", "user-eve", "--yes")
    assert code == 2
    assert "'user-eve' has nothing here" in told


def test_a_sweep_says_what_it_removed(optim, ann, monkeypatch):
    assert optim("sweep")[1] == "nothing; 0 B\n"
    later = time.time() + 40 * 24 * 3600
    monkeypatch.setattr("time.time", lambda: later)
    assert optim("sweep", "--days", "50")[1] == "nothing; 0 B\n"
    monkeypatch.setenv("OPTIM_RETENTION_DAYS", "30")
    assert optim("sweep")[1].startswith("2 models, 1 run, 1 trained result; ")


def test_the_audit_log_is_filtered_and_keeps_its_order(optim):
    for i in range(3):
        record("user-ann", "ran", run=str(i))
    record("user-bob", "uploaded", "abcd", kind="model", bytes=1)
    _, text, _ = optim("audit", "--json")
    found = json.loads(text)
    assert obeys_schema(found)
    assert [entry["what"] for entry in found["entries"]] == ["ran"] * 3 + ["uploaded"]
    _, text, _ = optim("audit", "--json", "--who", "user-ann", "--last", "2")
    assert [entry["run"] for entry in json.loads(text)["entries"]] == ["1", "2"]
    assert "abcd" in optim("audit", "--what", "uploaded")[1]
    assert optim("audit", "--what", "looked")[0] == 2
