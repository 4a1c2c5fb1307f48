"""Tracing, folding, labelling, and copies that share."""

import copy

import pytest
import torch
from torch import nn

from optim.errors import UnsupportedModelError
from optim.layers.graph import (
    fork,
    kind_of,
    nodes_of,
    propagate_shapes,
    trace,
    with_parameters,
)
from optim.layers.shortcut import ChannelPadShortcut
from tests.helpers import assert_similar, inputs_for


def test_the_deployed_form_computes_the_same(bundle):
    x = inputs_for(bundle)
    with torch.inference_mode():
        assert_similar(trace(bundle.module)(x), bundle.module(x), times=10)


def test_no_batch_norm_is_left_behind_a_layer(bundle):
    kinds = [kind_of(node) for node in trace(bundle.module).graph.nodes]
    assert "batch_norm" not in kinds
    assert "identity" not in kinds
    unfolded = [kind_of(node) for node in trace(bundle.module, fold=False).graph.nodes]
    norms = [m for m in bundle.module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert unfolded.count("batch_norm") == len(norms)


def test_folding_by_hand():
    norm = nn.BatchNorm1d(1, eps=0.0)
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(3)
        layer.bias.fill_(1)
        norm.weight.fill_(2)
        norm.bias.fill_(0.5)
        norm.running_mean.fill_(4)
        norm.running_var.fill_(0.25)
    folded = trace(nn.Sequential(layer, norm).eval()).get_submodule("0")
    # 2 * (3 x + 1 - 4) / 0.5 + 0.5 = 12 x - 11.5
    assert folded.weight.item() == pytest.approx(12)
    assert folded.bias.item() == pytest.approx(-11.5)


def test_a_norm_without_factors_is_folded_as_well():
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, affine=False)).eval()
    module[1].running_mean.uniform_()
    module[1].running_var.uniform_(0.5, 2)
    x = torch.randn(2, 2, 4, 4)
    with torch.inference_mode():
        assert_similar(trace(module)(x), module(x))


def test_a_layer_that_is_used_twice_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

        def forward(self, x):
            return self.norm(self.fc(x)) + self.fc(x)

    module = Twice().eval()
    module.norm.running_mean.uniform_()
    x = torch.randn(4, 3)
    traced = trace(module)
    assert "batch_norm" in [kind_of(node) for node in traced.graph.nodes]
    with torch.inference_mode():
        assert_similar(traced(x), module(x))


def test_a_norm_whose_input_is_read_elsewhere_stays():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

        def forward(self, x):
            y = self.fc(x)
            return self.norm(y) + y

    module = Fork().eval()
    module.norm.running_mean.uniform_()
    x = torch.randn(4, 3)
    with torch.inference_mode():
        assert_similar(trace(module)(x), module(x))


def test_branching_on_values_is_refused_with_the_reason():
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(UnsupportedModelError, match="Branch cannot be traced") as caught:
        trace(Branch())
    assert "must not branch" in caught.value.hint


def test_the_graph_is_traced_once_and_shared_by_copies(tiny_cnn):
    node = nodes_of(tiny_cnn.module)[0]
    assert nodes_of(fork(tiny_cnn.module))[0] is node
    assert nodes_of(copy.deepcopy(tiny_cnn.module))[0] is node


def test_a_fork_shares_tensors_and_no_layers(tiny_cnn):
    copied = fork(tiny_cnn.module)
    assert copied.get_parameter("conv1.weight") is tiny_cnn.module.get_parameter("conv1.weight")
    copied.set_submodule("conv1", nn.Identity())
    assert isinstance(tiny_cnn.module.conv1, nn.Conv2d)


def test_a_layer_with_other_parameters_leaves_the_first_alone():
    layer = nn.Linear(2, 3)
    before = layer.weight
    other = with_parameters(layer, weight=torch.zeros(3, 2), bias=None)
    assert layer.weight is before
    assert layer.bias is not None
    assert other.bias is None
    assert not other.weight.any()


def test_shapes_are_those_of_one_sample(bundle):
    traced = trace(bundle.module)
    propagate_shapes(traced, bundle.spec.shape)
    x = torch.zeros(1, *bundle.spec.shape)
    output = next(node for node in traced.graph.nodes if node.op == "output")
    with torch.inference_mode():
        expected = tuple(traced(x).shape)
    assert output.all_input_nodes[0].meta["shape"] == expected


def shapes_of(module, input_shape):
    traced = trace(module)
    propagate_shapes(traced, input_shape)
    return [node.meta.get("shape") for node in traced.graph.nodes]


def test_shapes_of_a_structure_are_found_out_once(tiny_cnn, monkeypatch):
    found = shapes_of(tiny_cnn.module, tiny_cnn.spec.shape)
    monkeypatch.setattr("optim.layers.graph._ShapeWriter", None)
    other = copy.deepcopy(tiny_cnn.module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.neg_()
    assert shapes_of(other, tiny_cnn.spec.shape) == found


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3, stride=2)),
        (nn.Conv2d(1, 2, 3), nn.Conv2d(1, 3, 3)),
        (ChannelPadShortcut(1, 2, 1), ChannelPadShortcut(1, 2, 2)),
        (nn.MaxPool2d(2), nn.MaxPool2d(4)),
        (nn.Flatten(), nn.Flatten(2)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_shapes_of_another_structure_are_its_own(first, second):
    x = torch.zeros(1, 1, 8, 8)
    for layer in (first, second):
        module = nn.Sequential(layer).eval()
        assert shapes_of(module, (1, 8, 8))[-2] == tuple(module(x).shape)


def test_modules_are_inserted_behind_the_node_they_name(tiny_mlp):
    class Double(nn.Module):
        def forward(self, x):
            return 2 * x

    plain = trace(tiny_mlp.module)
    last = [n.name for n in plain.graph.nodes if kind_of(n) == "linear"][-1]
    x = inputs_for(tiny_mlp)
    with torch.inference_mode():
        assert_similar(trace(tiny_mlp.module, behind={last: Double()})(x), 2 * plain(x))
