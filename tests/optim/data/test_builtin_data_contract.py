"""What every built-in data set promises."""

import numpy as np
import pytest

from optim.data import DATASETS, open_data
from optim.errors import ConfigError
from optim.fields import controls


@pytest.fixture(params=DATASETS)
def name(request):
    return request.param


def test_opening_generates_nothing(name, own_cache):
    open_data(name)
    assert not own_cache.exists()


def test_parts_are_as_announced(name):
    data = open_data(name)
    assert list(data.parts) == ["train", "validation", "test"]
    for part, size in data.parts.items():
        samples = data.part(part)
        assert samples.inputs.shape == (size, *data.input_shape)
        assert samples.targets.shape[:1] == samples.ids.shape == (size,)


def test_values_are_bytes_or_finite_floats(name):
    inputs = open_data(name).part("test").inputs
    assert inputs.dtype == (np.uint8 if inputs.ndim == 4 else np.float32)
    assert np.isfinite(inputs).all()


def test_every_class_is_in_every_part(name):
    data = open_data(name)
    for part in data.parts:
        targets = data.targets(part)
        assert targets.dtype == np.int64
        labels = targets[..., 4] if targets.ndim == 3 else targets
        assert np.unique(labels[labels >= 0]).tolist() == list(range(data.task.n_classes))


def test_ids_are_unique_over_the_parts(name):
    data = open_data(name)
    ids = np.concatenate([data.part(part).ids for part in data.parts])
    assert ids.dtype == np.int64
    assert len(np.unique(ids)) == sum(data.parts.values())


def test_same_fields_give_the_same_samples_whether_made_or_read_from_the_cache(name, request):
    here = open_data(name).part("validation")
    request.getfixturevalue("own_cache")
    made, cached = (open_data(name).part("validation") for _ in range(2))
    for other in (made, cached):
        np.testing.assert_array_equal(other.inputs, here.inputs)
        np.testing.assert_array_equal(other.targets, here.targets)
        np.testing.assert_array_equal(other.ids, here.ids)


def test_seed_decides_the_hash(name):
    assert open_data(name).hash == open_data(f"{name}?seed=0").hash
    assert open_data(name).hash != open_data(f"{name}?seed=1").hash


def test_illegal_seed_is_refused(name):
    with pytest.raises(ConfigError, match="seed must be between 0 and 9999"):
        open_data(f"{name}?seed=10000")


def test_fields_are_controls_with_help(name):
    described = controls(DATASETS[name])
    assert "seed" in [control.name for control in described]
    assert all(control.kind.help for control in described)


def test_title_and_sentence_are_there_for_the_picker(name):
    assert DATASETS[name].title
    assert DATASETS[name].about.endswith(".")
