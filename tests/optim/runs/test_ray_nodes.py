"""A real Ray cluster of two nodes on this machine: trainings, searches, a node that is killed.

The nodes share a folder by ``OPTIM_FILES`` and nothing else: each has a home of its own.
"""

import importlib.util
import os
import signal
import time

import psutil
import pytest

from optim.recipe import Recipe
from optim.runs.artefacts import hash_of
from optim.runs.queue import Queue
from optim.runs.ray_engine import RayEngine
from optim.runs.run import State
from optim.runs.store import RunStore
from tests.optim.runs import postgres
from tests.optim.runs.kinds import PATH, chain
from tests.optim.runs.ray_nodes import Held
from tests.optim.runs.ray_searches import searched

LIMIT_S = 240
EPOCHS = 80
RECIPE = f"""\
version: 1
model: digits-resnet8
data: digits
seed: SEED
steps:
  - prune_channels: {{pruning_ratio: 0.25}}
  - distill: {{epochs: {EPOCHS}}}
"""

NAS = (
    *("nas", "--space", "dscnn", "--data", "digits", "--minutes", "5", "--epochs", "36"),
    *("--only", "width=8,16,24", "--only", "depth=1,2,3"),
)
SEARCH = (
    *("search", "digits-resnet8", "--data", "digits", "--max-bytes", "25%"),
    *("--minutes", "5", "--from-scratch"),
)

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(900)]
if importlib.util.find_spec("ray") is None:
    pytestmark.append(pytest.mark.skip(reason="ray is not installed: make ray"))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    nodes = Held(tmp_path_factory.mktemp("nodes"))
    yield nodes
    nodes.close()


@pytest.fixture(scope="module")
def database():
    """Return the URL of a PostgreSQL database."""
    if why := postgres.why_not():
        pytest.skip(why)
    with postgres.server() as url:
        yield url


@pytest.fixture
def cluster(store, nodes, tmp_path, monkeypatch):
    """The store, with files that all nodes reach, and an engine for its queue."""
    yield from opened(nodes, tmp_path, monkeypatch)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_cluster(request, store, nodes, tmp_path, monkeypatch):
    """The same with either database."""
    if request.param == "postgresql":
        monkeypatch.setenv("OPTIM_STORE", request.getfixturevalue("database"))
    yield from opened(nodes, tmp_path, monkeypatch)


def opened(nodes, tmp_path, monkeypatch):
    monkeypatch.setenv("OPTIM_FILES", f"file://{tmp_path / 'share'}")
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    store = RunStore.open()
    yield store
    for process in drivers(store):
        process.terminate()
        process.wait(30)
    store.database.close()


def drivers(store):
    found, url = [], store.database.url.render_as_string(hide_password=False)
    for process in psutil.process_iter(["cmdline"]):
        try:
            if "optim.runs.ray_driver" in (process.info["cmdline"] or []):
                ours = process.environ().get("OPTIM_STORE") == url
                found += [process] if ours else []
        except psutil.Error:
            continue
    return found


def until(holds, store):
    limit = time.monotonic() + LIMIT_S
    while not holds():
        log = store.files / "supervisor.log"
        said = [(run.title, str(run.state), run.message, run.error) for run in store.runs()]
        assert time.monotonic() < limit, (said, log.read_text()[-3000:] if log.exists() else "")
        time.sleep(0.05)


def worker(store, run):
    """Return the process that works on a run."""
    [active] = [active for active in Queue(store).active() if active.id == run.id]
    return psutil.Process(int(active.worker.split(":")[2]))


def messages(store, run):
    return [event.message for event in store.events(run.id)]


def figures(store, run):
    """Return what every epoch gave, but for the time it took."""
    rows = store.epochs(run.id)
    return [
        (row.step, row.epoch, {k: v for k, v in row.figures.items() if k != "seconds"})
        for row in rows
    ]


