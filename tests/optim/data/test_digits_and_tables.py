"""Data sets that come with scikit-learn."""

import numpy as np
import pytest
from sklearn import datasets

from optim.data import open_data, overlap, trained_on

PARTS = ("train", "validation", "test")


def test_digits_are_all_there_scaled_to_bytes():
    source, labels = datasets.load_digits(return_X_y=True)
    data = open_data("digits")
    for part in PARTS:
        samples = data.part(part)
        # 255 k / 16 to the nearest, halves up, as 16 strokes of a pen make full white.
        expected = np.floor(source[samples.ids] * 255 / 16 + 0.5)
        np.testing.assert_array_equal(samples.inputs.reshape(-1, 64), expected)
        np.testing.assert_array_equal(samples.targets, labels[samples.ids])


@pytest.mark.parametrize("name", ["breast-cancer", "wine"])
def test_train_columns_have_mean_zero_and_deviation_one(name):
    inputs = open_data(name).part("train").inputs
    np.testing.assert_allclose(inputs.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(inputs.std(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["breast-cancer", "wine"])
def test_other_columns_are_scaled_like_train(name):
    source, _ = getattr(datasets, f"load_{name.replace('-', '_')}")(return_X_y=True)
    data = open_data(name)
    train, test = source[data.part("train").ids], source[data.part("test").ids]
    expected = (test - train.mean(axis=0)) / train.std(axis=0)
    np.testing.assert_allclose(data.part("test").inputs, expected, atol=1e-4)


def test_malignant_is_the_first_class():
    data = open_data("breast-cancer")
    malignant = sum(int(np.sum(data.part(part).targets == 0)) for part in PARTS)
    assert data.task.class_names[0] == "malignant"
    assert malignant == 212


@pytest.mark.parametrize("name", ["digits", "breast-cancer", "wine"])
def test_another_seed_may_report_on_what_was_trained_on(name):
    one, other = open_data(name), open_data(f"{name}?seed=1")
    shared = np.intersect1d(one.part("train").ids, other.part("test").ids)
    assert len(shared)
    assert overlap(other, "test", trained_on(one)) == "seen"
    assert overlap(one, "test", trained_on(one)) == "unseen"
