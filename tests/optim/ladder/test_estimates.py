"""Latency by published measurements where they speak for a network, by its operators where not."""

import pytest

from optim.devices.predict import peak_share
from optim.devices.profile import catalogue
from optim.ladder.estimates import energy_on, latency_on_device
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
