"""What a node does with an order, in this process: Ray is not needed for that."""

import json
import threading
import time
from pathlib import Path

import psutil
import pytest

from optim import __version__
from optim.runs.exchange import offers
from optim.runs.queue import Queue
from optim.runs.ray_task import Order, attempt, this_home
from optim.runs.run import State
from optim.runs.supervisor import Supervisor
from tests.optim.runs.kinds import PATH, chain

LIMIT_S = 60


@pytest.fixture
def order(store, monkeypatch, tmp_path):
    """Return a function that makes the order for a run."""
    # The task sets these for its child.
    monkeypatch.setenv("OPTIM_STORE", "")
    monkeypatch.setenv("OPTIM_FILES", "")
    store.kept.write("probes/me", b"token")

    def order(run, **changes):
        values = {
            "run": run.id,
            "spec": dict(run.spec),
            "fence": 0,
            "driver": "0a1b2c3d",
            "version": __version__,
            "store": str(store.database.url),
            "files": str(store.files),
            "probe": ("probes/me", "token"),
            "home": this_home(),
            "offers": (),
            "jobs": PATH,
            "threads": 1,
        }
        return Order(**{**values, **changes}).to_json()

    return order


def during(do):
    """Do something in another thread while a task works."""
    thread = threading.Thread(target=do)
    thread.start()
    return thread


def until(holds):
    limit = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.02)


def worker(store, run):
    return next(active.worker for active in Queue(store).active() if active.id == run.id)


def test_an_order_is_carried_out_and_its_result_is_in_the_store(store, order):
    run, other = store.submit("count", {"steps": 3}), store.submit("count", {"steps": 3})
    assert attempt(json.loads(json.dumps(order(run)))) == ""
    found = store.get(run.id)
    assert (found.state, found.result, found.attempt) == (State.FINISHED, {"value": chain(3)}, 1)
    assert [file.name for file in store.artefacts(run.id)] == ["value.txt"]
    assert store.kept.names("checkpoints") == []
    assert store.get(other.id).state is State.QUEUED


def test_a_failure_is_the_runs_and_not_the_nodes(store, order):
    run = store.submit("fail", {})
    assert attempt(order(run)) == ""
    assert store.get(run.id).state is State.FAILED


def test_a_worker_that_dies_leaves_its_run_to_the_driver(store, order):
    run = store.submit("count", {"steps": 4, "dies_at": 2, "times": 9})
    assert attempt(order(run)) == ""
    found = store.get(run.id)
    assert (found.state, found.attempt) == (State.QUEUED, 1)
    assert "killed by signal 9" in store.events(run.id)[-1].message
    assert attempt(order(run, fence=1)) == ""
    assert store.get(run.id).attempt == 2


@pytest.mark.parametrize(("do", "state"), [("cancel", "cancelled"), ("pause", "paused")])
@pytest.mark.parametrize("kind", ["count", "stuck"])
def test_it_follows_the_store_and_stops_within_two_seconds(store, order, do, state, kind):
    run, took = store.submit(kind, {"steps": 1000, "seconds": 0.05}), []

    def stop():
        until(lambda: store.get(run.id).progress > 0)
        process = psutil.Process(int(worker(store, run).split(":")[2]))
        getattr(store, do)(run.id)
        began = time.monotonic()
        until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
        took.append(time.monotonic() - began)

    thread = during(stop)
    assert attempt(order(run)) == ""
    thread.join()
    assert store.get(run.id).state == state
    assert took[0] < 3.0, "two seconds, and one for a busy machine"


def test_its_worker_is_known_by_its_node_and_driver(store, order):
    run, seen = store.submit("count", {"steps": 5, "seconds": 0.05}), []

    def look():
        until(lambda: store.get(run.id).state is State.RUNNING)
        seen.append(worker(store, run))

    thread = during(look)
    attempt(order(run))
    thread.join()
    node, driver, pid, _ = seen[0].split(":")
    assert (node, driver) == (this_home()[0], "0a1b2c3d")
    assert int(pid) > 0


def test_a_run_that_is_somebody_elses_by_now_is_left_alone(store, order, take):
    run = store.submit("count", {"steps": 3})
    assert attempt(order(run, fence=4)) == ""
    assert store.get(run.id).state is State.QUEUED
    take(run.id)
    assert attempt(order(run)) == ""
    assert store.get(run.id).attempt == 1


