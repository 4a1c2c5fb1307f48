"""Budget, loss, costs and samplers."""

import numpy as np
import pytest

from optim.devices.profile import catalogue
from optim.errors import Cancelled, ConfigError
from optim.export.deploy import onnx_bytes
from optim.measure.latency import pair_of
from optim.measure.quality import Quality
from optim.quantity import Comparison, How, Quantity
from optim.runtime.latency import LatencySamples
from optim.search.budget import Budget
from optim.search.costs import cheap_figures, device_figures
from optim.search.goals import Goals, Limit
from optim.search.loss import loss_of
from optim.search.samplers import sampler_of
from optim.search.stopwatch import Stopwatch
from optim.search.target import (
    HERE,
    device_named,
    memory_limits,
    taken_text,
    title_of,
    told_of,
)
from optim.step import Context
from optim.techniques.quantize import Quantize


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_budget_goes_on_where_an_earlier_attempt_stopped():
    clock = Clock()
    budget = Budget(60, spent=20, clock=clock)
    clock.now += 10
    assert (budget.spent, budget.left, budget.share) == (30, 30, 0.5)
    clock.now += 100
    assert (budget.left, budget.share) == (0.0, 1.0)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_budget_that_cannot_be_kept_is_refused(seconds):
    with pytest.raises(ConfigError, match="budget must be more than 0"):
        Budget(seconds)


@pytest.mark.parametrize(
    ("found", "value", "low", "high"),
    [
        (
            Quality(
                {}, "accuracy", Comparison(Quantity(-0.6, "points", -1.0, -0.2, 900), "higher")
            ),
            0.6,
            0.2,
            1.0,
        ),
        (Quality({}, "r2", Comparison(Quantity(1.2, "x", 1.1, 1.5, 50), "lower")), 20, 10, 50),
        (Quality({"agreement": Quantity(0.98, "fraction", 0.9, 0.99, 9)}, "agreement"), 2, 1, 10),
        (Quality({"sqnr": Quantity(20, "db", 10, 30, 9)}, "sqnr"), 1, 0.1, 10),
        (Quality({}, "sqnr"), 0, 0, 0),
    ],
    ids=["accuracy", "quantities", "agreement", "outputs", "no difference"],
)
def test_a_loss_is_counted_in_points_whatever_is_predicted(found, value, low, high):
    loss = loss_of(found)
    assert (loss.value, loss.low, loss.high) == pytest.approx((value, low, high))
    assert loss.unit == "points"


def test_this_computer_has_a_title_and_no_limits_of_its_own():
    assert title_of(HERE) == "This computer, measured"
    assert title_of("rp2040") == device_named("rp2040").title
    assert memory_limits(HERE, ()) == ()


def test_files_are_timed_as_shares_of_what_the_original_takes_at_once(tiny_cnn, monkeypatch):
    """The computer becomes ten times slower after the first look."""
    slow, asked = iter([1.0, 10.0, 10.0]), []

    def compare(original, file, inputs, threads, *, rounds, check, **rest):
        asked.append(rounds)
        check()
        times = np.full(rounds, next(slow))
        half = times * len(file) / len(original)
        return pair_of(LatencySamples({"baseline": times, "candidate": half}, 1, threads))

    monkeypatch.setattr("optim.search.stopwatch.compare_files", compare)
    stopwatch = Stopwatch(b"four", np.zeros((1, 2)))
    assert stopwatch.original().value == 1.0
    found = stopwatch(b"on")
    assert (found.value, found.unit, found.how) == (0.5, "ms", How.MEASURED)
    assert stopwatch(b"f").value == 0.25
    assert asked == [7, 15, 15]

    def enough():
        raise Cancelled

    with pytest.raises(Cancelled):
        stopwatch(b"f", enough)


def test_slow_files_are_timed_less_often_and_an_earlier_time_still_counts(monkeypatch):
    asked = []

    def compare(original, file, inputs, threads, *, rounds, **rest):
        asked.append(rounds)
        times = np.full(rounds, 500.0)
        return pair_of(LatencySamples({"baseline": times, "candidate": times / 2}, 1, threads))

    monkeypatch.setattr("optim.search.stopwatch.compare_files", compare)
    stopwatch = Stopwatch(b"four", np.zeros((1, 2)))
    stopwatch.known = Quantity.exact(100.0, "ms")
    assert stopwatch(b"on").value == 50.0
    assert stopwatch.original().value == 100.0
    assert asked == [5]


