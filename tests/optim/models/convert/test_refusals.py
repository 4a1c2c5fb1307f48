"""What no module can hold is refused by operator and node, and kept as a graph."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from optim.errors import UnsupportedModelError
from optim.models.bundle import GraphModel
from optim.models.convert.converter import convert
from optim.models.convert.reader import MAX_NODES
from optim.models.onnx_file import open_onnx
from tests.helpers import data_for, tiny_bundle
from tests.optim.models.convert.graphs import graph, node, values, whole

IMAGE = (4, 6, 5)


def lstm():
    weights = {"w": values(1, 16, 5), "r": values(1, 16, 4)}
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        node("LSTM", "t w r", "_ h", name="rnn/lstm", hidden_size=4),
        node("Squeeze", "h axis"),
    ]
    nodes[1].output[0] = ""
    return graph(nodes, (3, 5), opset=13, axis=whole(0), **weights)


def branch():
    body = helper.make_graph(
        [node("Relu", "x", "r")],
        "then",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
    )
    nodes = [
        node("ReduceSum", "x", "s", keepdims=0),
        node("Cast", "s", "c", to=TensorProto.BOOL),
        node("If", "c", "y", name="gate", then_branch=body, else_branch=body),
    ]
    return graph(nodes, IMAGE, opset=13)


REFUSED = {
    "recurrent": (lstm, "LSTM 'rnn/lstm' is recurrent"),
    "control flow": (branch, "If 'gate' decides at run time"),
    "integers": (
        lambda: graph(
            [node("DynamicQuantizeLinear", "x", "q s z"), node("DequantizeLinear", "q s z")], IMAGE
        ),
        "DynamicQuantizeLinear 'q' stores integers",
    ),
    "unknown": (
        lambda: graph(node("Det", "x", name="volume"), (5, 5)),
        "Det 'volume' is an operator that cannot",
    ),
    "three dimensions": (
        lambda: graph(node("Conv", "x w", name="c"), (2, 4, 4, 4), w=values(2, 2, 3, 3, 3)),
        "Conv 'c' has 3 spatial dimensions",
    ),
    "weights of the input": (
        lambda: graph([node("Relu", "x", "w"), node("Conv", "x w", name="c")], IMAGE),
        "Conv 'c' computes its weights from the model's input",
    ),
    "across samples": (
        lambda: graph(node("ReduceMean", "x", name="m", axes=[0, 1]), IMAGE),
        "ReduceMean 'm' mixes the samples",
    ),
    "samples dropped": (
        lambda: graph(node("Gather", "x i", name="g", axis=0), IMAGE, i=np.array(0)),
        "Gather 'g' picks some of the samples",
    ),
    "statistics": (
        lambda: graph(
            node("BatchNormalization", "x a a a a", name="bn", training_mode=1), IMAGE, a=values(4)
        ),
        "BatchNormalization 'bn' is in training mode",
    ),
    "too much": (
        lambda: graph(
            [node("Expand", "one n", "e"), node("ReduceSum", "e", "s"), node("Mul", "x s")],
            IMAGE,
            one=np.array([1], np.float32),
            n=whole(2**40),
        ),
        r"computes 1,099,511,627,776 constants",
    ),
    "sizes that do not fit": (
        lambda: graph(node("Reshape", "x s", name="r"), IMAGE, s=whole(-1, 7)),
        "Reshape 'r' makes .* which does not fit",
    ),
    "an attribute of another kind": (
        lambda: graph(node("MaxPool", "x", name="p", kernel_shape="ab"), IMAGE),
        "MaxPool 'p' makes no sense here",
    ),
}


@pytest.mark.parametrize(("make", "why"), REFUSED.values(), ids=REFUSED)
def test_the_sentence_names_operator_and_node(make, why):
    with pytest.raises(UnsupportedModelError, match=why) as caught:
        convert(make())
    assert "\n" not in caught.value.message


def test_an_old_opset_is_refused():
    with pytest.raises(UnsupportedModelError, match="opset 6"):
        convert(graph(node("Relu", "x"), IMAGE, opset=6))


def test_a_constant_of_text_is_refused():
    model = graph(node("Relu", "x"), IMAGE)
    text = helper.make_tensor("t", TensorProto.STRING, [1], [b"a"])
    model.graph.node.insert(0, helper.make_node("Constant", [], ["t"], value=text))
    with pytest.raises(UnsupportedModelError, match="holds text"):
        convert(model)


def test_millions_of_nodes_are_refused_before_they_are_read():
    nodes = [node("Relu", "x", f"v{i}") for i in range(MAX_NODES + 1)]
    with pytest.raises(UnsupportedModelError, match="50,001 nodes"):
        convert(graph(nodes, IMAGE))


def test_a_value_that_is_read_before_it_is_made_is_refused():
    nodes = [node("Add", "x b", "a", name="loop"), node("Relu", "a", "b"), node("Relu", "b")]
    with pytest.raises(UnsupportedModelError, match="Add 'loop' reads 'b' before"):
        convert(graph(nodes, IMAGE))


def declared(model, classes):
    """Declare an output of classes, as a classifier does."""
    shape = model.graph.output[0].type.tensor_type.shape
    shape.dim.add(dim_param="N")
    shape.dim.add(dim_value=classes)
    return model


def test_a_recurrent_classifier_is_kept_as_a_graph_with_the_reason(tmp_path):
    (tmp_path / "l.onnx").write_bytes(declared(lstm(), 4).SerializeToString())
    bundle = open_onnx(tmp_path / "l.onnx")
    assert isinstance(bundle.content, GraphModel)
    assert "LSTM 'rnn/lstm' is recurrent" in bundle.provenance.note
    with pytest.raises(UnsupportedModelError, match="is recurrent"):
        _ = bundle.module


def test_what_the_runtime_cannot_run_is_refused(tmp_path):
    model = declared(graph(node("Flatten", "x", "f"), (2, 2)), 4)
    made = helper.make_node("Own", ["f"], ["y"], domain="own.operators")
    model.graph.node.append(made)
    model.opset_import.append(helper.make_opsetid("own.operators", 1))
    (tmp_path / "o.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedModelError, match="ONNX Runtime cannot run the file"):
        open_onnx(tmp_path / "o.onnx")


def test_a_module_that_computes_something_else_is_not_taken(tmp_path, monkeypatch):
    """The comparison is what decides, not the converter."""
    model = declared(graph(node("Gemm", "x w"), (5,), w=values(5, 3)), 3)
    (tmp_path / "g.onnx").write_bytes(model.SerializeToString())

    def wrong(*args, **kwargs):
        made = convert(*args, **kwargs)
        made.module.linear.weight.data[0, 0] += 0.1
        return made

    monkeypatch.setattr("optim.models.onnx_file.convert", wrong)
    bundle = open_onnx(tmp_path / "g.onnx")
    assert isinstance(bundle.content, GraphModel)
    assert "as a module, its outputs differ" in bundle.provenance.note


def test_module_and_file_are_compared_on_the_data_as_well(tmp_path):
    bundle = tiny_bundle("mlp")
    model = declared(graph(node("Gemm", "x w"), (12,), w=values(12, 4)), 4)
    (tmp_path / "g.onnx").write_bytes(model.SerializeToString())
    opened = open_onnx(tmp_path / "g.onnx", data_for(bundle))
    assert "4 random inputs and 16 samples" in opened.provenance.note
    assert opened.task == bundle.task, "as many classes as the data: their names"


def test_free_sizes_are_those_of_the_data(tmp_path):
    bundle = tiny_bundle("resnet")
    nodes = [
        node("Conv", "x w", "c"),
        node("GlobalAveragePool", "c", "p"),
        node("Flatten", "p"),
    ]
    model = declared(graph(nodes, (3, 16, 16), w=values(4, 3, 3, 3)), 4)
    for axis in (2, 3):
        dim = model.graph.input[0].type.tensor_type.shape.dim[axis]
        dim.Clear()
        dim.dim_param = f"side{axis}"
    (tmp_path / "f.onnx").write_bytes(model.SerializeToString())
    alone = open_onnx(tmp_path / "f.onnx")
    assert alone.spec.shape == (3, 224, 224)
    assert "samples are taken as 3x224x224" in alone.provenance.note
    assert open_onnx(tmp_path / "f.onnx", data_for(bundle)).spec.shape == (3, 16, 16)


def test_a_damaged_constant_is_refused():
    model = graph(node("Gemm", "x w"), (5,), w=values(5, 3))
    model.graph.initializer[0].raw_data = b"\0" * 7
    with pytest.raises(UnsupportedModelError, match="'w' is damaged"):
        convert(model)


def test_functions_of_the_file_are_unfolded():
    function = helper.make_function(
        "own", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], [helper.make_opsetid("", 17)]
    )
    call = helper.make_node("Twice", ["x"], ["y"], domain="own")
    model = graph(call, IMAGE)
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    assert [n.op for n in convert(model).module.graph.nodes] == [
        "placeholder",
        "call_function",
        "output",
    ]


def test_a_sparse_constant_is_refused():
    dense = numpy_helper.from_array(values(2), "v")
    positions = numpy_helper.from_array(whole(0, 3), "i")
    model = graph(node("Relu", "x"), IMAGE)
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(dense, positions, [5]))
    with pytest.raises(UnsupportedModelError, match="sparse"):
        convert(model)
