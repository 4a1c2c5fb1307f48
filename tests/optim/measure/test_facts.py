"""The model card says what a file is, and survives that the file becomes a module."""

import json
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from optim.data import Outputs
from optim.measure.facts import facts
from optim.measure.graph_costs import graph_costs
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.models.file_facts import FileFacts
from optim.models.onnx_file import open_onnx
from tests.helpers import tiny_bundle
from tests.optim.models.convert.graphs import graph, node, values, whole


@pytest.fixture
def opened(tmp_path):
    def write(model):
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        return open_onnx(tmp_path / "m.onnx")

    return write


def unusual():
    """Foreign operators, 16-bit and dead weights, an operator that rounds, a loop's sister."""
    branch = helper.make_graph(
        [node("Mul", "a k", "b")], "b", [], [helper.make_tensor_value_info("b", 1, None)]
    )
    nodes = [
        node("Cast", "x", "h", to=TensorProto.FLOAT16),
        node("MatMul", "h w", "m"),
        node("Cast", "m", "f", to=TensorProto.FLOAT),
        helper.make_node("Gelu", ["f"], ["a"], domain="com.microsoft"),
        node("If", "yes", "y", then_branch=branch, else_branch=branch),
    ]
    model = graph(
        nodes,
        (3,),
        w=values(3, 2).astype(np.float16),
        dead=values(5, 7),
        yes=np.array(True),
        k=values(2),
    )
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def test_what_is_unusual_is_said(opened):
    said = " | ".join(facts(opened(unusual())).file.unusual)
    assert "it uses operators of 'com.microsoft': Gelu" in said
    assert "it decides at run time what is computed, which MACs leave out: 1 If" in said
    assert "6 of its weights are 16-bit floats" in said
    assert "nothing reads 1 of its constants, 140 bytes" in said, "branches read 'k'"


def test_an_ordinary_file_has_nothing_unusual(opened):
    known = facts(opened(graph(node("Gemm", "x w"), (5,), w=values(5, 3))))
    assert known.file.unusual == ()
    assert (known.lane, known.task.kind, known.task.n_classes) == ("trainable", "classification", 3)
    assert (known.params.value, known.macs.value) == (15, 15)
    assert known.file.opset == 17
    assert [tensor.used for tensor in known.file.inputs] == [(1, 5)]


def test_facts_survive_the_checkpoint_and_json(opened, tmp_path):
    bundle = opened(graph(node("Gemm", "x w"), (5,), w=values(5, 3)))
    loaded = load_checkpoint(save_checkpoint(bundle, tmp_path / "m.safetensors"))
    assert facts(loaded).to_json() == facts(bundle).to_json()
    plain = json.loads(json.dumps(facts(bundle).to_json(), allow_nan=False))
    assert plain == facts(bundle).to_json()
    assert FileFacts.from_json(plain["file"]) == bundle.provenance.file


def test_the_card_can_be_read(opened):
    text = facts(opened(graph(node("Conv", "x w"), (3, 6, 5), w=values(2, 3, 1, 1)))).text()
    assert "dense outputs, judged by fidelity to the original" in text
    assert "'x': float32 1 x 3 x 6 x 5 (declared N x 3 x 6 x 5), samples" in text
    assert "180 MACs for a sample" in text


def test_a_model_of_the_zoo_has_a_card_without_a_file():
    known = facts(tiny_bundle("mlp"))
    assert known.file is None
    assert known.to_json()["n_classes"] == 4
    assert "4 classes" in known.text()
    assert "other outputs" in facts(replace(tiny_bundle("mlp"), task=Outputs())).text()


def test_sizes_that_are_free_count_as_they_are_run(opened):
    model = graph(node("Conv", "x w"), (3, 6, 5), w=values(2, 3, 1, 1))
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"side{axis}"
    bundle = opened(model)
    file, interface = model.SerializeToString(), bundle.provenance.file
    assert bundle.spec.shape == (3, 224, 224)
    assert interface.inputs[0].declared == ("N", "3", "side2", "side3")
    assert facts(bundle).macs.value == 2 * 3 * 224 * 224
    unsettled = graph_costs(file)[1]
    assert (unsettled.value, unsettled.how) == (2 * 3, "estimated"), "unknown, they count as one"


def test_weights_in_branches_and_nodes_are_counted():
    body = helper.make_graph(
        [node("MatMul", "x w", "b")],
        "b",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values(3, 2), "w")],
    )
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(values(2), "c")),
        node("If", "yes", "i", then_branch=body, else_branch=body),
        node("Add", "i c"),
    ]
    model = graph(nodes, (3,), yes=np.array(True), unused=whole(1, 2))
    assert graph_costs(model.SerializeToString())[0].value == 1 + 2 + 2 + 6 + 6
