"""The store of runs: what is submitted is kept, found, and moves between states only as allowed."""

import sqlite3
import subprocess
import sys
import threading

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from optim.errors import ConfigError, MissingDependencyError, RunError
from optim.recipe import Recipe
from optim.runs import database, schema
from optim.runs.database import Database
from optim.runs.run import State
from optim.runs.store import RunStore, files_of
from optim.storage import store_home
from tests.optim.runs.kinds import lose_connection


def test_what_is_submitted_waits_and_is_found(store):
    run = store.submit("recipe", {"recipe": {"a": 1}}, title="Mine", priority=2, budget_s=60)
    assert store.get(run.id) == run
    assert (run.kind, run.title, run.spec) == ("recipe", "Mine", {"recipe": {"a": 1}})
    assert (run.state, run.priority, run.budget_s) == (State.QUEUED, 2, 60)
    assert (run.attempt, run.progress, run.seconds, run.result) == (0, 0, 0, None)
    assert store.has_active()
    assert [event.message for event in store.events(run.id)] == ["Submitted."]


def test_another_process_finds_it(store):
    run = store.submit("recipe", {})
    code = f"from optim.runs.store import RunStore; print(RunStore.open().get({run.id!r}).title)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "recipe\n"


def test_the_recipe_of_a_run_is_read_back(store):
    recipe = Recipe("wine-mlp", "wine")
    assert store.submit("recipe", {"recipe": recipe.to_json()}).recipe == recipe
    assert store.submit("other", {}).recipe is None


def test_runs_are_listed_newest_first_and_filtered(store, clock):
    store.clock = clock
    ids = []
    for title in ("one 100%", "two", "three"):
        clock.now += 1
        ids.append(store.submit("recipe", {}, title=title).id)
    store.cancel(ids[1])
    assert [run.id for run in store.runs()] == ids[::-1]
    assert [run.id for run in store.runs(states={State.CANCELLED})] == [ids[1]]
    assert [run.title for run in store.runs(text="TWO")] == ["two"]
    assert [run.title for run in store.runs(text="0%")] == ["one 100%"]
    assert store.runs(text="%") == store.runs(text="100%")
    assert [run.id for run in store.runs(text=ids[2][:8])] == [ids[2]]
    assert store.runs(states=[]) == []


def test_deleted_runs_are_in_the_bin_and_come_back(store):
    run = store.submit("recipe", {})
    store.delete(run.id)
    assert store.runs() == []
    assert not store.has_active()
    [binned] = store.runs(deleted=True)
    assert (binned.state, binned.deleted) == (State.CANCELLED, True)
    assert not binned.is_resumable
    with pytest.raises(ConfigError, match="is deleted"):
        store.resume(run.id)
    store.restore(run.id)
    assert [run.state for run in store.runs()] == [State.CANCELLED]


def test_parents_keep_their_order_and_must_exist(store):
    first, second = store.submit("a", {}), store.submit("b", {})
    parents = (second.id, first.id)
    child = store.submit("c", {}, parents=[*parents, second.id])
    assert child.parents == parents
    assert {run.id: run.parents for run in store.runs()}[child.id] == parents
    with pytest.raises(ConfigError, match="no run 'gone'"):
        store.submit("d", {}, parents=["gone"])
    assert len(store.runs()) == 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"spec": {"a": object()}}, "plain data", id="object"),
        pytest.param({"spec": {"a": float("nan")}}, "plain data", id="nan"),
        pytest.param({"budget_s": 0}, "budget_s must be", id="no time"),
        pytest.param({"budget_s": float("inf")}, "budget_s must be", id="endless"),
        pytest.param({"max_attempts": 0}, "max_attempts must be", id="no attempt"),
    ],
)
def test_illegal_values_are_refused(store, fields, words):
    with pytest.raises(ConfigError, match=words):
        store.submit("recipe", **{"spec": {}, **fields})
    assert store.runs() == []


def test_an_unknown_run_is_named(store):
    for ask in (store.get, store.cancel, store.pause, store.resume, store.delete, store.restore):
        with pytest.raises(ConfigError, match="no run 'gone'"):
            ask("gone")


# --- states -------------------------------------------------------------------------------------


