"""The graph that trains computes what is simulated, and learns by the published gradients."""

import copy
import math

import pytest
import torch
from torch import nn

from optim.layers.graph import kind_of, trace
from optim.layers.grid import Grid
from optim.layers.quantized_graph import integer_inputs, simulated_graph
from optim.layers.rewrite import norm_layers, weights_of
from optim.layers.table import CompressionTable, QuantizedEdge, QuantizedWeight
from optim.layers.training_graph import (
    LearnedEdge,
    LearnedWeight,
    TrainedLayer,
    learned_table,
    training_graph,
)
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, inputs_for, outputs_of, tiny_bundle

SETTINGS = {
    "8 bits": {},
    "3 bits": {"weight_bits": 3, "activation_bits": 4},
    "ternary": {"weight_bits": "ternary"},
    "one scale a tensor": {"weight_bits": 4, "granularity": "per_tensor"},
    "groups": {"weight_bits": 3, "granularity": "per_group", "group_size": 8},
    "affine": {"weight_bits": 4, "weight_scheme": "affine", "activation_scheme": "symmetric"},
    "16 bits": {"weight_bits": 16, "activation_bits": 16},
    "weights alone": {"weight_bits": 2, "activation_bits": "float"},
    "activations alone": {"weight_bits": "float", "activation_bits": 4},
}


@pytest.fixture(params=SETTINGS)
def quantized(request, bundle, context):
    """A tiny model of each family under several quantizations."""
    return Quantize(samples=32, **SETTINGS[request.param]).apply(bundle, context).bundle


@pytest.fixture
def narrow(bundle, context):
    """A tiny model of each family at few bits."""
    return Quantize(samples=32, **SETTINGS["3 bits"]).apply(bundle, context).bundle


def train(traced, x, steps=3, rate=0.05):
    """Learn a few steps of something."""
    traced.train()
    optimizer = torch.optim.SGD(traced.parameters(), lr=rate)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(traced(x), torch.arange(len(x)) % 4)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(traced.parameters(), 1.0)
        optimizer.step()
    traced.eval()
    return loss


def test_it_computes_what_is_simulated_in_training_as_well(quantized):
    x = inputs_for(quantized)
    traced = training_graph(copy.deepcopy(quantized.module), quantized.table)
    for mode in (False, True):
        with torch.no_grad():
            assert torch.equal(traced.train(mode)(x), outputs_of(quantized, x))


def test_after_training_what_was_learned_is_what_is_simulated(quantized):
    x = inputs_for(quantized)
    module = copy.deepcopy(quantized.module)
    traced = training_graph(module, quantized.table)
    train(traced, x)
    table = learned_table(traced, quantized.table)
    with torch.no_grad():
        found, expected = traced(x), simulated_graph(module.eval(), table)(x)
    assert torch.equal(found, expected)
    assert not torch.equal(found, outputs_of(quantized, x)), "something was learned"


def test_without_any_grid_it_is_the_module_with_frozen_statistics(bundle):
    module = copy.deepcopy(bundle.module)
    traced = training_graph(module, CompressionTable())
    x = inputs_for(bundle)
    with torch.no_grad():
        assert torch.equal(traced.train()(x), outputs_of(bundle, x))


def test_every_parameter_of_the_module_learns_and_no_statistic_changes(narrow):
    module = copy.deepcopy(narrow.module)
    buffers = {name: b.clone() for name, b in module.named_buffers()}
    traced = training_graph(module, narrow.table)
    own = {id(p) for p in traced.parameters()}
    assert all(id(p) in own for p in module.parameters())
    train(traced, inputs_for(narrow), steps=1)
    idle = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle
    assert all(torch.equal(b, buffers[name]) for name, b in module.named_buffers())


@pytest.mark.parametrize("name", SETTINGS)
def test_every_step_of_8_bits_or_less_is_learned_and_stays_above_zero(name, tiny_cnn):
    step = Quantize(samples=32, **SETTINGS[name])
    quantized = step.apply(tiny_cnn, context_for(tiny_cnn)).bundle
    traced = training_graph(copy.deepcopy(quantized.module), quantized.table)
    x = inputs_for(quantized)
    nn.functional.cross_entropy(traced(x), torch.arange(len(x)) % 4).backward()
    grids = [m for m in traced.modules() if isinstance(m, LearnedWeight | LearnedEdge)]
    assert len(grids) == len(quantized.table.weights) + len(quantized.table.edges)
    assert all((m.scale.grad is not None) == (m.grid.bits <= 8) for m in grids)
    scales = [m.scale for m in grids]
    assert all(torch.isfinite(s.grad).all() for s in scales if s.grad is not None)
    with torch.no_grad():
        for scale in scales:
            scale.fill_(-1.0)
        table = learned_table(traced, quantized.table)
        assert torch.isfinite(traced(x)).all()
    for name, entry in table.weights.items():
        torch.testing.assert_close(entry.scale, 0.01 * quantized.table.weights[name].scale)
    assert all(edge.scale > 0 for edge in table.edges.values())


def test_a_step_can_learn_by_what_is_clipped_alone():
    """With values inside the range only, LSQ moves the step and PACT does not."""
    grid = Grid.for_activations(2, False)
    found = {}
    for by_clipping in (False, True):
        for value in (0.7, 9.0):
            edge = LearnedEdge("x", QuantizedEdge(grid, 0.5, 0), by_clipping)
            edge(torch.tensor([[value]])).sum().backward()
            found[by_clipping, value] = float(edge.scale.grad)
    share = 1 / math.sqrt(grid.qmax)
    assert found[False, 0.7] == pytest.approx((1 - 0.7 / 0.5) * share)
    assert found[True, 0.7] == 0
    assert found[True, 9.0] == found[False, 9.0] == pytest.approx(3 * share)


