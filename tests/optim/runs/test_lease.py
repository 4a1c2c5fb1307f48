"""What a worker may write: everything while the run is its own, and nothing afterwards."""

import math

import pytest

from optim.errors import Cancelled, ConfigError, RunError
from optim.runs.artefacts import is_intact, keep, name_of
from optim.runs.files import LocalFiles
from optim.runs.queue import Queue
from optim.runs.run import Artefact, EpochRow, State

ERROR = {"kind": "RunError", "message": "No.", "hint": "Try.", "traceback": ""}


def row(epoch, loss=1.0, step="distill", at=0.0):
    return EpochRow(step, epoch, {"loss": loss}, at)


WRITES = {
    "report": lambda lease: lease.report(0.5, "half"),
    "started": lambda lease: lease.started({"threads": 1}),
    "epochs": lambda lease: lease.epochs([row(1)]),
    "event": lambda lease: lease.event("Something happened."),
    "artefact": lambda lease: lease.artefact(keep(lease.store.kept, "a.txt", b"a")),
    "energy": lambda lease: lease.energy(5.0),
    "finish": lambda lease: lease.finish({"a": 1}, [row(2)]),
    "fail": lambda lease: lease.fail(ERROR, [row(2)]),
}


def everything(store, run_id):
    looks = (store.get, store.epochs, store.artefacts, store.events)
    return [look(run_id) for look in looks]


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("lost", ["another attempt", "cancelled", "paused", "finished", "queued"])
def test_whoever_lost_a_run_changes_nothing(store, take, lost, write):
    run = store.submit("recipe", {})
    old = take(run.id)
    if lost in ("another attempt", "queued"):
        Queue(store).give_back(run.id, old.fence, "It was thought dead.")
    if lost == "another attempt":
        take(run.id, worker="here:1:2:2")
    elif lost == "finished":
        old.finish({"first": True})
    elif lost != "queued":
        (store.cancel if lost == "cancelled" else store.pause)(run.id)
    before = everything(store, run.id)
    with pytest.raises(Cancelled, match="no longer this worker's"):
        write(old)
    assert everything(store, run.id) == before


def test_figures_are_kept_once_for_every_epoch_in_order(store, take):
    run = store.submit("recipe", {})
    lease = take(run.id)
    lease.epochs([row(1, at=1), row(2, at=2), row(10, at=3)])
    lease.epochs([row(1, step="finetune", at=4), row(2, loss=0.5, at=5)])
    found = [(r.step, r.epoch, r.figures["loss"]) for r in store.epochs(run.id)]
    assert found == [
        ("distill", 1, 1.0),
        ("distill", 2, 0.5),
        ("distill", 10, 1.0),
        ("finetune", 1, 1.0),
    ]


def test_energy_is_that_of_a_run_of_one_attempt(store, take, clock):
    whole, broken = store.submit("recipe", {}), store.submit("recipe", {})
    lease = take(whole.id)
    lease.energy(5.0)
    lease.finish({})
    assert store.get(whole.id).energy_j == 5.0
    first = take(broken.id)
    clock.now += 60
    Queue(store).give_back(broken.id, first.fence, "It was thought dead.")
    again = take(broken.id)
    again.energy(5.0)
    again.finish({})
    assert store.get(broken.id).energy_j is None


def test_figures_that_are_not_finite_are_left_out(store, take):
    run = store.submit("recipe", {})
    take(run.id).epochs([EpochRow("distill", 1, {"loss": math.nan, "accuracy": 0.5}, 0)])
    assert store.epochs(run.id)[0].figures == {"accuracy": 0.5}


def test_the_end_comes_with_everything_or_not_at_all(store, take):
    run = store.submit("recipe", {})
    lease = take(run.id)
    lease.finish({"verdict": "smaller"}, [row(3)])
    found = store.get(run.id)
    assert (found.state, found.result, found.error) == (
        State.FINISHED,
        {"verdict": "smaller"},
        None,
    )
    assert [r.epoch for r in store.epochs(run.id)] == [3]
    assert [e.message for e in store.events(run.id)][-1] == "Finished."
    with pytest.raises(ConfigError, match="plain data"):
        lease.finish({"a": {1, 2}})


def test_a_failure_says_why(store, take):
    run = store.submit("recipe", {})
    take(run.id).fail(ERROR)
    assert (store.get(run.id).state, store.get(run.id).error) == (State.FAILED, ERROR)
    assert store.events(run.id)[-1].level == "error"


def test_progress_stays_a_share(store, take):
    run = store.submit("recipe", {})
    lease = take(run.id)
    for said, kept in ((1.7, 1.0), (-1, 0.0), (math.nan, 0.0)):
        lease.report(said, "x")
        assert store.get(run.id).progress == kept


# --- files --------------------------------------------------------------------------------------


def test_files_are_found_by_content_and_kept_once(store, take):
    run = store.submit("recipe", {})
    lease = take(run.id)
    for name, content in (("b", b"same"), ("a", b"same"), ("c", b"other"), ("c", b"newer")):
        lease.artefact(keep(store.kept, name, content))
    found = store.artefacts(run.id)
    assert [file.name for file in found] == ["a", "b", "c"]
    assert found[0].path == found[1].path == store.files / name_of(found[0].hash)
    assert [file.path.read_bytes() for file in found] == [b"same", b"same", b"newer"]
    assert all(map(is_intact, found))


def test_a_damaged_file_is_noticed_and_replaced(tmp_path):
    files = LocalFiles(tmp_path)
    kept = keep(files, "a", b"content")
    for damage in (b"c0ntent", b"cont"):
        kept.path.write_bytes(damage)
        assert not is_intact(kept)
        assert is_intact(keep(files, "a", b"content"))
    assert not is_intact(Artefact("gone", "0" * 32, 1, tmp_path / "gone"))


def test_a_full_disk_is_a_sentence_and_leaves_what_was_kept(tmp_path, full_disk):
    before = keep(LocalFiles(tmp_path), "a", b"content")
    with pytest.raises(RunError, match=r"'b' cannot be kept: No space left on device\. Free some"):
        keep(LocalFiles(tmp_path, full_disk), "b", b"other content")
    assert is_intact(before)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [before.path]
