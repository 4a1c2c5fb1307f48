"""Latency from a clock that the test holds."""

import numpy as np
import pytest

from optim.errors import Cancelled
from optim.export.deploy import onnx_bytes
from optim.measure.latency import compare_files, latency_of, pair_of
from optim.runtime.emit import kernel_owners
from optim.runtime.latency import LatencySamples, measure_latency, profile_layers
from tests.helpers import inputs_for, tiny_bundle


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Session:
    """Takes a known time for every inference."""

    threads = 1

    def __init__(self, clock, seconds, order, name):
        self.clock, self.seconds, self.order, self.name = clock, seconds, order, name

    def timed(self, x):
        return self.run

    def run(self):
        self.clock.now += self.seconds() if callable(self.seconds) else self.seconds
        self.order.append(self.name)


def sessions(**seconds):
    clock, order = Clock(), []
    made = {name: Session(clock, value, order, name) for name, value in seconds.items()}
    return made, clock, order


@pytest.fixture(autouse=True)
def taken(monkeypatch):
    """Let the system take the core away when a test says so, and never otherwise."""
    times = [0]
    monkeypatch.setattr("optim.runtime.latency._interruptions", lambda threads: times[0])
    return times


def test_the_time_of_one_inference_is_found():
    made, clock, _ = sessions(fast=0.0005, slow=0.004)
    found = measure_latency(made, np.zeros((2, 3)), rounds=8, clock=clock)
    np.testing.assert_allclose(found.blocks_ms["fast"], 0.5)
    np.testing.assert_allclose(found.blocks_ms["slow"], 4.0)
    assert (found.batch_size, found.threads) == (2, 1)
    assert len(found.blocks_ms["fast"]) == 8


def test_files_take_turns_in_blocks_far_longer_than_the_clocks_step():
    made, clock, order = sessions(a=0.0005, b=0.001)
    measure_latency(made, np.zeros((1, 3)), rounds=3, clock=clock)
    measured = "".join(order[8:])  # after four runs each to settle
    assert measured == ("aaaa" + "bb") * 3


def test_a_slow_moment_hits_both_and_leaves_their_ratio():
    pace = [1.0]
    made, clock, _ = sessions(baseline=lambda: 0.002 * pace[0], candidate=lambda: 0.001 * pace[0])
    rounds = iter(np.tile([1.0, 1.0, 3.0, 0.5], 10))

    def before_round():
        # Called once before each of three trials and each block: a new pace every second block.
        before_round.calls += 1
        if before_round.calls > 6 and before_round.calls % 2:
            pace[0] = next(rounds)

    before_round.calls = 0
    samples = measure_latency(made, np.zeros((1, 3)), rounds=40, clock=clock, check=before_round)
    pair = pair_of(samples)
    assert samples.blocks_ms["baseline"].std() > 1
    assert pair.change.difference.value == pytest.approx(0.5)
    assert pair.change.difference.is_exact or pair.change.difference.half_width < 1e-9
    assert pair.change.direction == "better"


def test_a_block_that_was_interrupted_is_measured_again(taken):
    calls = [0]

    def seconds():
        calls[0] += 1
        if calls[0] % 7:
            return 0.002
        taken[0] += 1
        return 0.050

    made, clock, _ = sessions(a=seconds)
    found = measure_latency(made, np.zeros((1, 3)), rounds=20, clock=clock)
    np.testing.assert_allclose(found.blocks_ms["a"], 2.0)


def test_on_a_machine_that_is_never_quiet_it_takes_at_most_twice_as_long(taken):
    def seconds():
        taken[0] += 1
        return 0.050

    made, clock, order = sessions(a=seconds, b=seconds)
    found = measure_latency(made, np.zeros((1, 3)), rounds=20, clock=clock)
    assert len(order) == 2 * (1 + 3) + 2 * 2 * 20
    np.testing.assert_allclose(found.blocks_ms["a"], 50.0)


def test_one_slow_trial_does_not_make_short_blocks():
    pace = iter([0.001, 0.5, 0.001, 0.001])
    made, clock, order = sessions(a=lambda: next(pace, 0.001))
    measure_latency(made, np.zeros((1, 3)), rounds=1, clock=clock)
    assert len(order) == 4 + 2


def test_medians_and_their_interval():
    blocks = {"baseline": np.full(30, 2.0), "candidate": np.r_[np.full(29, 1.0), 100.0]}
    pair = pair_of(LatencySamples(blocks, 1, 1))
    assert pair.candidate.value == 1.0
    assert pair.candidate.high == 1.0, "one slow round moves no median"
    assert pair.candidate.n == 30
    assert pair.change.difference.value == 0.5


def test_measuring_can_be_stopped():
    made, clock, _ = sessions(a=0.001)

    def stop():
        raise Cancelled

    with pytest.raises(Cancelled):
        measure_latency(made, np.zeros((1, 3)), clock=clock, check=stop)


def test_real_files_are_measured_in_the_runtime():
    bundle = tiny_bundle("mlp")
    file, x = onnx_bytes(bundle), inputs_for(bundle, 1).numpy()
    pair = compare_files(file, file, x, threads=1, rounds=4)
    assert pair.baseline.unit == "ms"
    assert pair.change.difference.unit == "x"
    assert latency_of(file, x, threads=1, rounds=3).n == 3


def test_the_shares_of_time_add_up_to_one(tiny_cnn):
    owners = kernel_owners(tiny_cnn.deployable())
    shares = profile_layers(onnx_bytes(tiny_cnn), inputs_for(tiny_cnn, 1).numpy(), owners, runs=3)
    assert sum(shares.values()) == pytest.approx(1)
    assert set(shares) == {*owners.values(), ""}
    assert all(share >= 0 for share in shares.values())
    assert shares["conv1"] > 0
