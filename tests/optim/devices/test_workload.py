import math

import pytest

from optim.devices.workload import Workload, family_of, pixels_of, precision_of, task_of
from optim.errors import ConfigError


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 1e30])
@pytest.mark.parametrize("name", ["macs", "params", "activations", "batch", "threads"])
def test_absurd_numbers_are_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=name):
        Workload(**{name: value})


@pytest.mark.parametrize(
    ("label", "precision"),
    [
        ("fp32", "fp32"),
        ("float", "fp32"),
        ("amp_fp16", "fp16"),
        ("fp16(ncnn auto)", "fp16"),
        ("w8a8_mixed_int16", "int8"),
        ("w8a16_mixed_int16", "w8a16"),
        ("int8", "int8"),
    ],
)
def test_published_labels_mean_precisions(label, precision):
    assert precision_of(label) == precision


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        ("1x3x224x160", 224 * 160),
        ("1x640", None),
        ("", None),
        ("axbxc", None),
        ("1x3x16x112x112", 112**2),
    ],
)
def test_pixels_are_read_off_a_shape(shape, pixels):
    found = pixels_of(shape)
    assert math.isnan(found) if pixels is None else found == pixels


def test_tasks_and_families_go_by_words():
    tasks = [
        "image classification",
        "semantic segmentation",
        "object detection",
        "anomaly detection",
    ]
    assert [task_of(task) for task in tasks] == [0, 1, 2, 3]
    assert [family_of(name) for name in ("ncnn-cpu-big", "pytorch2.9-eager", "X-CUBE-AI")] == [
        "ncnn-cpu",
        "pytorch",
        "other",
    ]
