"""Where blocks begin and end, and what learning them changes."""

from itertools import pairwise

import torch
from torch import nn

from optim.layers.block_rounding import blocks_of, reconstructed
from optim.layers.graph import COMPUTE, kind_of, trace
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, tiny_bundle


def layers_of(block):
    return [str(node.target) for node in block.nodes if kind_of(node) in COMPUTE]


def test_a_residual_block_is_one_and_its_activation_belongs_to_it(tiny_cnn):
    blocks = blocks_of(trace(tiny_cnn.module))
    assert layers_of(blocks[0]) == ["conv1"]
    assert layers_of(blocks[1]) == ["layer1.0.conv1", "layer1.0.conv2"]
    assert layers_of(blocks[-1]) == ["linear"]
    assert kind_of(blocks[0].result) == kind_of(blocks[1].result) == "relu"
    assert kind_of(blocks[-1].nodes[0]) == "global_avg_pool", "judged by more than means"


def test_blocks_are_all_of_the_network_and_fit_together(bundle):
    traced = trace(bundle.module)
    blocks = blocks_of(traced)
    nodes = [node for block in blocks for node in block.nodes]
    skipped = ("placeholder", "output", "get_attr")
    assert nodes == [node for node in traced.graph.nodes if node.op not in skipped]
    for before, after in pairwise(blocks):
        assert after.source is before.result
    assert all(layers_of(block) for block in blocks)


def test_a_network_without_weights_is_one_block():
    blocks = blocks_of(trace(nn.Sequential(nn.ReLU(), nn.Sigmoid()).eval()))
    assert len(blocks) == 1
    assert len(blocks[0].nodes) == 2


def test_what_has_several_results_is_left_at_its_end():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x):
            x = torch.relu(self.first(x))
            return self.a(x), self.b(x)

    blocks = blocks_of(trace(Two().eval()))
    assert [block.result is None for block in blocks] == [False, True]


def test_steps_of_activations_are_learned_and_the_module_stays():
    bundle = tiny_bundle("lenet-5")
    context = context_for(bundle)
    table = (
        Quantize(weight_bits=3, activation_bits=3, samples=32).apply(bundle, context).bundle.table
    )
    before = {name: t.clone() for name, t in bundle.module.state_dict().items()}
    found = reconstructed(
        bundle.module,
        table,
        context.calibration(32)[0],
        iterations=20,
        batch_size=8,
        generator=torch.Generator().manual_seed(0),
    )
    assert all(torch.equal(t, before[name]) for name, t in bundle.module.state_dict().items())
    assert any(found.edges[name].scale != edge.scale for name, edge in table.edges.items())
    for name, entry in found.weights.items():
        weight = trace(bundle.module).get_parameter(f"{name}.weight").detach()
        off = (entry.apply(weight) - weight).abs().flatten(1) / entry.scale[:, None]
        inside = table.weights[name].apply(weight).flatten(1) - weight.flatten(1)
        clipped = inside.abs() / entry.scale[:, None] > 0.5001
        assert (off[~clipped] <= 1.0001).all(), "up or down, no further"
