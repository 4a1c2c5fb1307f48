"""The processes: they do what waits, stop when they are told to, and may die at any time."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from optim.errors import RunError
from optim.runs import supervisor as module
from optim.runs.checkpoint import checkpoints_of
from optim.runs.engine import LocalEngine
from optim.runs.lock import Lock
from optim.runs.queue import Queue
from optim.runs.run import State
from optim.runs.store import RunStore
from tests.optim.runs.driver import LIMIT_S
from tests.optim.runs.kinds import PATH, chain


def messages(store, run):
    return [event.message for event in store.events(run.id)]


def test_what_waits_is_done_and_its_checkpoints_are_removed(store, drive):
    run = store.submit("count", {"steps": 4})
    drive().until_idle()
    found = store.get(run.id)
    assert (found.state, found.result, found.attempt) == (State.FINISHED, {"value": chain(4)}, 1)
    assert [row.epoch for row in store.epochs(run.id)] == [1, 2, 3, 4]
    [file] = store.artefacts(run.id)
    assert file.path.read_text() == chain(4)
    assert messages(store, run) == ["Submitted.", "Started, attempt 1 of 3.", "Finished."]
    assert not checkpoints_of(store.kept, run.id).root.exists()


def test_higher_priority_goes_first_and_then_whoever_came_first(store, drive):
    runs = [store.submit("count", {"steps": 1}, priority=p, title=str(p)) for p in (0, 5, 0, 9)]
    drive().until_idle()
    begun = sorted(runs, key=lambda run: store.get(run.id).started_at)
    assert [runs.index(run) for run in begun] == [3, 1, 0, 2]


def test_two_users_at_once_both_finish(store, drive):
    def submit():
        for _ in range(2):
            store.submit("count", {"steps": 3, "seconds": 0.02})

    users = [threading.Thread(target=submit) for _ in range(2)]
    for user in users:
        user.start()
    driver = drive(slots=2)
    driver.until_idle()
    for user in users:
        user.join()
    driver.until_idle()
    assert {run.state for run in store.runs()} == {State.FINISHED}
    assert len(store.runs()) == 4


@pytest.mark.parametrize(("gigabytes", "running"), [(100, 3), (0.1, 1)])
def test_no_more_run_at_once_than_there_is_room_for(store, drive, monkeypatch, gigabytes, running):
    memory = psutil.virtual_memory()._replace(available=gigabytes * 10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    for _ in range(4):
        store.submit("stuck", {})
    driver = drive(slots=3)
    for _ in range(2):
        driver.supervisor.tick()
    assert [state for _, state in driver.states()].count("running") == running


def test_failures_are_told_and_not_tried_again(store, drive):
    runs = [store.submit(*job) for job in (("fail", {"known": True}), ("fail", {}), ("odd", {}))]
    drive().until_idle()
    found = [store.get(run.id) for run in runs]
    assert {(run.state, run.attempt) for run in found} == {(State.FAILED, 1)}
    assert found[0].error["hint"] == "Lower the learning rate."
    assert "ZeroDivisionError" in found[1].error["traceback"]
    assert "plain data" in found[2].error["message"]


# --- stopping -----------------------------------------------------------------------------------


def test_a_run_that_is_cancelled_stops(store, drive):
    run, driver = store.submit("count", {"steps": 10**6, "seconds": 0.02}), drive()
    driver.until_progress(run)
    process = driver.child(run)
    store.cancel(run.id)
    driver.until_idle()
    assert process.returncode == 0
    assert store.get(run.id).state is State.CANCELLED


def test_a_run_that_is_stuck_is_killed(store, drive):
    run, driver = store.submit("stuck", {}), drive()
    driver.until_progress(run)
    process = driver.child(run)
    store.cancel(run.id)
    driver.until_idle()
    assert process.returncode == -signal.SIGKILL
    assert store.get(run.id).state is State.CANCELLED


def test_the_grace_of_a_stuck_run_leaves_time_to_be_gone_within_two_seconds():
    assert module.GRACE_S + 2 * module.POLL_S <= 2


def test_a_run_that_was_paused_goes_on_where_it_was(store, drive):
    run, driver = store.submit("count", {"steps": 12, "seconds": 0.05}), drive()
    driver.until_progress(run)
    store.pause(run.id)
    driver.until_idle()
    assert (store.get(run.id).state, store.get(run.id).attempt) == (State.PAUSED, 1)
    before = store.epochs(run.id)
    store.resume(run.id)
    driver.until_idle()
    assert store.get(run.id).result == {"value": chain(12)}
    assert store.epochs(run.id)[: len(before) - 1] == before[:-1]
    assert [row.epoch for row in store.epochs(run.id)] == list(range(1, 13))


def test_a_run_resumed_at_once_waits_for_its_last_worker(store, drive):
    run, driver = store.submit("count", {"steps": 12, "seconds": 0.05}), drive(slots=2)
    driver.until_progress(run)
    store.pause(run.id)
    store.resume(run.id)
    driver.supervisor.tick()
    assert store.get(run.id).state is State.QUEUED
    driver.until_idle()
    assert store.get(run.id).result == {"value": chain(12)}


def test_a_run_whose_time_is_used_up_is_interrupted_and_may_have_more(store, drive):
    ahead = 0.0
    store.clock = lambda: time.time() + ahead
    endless = {"steps": 10**6, "seconds": 0.02}
    run, driver = store.submit("count", endless, budget_s=600), drive()
    for attempt in (1, 2):
        before = len(store.epochs(run.id))
        driver.until(lambda before=before: len(store.epochs(run.id)) > before)
        assert store.get(run.id).state is State.RUNNING
        ahead += 601
        driver.until_idle()
        found = store.get(run.id)
        assert found.state is State.INTERRUPTED
        assert found.error["message"] == "Its time budget of 600 s is used up."
        assert found.seconds > attempt * 600
        store.resume(run.id)


def test_a_supervisor_that_is_stopped_leaves_its_runs_waiting(store, drive):
    run, driver = store.submit("count", {"steps": 20, "seconds": 0.05}, max_attempts=1), drive()
    driver.until_progress(run)
    driver.supervisor.shut_down()
    assert (store.get(run.id).state, store.get(run.id).attempt) == (State.QUEUED, 0)
    drive().until_idle()
    assert store.get(run.id).result == {"value": chain(20)}


# --- dying --------------------------------------------------------------------------------------


@pytest.mark.chaos
def test_a_run_whose_worker_was_killed_goes_on_from_its_checkpoint(store, drive):
    run = store.submit("count", {"steps": 8, "dies_at": 5, "times": 2})
    drive().until_idle()
    found = store.get(run.id)
    assert (found.state, found.attempt, found.result) == (State.FINISHED, 3, {"value": chain(8)})
    assert [row.epoch for row in store.epochs(run.id)] == list(range(1, 9))
    assert (
        messages(store, run).count(
            "Its worker was killed by signal 9. It goes on from its last checkpoint."
        )
        == 2
    )


@pytest.mark.chaos
def test_a_run_that_kills_every_worker_is_interrupted_and_may_be_resumed(store, drive):
    run = store.submit("count", {"steps": 8, "dies_at": 5, "times": 2}, max_attempts=2)
    driver = drive()
    driver.until_idle()
    found = store.get(run.id)
    assert (found.state, found.attempt, found.is_resumable) == (State.INTERRUPTED, 2, True)
    assert "killed by signal 9" in found.error["message"]
    assert "Resume it" in found.error["hint"]
    store.resume(run.id)
    driver.until_idle()
    assert store.get(run.id).result == {"value": chain(8)}


@pytest.mark.chaos
def test_a_waiting_child_that_dies_is_replaced(store, drive, monkeypatch):
    monkeypatch.setattr(module, "WARM_AFTER_S", 0)
    driver = drive(warm=True)
    driver.until(lambda: driver.supervisor.children)
    [first] = driver.supervisor.children
    first.process.kill()
    driver.until(lambda: driver.supervisor.children and driver.supervisor.children != [first])
    [second] = driver.supervisor.children
    run = store.submit("count", {"steps": 1})
    driver.until_state(run, State.FINISHED)
    assert second.run_id == run.id


@pytest.mark.chaos
def test_after_the_supervisor_was_killed_the_next_one_goes_on(store, own_home):
    engine = LocalEngine(options=("--jobs", PATH, "--cold", "--slots", "1", "--idle", "0.3"))
    run = store.submit("count", {"steps": 30, "seconds": 0.05})
    engine.ensure()
    wait_for(lambda: store.get(run.id).progress > 0.1)
    worker = int(Queue(store).active()[0].worker.split(":")[2])
    kill_supervisor(store)
    wait_for(lambda: not psutil.pid_exists(worker))
    assert store.get(run.id).state is State.RUNNING
    engine.ensure()
    wait_for(lambda: store.get(run.id).state is State.FINISHED)
    assert store.get(run.id).result == {"value": chain(30)}
    assert "Its supervisor was gone. It goes on from its last checkpoint." in messages(store, run)
    wait_for(lambda: Lock(store.files / "supervisor.lock").take())


def wait_for(holds):
    limit = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.02)


def kill_supervisor(store):
    for process in psutil.process_iter(["pid", "cmdline"]):
        if "optim.runs.supervisor" in (process.info["cmdline"] or []):
            opened = process.environ().get("OPTIM_STORE")
            if opened == store.database.url.render_as_string(hide_password=False):
                process.kill()
                process.wait()


def test_a_run_of_another_machine_is_taken_over_only_when_that_is_silent(store, drive, take, clock):
    clock.now = time.time() - 3600
    store.clock = clock
    run = store.submit("count", {"steps": 2})
    take(run.id, worker="elsewhere:0:12:3.0")
    driver = drive()
    clock.now += module.STALE_S - 1
    driver.supervisor.tick()
    assert store.get(run.id).state is State.RUNNING
    clock.now += 2
    driver.supervisor.tick()
    store.clock = time.time
    driver.until_idle()
    assert store.get(run.id).result == {"value": chain(2)}
    assert "Its supervisor was gone. It goes on from its last checkpoint." in messages(store, run)


def test_a_run_that_was_taken_and_never_begun_is_given_back(store, drive, take):
    run = store.submit("count", {"steps": 2})
    driver = drive()
    take(run.id, worker=f"{driver.supervisor._place}999999:gone")
    driver.until_idle()
    assert store.get(run.id).state is State.FINISHED


def test_signs_of_life_are_given(store, drive, monkeypatch, clock):
    run, driver = store.submit("stuck", {}), drive()
    driver.until_progress(run)
    seen = Queue(store).active()[0].seen_at
    monkeypatch.setattr(module, "BEAT_S", 0)
    driver.supervisor.tick()
    assert Queue(store).active()[0].seen_at > seen


def test_a_resumed_run_computes_with_as_many_threads_as_before(store, drive, take):
    run = store.submit("count", {"steps": 1})
    take(run.id).started({"threads": 7})
    store.pause(run.id)
    store.resume(run.id)
    drive(threads=2).until_idle()
    assert store.get(run.id).environment["threads"] == 7


# --- the processes themselves ---------------------------------------------------------------------


def test_a_job_whose_supervisor_is_gone_ends(store, take):
    run = store.submit("stuck", {})
    lease = take(run.id)
    job = subprocess.Popen(
        [sys.executable, "-m", "optim.runs.job", "--jobs", PATH], stdin=subprocess.PIPE, text=True
    )
    job.stdin.write(json.dumps({"run": run.id, "fence": lease.fence, "threads": 1}) + "\n")
    job.stdin.flush()
    wait_for(lambda: store.get(run.id).progress > 0)
    job.stdin.close()
    assert job.wait(timeout=LIMIT_S) == 3


def test_a_job_that_is_given_nothing_ends_quietly(store):
    done = subprocess.run(
        [sys.executable, "-m", "optim.runs.job", "--jobs", PATH],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def supervise(*options):
    command = [sys.executable, "-m", "optim.runs.supervisor", "--jobs", PATH, "--cold", *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_there_is_one_supervisor_a_store(store):
    with Lock(store.files / "supervisor.lock") as lock:
        assert lock.take()
        second = supervise()
        assert second.communicate(timeout=LIMIT_S) == (None, "")
        assert second.returncode == 0


def test_a_supervisor_with_nothing_to_do_ends(store):
    run = store.submit("count", {"steps": 1})
    process = supervise("--idle", "0.1")
    assert process.wait(timeout=LIMIT_S) == 0
    process.stderr.close()
    assert store.get(run.id).state is State.FINISHED
    with Lock(store.files / "supervisor.lock") as lock:
        assert lock.take()


def test_a_supervisor_without_a_store_ends(store):
    process = supervise()
    wait_for(lambda: (store.files / "supervisor.lock").exists())
    (store.files / "supervisor.lock").unlink()
    assert process.wait(timeout=LIMIT_S) == 0
    process.stderr.close()


def test_a_supervisor_ends_when_asked_and_loads_nothing_heavy(store):
    process = supervise()
    run = store.submit("count", {"steps": 1})
    wait_for(lambda: store.get(run.id).state is State.FINISHED)
    mapped = {os.path.basename(m.path) for m in psutil.Process(process.pid).memory_maps()}  # noqa: PTH119
    assert not any(name.startswith(("libtorch", "onnxruntime")) for name in mapped)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=LIMIT_S) == 0
    process.stderr.close()


def test_a_store_that_cannot_be_reached_is_asked_again(store, drive, monkeypatch):
    run, driver = store.submit("count", {"steps": 3, "seconds": 0.1}), drive()
    driver.until_progress(run)
    failed = []

    def fail(work):
        failed.append(1)
        raise RunError("The run store is locked.")

    with monkeypatch.context() as patch:
        patch.setattr(store.database, "read", fail)
        patch.setattr(module.time, "sleep", lambda seconds: None)
        for _ in range(3):
            module._round(driver.supervisor)
    assert len(failed) == 3
    driver.until_idle()
    assert store.get(run.id).result == {"value": chain(3)}


def test_other_stores_are_not_looked_after(store, drive, tmp_path):
    other = RunStore.open(f"sqlite:///{tmp_path / 'other.db'}")
    run = other.submit("count", {"steps": 1})
    store.submit("count", {"steps": 1})
    drive().until_idle()
    assert other.get(run.id).state is State.QUEUED
    other.database.close()