def in_state(store, take, state):
    """Return a run in a state."""
    run_id = store.submit("recipe", {}, max_attempts=1).id
    if state is State.QUEUED:
        return run_id
    if state in (State.PAUSED, State.CANCELLED):
        (store.pause if state is State.PAUSED else store.cancel)(run_id)
        return run_id
    lease = take(run_id)
    if state is State.INTERRUPTED:
        from optim.runs.queue import Queue

        Queue(store).give_back(run_id, lease.fence, "It died.")
    elif state is State.FINISHED:
        lease.finish({})
    elif state is State.FAILED:
        lease.fail({"kind": "RunError", "message": "No.", "hint": "", "traceback": ""})
    assert store.get(run_id).state is state
    return run_id


ALLOWED = {
    "cancel": (State.CANCELLED, "queued running paused interrupted cancelled"),
    "pause": (State.PAUSED, "queued running paused"),
    "resume": (State.QUEUED, "queued paused interrupted failed cancelled"),
}


@pytest.mark.parametrize("state", State, ids=str)
@pytest.mark.parametrize("verb", ALLOWED)
def test_only_sensible_changes_of_state_are_made(store, take, verb, state):
    run_id, (goal, sources) = in_state(store, take, state), ALLOWED[verb]
    if state in sources.split():
        getattr(store, verb)(run_id)
        assert store.get(run_id).state is goal
    else:
        with pytest.raises(ConfigError, match=f"is {state}"):
            getattr(store, verb)(run_id)
        assert store.get(run_id).state is state


def test_work_is_added_up_over_attempts(store, take, clock):
    store.clock = clock
    run = store.submit("recipe", {})
    lease = take(run.id)
    clock.now += 30
    lease.report(0.5, "half")
    found = store.get(run.id)
    assert (found.seconds, found.eta_s, found.started_at) == (30, 30, 1000)
    clock.now += 10
    store.pause(run.id)
    assert (store.get(run.id).seconds, store.get(run.id).eta_s) == (40, None)
    clock.now += 3600
    store.resume(run.id)
    lease = take(run.id)
    assert store.get(run.id).progress == 0.5
    clock.now += 20
    lease.finish({"a": 1})
    found = store.get(run.id)
    assert (found.seconds, found.progress, found.result) == (60, 1.0, {"a": 1})
    assert (found.started_at, found.finished_at) == (1000, clock.now)


def test_time_left_is_not_guessed_from_nothing(store, take):
    run = store.submit("recipe", {})
    take(run.id).report(0.01, "opening")
    assert store.get(run.id).eta_s is None


def test_resuming_gives_all_attempts_again_and_forgets_the_error(store, take):
    run_id = in_state(store, take, State.FAILED)
    assert store.get(run_id).error["message"] == "No."
    store.resume(run_id)
    found = store.get(run_id)
    assert (found.attempt, found.error, found.finished_at) == (0, None, None)


# --- the database -------------------------------------------------------------------------------


def test_it_lies_in_the_users_folder_and_survives_kills(store):
    assert (store_home() / "runs.db").is_file()

    def pragmas(connection):
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert store.database.read(pragmas) == ["wal", 2, 1]


def test_another_database_is_named_by_its_url(store, tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'other.db'}"
    monkeypatch.setenv("OPTIM_STORE", url)
    other = RunStore.open()
    other.submit("recipe", {})
    assert store.runs() == []
    assert other.files == files_of(url) != store.files
    other.database.close()


def test_the_tables_are_those_the_migrations_make(store):
    def differences(connection):
        options = {
            "version_table": schema.VERSION_TABLE,
            "compare_type": True,
            "include_name": lambda name, kind, parents: kind != "table" or "studio_" in name,
        }
        return compare_metadata(
            MigrationContext.configure(connection, opts=options), schema.metadata
        )

    assert store.database.read(differences) == []
    assert ScriptDirectory(str(database._MIGRATIONS)).get_current_head() == schema.HEAD


def test_tables_of_others_are_left_alone(own_home, tmp_path):
    path = tmp_path / "shared.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE alembic_version (version_num TEXT)")
        other.execute("INSERT INTO alembic_version VALUES ('theirs')")
    other.close()
    store = RunStore.open(f"sqlite:///{path}")
    names = sqlalchemy.inspect(store.database.engine).get_table_names()
    assert {name for name in names if not name.startswith("studio_")} == {"alembic_version"}
    store.database.close()


