"""The engine of several machines: what it says before anything is started."""

import socket

import pytest

from optim.errors import ConfigError, MissingDependencyError, RunError
from optim.runs import engine as local
from optim.runs import ray_cluster, ray_engine
from optim.runs.engine import engine
from optim.runs.lock import Lock
from optim.runs.ray_cluster import RayCluster
from optim.runs.ray_engine import RayEngine


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    for name in ("RAY_ADDRESS", "OPTIM_FILES", "OPTIM_RAY_CPUS", "OPTIM_RAY_GPUS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def started(monkeypatch):
    """What is started, on a machine that has Ray."""
    calls = []
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: object())
    monkeypatch.setattr(ray_engine, "start_apart", lambda *call: calls.append(call))
    return calls


@pytest.fixture
def without_ray(monkeypatch):
    for module in (local, ray_cluster):
        monkeypatch.setattr(module, "find_spec", lambda name: None)


def test_it_is_named_by_the_environment(store, started, monkeypatch):
    monkeypatch.setenv("OPTIM_ENGINE", "ray")
    monkeypatch.setattr(local, "find_spec", lambda name: object())
    assert isinstance(engine(), RayEngine)


def test_a_driver_is_started_once(store, started):
    RayEngine(options=("--idle", "1")).ensure()
    assert started == [("optim.runs.ray_driver", str(store.database.url), ("--idle", "1"))]
    with Lock(store.files / "supervisor.lock") as lock:
        assert lock.take()
        RayEngine().ensure()
    assert len(started) == 1


def test_without_ray_it_says_what_to_install(store, without_ray):
    with pytest.raises(MissingDependencyError, match="pip install ray"):
        RayEngine().ensure()
    with pytest.raises(MissingDependencyError, match="pip install ray"):
        RayCluster("auto").connect()


@pytest.mark.parametrize("address", ["", "auto", "local"])
def test_an_address_that_is_found_out_later_is_not_knocked_at(store, started, monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(socket, "create_connection", lambda *call: pytest.fail("knocked"))
    RayEngine().ensure()
    assert started


def test_a_head_that_answers_is_enough(store, started, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        RayEngine().ensure()
    assert started


def test_a_head_that_does_not_answer_is_a_sentence(store, started, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(RunError, match=rf"{address}' does not answer: Connection refused.*--head"):
        RayEngine().ensure()
    assert started == []


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:", "head:port", ":6379"])
def test_an_address_that_is_none_is_refused(store, started, monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match=f"RAY_ADDRESS must be host:port.*'{address}'"):
        RayEngine().ensure()


def test_illegal_settings_are_told_to_who_submits(store, started, monkeypatch):
    monkeypatch.setenv("OPTIM_FILES", "memory://optim")
    with pytest.raises(ConfigError, match="OPTIM_FILES"):
        RayEngine().ensure()
    monkeypatch.delenv("OPTIM_FILES")
    monkeypatch.setenv("OPTIM_RAY_CPUS", "0")
    with pytest.raises(ConfigError, match="OPTIM_RAY_CPUS"):
        RayEngine().ensure()
    assert started == []


def test_a_driver_that_cannot_be_started_is_a_sentence(store, started, monkeypatch):
    def fail(*call):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(ray_engine, "start_apart", fail)
    with pytest.raises(RunError, match=r"Cannot allocate memory\. Runs wait"):
        RayEngine().ensure()
