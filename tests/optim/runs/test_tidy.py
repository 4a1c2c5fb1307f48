"""What is removed when a supervisor starts, and what is not."""

import os
import time

import pytest

from optim.errors import ConfigError
from optim.runs.artefacts import is_intact, keep
from optim.runs.checkpoint import checkpoints_of
from optim.runs.run import EpochRow
from optim.runs.tidy import BIN_S, tidy


@pytest.fixture
def run(store, take):
    """Return a function that makes a finished run with files of its own and a shared one."""

    def run(name, **fields):
        made = store.submit("recipe", {}, title=name, **fields)
        lease = take(made.id)
        for content in (b"shared", name.encode()):
            lease.artefact(keep(store.kept, content.decode(), content))
        lease.epochs([EpochRow("distill", 1, {"loss": 1.0}, 0.0)])
        lease.finish({})
        return made.id

    return run


def test_the_bin_is_emptied_when_nobody_can_mean_it_any_more(store, run):
    old, late = run("old"), run("late")
    kept = run("kept", parents=[old, late])
    store.clock = lambda: time.time() - BIN_S - 60
    store.delete(old)
    store.clock = lambda: time.time() - BIN_S + 60
    store.delete(late)
    store.clock = time.time
    files = {file.name: file for file in store.artefacts(old)}
    tidy(store)
    with pytest.raises(ConfigError):
        store.get(old)
    assert (store.epochs(old), store.events(old), store.artefacts(old)) == ([], [], [])
    assert not files["old"].path.exists()
    for run_id in (late, kept):
        assert all(map(is_intact, store.artefacts(run_id)))
        assert store.epochs(run_id)
    assert store.get(kept).parents == (late,)
    store.restore(late)
    tidy(store)
    assert [found.id for found in store.runs()] == [kept, late]


def test_checkpoints_stay_for_runs_that_may_go_on(store, run):
    finished, waiting, binned = run("done"), store.submit("a", {}).id, store.submit("b", {}).id
    store.delete(binned)
    for run_id in (finished, waiting, binned, "unknown"):
        checkpoints_of(store.kept, run_id).root.mkdir(parents=True)
    tidy(store)
    left = {path.name for path in (store.files / "checkpoints").iterdir()}
    assert left == {waiting, binned}


def test_files_half_written_long_ago_are_removed(store):
    kept = keep(store.kept, "a", b"content")
    young, old = kept.path.with_name(".young.1"), kept.path.with_name(".old.2")
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    tidy(store)
    assert young.exists()
    assert not old.exists()
    assert is_intact(kept)
