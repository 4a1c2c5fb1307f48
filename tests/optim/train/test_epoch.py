"""What an epoch tells, and which settings compare epochs."""

import pytest

from optim.train import Epoch, Stopping


def test_only_what_was_measured_is_told():
    figures = Epoch(3, 0.5, 0.01, accuracy=0.75, seconds=2).figures()
    assert figures == {
        "epoch": 3.0,
        "loss": 0.5,
        "learning_rate": 0.01,
        "accuracy": 0.75,
        "seconds": 2.0,
    }
    assert all(type(value) is float for value in figures.values())


def test_an_epoch_comes_back_from_plain_data():
    epoch = Epoch(2, 0.25, 0.1, 0.5, 0.625, 1.5)
    assert Epoch(**epoch.to_json()) == epoch


@pytest.mark.parametrize(
    ("stopping", "selects"),
    [(Stopping(), False), (Stopping("best"), True), (Stopping("last", 2), True)],
    ids=str,
)
def test_epochs_are_compared_where_that_decides_something(stopping, selects):
    assert stopping.selects is selects
