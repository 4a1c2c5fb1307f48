import numpy as np
import pytest

from optim.devices.fitting import calibrate, cross_validate, fit
from optim.devices.folds import folds_of
from optim.devices.law import Law
from optim.devices.predict import interval, predict
from optim.devices.workload import Workload

N_MODELS = 24
SPEEDS = {"fast": 1.0, "slow": 4.0}


def made(device="fast", seed=0, noise=0.0):
    """Return rows of made-up models on one device, and their milliseconds: a roofline in sums."""
    generator = np.random.default_rng(seed)
    rows, times = [], []
    for _ in range(N_MODELS):
        macs = float(np.exp(generator.uniform(17, 23)))
        activations, params = macs / float(generator.uniform(50, 500)), macs / 100
        for threads in (1, 4):
            rows.append(
                Workload(
                    device=device,
                    device_class="sbc",
                    runtime="ncnn-cpu",
                    precision="fp32",
                    macs=macs,
                    params=params,
                    activations=activations,
                    threads=threads,
                    task="classification",
                    input_shape="1x3x224x224",
                )
            )
            ms = SPEEDS[device] * (1 + macs / 1e8 + 2 * activations / 1e6) / threads
            times.append(ms * np.exp(noise * generator.normal()))
    return rows, np.array(times)


@pytest.fixture(scope="module")
def measured():
    """Return rows, model names and milliseconds of two devices."""
    found = [made(device, noise=0.1) for device in SPEEDS]
    rows = [row for part, _ in found for row in part]
    models = [row.macs for row in rows]
    return rows, models, np.concatenate([times for _, times in found])


@pytest.fixture(scope="module")
def law(measured):
    rows, models, times = measured
    strata = ["ncnn-cpu"] * len(rows)
    by_model = folds_of(models, strata, 4)
    by_device = folds_of([row.device for row in rows], strata, 2)
    found = [cross_validate(rows, models, times, folds) for folds in (by_model, by_device)]
    return calibrate(fit(rows, models, times), rows, models, times, *found), found[0]


def test_a_roofline_is_found_again():
    rows, times = made()
    found = fit(rows, [row.macs for row in rows], times)
    seen, expected = made(seed=1)
    assert np.median(np.abs(np.exp(found(seen).log_ms) / expected - 1)) < 0.05


def test_models_that_were_kept_aside_are_predicted(measured, law):
    _, _, times = measured
    errors = np.abs(np.exp(law[1].log_ms) / times - 1)
    assert np.median(errors) < 0.15


def test_intervals_hold_four_times_in_five(measured, law):
    rows, _, times = measured
    low, high = interval(law[0], rows, law[1])
    off = np.log(times) - law[1].log_ms
    assert 0.7 < np.mean((low <= off) & (off <= high)) < 0.92


def test_an_unseen_device_has_its_class_and_a_wider_interval(law):
    row = made()[0][0]
    known, unknown = predict([row, Workload(**{**fields(row), "device": "unseen"})], law[0])
    assert known.validated
    assert not unknown.validated
    assert unknown.notes == ("not validated: nothing measured on this device was published",)
    assert width(unknown) > width(known)


def test_another_setting_of_a_device_is_related(law):
    row = made()[0][0]
    exact, other = predict([row, Workload(**{**fields(row), "threads": 3})], law[0])
    assert (exact.origin, other.origin) == ("measured", "related")
    assert width(other) >= width(exact)


def test_without_threads_the_most_that_were_measured_count(law):
    row = made()[0][1]
    assert row.threads == 4
    assert predict([Workload(**{**fields(row), "threads": None})], law[0]) == predict([row], law[0])


def test_larger_models_than_all_are_flagged(law):
    row = made()[0][0]
    inside, outside = predict([row, Workload(**{**fields(row), "macs": 1e13})], law[0])
    assert not inside.extrapolated
    assert outside.extrapolated
    assert width(outside) > 0.999 * width(inside)


def test_names_of_models_are_only_told_apart(measured):
    rows, models, times = measured
    renamed = [f"model {name}" for name in models]
    first, second = (fit(rows, names, times)(rows).log_ms for names in (models, renamed))
    np.testing.assert_allclose(first, second, rtol=1e-9)


def test_a_law_comes_back_from_its_file(law, measured, tmp_path):
    law[0].save(tmp_path / "law.npz")
    again = Law.load(tmp_path / "law.npz")
    assert predict(measured[0], again) == predict(measured[0], law[0])


def test_everything_may_be_missing(law):
    estimate = predict([Workload()], law[0])[0]
    assert 0 < estimate.latency.low <= estimate.latency.value <= estimate.latency.high < np.inf


def test_models_share_a_fold():
    names = ["a", "b", "a", "c", "b"]
    folds = folds_of(names, ["x"] * 5, 3)
    assert folds[0] == folds[2]
    assert folds[1] == folds[4]
    assert len(set(folds.tolist())) == 3


def fields(row):
    return {name: getattr(row, name) for name in row.__slots__}


def width(estimate):
    return estimate.latency.high / estimate.latency.low
