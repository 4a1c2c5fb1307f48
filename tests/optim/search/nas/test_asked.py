"""What is asked for is checked before anything is opened."""

import pytest

from optim.errors import ConfigError
from optim.search.nas.asked import MEMORY_DEVICE, Asked, goals_of
from optim.search.target import device_named


def test_it_comes_back_from_plain_data():
    asked = Asked(
        "dscnn",
        "digits",
        {"ram": 64000},
        device="cortex-m4",
        only={"width": (8, 16)},
        also=("activation",),
        screen="synflow",
    )
    assert asked.space == "ds-cnn"
    assert Asked.from_json(asked.to_json()).to_json() == asked.to_json()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"space": "transformer"}, "space must be one of"),
        ({"limits": {"speed": 1}}, "figure must be one of"),
        ({"limits": {"loss": 1}}, "needs an original"),
        ({"limits": {"ram": "64kB"}}, "ram must be a number"),
        ({"limits": {"bytes": -1}}, "positive number"),
        ({"device": "toaster"}, "toaster"),
        ({"device": "here"}, "has no device 'here'"),
        ({"precision": "int3"}, "precision must be one of int8, float32"),
        ({"epochs": 0}, "epochs must be from 1"),
        ({"epochs": 2.5}, "epochs cannot be"),
        ({"sampler": "magic"}, "sampler must be one of"),
        ({"screen": "magic"}, "screen must be one of"),
        ({"also": ["width"]}, "also must be of"),
        ({"only": {"width": 8}}, "only must name lists"),
        ({"seconds": 0}, "budget must be more than 0"),
        ({"data": "generated"}, "can be learned"),
        ({"budget": 3}, "no field 'budget'"),
        ({"space": 3}, "space cannot be 3"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Asked.from_json({"space": "mlp", "data": "wine", **fields})


def test_a_search_needs_a_space_and_data():
    with pytest.raises(ConfigError, match="needs space"):
        Asked.from_json({"data": "wine"})


def test_what_is_limited_is_weighed_and_time_of_training_on_request():
    asked = Asked("mlp", "wine", {"ram": 1e4, "error": 5.0}, device="cortex-m4")
    assert goals_of(asked).objectives == ("error", "bytes", "latency", "ram")
    asked = Asked("mlp", "wine", weighs_training=True)
    assert goals_of(asked).objectives == ("error", "bytes", "macs", "training")


def test_what_a_microcontroller_has_of_memory_is_a_limit():
    limits = goals_of(Asked("mlp", "wine", {"ram": 1e4}, device="cortex-m4")).limits
    assert [(x.figure, x.most, x.is_asked) for x in limits] == [
        ("ram", 1e4, True),
        ("flash", device_named("cortex-m4").flash_bytes, False),
    ]
    assert limits[1].text.endswith("all the device has")
    assert goals_of(Asked("mlp", "wine", device="raspberry-pi-4")).limits == ()


def test_energy_is_that_of_a_device():
    with pytest.raises(ConfigError, match="Energy is that of a device"):
        goals_of(Asked("mlp", "wine", {"energy": 1e4}))


def test_memory_without_a_device_is_that_of_a_microcontroller():
    assert Asked("dscnn", "digits", {"ram": 64_000.0}).device == MEMORY_DEVICE
    assert (
        Asked("dscnn", "digits", {"ram": 64_000.0}, device="disco-f746ng").device != MEMORY_DEVICE
    )
    assert Asked("dscnn", "digits", {"bytes": 64_000.0}).device == ""
    with pytest.raises(ConfigError, match="none is named"):
        goals_of(Asked("dscnn", "digits", {"ram": 64_000.0, "latency": 1.0}))
