import pytest

from optim.data import Classification, Detection, Outputs, Regression
from optim.data.task import task_from_json, task_to_json
from optim.errors import ConfigError


@pytest.mark.parametrize(
    "task",
    [
        Classification(("cat", "dog")),
        Detection(("cat", "dog"), (32, 48), 16),
        Regression(("height", "weight")),
        Outputs("dense"),
    ],
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


def test_a_detector_answers_all_channels_for_all_places():
    task = Detection(("cat", "dog", "cow"), (32, 48), 16)
    assert (task.n_outputs, task.raster, task.n_numbers) == (7, (2, 3), 42)


@pytest.mark.parametrize(("size", "stride"), [((30, 32), 8), ((0, 8), 8), ((8, 8), 0)])
def test_places_that_do_not_cover_the_image_are_refused(size, stride):
    with pytest.raises(ConfigError, match="multiples of the stride"):
        Detection(("cat",), size, stride)
