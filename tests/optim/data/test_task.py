import pytest

from optim.data import Classification, Outputs, Regression
from optim.data.task import task_from_json, task_to_json
from optim.errors import ConfigError


@pytest.mark.parametrize(
    "task",
    [Classification(("cat", "dog")), Regression(("height", "weight")), Outputs("dense")],
    ids=lambda task: task.kind,
)
def test_a_task_survives_json(task):
    assert task_from_json(task_to_json(task)) == task


@pytest.mark.parametrize("task", [Regression(("height",)), Outputs()], ids=lambda task: task.kind)
def test_what_tells_no_classes_has_none(task):
    assert (task.n_classes, task.class_names) == (0, ())


@pytest.mark.parametrize("data", [{}, {"kind": "dance"}, {"kind": "outputs", "guess": "soup"}])
def test_an_unknown_task_is_refused(data):
    with pytest.raises(ConfigError, match="There is no task"):
        task_from_json(data)
