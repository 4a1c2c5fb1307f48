"""Latency by published measurements where they speak for a network, by its operators where not."""

from dataclasses import replace

import pytest

from optim.devices.operators import Operator
from optim.devices.parts import Roofline
from optim.devices.predict import peak_share
from optim.devices.profile import catalogue
from optim.export.deploy import onnx_bytes
from optim.ladder.estimates import energy_on, latency_on_device, memory_on
from optim.ladder.footprint import footprint_of
from optim.ladder.rungs import fit_of
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.subject import open_subject
from optim.techniques.quantize import Quantize
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


@pytest.fixture(scope="module", params=["wine-mlp", "digits-mlp"])
def shipped(request):
    """The smallest networks that ship, as they are and in 8 bits."""
    recipe = Recipe(request.param, request.param.removesuffix("-mlp"))
    subject = open_subject(recipe)
    made = [subject.bundle, apply_recipe(recipe.with_step(Quantize(samples=32)), subject)[0]]
    sample = subject.bundle.spec.normalise(subject.samples().inputs[:1]).numpy()
    return [footprint_of(bundle, onnx_bytes(bundle), sample) for bundle in made]


@pytest.mark.parametrize("name", catalogue())
def test_no_device_is_faster_than_it_can_start_and_multiply(shipped, name):
    profile = catalogue()[name]
    for found in shipped:
        fit = fit_of(found, profile)
        if fit.problem == "support" or fit.runtime.arbitrary_bits:
            continue  # logic that is built for a network starts nothing
        latency, _ = latency_on_device(found, profile, fit.runtime)
        started = sum(not o.is_free for o in found.operators)
        assert latency.low > started * 0.2e-3, "an operator takes longer than 0.2 us to start"
        assert latency.high > 2 * latency.value
        if profile.clock_mhz:
            cycles = latency.low * 1e3 * profile.clock_mhz
            assert cycles > 500 * started
            most = 1 if "M0+" in profile.chip else 1024
            assert found.macs / (cycles * (profile.cores or 1)) <= most


def test_an_estimate_is_raised_to_what_starting_and_multiplying_take():
    phone = catalogue()["pixel-4"]
    tiny = footprint(replace(conv("l", 4, 4, rows=1), macs=100))
    latency, notes = latency_on_device(tiny, phone, phone.runtimes[0])
    roofline = Roofline(phone, phone.runtimes[0])
    least = 2 * roofline.overhead_ms / 3 + 100 / (1024 * 8 * 2840e3)
    assert latency.low == latency.value == pytest.approx(least)
    assert "raised" in notes[-1]
    inside, said = latency_on_device(replace(SMALL, macs=10**8), phone, phone.runtimes[0])
    assert not any("raised" in note for note in said)
    assert inside.value > latency.value


def test_without_a_clock_starting_is_the_least():
    laptop = catalogue()["macbook-air-m3"]
    assert Roofline(laptop, laptop.runtimes[0]).most_macs_per_ms is None


NOTHING = footprint(Operator("Relu", "relu", "float32", read_bytes=64, written_bytes=64))


@pytest.mark.parametrize("name", catalogue())
def test_a_model_without_multiplications_is_no_median_network(name):
    profile = catalogue()[name]
    runtime = fit_of(NOTHING, profile).runtime
    latency, notes = latency_on_device(NOTHING, profile, runtime)
    assert (latency is None) is not profile.has_rate
    assert latency is None or latency.value < 0.2
    assert "multipl" in notes[0] or runtime.arbitrary_bits
    memory, about = memory_on(NOTHING, profile, runtime)
    assert memory is not None or "multiplies nothing" in about
    assert memory is None or memory.value < 1e6
    assert energy_on(NOTHING, profile, runtime) == (
        None,
        "the model multiplies nothing, and energy is estimated from multiplications",
    )


def test_a_note_says_what_to_do_once():
    npu = device("tpu")
    latency, (note,) = latency_on_device(SMALL, npu, RUNTIME)
    assert latency is None
    assert npu.limits not in note


def test_energy_needs_the_process():
    assert energy_on(SMALL, board(), RUNTIME) == (
        None,
        "the process of the device's chip is not known",
    )
    found, _ = energy_on(SMALL, board(process_nm=28.0), RUNTIME)
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
