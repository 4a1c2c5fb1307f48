import dataclasses

import pytest

from optim.devices.predict import latency_on, predict, shipped_law, workload_of
from optim.devices.profile import catalogue, device, read_profiles
from optim.devices.workload import Workload
from optim.errors import ConfigError
from optim.quantity import How

RESNET50 = Workload(
    macs=4.1e9,
    params=25.6e6,
    activations=11.1e6,
    task="classification",
    input_shape="1x3x224x224",
)
RESNET18 = dataclasses.replace(RESNET50, macs=1.8e9, params=11.7e6, activations=2.5e6)


@pytest.mark.parametrize("profile", catalogue().values(), ids=catalogue())
def test_every_runtime_of_the_catalogue_answers(profile):
    for runtime in profile.runtimes:
        for precision in runtime.precisions:
            found = latency_on(profile, runtime, precision, RESNET18)
            assert found.latency.how is How.ESTIMATED
            assert 0 < found.latency.low < found.latency.high < 1e9
            if runtime.measured_as is None and profile.measured_as is None:
                assert not found.validated


def test_names_of_the_catalogue_are_those_of_the_measurements():
    """A name that is written differently would silently fall back to a class."""
    found = [
        latency_on(profile, runtime, precision, RESNET50).origin
        for profile in catalogue().values()
        for runtime in profile.runtimes
        if runtime.measured_as
        for precision in runtime.precisions
        if precision in ("fp16", "int8")
    ]
    assert found.count("measured") > len(found) / 2


CPUS = ("sbc", "mcu", "laptop_cpu", "server_cpu", "phone_cpu", "fpga")


@pytest.mark.parametrize(
    "name", [name for name, one in catalogue().items() if one.device_class in CPUS]
)
def test_a_larger_model_takes_longer(name):
    profile = device(name)
    runtime = next((one for one in profile.runtimes if one.measured_as), profile.runtimes[0])
    small, large = (
        latency_on(profile, runtime, runtime.precisions[-1], model).latency.value
        for model in (RESNET18, RESNET50)
    )
    assert small < large


def test_faster_chips_are_faster():
    names = ("raspberry-pi-zero-2", "raspberry-pi-4", "raspberry-pi-5")
    times = [
        latency_on(device(name), device(name).runtimes[-1], "int8", RESNET50).latency.value
        for name in names
    ]
    assert times == sorted(times, reverse=True)


def test_a_precision_without_kernels_is_refused():
    pi = device("raspberry-pi-4")
    with pytest.raises(ConfigError, match=r"kernels for on Raspberry Pi 4.*got 'w4'"):
        workload_of(pi, pi.runtimes[0], "w4", RESNET50)


def test_what_is_known_of_nothing_is_not_estimated_from_hardware():
    text = """
odd-board:
  title: Odd board
  device_class: tpu
  chip: Unknown
  runtimes: [{name: Its own, precisions: [int8]}]
"""
    board = read_profiles(text)["odd-board"]
    with pytest.raises(ConfigError, match="Odd board cannot be estimated without a peak rate"):
        latency_on(board, board.runtimes[0], "int8", RESNET50)


def test_no_rows_give_no_estimates():
    assert predict([]) == []


def test_the_law_that_ships_is_small_and_whole():
    law = shipped_law()
    assert len(law.groups) > 300
    assert set(law.intervals) >= {"given", "imputed", "class"}
    assert {"extrapolated", "related", "hardware"} <= set(law.facts)


def test_an_estimate_is_plain_data():
    found = predict([RESNET50])[0].to_json()
    assert found["latency"]["how"] == "estimated"
    assert found["interval"] == 0.8
