"""What the page of the sensor asks: windows played one by one, and accuracy under noise."""

from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from optim.errors import ConfigError
from optim.recipe import Recipe
from optim.subject import subject_of
from optim.techniques import TECHNIQUES
from optim.whatif.engine import Engine, Workbench
from optim.whatif.stream import LEVELS, _noisy, _rounded, noise_curve, stream
from tests.helpers import data_for, tiny_bundle

RECIPE = Recipe("tiny", "tiny").with_step(TECHNIQUES["prune_weights"](sparsity=0.9))


def engine_of(family):
    engine, bundle = Engine(), tiny_bundle(family)
    bench = Workbench(subject_of(bundle, data_for(bundle)), engine)
    engine.workbench = lambda recipe: bench
    return engine


@pytest.fixture(scope="module")
def engine():
    return engine_of("cnn-1d")


def test_every_window_has_a_choice_and_a_time_of_both_models(engine):
    ticks = count()
    found = stream(engine, RECIPE, 0.0, clock=lambda: 0.5 * next(ticks))
    assert found["length"] == 128
    shown = len(found["windows"]["targets"])
    assert shown == 60
    for model in ("original", "compressed"):
        assert len(found[model]["choices"]) == shown
        assert found[model]["times_ms"] == [500.0] * shown


def test_choices_are_those_that_the_model_makes_without_the_stream(engine):
    bench = engine.workbench(RECIPE)
    original = bench.prepare(replace(RECIPE, entries=()), draft=False)
    known = bench.joined(original, bench.n_chunks).classes[:60].tolist()
    assert stream(engine, RECIPE, 0.0)["original"]["choices"] == known


def test_noise_changes_what_is_heard_and_the_seed_keeps_it(engine):
    clean, noisy, again = (stream(engine, RECIPE, level) for level in (0.0, 2.0, 2.0))
    assert clean["windows"]["values"] != noisy["windows"]["values"]
    assert noisy["windows"] == again["windows"]


@pytest.fixture
def uneven():
    """Two channels of very different size, in more windows than are played."""
    x = np.random.default_rng(0).standard_normal((400, 2, 64)).astype(np.float32)
    x[60:] *= 3
    x *= np.array([[100.0], [1e-4]], np.float32)
    return SimpleNamespace(samples=SimpleNamespace(inputs=x), subject=SimpleNamespace(seed=0))


def test_noise_is_as_strong_in_every_channel_and_the_same_in_stream_and_curve(uneven):
    x = uneven.samples.inputs
    played, whole = (_noisy(uneven, slice(0, n), 0.5) for n in (60, 400))
    np.testing.assert_array_equal(played, whole[:60])
    strength = (whole - x).std((0, 2)) / x.std((0, 2))
    np.testing.assert_allclose(strength, 0.5, rtol=0.02)


@pytest.mark.parametrize("size", [1e-9, 1e-4, 1.0, 3e5])
def test_small_and_large_signals_keep_their_form_when_they_are_drawn(size):
    values = size * np.sin(np.arange(20.0))
    np.testing.assert_allclose(_rounded(values), values, atol=size / 1000)
    assert not _rounded(np.zeros(3)).any()


def test_the_curve_starts_at_the_accuracy_without_noise(engine):
    points = noise_curve(engine, RECIPE)["points"]
    assert [point["level"] for point in points] == list(LEVELS)
    bench = engine.workbench(RECIPE)
    compressed = bench.prepare(RECIPE, draft=False)
    known = bench.joined(compressed, bench.n_chunks).accuracy()
    assert points[0]["compressed"]["value"] == known.value
    assert points[0]["change"]["difference"]["n"] == known.n


def test_negative_noise_is_refused(engine):
    with pytest.raises(ConfigError, match="noise must be at least 0"):
        stream(engine, RECIPE, -1.0)


@pytest.mark.parametrize("family", ["resnet", "mlp", "detector"])
def test_what_takes_no_series_is_refused(family):
    with pytest.raises(ConfigError, match="does not tell classes of series"):
        stream(engine_of(family), RECIPE, 0.0)
