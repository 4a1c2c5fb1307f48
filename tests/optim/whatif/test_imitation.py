"""Teacher and student: shares by hand, outcomes that cover every sample, samples that exist."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from optim.errors import ConfigError
from optim.techniques.distill import Distill
from optim.whatif.imitation import _softened, imitation, sample


def test_softened_shares_are_those_of_the_softmax():
    found = _softened(np.array([[math.log(1), math.log(4)]]), 1.0)
    assert found[0].tolist() == pytest.approx([0.2, 0.8])
    found = _softened(np.array([[math.log(1), math.log(4)]]), 2.0)
    assert found[0].tolist() == pytest.approx([1 / 3, 2 / 3])


def test_large_outputs_do_not_overflow():
    assert _softened(np.array([[1e4, 0.0]], dtype=np.float32), 1.0)[0].tolist() == [1.0, 0.0]


def test_every_sample_has_one_outcome(engine, recipe):
    found = imitation(engine, recipe)
    counts = {name: outcome["count"] for name, outcome in found["outcomes"].items()}
    assert sum(counts.values()) == len(engine.workbench(recipe).samples)
    same = counts["both_right"] + counts["both_wrong"]
    assert found["agreement"]["value"] <= same / sum(counts.values()) + 1e-9
    change = 100 * (counts["student_wins"] - counts["student_fails"]) / sum(counts.values())
    assert found["change"]["difference"]["value"] == pytest.approx(change)


def test_the_samples_of_an_outcome_have_that_outcome(engine, recipe):
    found = imitation(engine, recipe)["outcomes"]
    for index in found["student_fails"]["samples"][:5]:
        info = sample(engine, recipe, index, 1.0)
        assert info["teacher"]["choice"] == info["target"] != info["student"]["choice"]


def test_a_student_that_was_not_trained_is_named(engine, recipe):
    untrained = recipe.with_step(Distill(epochs=3), position=3)
    assert imitation(engine, untrained)["omitted"] == ["distill"]


def test_a_higher_temperature_leaves_more_to_other_classes(engine, recipe):
    cold, hot = (sample(engine, recipe, 0, t)["teacher"]["beside"] for t in (1.0, 8.0))
    assert hot > cold


def test_a_picture_is_that_of_the_sample(engine, recipe):
    info = sample(engine, recipe, 3, 1.0)
    picture = Image.open(io.BytesIO(base64.b64decode(info["picture"])))
    expected = engine.workbench(recipe).samples.inputs[3, 0]
    assert np.array_equal(np.asarray(picture), expected)
    assert info["values"] is None


@pytest.mark.parametrize("fields", [{"index": -1}, {"index": 10**6}, {"temperature": 0.0}])
def test_what_cannot_be_shown_is_refused_by_name(engine, recipe, fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        sample(engine, recipe, **{"index": 0, "temperature": 1.0, **fields})
