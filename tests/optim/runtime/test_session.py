"""Loading and running files: every failure is ours, with a sentence."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from optim.errors import ExportError, MeasurementError
from optim.export.deploy import onnx_bytes
from optim.runtime.session import InferenceSession, runtime_name
from tests.helpers import tiny_bundle


def model(inputs, op="Identity"):
    graph = helper.make_graph(
        [helper.make_node(op, [name for name, _ in inputs][:1], ["y"])],
        "g",
        [helper.make_tensor_value_info(name, kind, ["N", 2]) for name, kind in inputs],
        [helper.make_tensor_value_info("y", inputs[0][1], ["N", 2])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("data", [b"", b"\x00", b"no file", bytes(1000)])
def test_what_is_no_model_is_refused(data):
    with pytest.raises(ExportError, match="cannot load the model"):
        InferenceSession.open(data)


def test_an_unknown_operator_is_refused():
    with pytest.raises(ExportError, match=r"cannot load the model: .*Frobnicate"):
        InferenceSession.open(model([("x", TensorProto.FLOAT)], op="Frobnicate"))


def test_one_float_input_is_needed():
    with pytest.raises(MeasurementError, match="one float32 input is needed"):
        InferenceSession.open(model([("x", TensorProto.INT64)]))
    with pytest.raises(MeasurementError, match=r"a: tensor.*b: tensor"):
        InferenceSession.open(model([("a", TensorProto.FLOAT), ("b", TensorProto.FLOAT)]))


def test_inputs_of_another_shape_are_refused():
    session = InferenceSession.open(onnx_bytes(tiny_bundle("mlp")))
    with pytest.raises(MeasurementError, match=r"failed on inputs of shape \(2, 7\)"):
        session.run(np.zeros((2, 7), np.float32))


def test_the_session_knows_its_input():
    session = InferenceSession.open(onnx_bytes(tiny_bundle("resnet")), threads=1)
    assert session.input_shape == (3, 16, 16)
    assert session.threads == 1


def test_the_runtime_says_its_version():
    assert runtime_name() == f"ONNX Runtime {onnxruntime.__version__}"
