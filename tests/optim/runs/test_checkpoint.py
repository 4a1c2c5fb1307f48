"""Checkpoints: what was saved is found again, whatever happened to the newest file."""

import pickle

import pytest
import torch

from optim.errors import RunError
from optim.runs.checkpoint import Checkpoint, checkpoints_of, forget_checkpoints
from optim.runs.files import LocalFiles
from optim.runs.run import EpochRow
from optim.step import Resume


def state(number):
    generator = torch.Generator().manual_seed(number)
    return {
        "epoch": number,
        "rate": 0.1,
        "names": ["a", "b"],
        "weights": {"fc": torch.randn(3, 4, generator=generator)},
        "generator": generator.get_state(),
        "best": None,
    }


def equal(found, expected):
    if isinstance(expected, torch.Tensor):
        return torch.equal(found, expected)
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(equal(found[k], expected[k]) for k in found)
    return found == expected


@pytest.fixture
def folder(tmp_path):
    return LocalFiles(tmp_path / "checkpoints")


def files(folder):
    return sorted(folder.root.rglob("*.checkpoint"))


def test_it_is_what_a_step_resumes_with(folder):
    states: Resume = Checkpoint(folder, "distill")
    assert states.load() is None
    assert not states.due()


def test_the_last_state_is_found_bit_by_bit(folder):
    first = Checkpoint(folder, "distill")
    for number in (1, 2, 3):
        first.save(state(number))
    assert equal(Checkpoint(folder, "distill", 2).load(), state(3))
    assert len(files(folder)) == 2


def test_steps_do_not_share_states(folder):
    Checkpoint(folder, "distill").save(state(1))
    Checkpoint(folder, "../distill-2").save(state(2))
    assert equal(Checkpoint(folder, "distill").load(), state(1))
    assert equal(Checkpoint(folder, "../distill-2").load(), state(2))
    assert all(folder.root in path.parents for path in files(LocalFiles(folder.root.parent)))


@pytest.mark.parametrize("damage", [b"", b"optim checkpoint 1 ", "cut", "flipped"], ids=str)
def test_a_damaged_file_costs_one_save(folder, damage):
    first = Checkpoint(folder, "distill")
    first.save(state(1))
    first.save(state(2))
    newest = files(folder)[-1]
    content = newest.read_bytes()
    middle = len(content) // 2
    replaced = {
        "cut": content[:middle],
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
    }
    newest.write_bytes(replaced.get(damage, damage))
    said = []
    again = Checkpoint(folder, "distill", 2, on_damage=said.append)
    assert equal(again.load(), state(1))
    assert said == [
        "The newest checkpoint of 'distill' is damaged; the one before it, of attempt 1, is used."
    ]
    again.save(state(2))
    assert equal(Checkpoint(folder, "distill", 3).load(), state(2))


def test_without_any_readable_file_the_step_starts_again_and_says_so(folder):
    first = Checkpoint(folder, "distill")
    first.save(state(1))
    first.save(state(2))
    for path in files(folder):
        path.write_bytes(b"gone")
    said = []
    again = Checkpoint(folder, "distill", 2, on_damage=said.append)
    assert again.load() is None
    assert said == ["No checkpoint of 'distill' can be read; the step starts again."]
    again.save(state(7))
    assert equal(Checkpoint(folder, "distill", 3).load(), state(7))


@pytest.mark.parametrize(("times", "is_there"), [(2, True), (99, False)])
def test_a_place_that_does_not_answer_is_no_damage(folder, monkeypatch, times, is_there):
    first = Checkpoint(folder, "distill")
    first.save(state(1))
    first.save(state(2))
    read, left = LocalFiles.read, [times]

    def slow(files, name):
        if left[0]:
            left[0] -= 1
            raise OSError(5, "503 Slow Down")
        return read(files, name)

    monkeypatch.setattr(LocalFiles, "read", slow)
    monkeypatch.setattr("optim.runs.checkpoint._PAUSE_S", 0.0)
    damage = []
    again = Checkpoint(folder, "distill", 2, on_damage=damage.append)
    if is_there:
        assert equal(again.load(), state(2))
    else:
        with pytest.raises(RunError, match=r"cannot be read: 503 Slow Down"):
            again.load()
    assert damage == []
    assert len(files(folder)) == 2


def test_figures_travel_inside(folder):
    first, rows = Checkpoint(folder, "distill"), []
    for epoch in (1, 2):
        rows.append(EpochRow("distill", epoch, {"loss": 1 / epoch}, float(epoch)))
        first.remember(rows[-1])
        first.save(state(epoch))
    first.remember(EpochRow("distill", 3, {"loss": 0.1}, 3.0))
    came = []
    again = Checkpoint(folder, "distill", 2, on_history=came.extend)
    again.load()
    assert came == rows
    again.save(state(3))
    came.clear()
    Checkpoint(folder, "distill", 3, on_history=came.extend).load()
    assert came == rows


def test_a_worker_that_lost_its_run_is_not_preferred_to_its_successor(folder):
    lost = Checkpoint(folder, "distill", 1)
    lost.save(state(1))
    successor = Checkpoint(folder, "distill", 2)
    successor.load()
    successor.save(state(2))
    for number in (8, 9, 10):
        lost.save(state(number))
    assert equal(Checkpoint(folder, "distill", 3).load(), state(2))


def test_another_is_due_after_a_minute_or_before_a_stop(folder, clock):
    urgent = []
    states = Checkpoint(folder, "distill", clock=clock, is_urgent=lambda: bool(urgent))
    clock.now += 59
    assert not states.due()
    clock.now += 1
    assert states.due()
    states.save(state(1))
    assert not states.due()
    urgent.append(1)
    assert states.due()


def test_a_full_disk_is_a_sentence_and_leaves_the_state_before(folder, full_disk):
    Checkpoint(folder, "distill").save(state(1))
    full = Checkpoint(LocalFiles(folder.root, full_disk), "distill", 2)
    full.load()
    with pytest.raises(RunError, match=r"'distill' cannot be written: No space left"):
        full.save(state(2))
    assert equal(Checkpoint(folder, "distill", 3).load(), state(1))


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("it was executed",))


def test_nothing_in_a_file_is_executed(folder, monkeypatch):
    states = Checkpoint(folder, "distill")
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", lambda content, buffer: buffer.write(pickle.dumps(Evil(), 2)))
        states.save(state(1))
    said = []
    assert Checkpoint(folder, "distill", on_damage=said.append).load() is None
    assert said


def test_files_of_others_are_left_alone(folder):
    states = Checkpoint(folder, "distill")
    states.save(state(1))
    other = files(folder)[0].with_name("notes.checkpoint")
    other.write_text("mine")
    for number in (2, 3, 4):
        states.save(state(number))
    assert other.read_text() == "mine"
    assert equal(Checkpoint(folder, "distill").load(), state(4))


def test_a_run_that_is_over_needs_none(tmp_path):
    kept = LocalFiles(tmp_path)
    Checkpoint(checkpoints_of(kept, "abc"), "distill").save(state(1))
    Checkpoint(checkpoints_of(kept, "def"), "distill").save(state(1))
    for _ in range(2):
        forget_checkpoints(kept, "abc")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["def"]
