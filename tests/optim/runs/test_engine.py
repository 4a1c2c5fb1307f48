"""Who works on the queue: named by the environment, started once."""

import signal
import subprocess
import sys

import pytest

from optim.errors import ConfigError, MissingDependencyError, RunError
from optim.runs import engine as module
from optim.runs import lock as lock_module
from optim.runs.engine import LocalEngine, engine
from optim.runs.lock import Lock


@pytest.fixture
def started(popen_of):
    """Command lines instead of processes."""
    commands = []

    class Process:
        def __init__(self, command, **options):
            commands.append((command[1:], options))

        def wait(self):
            return 0

    popen_of(module, Process)
    return commands


def test_this_machine_works_unless_another_engine_is_named(store, monkeypatch):
    assert isinstance(engine(), LocalEngine)
    monkeypatch.setenv("OPTIM_ENGINE", "local")
    assert isinstance(engine(), LocalEngine)


def test_an_engine_nobody_knows_is_refused(store, monkeypatch):
    monkeypatch.setenv("OPTIM_ENGINE", "slurm")
    with pytest.raises(ConfigError, match=r"OPTIM_ENGINE must be one of local, ray.*'slurm'"):
        engine()


def test_an_engine_whose_package_is_missing_says_so(store, monkeypatch):
    monkeypatch.setenv("OPTIM_ENGINE", "ray")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install ray"):
        engine()


def test_a_supervisor_is_started_apart_from_this_process(store, started):
    LocalEngine(options=("--cold",)).ensure()
    [(command, options)] = started
    assert command == ["-m", "optim.runs.supervisor", "--cold"]
    assert options["start_new_session"]
    assert options["env"]["OPTIM_STORE"] == str(store.database.url)


def test_no_second_one_is_started(store, started):
    with Lock(store.files / "supervisor.lock") as lock:
        assert lock.take()
        LocalEngine().ensure()
    assert started == []
    LocalEngine().ensure()
    assert len(started) == 1


def test_its_log_does_not_grow_for_ever(store, started, monkeypatch):
    log = store.files / "supervisor.log"
    LocalEngine().ensure()
    log.write_text("old")
    LocalEngine().ensure()
    assert log.read_text() == "old"
    monkeypatch.setattr(module, "_LOG_BYTES", 2)
    LocalEngine().ensure()
    assert log.read_text() == ""


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("OPTIM_HOME", str(tmp_path / "file"))
    with pytest.raises(RunError, match="The folder for runs"):
        LocalEngine().ensure()


def test_a_supervisor_that_cannot_be_started_is_a_sentence(store, popen_of):
    def fail(*args, **options):
        raise OSError(12, "Cannot allocate memory")

    popen_of(module, fail)
    with pytest.raises(RunError, match=r"Cannot allocate memory\. Runs wait"):
        LocalEngine().ensure()


def test_a_lock_is_held_once_and_is_free_afterwards(tmp_path):
    first, second = Lock(tmp_path / "deep" / "lock"), Lock(tmp_path / "deep" / "lock")
    assert first.take()
    assert first.take()
    assert not second.take()
    first.release()
    first.release()
    assert second.take()
    second.release()


LEAVES_A_CHILD = """
import os, subprocess, sys
from pathlib import Path
from optim.runs.lock import Lock
lock = Lock(Path(sys.argv[1]))
assert lock.take()
os.set_inheritable(lock._file, True)
subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({sys.argv[2]})"], close_fds=False)
os.kill(os.getpid(), 9)
"""
"""A program that is killed while a child it has just started still has all its files."""


def killed_holder(path, seconds):
    command = [sys.executable, "-c", LEAVES_A_CHILD, str(path), str(seconds)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


@pytest.mark.chaos
def test_a_lock_whose_holder_was_just_killed_is_waited_for(tmp_path, monkeypatch):
    killed_holder(tmp_path / "lock", 1)
    monkeypatch.setattr(lock_module, "_LET_GO_S", 0)
    assert Lock(tmp_path / "lock").is_held()
    monkeypatch.setattr(lock_module, "_LET_GO_S", 30)
    assert not Lock(tmp_path / "lock").is_held()
    killed_holder(tmp_path / "lock", 0.5)
    with Lock(tmp_path / "lock") as lock:
        assert lock.take()


@pytest.mark.chaos
def test_a_lock_that_is_not_let_go_is_not_waited_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module, "_LET_GO_S", 0.1)
    killed_holder(tmp_path / "lock", 5)
    assert Lock(tmp_path / "lock").is_held()


@pytest.mark.parametrize("holder", [b"1 elsewhere\n", None])
def test_a_holder_that_lives_or_is_elsewhere_is_not_waited_for(tmp_path, monkeypatch, holder):
    monkeypatch.setattr(lock_module.time, "sleep", lambda seconds: pytest.fail("waited"))
    with Lock(tmp_path / "lock") as lock:
        assert lock.take()
        if holder is not None:
            (tmp_path / "lock").write_bytes(holder)
        assert Lock(tmp_path / "lock").is_held()
        assert not Lock(tmp_path / "lock").take()
        assert lock.is_held()
    assert not Lock(tmp_path / "lock").is_held()
