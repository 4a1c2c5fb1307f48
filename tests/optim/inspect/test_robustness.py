"""Both models meet the same worse samples, and averages are what the samples say."""

from dataclasses import replace

import numpy as np
import pytest

from optim.data.dataset import Samples
from optim.data.preview import picture
from optim.errors import ConfigError
from optim.inspect import robustness
from optim.inspect.corruptions import corrupted, extent_of
from optim.inspect.pair import Pair, pair_of
from optim.inspect.robustness import _compared, under_corruption
from optim.measure.evaluate import predict
from optim.quantity import How
from optim.recipe import Recipe
from optim.subject import open_subject, subject_of
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from tests.helpers import data_for, tiny_bundle

TWO = ("noise", "contrast")


def pair(family, **data):
    """Return a tiny model and what half of its weights and four bits make of it."""
    bundle = tiny_bundle(family)
    subject = subject_of(bundle, data_for(bundle, **data))
    recipe = (
        Recipe("tiny", "tiny")
        .with_step(PruneWeights(sparsity=0.5))
        .with_step(Quantize(weight_bits=4, samples=32))
    )
    return pair_of(recipe, subject)


@pytest.fixture(scope="module")
def looks():
    """All that is told of a residual network on pictures, in order."""
    one = pair("resnet")
    return one, list(under_corruption(one, TWO, samples=48))


def test_clean_samples_come_first_then_one_corruption_after_the_other(looks):
    _, found = looks
    assert [len(one.cells) for one in found] == [0, 5, 10]
    assert [one.is_complete for one in found] == [False, False, True]
    last = found[-1]
    assert [cell.severity for cell in last.cells] == [1, 2, 3, 4, 5] * 2
    assert [a.corruption for a in last.averages] == ["noise", "contrast", ""]
    assert {name: len(shown) for name, shown in last.pictures.items()} == {
        "noise": 6,
        "contrast": 6,
    }
    assert len(set(last.pictures["contrast"])) == 6


def test_a_cell_is_what_both_models_say_of_the_same_worse_samples(looks):
    one, found = looks
    samples = one.samples(48)
    worse = replace(
        samples, inputs=corrupted(np.asarray(samples.inputs), "contrast", 4, (one.subject.seed, 0))
    )
    before, after = predict(one.original, worse), predict(one.result, worse)
    (cell,) = (c for c in found[-1].cells if (c.corruption, c.severity) == ("contrast", 4))
    assert cell.before == before.accuracy()
    assert cell.after == after.accuracy()
    assert cell.change == after.against(before)


@pytest.fixture
def pictures():
    """Eight float pictures in 0..1; the first and the last ones are dim."""
    inputs = np.random.default_rng(0).random((8, 3, 32, 32), np.float32)
    inputs[[0, 6, 7]] *= 0.1
    return Samples(inputs, np.zeros(8, np.int64), np.arange(8))


def test_the_noise_of_a_picture_does_not_depend_on_the_piece_it_is_in(pictures, monkeypatch):
    monkeypatch.setattr(robustness, "_NUMBERS", 6 * 3 * 32 * 32)
    extent = extent_of(pictures.inputs)
    moved = robustness._worse(pictures, "noise", 5, 0, extent).inputs - pictures.inputs
    assert moved[6:].std() == pytest.approx(moved[0].std(), rel=0.05)


def test_the_picture_shown_is_the_one_that_is_measured(pictures):
    extent = extent_of(pictures.inputs)
    worse = robustness._worse(pictures, "noise", 5, 0, extent)
    ends = extent.low, extent.high
    (*_, shown) = robustness._pictures(pictures, "noise", 0, extent)["noise"]
    assert shown == picture(worse.inputs[0], ends=ends)["image"]


def test_averages_are_means_over_severities_and_the_worst_class_is_among_them(looks):
    _, found = looks
    last = found[-1]
    for average in last.averages:
        cells = [c for c in last.cells if average.corruption in ("", c.corruption)]
        for side in ("before", "after"):
            mean = np.mean([getattr(cell, side).value for cell in cells])
            assert getattr(average, side).value == pytest.approx(mean)
        difference = np.mean([cell.change.difference.value for cell in cells])
        assert average.change.difference.value == pytest.approx(difference)
        assert average.worst.after.value <= average.after.value


def test_a_class_that_is_always_missed_has_an_interval_all_the_same():
    shares = np.zeros((2, 36))
    before, after, change = _compared(shares, How.MEASURED)
    assert before.value == after.value == change.difference.value == 0
    assert before.low == 0
    assert 0.05 < before.high < 0.15
    assert not change.difference.is_exact
    both = _compared(np.ones((2, 36)), How.MEASURED)[0]
    assert both.high == 1 > both.low > 0.85


def test_series_get_noise_and_the_others_say_why_not():
    *_, last = under_corruption(pair("cnn-1d"), samples=32)
    assert set(last.left_out) == {"blur", "contrast"}
    assert {cell.corruption for cell in last.cells} == {"noise"}
    assert last.is_complete
    assert last.pictures == {}


def test_detectors_are_judged_by_their_own_figure_and_have_no_classes():
    *_, last = under_corruption(pair("detector"), ("contrast",), samples=16)
    assert last.metric == "map"
    assert last.averages == ()
    assert "several objects" in last.missing
    assert all(cell.worst is None for cell in last.cells)


def test_a_model_beside_itself_changes_nothing():
    bundle = tiny_bundle("mlp")
    subject = subject_of(bundle, data_for(bundle))
    *_, last = under_corruption(Pair(subject, bundle, bundle), ("noise",), samples=32)
    assert all(average.change.difference.value == 0 for average in last.averages)


def test_made_inputs_cannot_get_worse():
    subject = open_subject(Recipe("breast-cancer-mlp", "generated?samples=16"))
    with pytest.raises(ConfigError, match="made for the model"):
        next(under_corruption(Pair(subject, subject.bundle, subject.bundle)))


def test_an_unknown_corruption_is_named(looks):
    with pytest.raises(ConfigError, match="got 'rain'"):
        next(under_corruption(looks[0], ("rain",)))