def test_a_store_of_a_newer_program_is_refused(store):
    with sqlite3.connect(store_home() / "runs.db") as connection:
        connection.execute("UPDATE studio_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(RunError, match=r"newer version of this program \(form 9999\)"):
        RunStore.open()


def test_a_new_store_may_be_opened_by_many_at_once(own_home):
    code = "from optim.runs.store import RunStore; RunStore.open().submit('recipe', {})"
    many = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait() for process in many] == [0] * 4
    store = RunStore.open()
    assert len(store.runs()) == 4
    store.database.close()


def test_many_threads_may_submit_at_once(store):
    threads = [threading.Thread(target=store.submit, args=("recipe", {})) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run.id for run in store.runs()}) == 16


def test_a_lost_connection_is_replaced(store):
    run = store.submit("recipe", {})
    lose_connection(store.database)
    assert store.get(run.id) == run
    store.cancel(run.id)


def test_a_submission_whose_answer_was_lost_is_made_once(store, monkeypatch):
    get, lost = store._get, []

    def commit_and_lose(connection, run_id):
        if not lost:
            lost.append(run_id)
            connection.exec_driver_sql("COMMIT")
            gone = sqlite3.OperationalError("connection closed")
            raise sqlalchemy.exc.OperationalError("COMMIT", {}, gone)
        return get(connection, run_id)

    monkeypatch.setattr(store, "_get", commit_and_lose)
    run = store.submit("recipe", {})
    assert lost == [run.id]
    assert [found.id for found in store.runs()] == [run.id]


def test_a_locked_store_is_a_sentence_and_what_was_stored_stays(store):
    run = store.submit("recipe", {})
    impatient = RunStore(Database(str(store.database.url), busy_s=0.05), store.files)
    other = sqlite3.connect(store_home() / "runs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RunError, match=r"'runs.db' is locked by another program\. Close") as caught:
        impatient.submit("recipe", {})
    assert caught.value.hint
    assert impatient.get(run.id) == run
    other.execute("ROLLBACK")
    other.close()
    impatient.cancel(run.id)
    assert store.get(run.id).state is State.CANCELLED
    impatient.database.close()


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("database or disk is full", "the disk is full"),
        ("disk I/O error", "the disk reports an error"),
        ("attempt to write a readonly database", "read-only"),
        ("database disk image is malformed", "is damaged"),
        ("no such table: x", "failed: no such table: x"),
    ],
)
def test_faults_of_the_database_are_sentences(store, words, meaning):
    def work(connection):
        raise sqlalchemy.exc.OperationalError("X", {}, sqlite3.OperationalError(words))

    with pytest.raises(RunError, match=f"^The run store 'runs.db' .*{meaning}") as caught:
        store.database.write(work)
    assert caught.value.hint


def test_a_file_that_is_no_database_is_said_to_be_none(own_home):
    store_home().mkdir(parents=True)
    (store_home() / "runs.db").write_bytes(b"not a database, but long enough to be read " * 40)
    with pytest.raises(RunError, match="is no database"):
        RunStore.open()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("OPTIM_HOME", str(tmp_path / "file"))
    with pytest.raises(RunError, match="cannot be made"):
        RunStore.open()


@pytest.mark.parametrize("url", ["nonsense", "nosuch://host/runs"])
def test_an_url_that_is_none_is_refused(url):
    with pytest.raises(ConfigError, match="OPTIM_STORE must be an SQLAlchemy URL"):
        RunStore.open(url)


def test_a_driver_that_is_missing_is_named():
    with pytest.raises(MissingDependencyError, match="pip install oracledb"):
        RunStore.open("oracle+oracledb://user:secret@host/runs")


def test_a_password_is_in_no_message(store):
    url = sqlalchemy.make_url("postgresql+psycopg://user:secret@host/runs")
    hidden = Database.__new__(Database)
    hidden.url = url
    assert "secret" not in hidden.name
    assert "user:***@host" in hidden.name


def test_looking_at_the_store_loads_neither_torch_nor_sqlalchemy():
    code = (
        "import sys, optim.runs, optim.runs.run, optim.runs.store, optim.runs.engine\n"
        "print(sorted({'torch', 'sqlalchemy', 'alembic', 'psutil'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
