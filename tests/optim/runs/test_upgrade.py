"""Stores of earlier versions, written by those versions, are opened with nothing lost."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy
from alembic.script import ScriptDirectory

from optim.runs import database, schema
from optim.runs.lease import Lease
from optim.runs.queue import Queue
from optim.runs.run import State
from optim.runs.store import RunStore
from optim.storage import store_home

STORES = Path(__file__).parent / "stores"
FORMS = sorted(path.stem for path in STORES.glob("*.sql"))


@pytest.fixture(params=FORMS)
def upgraded(request, own_home, monkeypatch):
    """A store that an earlier version filled."""
    monkeypatch.delenv("OPTIM_STORE", raising=False)
    path = store_home() / "runs.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.executescript((STORES / f"{request.param}.sql").read_text(encoding="utf-8"))
    connection.close()
    store = RunStore.open()
    yield store
    store.database.close()


def test_every_form_of_the_tables_is_kept():
    script = ScriptDirectory(str(database._MIGRATIONS))
    assert sorted(found.revision for found in script.walk_revisions()) == FORMS


def test_nothing_of_an_earlier_version_is_lost(upgraded):
    runs = {run.title: run for run in upgraded.runs()}
    assert {title: run.state for title, run in runs.items()} == {
        "Recover, finished": State.FINISHED,
        "Recover, failed": State.FAILED,
        "Recover, interrupted": State.RUNNING,
        "Recover, waiting": State.QUEUED,
    }
    done = runs["Recover, finished"]
    assert done.result["verdict"].startswith("This network is 4.1x smaller")
    assert [row.epoch for row in upgraded.epochs(done.id)] == [1, 2, 3, 4]
    assert {kept.name for kept in upgraded.artefacts(done.id)} == {"model.onnx", "recipe.yaml"}
    assert "no longer a number" in runs["Recover, failed"].error["message"]
    assert [event.message for event in upgraded.events(done.id)][-1] == "Finished."


def test_what_waited_in_an_earlier_version_is_worked_on(upgraded):
    queue = Queue(upgraded)
    [waiting] = [run for run in queue.active() if run.state is State.QUEUED]
    lease = Lease(upgraded, waiting.id, queue.take(waiting, "here:1:1:1"))
    lease.finish({"verdict": "Done."})
    assert upgraded.get(waiting.id).state is State.FINISHED


def test_an_upgraded_store_has_the_tables_of_a_new_one(upgraded, tmp_path):
    fresh = RunStore.open(f"sqlite:///{tmp_path / 'fresh.db'}")

    def columns(store):
        looked = sqlalchemy.inspect(store.database.engine)
        return {
            name: {column["name"]: str(column["type"]) for column in looked.get_columns(name)}
            for name in looked.get_table_names()
            if name.startswith("studio_")
        }

    assert columns(upgraded) == columns(fresh)
    assert schema.VERSION_TABLE in columns(fresh)
    fresh.database.close()