def test_a_copy_is_on_its_own(narrow):
    x = inputs_for(narrow)
    traced = training_graph(copy.deepcopy(narrow.module), narrow.table)
    twin = copy.deepcopy(traced)
    train(traced, x)
    with torch.no_grad():
        assert torch.equal(twin.eval()(x), outputs_of(narrow, x))
        twin.load_state_dict(traced.state_dict())
        assert torch.equal(twin(x), traced(x))


def test_masked_weights_get_nothing_from_a_grid_without_zero_points(tiny_cnn):
    context = context_for(tiny_cnn)
    sparse = PruneWeights(sparsity=0.6).apply(tiny_cnn, context).bundle
    for bits in (3, "ternary"):
        quantized = Quantize(weight_bits=bits, samples=32).apply(sparse, context).bundle
        traced = training_graph(copy.deepcopy(quantized.module), quantized.table)
        for name, mask in quantized.table.masks.items():
            layer = traced.get_submodule(name)
            assert not layer.quantizer(layer.folded()[0])[~mask].any()


def test_biases_are_rounded_where_integer_kernels_add_them(tiny_cnn):
    bundle = Quantize(samples=32).apply(tiny_cnn, context_for(tiny_cnn)).bundle
    traced = training_graph(copy.deepcopy(bundle.module), bundle.table)
    layers = {n: m for n, m in traced.named_modules() if isinstance(m, TrainedLayer)}
    assert layers.keys() == weights_of(bundle.module).keys()
    expected = integer_inputs(bundle.deployable(), bundle.table)
    assert {n for n, layer in layers.items() if layer.source is not None} == expected.keys()


def test_a_norm_that_stands_alone_keeps_its_statistics():
    class Alone(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.fc = nn.BatchNorm1d(6), nn.Linear(6, 4)

        def forward(self, x):
            return self.fc(self.norm(x))

    module = Alone().eval()
    assert "batch_norm" in [kind_of(node) for node in trace(module).graph.nodes]
    x = torch.randn(8, 6)
    traced = training_graph(module, CompressionTable())
    with torch.no_grad():
        assert torch.equal(traced.train()(x), simulated_graph(module, CompressionTable())(x))
    train(traced, x)
    assert not module.norm.running_mean.any()
    assert not torch.equal(module.norm.weight, torch.ones(6))


# --- gradients ----------------------------------------------------------------------------------


def test_the_gradients_of_a_weight_by_hand():
    grid = Grid.for_weights(3, True, "per_channel")
    entry = QuantizedWeight(grid, torch.tensor([1.0]), torch.zeros(1, dtype=torch.int32))
    weight = torch.tensor([[0.3, -1.8, 5.0, -9.0]], requires_grad=True)
    learned = LearnedWeight(entry, weight.detach())
    out = learned(weight)
    assert out.tolist() == [[0.0, -2.0, 3.0, -4.0]]
    out.sum().backward()
    assert weight.grad.tolist() == [[1.0, 1.0, 0.0, 0.0]]
    slope = (0 - 0.3) + (-2 + 1.8) + 3 - 4
    assert learned.scale.grad.item() == pytest.approx(slope / math.sqrt(4 * 3), rel=1e-5)


def test_the_gradients_of_an_activation_by_hand():
    edge = LearnedEdge("x", QuantizedEdge(Grid.for_activations(2, False), 0.5, 1))
    x = torch.tensor([[0.2, 0.6, 4.0, -3.0]], requires_grad=True)
    out = edge(x)
    assert out.tolist() == [[0.0, 0.5, 1.0, -0.5]]
    out.backward(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    assert x.grad.tolist() == [[1.0, 2.0, 0.0, 0.0]]
    slope = (0 - 0.4) * 1 + (1 - 1.2) * 2 + 2 * 3 - 1 * 4
    assert edge.scale.grad.item() == pytest.approx(slope / math.sqrt(4 * 3), rel=1e-5)


def test_learning_the_step_alone_lowers_the_rounding_error():
    torch.manual_seed(0)
    weight = torch.randn(6, 40)
    scale, zero = torch.full((6,), 2.0), torch.zeros(6, dtype=torch.int32)
    entry = QuantizedWeight(Grid.for_weights(3, True, "per_channel"), scale, zero)
    learned = LearnedWeight(entry, weight)
    optimizer = torch.optim.SGD(learned.parameters(), lr=0.1)
    errors = []
    for _ in range(60):
        error = (learned(weight) - weight).square().sum()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.4 * errors[0]


def test_integers_that_a_method_chose_are_where_training_starts():
    weight = torch.tensor([[0.9, -0.2, 0.1]])
    chosen = torch.tensor([[0, -1, 0]], dtype=torch.int8)
    entry = QuantizedWeight(
        Grid.for_weights(4, True, "per_channel"),
        torch.tensor([1.0]),
        torch.zeros(1, dtype=torch.int32),
        chosen,
    )
    learned = LearnedWeight(entry, weight)
    assert learned(weight).tolist() == [[0.0, -1.0, 0.0]]
    again = learned.quantized(weight + 0.7)
    assert again.codes.tolist() == [[1, 0, 1]]
    assert again.codes.dtype == torch.int8


def test_ternary_models_keep_three_values_while_they_learn():
    bundle = tiny_bundle("resnet")
    quantized = Quantize(weight_bits="ternary").apply(bundle, context_for(bundle)).bundle
    module = copy.deepcopy(quantized.module)
    traced = training_graph(module, quantized.table)
    train(traced, inputs_for(bundle))
    simulated = simulated_graph(module.eval(), learned_table(traced, quantized.table))
    for name in weights_of(module):
        for channel in simulated.get_parameter(f"{name}.weight"):
            assert len(channel.unique()) <= 3
    assert norm_layers(module)
