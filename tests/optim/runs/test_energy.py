"""Energy of a run, measured and not."""

from dataclasses import replace

import pytest

from optim.quantity import How
from optim.runs.energy import energy_of_run
from optim.runs.run import Run, State

RUN = Run(
    id="r", title="", kind="recipe", spec={}, state=State.FINISHED, priority=0, parents=(),
    created_at=0.0, started_at=0.0, finished_at=9.0, progress=1.0, message="", attempt=1,
    max_attempts=3, budget_s=None, seconds=100.0, energy_j=None, result=None, error=None,
    environment={"threads": 2, "device": "auto", "versions": {"torch": "2.13.0+cpu"}},
    deleted=False,
)  # fmt: skip


def test_what_was_measured_is_told_as_it_is():
    found = energy_of_run(replace(RUN, energy_j=5.0))
    assert (found.value, found.how) == (5.0, How.MEASURED)
    assert found.is_exact


def test_without_a_meter_time_and_threads_decide():
    found = energy_of_run(RUN)
    assert found.how is How.ESTIMATED
    assert 2 < found.low / 200 < found.value / 200 < found.high / 200 < 20
    assert energy_of_run(replace(RUN, seconds=200.0)).value == pytest.approx(2 * found.value)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"threads": 2, "device": "cuda"},
        {"threads": 2, "device": "auto", "versions": {"torch": "2.13.0"}},
    ],
    ids=["an old run", "a GPU", "perhaps a GPU"],
)
def test_where_time_says_nothing_there_is_no_figure(environment):
    assert energy_of_run(replace(RUN, environment=environment)) is None