def test_a_task_that_is_interrupted_stops_its_child_and_costs_no_attempt(store, order, monkeypatch):
    run, pids, wait = store.submit("count", {"steps": 1000, "seconds": 0.05}), [], Supervisor.wait

    def interrupted(supervisor):
        if not pids and store.get(run.id).progress > 0:
            pids.append(supervisor.children[0].process.pid)
            raise KeyboardInterrupt
        wait(supervisor)

    monkeypatch.setattr(Supervisor, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        attempt(order(run))
    assert not psutil.pid_exists(pids[0])
    found = store.get(run.id)
    assert (found.state, found.attempt) == (State.QUEUED, 0)


# --- what keeps it from beginning ---------------------------------------------------------------


def test_another_version_is_refused(store, order):
    run = store.submit("count", {"steps": 3})
    assert "Install the same on all nodes" in attempt(order(run, version="0.0.1"))
    assert "Install the same" in attempt({"version": "0.0.1", "new": "field"})
    assert store.get(run.id).attempt == 0


def test_a_sqlite_file_of_another_machine_is_refused(store, order):
    run = store.submit("count", {"steps": 3})
    said = attempt(order(run, home=("elsewhere", "/home")))
    assert "SQLite file of elsewhere" in said
    assert "PostgreSQL" in said


@pytest.mark.parametrize("probe", [("probes/other", "token"), ("probes/me", "another")])
def test_files_that_are_not_the_senders_are_refused(store, order, probe):
    run = store.submit("count", {"steps": 3})
    assert "does not find the files of runs" in attempt(order(run, probe=probe))
    assert store.get(run.id).attempt == 0


def test_a_place_for_files_that_nobody_knows_is_a_sentence(store, order):
    run = store.submit("count", {"steps": 3})
    assert "Protocol not known" in attempt(order(run, files="nosuch://bucket"))


def test_a_recipe_whose_folder_is_not_here_is_refused(store, order, tmp_path):
    run = store.submit("count", {"steps": 3, "base": str(tmp_path / "mine")})
    assert "does not have the folder of the recipe" in attempt(order(run))
    (tmp_path / "mine").mkdir()
    assert attempt(order(run)) == ""
    assert store.get(run.id).state is State.FINISHED


def test_a_store_that_cannot_be_opened_is_a_sentence(store, order, tmp_path):
    (tmp_path / "broken.db").write_text("not a database, and long enough to be looked at" * 100)
    run = store.submit("count", {"steps": 3})
    said = attempt(order(run, store=f"sqlite:///{tmp_path / 'broken.db'}"))
    assert "is no database" in said


def test_what_was_added_is_there_for_the_run_and_what_was_trained_comes_back(
    store, order, tmp_path, monkeypatch
):
    from optim.storage import store_home

    (store_home() / "models").mkdir(parents=True)
    (store_home() / "models" / "mine.json").write_text('{"title": "Mine", "data": "digits"}')
    (store_home() / "models" / "mine.safetensors").write_bytes(b"weights")
    run = store.submit("count", {"steps": 2, "recipe": {"model": "mine"}})
    offered = tuple(offer.to_json() for offer in offers(store.kept, run.spec))
    data = order(run, offers=offered)
    monkeypatch.setenv("OPTIM_HOME", str(tmp_path / "node"))
    (store_home() / "students").mkdir(parents=True)
    (store_home() / "students" / "abc.safetensors").write_bytes(b"trained")
    assert attempt(data) == ""
    assert (store_home() / "models" / "mine.safetensors").read_bytes() == b"weights"
    assert store.kept.read("students/abc.safetensors") == b"trained"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_architecture_is_searched_on_a_node_and_its_study_lies_beside_the_store(
    store, order, monkeypatch, tmp_path
):
    from optim.search.nas.asked import Asked
    from optim.search.study import studies_url

    only = {"width": [4], "depth": [1]}
    asked = Asked("mlp", "wine", seconds=240, only=only, epochs=1, precision="float32")
    run = store.submit("nas", asked.to_json())
    sent = json.loads(json.dumps(order(run, jobs="optim.runs.jobs:JOBS")))
    # The node has a home of its own: what it shares is the store.
    monkeypatch.setenv("OPTIM_HOME", str(tmp_path / "node"))
    assert attempt(sent) == ""
    found = store.get(run.id)
    assert found.state is State.FINISHED, found.error
    assert {file.name for file in store.artefacts(run.id)} >= {"nas.json", "model.onnx"}
    studies = studies_url(str(store.database.url)).partition(":///")[2]
    assert Path(studies).is_file()
    assert not list((tmp_path / "node").rglob("*studies*.db"))