def test_nothing_of_this_computer_is_estimated(tiny_cnn):
    goals = Goals(("loss", "bytes", "latency"), device=HERE)
    assert device_figures(tiny_cnn, goals, b"", np.zeros((1, 2))) == {}


def test_this_computer_really_times_files(tiny_cnn):
    inputs = np.zeros((1, *tiny_cnn.spec.shape), np.float32)
    file = onnx_bytes(tiny_cnn)
    stopwatch = Stopwatch(file, inputs, tiny_cnn.interface)
    again = stopwatch(file)
    assert 0.3 < again.value / stopwatch.original().value < 3
    assert again.low <= again.value <= again.high


def test_devices_go_by_name_or_by_a_word_of_their_title():
    assert device_named("rp2040").name == "rp2040"
    assert device_named("Cortex-M7").title.startswith("DISCO-F746NG")
    assert device_named("coral").name == "coral-usb"
    assert device_named("f746").name == "disco-f746ng"


@pytest.mark.parametrize("word", ["cortex-m4", "Cortex-M7", "cortex-m33", "cortex-m0+", "hopper"])
def test_a_kind_of_core_stands_for_its_first_device_and_that_is_said(word):
    taken = device_named(word)
    assert f"{taken.title}, the first with {word!r}; also: " in taken_text(word)
    assert taken_text(taken.name) == taken.title


@pytest.mark.parametrize(
    ("word", "several"),
    [
        ("nvidia", "h100, h200, a100"),
        ("raspberry", "raspberry-pi-zero-2, raspberry-pi-4, raspberry-pi-5, rp2040"),
        ("nucleo", "nucleo-l4r5zi, nucleo-h7a3zi"),
        ("orin", "jetson-orin-nano, jetson-agx-orin"),
        ("cortex-m55", "corstone-300, stm32n6"),
    ],
)
def test_a_word_of_several_kinds_of_device_is_refused_with_their_names(word, several):
    with pytest.raises(ConfigError, match=f"device='{word}' may be {several}"):
        device_named(word)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("toaster", "optim devices list shows all"),
        ("raspbery-pi-4", "Did you mean raspberry-pi-4"),
        ("cortex-m3", "Did you mean cortex-m33"),  # which it is no part of
        (" ", "optim devices list shows all"),
    ],
)
def test_a_word_of_no_device_is_refused_with_what_is_near_and_no_list_of_all(word, hint):
    with pytest.raises(ConfigError, match="must be one of the catalogue") as caught:
        device_named(word)
    assert hint in caught.value.hint
    assert len(caught.value.hint) < 120


def test_what_a_device_tells_is_what_is_told_of_a_network_there(tiny_cnn):
    """Of the network as it is, or with eight bits, which some devices have kernels for alone."""
    inputs = tiny_cnn.spec.normalise(np.zeros((1, 3, 16, 16), "uint8")).numpy()
    small = Quantize().outline(tiny_cnn, Context(None, tiny_cnn, 0, "quantize"))
    for name in catalogue():
        goals = Goals(("loss", "bytes", "latency"), device=name)
        found = {
            figure
            for bundle in (tiny_cnn, small)
            for figure in device_figures(bundle, goals, onnx_bytes(bundle), inputs)
        }
        assert found == told_of(name), name
    assert told_of(HERE) == {"latency"}


def test_bytes_are_those_that_are_asked_for(tiny_cnn):
    file = onnx_bytes(tiny_cnn)
    whole = cheap_figures(tiny_cnn, Goals(), lambda: file)
    assert whole["bytes"].value == len(file)
    dense = cheap_figures(tiny_cnn, Goals(bytes_of="dense"), lambda: file)["bytes"].value
    packed = cheap_figures(tiny_cnn, Goals(bytes_of="entropy"), lambda: file)["bytes"].value
    assert packed < dense < len(file)
    assert whole["params"].unit == "params"


def test_a_device_tells_latency_and_memory(tiny_cnn):
    goals = Goals(("loss", "bytes", "latency"), (Limit("ram", 1e6),), device="cortex-m7")
    inputs = tiny_cnn.spec.normalise(__import__("numpy").zeros((1, 3, 16, 16), "uint8")).numpy()
    found = device_figures(tiny_cnn, goals, onnx_bytes(tiny_cnn), inputs)
    assert set(found) >= {"latency", "ram", "flash"}
    assert found["latency"].low <= found["latency"].value
    assert device_figures(tiny_cnn, Goals(), b"", inputs) == {}


def test_there_is_no_other_sampler():
    with pytest.raises(ConfigError, match="sampler must be one of nsga2"):
        sampler_of("magic", 0, 4)
