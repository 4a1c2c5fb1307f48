"""Epochs become curves: one stretch a step, on an axis that does not move."""

from optim.runs.run import EpochRow
from pages.components.runs.curves import accuracy_info, epochs_of, loss_info, planned_epochs
from tests.pages.worked import trainable


def rows(step, epochs, **figures):
    return [EpochRow(step, n, {"loss": 1.0 / n, **figures}, float(n)) for n in range(1, epochs + 1)]


TITLES = {"distill": "Distil", "tune": "Tune"}


def test_planned_are_the_epochs_of_steps_that_train():
    assert planned_epochs(trainable()) == {"distill": 4}
    assert planned_epochs(None) == {}


def test_steps_follow_each_other_on_one_axis():
    info = loss_info([*rows("distill", 3), *rows("tune", 2)], TITLES, {"distill": 3, "tune": 5})
    assert info["steps"] == [
        {"title": "Distil", "start": 0, "end": 3},
        {"title": "Tune", "start": 3, "end": 8},
    ]
    (curve,) = info["curves"]
    assert [[x for x, _ in stretch] for stretch in curve["stretches"]] == [[1, 2, 3], [4, 5]]
    assert info["end"] == 8


def test_what_is_still_planned_has_its_room_from_the_first_epoch_on():
    planned = {"distill": 12, "tune": 5}
    early = loss_info(rows("distill", 1), TITLES, planned)
    late = loss_info([*rows("distill", 12), *rows("tune", 5)], TITLES, planned)
    assert early["end"] == late["end"] == 17
    assert early["steps"] == late["steps"]


def test_a_step_whose_result_was_stored_takes_no_room():
    info = loss_info(rows("tune", 2), TITLES, {"distill": 12, "tune": 5})
    assert [step["title"] for step in info["steps"]] == ["Tune"]
    assert info["end"] == 5


def test_epochs_of_a_step_that_nobody_planned_are_drawn_too():
    info = loss_info(rows("else", 2), TITLES, {})
    assert info["steps"] == [{"title": "else", "start": 0, "end": 2}]


def test_accuracy_is_in_percent_and_training_stands_beside_validation():
    info = accuracy_info(rows("distill", 2, accuracy=0.5, train_accuracy=0.75), TITLES, {})
    assert {c["name"]: c["stretches"][0][-1] for c in info["curves"]} == {
        "validation": (2, 50.0),
        "training": (2, 75.0),
    }


def test_what_was_never_recorded_has_no_curve():
    assert accuracy_info(rows("distill", 2), TITLES, {})["curves"] == []
    assert loss_info([], TITLES, {"distill": 4}) == {
        "steps": [{"title": "Distil", "start": 0, "end": 4}],
        "curves": [],
        "end": 4,
    }


def test_epochs_of_one_step_are_found_among_others():
    mixed = [*rows("distill", 2), *rows("tune", 1)]
    assert epochs_of(mixed, "tune") == mixed[2:]
