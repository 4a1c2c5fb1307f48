"""A full disk and a read-only folder: a sentence, and what was stored before is intact."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from optim.runs.job import perform
from optim.runs.run import State
from optim.runs.work import Work
from tests.optim.runs.kinds import KINDS, chain

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("writes", "words"),
    [
        pytest.param(2, "A checkpoint of 'count' cannot be written", id="checkpoint"),
        pytest.param(4, "The file 'value.txt' cannot be kept", id="artefact"),
    ],
)
def test_a_run_that_meets_a_full_disk_says_so_and_goes_on_later(store, take, writes, words):
    run, fsync, left = store.submit("count", {"steps": 4}), os.fsync, [writes]

    def full(file):
        if stat.S_ISREG(os.fstat(file).st_mode):
            if not left[0]:
                raise OSError(28, "No space left on device")
            left[0] -= 1
        fsync(file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        perform(Work(run, take(run.id)), KINDS)
    found = store.get(run.id)
    assert found.state is State.FAILED
    assert found.error["message"] == f"{words}: No space left on device."
    assert "then resume the run" in found.error["hint"]
    store.resume(run.id)
    perform(Work(store.get(run.id), take(run.id)), KINDS)
    assert store.get(run.id).result == {"value": chain(4)}
    assert [row.epoch for row in store.epochs(run.id)] == [1, 2, 3, 4]


SMALL_DISK = """
import os, sys
from pathlib import Path
from optim.errors import RunError
from optim.runs.artefacts import is_intact, keep
from optim.runs.engine import LocalEngine
from optim.runs.job import perform
from optim.runs.lease import Lease
from optim.runs.queue import Queue
from optim.runs.store import RunStore
from optim.runs.work import Work
from tests.optim.runs.kinds import KINDS, chain

KINDS["count"].prepare()
disk = Path(os.environ["OPTIM_HOME"])


def work(run):
    lease = Lease(store, run.id, Queue(store).take(Queue(store).active()[0], "here:1:1:1"))
    perform(Work(store.get(run.id), lease), KINDS)
    return store.get(run.id)


def refused(do, words):
    try:
        do()
    except RunError as error:
        assert words in str(error), error
        assert error.hint
    else:
        raise AssertionError(f"not refused: {words}")


store = RunStore.open()
early = work(store.submit("count", {"steps": 3}))
assert early.result == {"value": chain(3)}, early

space = os.statvfs(disk)
filler = disk / "filler"
filler.write_bytes(b"x" * (space.f_bavail * space.f_frsize - 400_000))
late = work(store.submit("count", {"steps": 3, "size": 40_000}))
assert "'value.txt' cannot be kept: No space left" in late.error["message"], late

with filler.open("ab", buffering=0) as file:
    try:
        while True:
            file.write(b"x" * 4096)
    except OSError as error:
        assert error.errno == 28
try:
    for _ in range(2000):
        store.submit("count", {"steps": 3, "much": "x" * 2000})
except RunError as error:
    assert "the disk is full" in str(error), error
else:
    raise AssertionError("never full")
assert store.get(early.id) == early
assert all(map(is_intact, store.artefacts(early.id)))

filler.unlink()
for run in store.runs(states=["queued"]):
    store.delete(run.id)
store.resume(late.id)
assert work(late).result == {"value": chain(3)}
assert store.get(early.id) == early

store.database.close()
os.system(f"mount -o remount,ro {disk}") and sys.exit("cannot remount")
refused(RunStore.open, "The run store 'runs.db' cannot be opened")
refused(lambda: LocalEngine().ensure(), "Read-only file system")
refused(lambda: keep(store.kept, "a.txt", b"new"), "Read-only file system")
os.system(f"mount -o remount,rw {disk}") and sys.exit("cannot remount")
store = RunStore.open()
assert store.get(early.id) == early
assert all(map(is_intact, store.artefacts(early.id)))
print("all intact")
"""


def test_a_disk_that_is_really_full_or_read_only(tmp_path):
    if shutil.which("unshare") is None:
        pytest.skip("no unshare on this machine")
    mount = f"mount -t tmpfs -o size=3m none {tmp_path}"
    allowed = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", mount], capture_output=True, text=True, check=False
    )
    if allowed.returncode:
        pytest.skip(f"no small file system can be mounted here: {allowed.stderr.strip()}")
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", f'{mount} && exec {sys.executable} -c "$SCRIPT"'],
        cwd=ROOT,
        env={**os.environ, "OPTIM_HOME": str(tmp_path), "SCRIPT": SMALL_DISK},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "all intact\n", done.stderr
