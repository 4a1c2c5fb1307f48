"""Variants run from where they differ give what they give when they are run as a whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from optim.layers.rewrite import replace_weights, weights_of
from optim.measure.costs import model_costs, variant_costs
from optim.measure.evaluate import runner_of
from optim.measure.variants import Variants
from optim.models.bundle import TorchModel
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, inputs_for, tiny_bundle
from tests.optim.graph.graphs import bundle_of, recurrent


def changed(bundle, layer):
    weight = weights_of(bundle.module)[layer]
    return bundle.with_module(replace_weights(bundle.module, {layer: weight * 0.5}))


def checked(bundle, variants):
    """Run variants together and each on its own; return what was shared."""
    together, x = Variants(bundle, variants), inputs_for(bundle, 6)
    own, others = together.outputs(x)
    np.testing.assert_array_equal(own, runner_of(bundle)(x))
    for variant, found in zip(variants, others, strict=True):
        np.testing.assert_allclose(found, runner_of(variant)(x), rtol=0, atol=1e-6)
    return together


@pytest.mark.parametrize(
    "family", ["resnet", "mobilenet", "vit", "mlp", "cnn-1d", "cells", "detector"]
)
def test_every_layer_changed_alone(family):
    bundle = tiny_bundle(family)
    variants = [changed(bundle, layer) for layer in weights_of(bundle.module)]
    assert checked(bundle, [*variants, bundle]).computed < 0.75


class Branches(torch.nn.Module):
    """One branch is computed while the other waits for an activation that writes into it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(12, 12), torch.nn.Linear(12, 12)
        self.act, self.head = torch.nn.SiLU(inplace=True), torch.nn.Linear(12, 4)

    def forward(self, x):
        waiting = self.first(x)
        other = self.second(x)
        return self.head(self.act(waiting) + other)


def test_what_is_written_in_place_spoils_no_other_variant():
    bundle = tiny_bundle("mlp")
    bundle = replace(bundle, content=TorchModel(Branches().eval(), None))
    x = inputs_for(bundle, 6)
    expected = bundle.module(x.clone()).detach().numpy()
    variants = [changed(bundle, layer) for layer in weights_of(bundle.module)]
    together = Variants(bundle, [*variants, *variants])
    for _ in range(2):
        own, others = together.outputs(x)
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-6)
        for variant, found in zip([*variants, *variants], others, strict=True):
            np.testing.assert_allclose(found, variant.module(x.clone()).detach(), atol=1e-6)


def test_channels_gone_bits_gone_and_quantizers_in_between():
    bundle = tiny_bundle("resnet")
    context = context_for(bundle)
    groups = ("conv1", "layer2.0.conv1", "layer3.0.conv1")
    steps = [
        *(PruneChannels(pruning_ratio=0, layers={group: 0.5}) for group in groups),
        Quantize(weight_bits="float", activation_bits="float", layers={"linear": 3}),
        Quantize(),
    ]
    variants = [step.apply(bundle, context).bundle for step in steps]
    checked(bundle, variants)
    # And around a model that has quantizers itself, of which one gets another grid.
    checked(variants[-1], [Quantize(activation_bits=4).apply(bundle, context).bundle, bundle])


def test_an_onnx_graph_is_run_as_a_whole():
    graph = bundle_of(recurrent(), (6, 5))
    assert checked(graph, [graph]).computed == 1.0


def test_what_is_known_already_is_not_computed(monkeypatch):
    bundle = tiny_bundle("resnet")
    last = changed(bundle, "linear")
    run = Variants(bundle, [last] * 3)
    calls = []
    convolve = torch.nn.Conv2d.forward
    monkeypatch.setattr(
        torch.nn.Conv2d, "forward", lambda self, x: calls.append(1) or convolve(self, x)
    )
    run.outputs(inputs_for(bundle, 2))
    assert len(calls) == sum(cost.kind == "conv" for cost in model_costs(bundle))


@pytest.mark.parametrize("family", ["resnet", "mobilenet", "vit", "cnn-1d", "cells"])
def test_costs_of_a_variant_are_those_it_would_be_counted_with(family):
    bundle = tiny_bundle(family)
    context = context_for(bundle)
    pruned = PruneChannels(pruning_ratio=0.5).apply(bundle, context).bundle
    assert variant_costs(model_costs(bundle), pruned) == model_costs(pruned)


def test_a_transposed_convolution_has_its_outputs_in_the_second_axis(tiny_cnn):
    def costs(inputs, outputs):
        module = torch.nn.Sequential(torch.nn.ConvTranspose2d(inputs, outputs, 3))
        bundle = replace(tiny_cnn, content=replace(tiny_cnn.content, module=module.eval()))
        spec = replace(bundle.spec, shape=(inputs, 8, 8))
        return replace(bundle, spec=spec)

    wide, narrow = costs(4, 10), costs(2, 6)
    assert variant_costs(model_costs(wide), narrow) == model_costs(narrow)
