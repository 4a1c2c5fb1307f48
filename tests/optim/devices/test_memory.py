"""Peak memory: a law that is recovered from rows it made, and what an interpreter keeps."""

import numpy as np
import pytest

from optim.devices.fitting import ends_of
from optim.devices.folds import folds_of
from optim.devices.memory import MemoryLaw, levels_of, predict_memory, runtime_memory
from optim.devices.memory_fitting import (
    calibrate_memory,
    cross_validate_memory,
    fit_memory,
    fit_runtime_memory,
)
from optim.devices.workload import Workload

DEVICES = {"small": 4e6, "large": 6e7}
"""What the runtime of each device reserves, in bytes."""


def made(seed=0, models=60):
    """Return rows, models and peaks: what is reserved, times a power of the parameters."""
    rng = np.random.default_rng(seed)
    rows, names, peaks = [], [], []
    for model in range(models):
        params = float(np.exp(rng.uniform(13, 18)))
        for device, reserved in DEVICES.items():
            row = Workload(
                device, "phone_npu", "engine", "fp16", macs=50 * params, params=params,
                activations=params / 2, input_shape="1x3x224x224", task="classification",
            )  # fmt: skip
            rows.append(row)
            names.append(f"m{model}")
            peaks.append(reserved * (params / 1e6) ** 0.5 * np.exp(rng.normal(0, 0.1)))
    return rows, names, np.array(peaks)


@pytest.fixture(scope="module")
def calibrated():
    rows, names, peaks = made()
    strata = ["engine"] * len(rows)
    by = folds_of(names, strata, 5), folds_of([row.device for row in rows], strata, 2)
    found = [cross_validate_memory(rows, names, peaks, folds)[0] for folds in by]
    return calibrate_memory(fit_memory(rows, names, peaks), rows, names, peaks, *found)


def test_models_that_were_never_seen_are_predicted_on_every_device(calibrated):
    rows, _, peaks = made(seed=1)
    found = np.array([one.memory.value for one in predict_memory(rows, calibrated)])
    assert np.median(np.abs(found / peaks - 1)) < 0.15


def test_four_of_five_lie_in_the_interval(calibrated):
    rows, _, peaks = made(seed=2, models=150)
    found = [one.memory for one in predict_memory(rows, calibrated)]
    inside = [q.low <= peak <= q.high for q, peak in zip(found, peaks, strict=True)]
    assert 0.7 < np.mean(inside) < 0.92


def test_a_device_that_is_not_known_is_told_by_its_class_and_less_surely(calibrated):
    rows, _, _ = made()
    known, other, nothing = predict_memory(
        [
            rows[0],
            Workload("unseen", "phone_npu", "engine", "fp16", params=1e6),
            Workload("unseen", "cloud_gpu", "engine", "fp16", params=1e6),
        ],
        calibrated,
    )
    assert (known.origin, other.origin, nothing) == ("measured", "class", None)
    widths = [np.log(one.memory.high / one.memory.low) for one in (known, other)]
    assert widths[1] > 2 * widths[0]


def test_a_model_beyond_all_that_was_measured_takes_what_the_largest_took(calibrated):
    largest, beyond = (
        Workload("small", "phone_npu", "engine", "fp16", macs=m, params=p, activations=a)
        for m, p, a in ((4e9, 7e7, 4e7), (4e12, 7e10, 4e10))
    )
    found = [one.memory.value for one in predict_memory([largest, beyond], calibrated)]
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_a_law_is_the_same_once_it_was_saved_and_read(calibrated, tmp_path):
    calibrated.save(tmp_path / "law.npz")
    rows = made()[0][:4]
    again = predict_memory(rows, MemoryLaw.load(tmp_path / "law.npz"))
    for before, after in zip(predict_memory(rows, calibrated), again, strict=True):
        assert after.memory.value == pytest.approx(before.memory.value, rel=1e-4)
        assert after.memory.high == pytest.approx(before.memory.high, rel=1e-4)


def test_what_ships_tells_every_precision_of_a_published_phone_apart():
    rows = [
        Workload("Samsung Galaxy S24", "phone_npu", "qaihm-tflite", p, 4e9, 2.5e7, 1e7)
        for p in ("fp16", "w8a8")
    ]
    floats, integers = predict_memory(rows)
    assert floats.origin == integers.origin == "measured"
    assert 1e6 < integers.memory.value < floats.memory.value < 1e9


def test_names_of_levels_go_from_all_to_one_setting():
    row = Workload("A|B", "sbc", "r", "w8a8")
    assert levels_of(row)[0] == ""
    assert levels_of(row)[-1] == "device:A/B|r|int8"


# --- what an interpreter keeps ------------------------------------------------------------------


def test_every_term_of_an_interpreter_adds_memory():
    base = runtime_memory(10, 100_000, 50_000, "onnxruntime")
    assert base.low < base.value < base.high
    for more in ((20, 100_000, 50_000), (10, 200_000, 50_000), (10, 100_000, 100_000)):
        assert runtime_memory(*more, "onnxruntime").value > base.value
    other = runtime_memory(10, 100_000, 50_000, "other")
    assert other.value == base.value
    assert other.high / other.low > base.high / base.low


def test_an_interpreter_on_a_microcontroller_keeps_what_its_authors_report():
    """Visual wake words: an arena of 55.3 kB, and 26.5 kB that persist, of 31 operators."""
    found = runtime_memory(31, 0, 55_300, "micro")
    assert found.low < 81_800 < found.high


def test_constants_of_a_runtime_are_found_from_its_peaks():
    rng = np.random.default_rng(0)
    terms = np.column_stack(
        [np.ones(30), rng.integers(4, 100, 30), *10 ** rng.uniform(4, 7, (2, 30))]
    )
    truth = np.array([5e5, 1e4, 2.0, 1.5])
    constants, predicted, (low, high) = fit_runtime_memory(terms, terms @ truth)
    assert constants == pytest.approx(truth, rel=0.02)
    assert predicted == pytest.approx(terms @ truth, rel=0.05)
    assert low == pytest.approx(1, abs=0.05)
    assert high == pytest.approx(1, abs=0.05)


# --- intervals ----------------------------------------------------------------------------------


def test_a_model_of_many_rows_counts_as_one():
    """Nine models err by 1 to 9; one has a thousand rows that err by 100."""
    errors = np.r_[np.arange(1.0, 10.0), np.full(1000, 100.0)]
    models = [*range(9), *[9] * 1000]
    low, high = ends_of(errors, models)
    assert low < 2
    assert 9 < high <= 100
    assert ends_of(np.arange(1.0, 11.0), range(10))[0] == pytest.approx(low, abs=0.6)


def test_few_models_push_the_ends_out():
    draws = np.random.default_rng(0).normal(size=2000)
    many = ends_of(draws, range(2000))
    few = ends_of(
        np.repeat(np.quantile(draws, np.linspace(0.05, 0.95, 10)), 200),
        np.repeat(range(10), 200).tolist(),
    )
    assert few[1] - few[0] > many[1] - many[0]
