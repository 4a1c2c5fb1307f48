"""Parameters and multiply-accumulates in closed form, of modules and of files."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from optim.export.deploy import onnx_bytes
from optim.layers.graph import trace
from optim.measure.costs import model_costs, static_costs
from optim.measure.graph_costs import graph_costs, graph_layer_costs
from optim.measure.macs import einsum_macs, layer_costs, parameters_in
from optim.models.bundle import TorchModel
from optim.models.interface import Interface
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, tiny_bundle
from tests.optim.graph.graphs import recurrent
from tests.optim.models.convert.graphs import graph, node, values


def only(module, shape):
    (cost,) = layer_costs(module.eval(), shape)
    return cost.params, cost.macs, cost.activations


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 5), (1, 1), (784, 300)])
def test_a_dense_layer(inputs, outputs, bias):
    module = nn.Sequential(nn.Linear(inputs, outputs, bias=bias))
    assert only(module, (inputs,)) == (
        inputs * outputs + outputs * bias,
        inputs * outputs,
        outputs,
    )


def test_a_dense_layer_on_tokens_costs_once_a_token():
    assert only(nn.Sequential(nn.Linear(6, 4)), (10, 6))[1] == 10 * 6 * 4


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_convolution(kernel, stride, groups):
    layer = nn.Conv2d(4, 8, kernel, stride, kernel // 2, groups=groups, bias=False)
    side = (16 + stride - 1) // stride
    weights = 8 * 4 // groups * kernel**2
    assert only(nn.Sequential(layer), (4, 16, 16)) == (
        weights,
        weights * side**2,
        8 * side**2,
    )


def test_a_depthwise_convolution_costs_one_filter_a_channel():
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    assert only(nn.Sequential(layer), (8, 10, 10))[:2] == (72, 72 * 100)


def test_a_series():
    layer = nn.Conv1d(2, 6, 5, stride=2, padding=2)
    assert only(nn.Sequential(layer), (2, 20)) == (66, 60 * 10, 60)


def test_a_folded_norm_costs_its_bias_only():
    module = nn.Sequential(nn.Conv2d(2, 3, 1, bias=False), nn.BatchNorm2d(3))
    assert only(module, (2, 4, 4))[:2] == (6 + 3, 6 * 16)


def test_attention_counts_its_products(tiny_transformer):
    costs = layer_costs(tiny_transformer.module, tiny_transformer.spec.shape)
    products = [cost.macs for cost in costs if cost.kind == "matmul"]
    assert products == [16 * 16 * 16] * 2  # 16 tokens, 16 features in all heads


class Products(nn.Module):
    def __init__(self, equation):
        super().__init__()
        self.equation = equation

    def forward(self, x):
        return torch.einsum(self.equation, x, x)


@pytest.mark.parametrize(
    "equation", ["bij,bkj->bik", "b i j, b k j -> b i k", "...ij,...kj->...ik", "...ij,...kj"]
)
def test_a_sum_of_products_has_a_mac_for_each_combination_of_indices(equation):
    (cost,) = layer_costs(Products(equation), (6, 8))
    assert (cost.kind, cost.macs) == ("einsum", 6 * 6 * 8)


def test_a_sum_of_products_in_a_file_is_counted_alike():
    model = graph([node("Einsum", "x w", equation="... i j, jk -> ...ik")], (6, 8), w=values(8, 5))
    assert graph_costs(model.SerializeToString())[1].value == 6 * 8 * 5
    (cost,) = graph_layer_costs(model)
    assert (cost.kind, cost.macs) == ("einsum", 6 * 8 * 5)


def computed_sizes(operator="Abs"):
    """Two products behind a reshape to the input's own sizes, which inference cannot follow."""
    return graph(
        [
            node("Shape", "x", "sizes"),
            node(operator, "sizes", "same"),
            node("Reshape", "x same", "r"),
            node("Transpose", "r", "t", perm=[0, 2, 1]),
            node("MatMul", "r t", "p"),
            node("MatMul", "p w"),
        ],
        (6, 8),
        w=values(6, 5),
    )


@pytest.mark.parametrize("interface", [None, Interface("x")], ids=["declared", "told"])
def test_sizes_that_inference_loses_are_those_of_a_run(interface):
    model = computed_sizes()
    by_hand = 6 * 8 * 6 + 6 * 6 * 5
    _, macs, _ = graph_costs(model.SerializeToString(), interface, (6, 8))
    assert (macs.value, macs.how) == (by_hand, "measured")
    assert [c.macs for c in graph_layer_costs(model, interface, (6, 8))] == [6 * 8 * 6, 6 * 6 * 5]