def test_a_training_whose_node_is_killed_ends_as_one_that_was_not(cluster, nodes):
    store = cluster
    recipes = [Recipe.from_yaml(RECIPE.replace("SEED", str(seed))) for seed in (1, 2, 3)]
    spec = [{"recipe": recipe.to_json()} for recipe in recipes]
    runs = [store.submit("recipe", each, title=f"seed {i}") for i, each in enumerate(spec, 1)]
    engine = RayEngine(options=("--idle", "60"))
    began = time.monotonic()
    engine.ensure()
    assert time.monotonic() - began < 5
    victim = runs[0]
    until(lambda: len(store.epochs(victim.id)) >= 3, store)
    process = worker(store, victim)
    home = process.environ()["OPTIM_HOME"]
    assert home != os.environ["OPTIM_HOME"]
    nodes.kill(home)
    until(lambda: not store.has_active(), store)
    assert not process.is_running()
    for run in runs:
        found = store.get(run.id)
        assert found.state is State.FINISHED, (found.error, messages(store, run))
    assert store.get(victim.id).attempt >= 2
    assert "Its node died. It goes on from its last checkpoint." in messages(store, victim)
    # The same recipe without a break, on a node that knows nothing of the other run.
    replaced = nodes.add()
    assert replaced not in (home, "")
    for path in (store.kept.root / "students").glob("*"):
        path.unlink()
    nodes.forget()
    unbroken = store.submit("recipe", spec[0], title="unbroken")
    engine.ensure()
    until(lambda: not store.has_active(), store)
    found = store.get(unbroken.id)
    assert (found.state, found.attempt) == (State.FINISHED, 1), found.error
    assert "trained before" not in str(found.result["steps"]), "it was not trained at all"
    assert figures(store, unbroken) == figures(store, victim)
    assert len(figures(store, victim)) == EPOCHS
    files = [{f.name: f.hash for f in store.artefacts(r.id)} for r in (unbroken, victim)]
    assert files[0]["model.onnx"] == files[1]["model.onnx"]
    for artefact in store.artefacts(victim.id):
        assert hash_of(store.read(artefact)) == artefact.hash
    until(lambda: store.kept.names("checkpoints") == [], store)


def test_it_is_stopped_within_two_seconds_paused_and_resumed(any_cluster):
    store = any_cluster
    engine = RayEngine(options=("--jobs", PATH, "--idle", "60"))
    spec = {"steps": 60, "seconds": 0.1}
    paused, cancelled = store.submit("count", spec), store.submit("count", spec)
    engine.ensure()
    for run, do in ((paused, store.pause), (cancelled, store.cancel)):
        until(lambda run=run: store.get(run.id).progress > 0.1, store)
        process = worker(store, run)
        do(run.id)
        began = time.monotonic()
        until(lambda process=process: not process.is_running(), store)
        assert time.monotonic() - began < 3.0, "two seconds, and one for a busy machine"
    store.resume(paused.id)
    urgent = store.submit("count", {"steps": 2}, priority=9)
    until(lambda: not store.has_active(), store)
    assert store.get(paused.id).result == {"value": chain(60)}
    assert store.get(urgent.id).state is State.FINISHED
    assert store.get(cancelled.id).state is State.CANCELLED


def test_a_driver_that_is_killed_loses_nothing(any_cluster):
    store = any_cluster
    engine = RayEngine(options=("--jobs", PATH, "--idle", "60"))
    run = store.submit("count", {"steps": 60, "seconds": 0.1})
    engine.ensure()
    until(lambda: store.get(run.id).progress > 0.1, store)
    process = worker(store, run)
    [driver] = drivers(store)
    driver.send_signal(signal.SIGKILL)
    driver.wait(30)  # its lock is free when all of it is gone
    engine.ensure()
    until(lambda: not store.has_active(), store)
    assert not process.is_running()
    found = store.get(run.id)
    assert (found.state, found.result) == (State.FINISHED, {"value": chain(60)})
    assert found.attempt == 2
    assert "Its driver was gone. It goes on from its last checkpoint." in messages(store, run)


# --- searches -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [NAS, SEARCH], ids=["nas", "search"])
def test_a_search_trains_on_both_nodes_and_survives_one(cluster, nodes, tmp_path, command):
    found = searched(cluster, nodes, tmp_path, *command)
    assert found.code == 0, found.told[-3000:]
    assert found.answer["satisfied"]
    assert found.answer["verification"]["passed"]
    assert found.killed
    assert len(found.by_node) >= 2, "trainings were spread over the nodes"
    assert "Its node died. It goes on from its last checkpoint." in found.told
    rows = found.answer["candidates"]
    stages = {row["stage"] for row in rows if row["outcome"] == "measured"}
    assert stages & {"short training", "long training", "whole training"}, found.told[-3000:]
    assert not cluster.has_active()
