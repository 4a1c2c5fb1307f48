"""Files as exporters of other frameworks write them, rebuilt by hand."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from optim.layers.channels import find_channels
from optim.layers.graph import kind_of, nodes_of
from optim.models.convert.converter import takes_channels_last
from optim.models.convert.parity import runtime_outputs
from optim.models.onnx_file import open_onnx
from optim.runtime.session import InferenceSession
from tests.helpers import assert_similar
from tests.optim.models.convert.graphs import (
    assert_converts,
    graph,
    layers_of,
    node,
    values,
    whole,
)

TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def kinds(module):
    return [kind_of(n) for n in nodes_of(module) if n.op not in ("placeholder", "output")]


def keras(*, classes=3):
    """A residual network as tf2onnx writes it without its optimiser: channels last between layers.

    Biases, batch norm taken apart, padding and the mean over positions are all channels last.
    """
    nodes = [
        node("Transpose", "x", "x_first", perm=TO_FIRST),
        node("Conv", "x_first k1", "c1_first", name="net/conv1/Conv2D", auto_pad="SAME_UPPER"),
        node("Transpose", "c1_first", "c1", perm=TO_LAST),
        node("Add", "c1 net/conv1/bias", "b1"),
        node("Relu", "b1", "r1"),
        node("Pad", "r1 pads", "p"),
        node("Transpose", "p", "p_first", perm=TO_FIRST),
        node("Conv", "p_first k2", "c2_first", name="net/conv2/Conv2D"),
        node("Transpose", "c2_first", "c2", perm=TO_LAST),
        node("Mul", "c2 scale", "m2"),
        node("Add", "m2 shift", "n2"),
        node("Clip", "n2 zero six", "a2"),
        node("Add", "a2 r1", "sum"),
        node("ReduceMean", "sum", "mean", axes=[1, 2], keepdims=0),
        node("MatMul", "mean net/dense/MatMul/ReadVariableOp:0", "d", name="net/dense/MatMul"),
        node("Add", "d dense_bias", "y"),
    ]
    model = graph(
        nodes,
        (6, 5, 3),
        opset=13,
        k1=values(4, 3, 3, 3),
        k2=values(4, 4, 3, 3, seed=1),
        pads=whole(0, 1, 1, 0, 0, 1, 1, 0),
        scale=values(4, seed=2),
        shift=values(4, seed=3),
        zero=np.array(0, np.float32),
        six=np.array(6, np.float32),
        dense_bias=values(classes, seed=4),
    )
    for name, array in (
        ("net/conv1/bias", values(4, seed=5)),
        ("net/dense/MatMul/ReadVariableOp:0", values(4, classes, seed=6)),
    ):
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def test_layers_between_transpositions_are_plain_layers_again():
    module = assert_converts(keras(), times=3)
    assert kinds(module) == [
        *("permute", "conv", "relu", "pad", "conv", "relu6", "add", "global_avg_pool", "flatten"),
        "linear",
    ]
    layers = layers_of(module)
    assert {"net.conv1", "net.conv2", "net.dense"} <= layers.keys()
    assert layers["net.dense"].bias is not None
    (group,) = find_channels(module, (6, 5, 3)).groups
    assert set(group.makers) == {"net.conv1", "net.conv2"}


def test_an_image_with_channels_last_is_taken_with_channels_first(tmp_path):
    model = keras()
    model.graph.output[0].type.tensor_type.shape.dim.add(dim_param="N")
    model.graph.output[0].type.tensor_type.shape.dim.add(dim_value=3)
    (tmp_path / "k.onnx").write_bytes(model.SerializeToString())
    assert takes_channels_last(model)
    bundle = open_onnx(tmp_path / "k.onnx")
    assert bundle.spec.shape == (3, 6, 5)
    assert "channels first" in bundle.provenance.note
    assert "permute" not in kinds(bundle.module)
    x = torch.rand(4, 3, 6, 5)
    expected = runtime_outputs(model.SerializeToString(), x.permute(0, 2, 3, 1).contiguous())
    with torch.no_grad():
        assert_similar(bundle.module(x), torch.from_numpy(expected), times=3)
    graph = open_onnx(tmp_path / "k.onnx", as_graph=True)
    assert graph.spec.shape == (3, 6, 5)
    session = InferenceSession.open(graph.content.onnx, 1, graph.interface)
    np.testing.assert_allclose(session.run(x.numpy()), expected, atol=1e-5)


def test_channels_first_stays_channels_first():
    model = graph(node("Conv", "x w"), (3, 6, 4), w=values(2, 3, 3, 3))
    assert not takes_channels_last(model)


def test_a_branch_keeps_what_it_needs_in_its_own_layout():
    """What reads values by their place must see them where the file puts them."""
    nodes = [
        node("Transpose", "x", "t", perm=TO_LAST),
        node("Relu", "t", "r"),
        node("Reshape", "r flat"),
    ]
    module = assert_converts(graph(nodes, (4, 3, 2), opset=13, flat=whole(0, -1)))
    assert kinds(module) == ["relu", "permute", "flatten"]


def cntk(opset=7):
    """MNIST as CNTK writes it: Plus with ``(C, 1, 1)``, Times as MatMul of a reshaped weight."""
    nodes = [
        node("Reshape", "w_stored w_shape", "w", name="Times212_reshape1"),
        node("Conv", "x k", "c", name="Convolution28", auto_pad="SAME_UPPER", strides=[1, 1]),
        node("Add", "c k_bias", "a", name="Plus30"),
        node("Relu", "a", "r", name="ReLU32"),
        node("MaxPool", "r", "p", name="Pooling66", kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", "p p_shape", "f", name="Times212_reshape0"),
        node("MatMul", "f w", "t", name="Times212"),
        node("Add", "t t_bias", "y", name="Plus214"),
    ]
    return graph(
        nodes,
        (1, 8, 8),
        opset=opset,
        batch=1,
        as_inputs=True,
        w_stored=values(4, 4, 4, 10),
        w_shape=whole(64, 10),
        k=values(4, 1, 5, 5, seed=1),
        k_bias=values(4, 1, 1, seed=2),
        p_shape=whole(1, 64),
        t_bias=values(1, 10, seed=3),
    )


@pytest.mark.parametrize("opset", [7, 8, 12])
def test_sums_and_products_are_biases_and_dense_layers(opset):
    module = assert_converts(cntk(opset), times=3)
    assert kinds(module) == ["conv", "relu", "max_pool", "flatten", "linear"]
    layers = layers_of(module)
    assert layers["Convolution28"].bias is not None
    assert layers["Times212"].bias is not None
    assert layers["Times212"].in_features == 64


def caffe2():
    """An old classifier: everything declared twice, dropout with a mask, flatten by Reshape."""
    nodes = [
        node("Conv", "x conv1__w conv1__b".replace("__", "."), "c", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "c s b m v", "n", spatial=1, momentum=0.9),
        node("PRelu", "n slope", "a"),
        node("AveragePool", "a", "p", kernel_shape=[6, 5]),
        node("Dropout", "p", "d d_mask", ratio=0.5),
        node("Reshape", "d target", "f"),
        node("Gemm", "f fc.w fc.b", "g", transB=1),
        node("Softmax", "g", "y"),
    ]
    return graph(
        nodes,
        (3, 6, 5),
        opset=8,
        batch=1,
        as_inputs=True,
        conv1__w=values(4, 3, 3, 3),
        conv1__b=values(4),
        s=values(4, seed=1),
        b=values(4, seed=2),
        m=values(4, seed=3),
        v=values(4, seed=4, low=0.5),
        slope=values(4, 1, 1, seed=5),
        target=whole(1, -1),
        fc__w=values(5, 4, seed=6),
        fc__b=values(5, seed=7),
    )


def test_an_old_file_keeps_its_batch_norm_and_its_names():
    module = assert_converts(caffe2(), times=3)
    layers = layers_of(module)
    assert isinstance(layers["conv1"], nn.Conv2d)
    assert isinstance(layers["fc"], nn.Linear)
    assert kinds(module) == [
        *("conv", "batch_norm", "prelu", "avg_pool", "flatten", "linear", "softmax")
    ]


def test_constants_may_be_nodes():
    weight = numpy_helper.from_array(values(2, 3, 3, 3), "")
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weight),
        node("Constant", "", "low", value_float=0.0),
        node("Conv", "x w", "c", name="stem/Conv"),
        node("Clip", "c low"),
    ]
    module = assert_converts(graph(nodes, (3, 6, 5), opset=13))
    assert kinds(module) == ["conv", "relu"]
    assert module.get_submodule("stem").weight.requires_grad


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_weights_of_other_precision_become_float32(kind):
    stored = values(2, 3, 3, 3).astype(helper.tensor_dtype_to_np_dtype(kind))
    nodes = [
        node("Cast", "stored", "w", to=TensorProto.FLOAT),
        node("Conv", "x w", name="stem/Conv"),
    ]
    module = assert_converts(graph(nodes, (3, 6, 5), stored=stored))
    assert module.stem.weight.dtype == torch.float32
    assert isinstance(module.stem.weight, nn.Parameter)


def test_a_weight_that_two_nodes_read_becomes_two_layers():
    nodes = [
        node("MatMul", "x w", "a"),
        node("Relu", "a", "r"),
        node("MatMul", "r w", "b"),
        node("Add", "b bias"),
    ]
    module = assert_converts(graph(nodes, (5,), w=values(5, 5), bias=values(5)))
    first, _, second = layers_of(module).values()
    assert torch.equal(first.weight, second.weight)
    assert first.weight is not second.weight
    assert (first.bias is None, second.bias is None) == (True, False)


def test_a_network_for_one_image_counts_samples_apart():
    """Attention heads of a file with a batch of 1: reshapes say 1 where they mean the batch."""
    nodes = [
        node("Reshape", "x split", "s"),
        node("Transpose", "s", "q", perm=[0, 2, 1, 3]),
        node("Transpose", "s", "k", perm=[0, 2, 3, 1]),
        node("MatMul", "q k", "scores"),
        node("Softmax", "scores", "shares"),
        node("MatMul", "shares q", "mixed"),
        node("Transpose", "mixed", "back", perm=[0, 2, 1, 3]),
        node("Reshape", "back joined"),
    ]
    constants = {"split": whole(1, 5, 2, 4), "joined": whole(1, 5, 8)}
    module = assert_converts(graph(nodes, (5, 8), opset=13, batch=1, **constants), samples=4)
    assert "softmax" in kinds(module)


def test_samples_that_are_not_the_first_dimension_are_followed():
    """Tokens first, samples second, as torch's attention has them; written for one sample."""
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        node("Reshape", "t rows", "r"),
        node("Gemm", "r w", "g"),
        node("Reshape", "g apart", "a"),
        node("Transpose", "a", perm=[1, 0, 2]),
    ]
    constants = {"rows": whole(5, 8), "apart": whole(5, 1, 6), "w": values(8, 6)}
    module = assert_converts(graph(nodes, (5, 8), opset=13, batch=1, **constants), samples=4)
    assert "linear" in kinds(module)