def test_sizes_that_neither_inference_nor_a_run_tells_make_an_estimate():
    model = computed_sizes("Mystery")
    model.graph.node[1].domain = "somebody"
    model.opset_import.append(helper.make_opsetid("somebody", 1))
    assert graph_costs(model.SerializeToString(), Interface("x"), (6, 8))[1].how == "estimated"


def test_axes_of_an_ellipsis_are_broadcast_and_one_factor_multiplies_nothing():
    assert einsum_macs("...ij,...jk->...ik", [(7, 1, 2, 3), (5, 3, 4)]) == 7 * 5 * 2 * 3 * 4
    assert einsum_macs("ij->ji", [(3, 4)]) == 0


@pytest.mark.parametrize("batch", ["N", 4])
def test_recurrent_layers_of_a_fixed_batch_cost_as_much_a_sample(batch):
    model = recurrent(batch=batch)
    interface = Interface("x", batch=4 if batch == 4 else 0)
    expected = 6 * 2 * 32 * (5 + 8) + 16 * 4
    assert graph_costs(model.SerializeToString(), interface, (6, 5))[1].value == expected
    assert sum(c.macs for c in graph_layer_costs(model, interface, (6, 5))) == expected


def test_zeros_cost_as_much_as_other_weights(bundle, context):
    sparse = PruneWeights(sparsity=0.9).apply(bundle, context).bundle
    shape = bundle.spec.shape
    assert [c.macs for c in layer_costs(sparse.module, shape)] == [
        c.macs for c in layer_costs(bundle.module, shape)
    ]


def test_a_file_has_the_macs_of_the_model_it_came_from(bundle):
    costs = layer_costs(bundle.module, bundle.spec.shape)
    params, macs, sparsity = graph_costs(onnx_bytes(bundle))
    shortcuts = sum(
        m.in_channels * m.out_channels
        for m in bundle.module.modules()
        if type(m).__name__ == "ChannelPadShortcut"
    )
    if shortcuts:  # written as a convolution of zeros and ones
        assert macs.value > sum(c.macs for c in costs)
    else:
        assert macs.value == sum(c.macs for c in costs)
        assert sparsity.value == pytest.approx(0, abs=1e-3)
    assert params.value >= sum(c.params for c in costs)


def test_a_quantized_file_is_counted_as_well(tiny_mlp):
    quantized = Quantize(samples=32).apply(tiny_mlp, context_for(tiny_mlp)).bundle
    expected = sum(c.macs for c in layer_costs(tiny_mlp.module, tiny_mlp.spec.shape))
    assert graph_costs(onnx_bytes(quantized))[1].value == expected


def test_counting_changes_nothing(bundle):
    before = torch.get_rng_state()
    layer_costs(bundle.module, bundle.spec.shape)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("norm", ["batch", "group", "layer", "none"])
def test_what_stands_behind_a_norm_is_counted_in_a_file_as_well(norm):
    bundle = tiny_bundle("resnet")
    architecture = bundle.content.architecture.replace(normalisation=norm)
    module = architecture.build(bundle.spec.shape, 4).eval()
    bundle = replace(bundle, content=TorchModel(module, architecture))
    _, macs, _ = graph_costs(onnx_bytes(bundle))
    own = sum(cost.macs for cost in model_costs(bundle))
    assert own <= macs.value < 1.03 * own, "a file has convolutions in place of its shortcuts"
    assert macs.how == "measured"


def test_work_whose_size_nobody_tells_makes_the_count_an_estimate():
    """Nothing is inferred behind an operator of somebody else's."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w"], ["a"]),
            helper.make_node("Mystery", ["a"], ["b"], domain="somebody"),
            helper.make_node("Gemm", ["b", "w"], ["c"]),
        ],
        "g",
        [value("x", TensorProto.FLOAT, [1, 4])],
        [onnx.ValueInfoProto(name="c")],
        [numpy_helper.from_array(np.ones((4, 4), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.opset_import.append(helper.make_opsetid("somebody", 1))
    _, macs, _ = graph_costs(model.SerializeToString())
    assert (macs.value, macs.how) == (16, "estimated")


def test_parameters_are_all_that_is_learned(tiny_transformer):
    """Norms and the embedding of positions as well; a norm that is folded away is no more."""
    traced = trace(tiny_transformer.module)
    expected = sum(p.numel() for p in tiny_transformer.module.parameters())
    assert static_costs(tiny_transformer)[0].value == parameters_in(traced) == expected
    assert expected > sum(cost.params for cost in model_costs(tiny_transformer))
    cnn = tiny_bundle("resnet")
    norms = sum(m.num_features for m in cnn.module.modules() if isinstance(m, nn.BatchNorm2d))
    own = sum(p.numel() for p in cnn.module.parameters())
    assert static_costs(cnn)[0].value == own - norms  # a bias is left of factor and shift
