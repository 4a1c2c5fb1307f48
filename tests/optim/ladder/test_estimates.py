"""Latency by published measurements where they speak for a network, by its operators where not."""

from dataclasses import replace

import pytest

from optim.devices.predict import peak_share
from optim.devices.profile import catalogue
from optim.ladder.estimates import energy_on, latency_on_device, memory_on
from optim.ladder.rungs import fit_of
from tests.optim.ladder.made import RUNTIME, conv, device, footprint

SMALL = footprint(*(conv(f"l{i}", 16, 16) for i in range(10)))


def board(**more):
    figures = {"peak_tops": {"fp32": 0.02}, "bandwidth_gb_s": 10.0, "overhead_us": 5.0, **more}
    return device("sbc", **figures)


def test_where_nothing_was_measured_operators_are_started_and_multiplied():
    latency, notes = latency_on_device(SMALL, board(), RUNTIME)
    working = SMALL.macs / 1e10 * 1e3
    assert latency.value >= 0.05 + peak_share()[0] * working
    assert latency.value == pytest.approx(0.05 + peak_share()[0] * working, rel=0.3)
    assert "not validated" in notes[0]
    assert str(latency.how) == "estimated"


def test_a_small_network_is_never_faster_than_its_operators_start():
    gpu = catalogue()["h100"]
    latency, _ = latency_on_device(SMALL, gpu, gpu.runtimes[0])
    assert latency.value > 10 * 0.005


def test_an_overhead_that_is_only_typical_widens_the_interval():
    known, _ = latency_on_device(SMALL, board(overhead_us=2.0), RUNTIME)
    typical, _ = latency_on_device(SMALL, board(overhead_us=None), RUNTIME)
    assert typical.high - typical.low > known.high - known.low


def test_a_precision_without_a_rate_may_be_slower_than_the_one_that_has_it():
    known, _ = latency_on_device(SMALL, board(), RUNTIME)
    unknown, _ = latency_on_device(SMALL, board(peak_tops={"int8": 0.02}), RUNTIME)
    assert unknown.value > known.value
    assert unknown.high > 10 * known.high
    assert unknown.low == pytest.approx(known.low)


def test_only_what_is_computed_without_a_rate_is_doubted():
    integers = footprint(*(conv(f"l{i}", 16, 16, dtype="int8") for i in range(10)))
    mixed = footprint(*integers.operators, conv("head", 16, 10))
    profile = board(peak_tops={"int8": 0.02})
    ends = [latency_on_device(asked, profile, RUNTIME)[0].high for asked in (integers, mixed)]
    assert ends[1] < 6 * ends[0]


def test_intervals_hold_their_value_on_every_device():
    for profile in catalogue().values():
        fit = fit_of(SMALL, profile)
        if fit.problem != "support":
            latency, _ = latency_on_device(SMALL, profile, fit.runtime)
            assert latency is None or 0 < latency.low <= latency.value <= latency.high


def test_energy_needs_the_process():
    assert energy_on(SMALL, board(), RUNTIME) is None
    found = energy_on(SMALL, board(process_nm=28.0), RUNTIME)
    assert found.total.value == pytest.approx(found.compute.value + found.movement.value)


def narrow(weight_bits, activation_bits=8):
    operators = (
        replace(conv(f"l{i}", 16, 16, dtype="int8"), bits=(weight_bits, activation_bits))
        for i in range(10)
    )
    return footprint(*operators)


@pytest.mark.parametrize("name", ["zedboard", "kria-kv260"])
def test_programmable_logic_is_faster_with_fewer_bits_and_holds_less(name):
    profile = catalogue()[name]
    runtime = profile.runtimes[0]
    eight, four, two = (latency_on_device(narrow(b, b), profile, runtime)[0] for b in (8, 4, 2))
    assert eight.value > four.value > two.value
    assert eight.high > 4 * eight.low
    assert "not validated" in latency_on_device(narrow(2), profile, runtime)[1][0]
    weights = [fit_of(narrow(bits), profile).needs - 1000 for bits in (8, 2)]
    assert weights[1] == pytest.approx(weights[0] / 4, rel=0.01)


def test_a_shipped_accelerator_on_the_same_chip_widens_narrow_bits():
    profile = catalogue()["kria-kv260"]
    times = [latency_on_device(narrow(bits), profile, profile.runtimes[1])[0] for bits in (8, 2)]
    assert times[0] == times[1]


def test_memory_on_a_processor_grows_with_weights_and_arena():
    cpu = catalogue()["raspberry-pi-4"]
    small, found = memory_on(SMALL, cpu, cpu.runtimes[0])
    assert small.low < small.value < small.high
    assert "interpreter" in found
    more, _ = memory_on(replace(SMALL, weight_bytes=2 * SMALL.weight_bytes), cpu, cpu.runtimes[0])
    assert more.value > small.value


def test_weights_that_stay_in_flash_take_no_memory():
    micro = device("mcu")
    without_flash = device("mcu", flash=None)
    held = [memory_on(SMALL, one, RUNTIME)[0].value for one in (micro, without_flash)]
    assert held[1] - held[0] == pytest.approx(SMALL.weight_bytes)


def test_published_peaks_decide_where_there_are_any():
    phone = next(d for d in catalogue().values() if d.measured_as == "Samsung Galaxy S24")
    runtime = next(r for r in phone.runtimes if r.measured_as == "qaihm-tflite")
    memory, about = memory_on(SMALL, phone, runtime)
    assert memory.value > SMALL.weight_bytes
    assert "this device" in about
    gpu = catalogue()["h100"]
    assert memory_on(SMALL, gpu, gpu.runtimes[0])[0] is None


def test_memory_is_not_told_where_activations_are_not():
    cpu = catalogue()["raspberry-pi-4"]
    assert memory_on(replace(SMALL, arena=None), cpu, cpu.runtimes[0])[0] is None
