"""What sums of 16 bits cost: a model whose answer they turn, and one that keeps it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from optim.data import Classification, Samples
from optim.measure.saturation import saturation_of
from optim.models.bundle import TorchModel
from optim.models.input_spec import InputSpec
from optim.quantity import How
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, data_for, tiny_bundle


@pytest.fixture(scope="module")
def turned():
    """A layer whose first output is the larger one, unless the sum of its one pair is cut.

    The second multiplies as large weights by as large inputs, and never two of them in one pair.
    """
    module = nn.Linear(4, 2, bias=False).eval()
    weight = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.8, 0.0, 0.8, 0.0]])
    module.weight = nn.Parameter(weight)
    plain = replace(
        tiny_bundle("mlp"),
        content=TorchModel(nn.Sequential(module)),
        spec=InputSpec((4,)),
        task=Classification(("ash", "birch")),
    )
    inputs = np.ones((32, 4), np.float32) * np.linspace(0.8, 1, 32, dtype=np.float32)[:, None]
    samples = Samples(inputs, np.zeros(32, np.int64), np.arange(32))
    sizes = dict.fromkeys(("train", "validation", "test"), len(samples))
    # Steps calibrate on nothing that is of one class alone; ranges come from inputs.
    mixed = replace(samples, targets=np.arange(32) % 2)
    data = replace(data_for(plain), parts=sizes, load=lambda part: mixed)
    return plain, context_for(plain, data=data), samples


def test_a_class_turns_and_reduced_range_turns_it_back(turned):
    plain, context, samples = turned
    whole = Quantize(samples=32, calibration="minmax").apply(plain, context).bundle
    reduced = Quantize(samples=32, calibration="minmax", reduce_range=True).apply(plain, context)
    found = saturation_of(whole, samples, reduced.bundle)
    assert found.exact.value == 1.0
    assert found.saturated.value == 0.0
    assert found.agreement.value == 0.0
    assert found.change.direction == "worse"
    assert found.reduced.value == 1.0
    assert found.may_saturate
    figures = (found.exact, found.saturated, found.reduced, found.change.difference)
    assert {figure.how for figure in figures} == {How.SIMULATED}


def test_a_model_in_floating_point_loses_nothing(turned):
    plain, _, samples = turned
    found = saturation_of(plain, samples)
    assert found.at_risk == {}
    assert found.saturated == found.exact
    assert found.reduced is None


def test_samples_without_labels_are_judged_by_agreement(turned):
    plain, context, samples = turned
    whole = Quantize(samples=32, calibration="minmax").apply(plain, context).bundle
    blind = replace(samples, targets=np.full(32, -1))
    found = saturation_of(whole, blind)
    assert found.metric == "agreement"
    assert found.exact is None
    assert found.saturated.value == 0.0
