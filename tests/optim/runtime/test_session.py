"""Loading and running files: every failure is ours, with a sentence."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from optim.errors import ExportError, MeasurementError, MissingDependencyError
from optim.export.deploy import onnx_bytes
from optim.runtime import providers
from optim.runtime.providers import PROVIDERS
from optim.runtime.session import InferenceSession, runtime_name
from tests.helpers import inputs_for, tiny_bundle


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


def test_sums_of_integers_do_not_saturate_on_any_processor():
    """255 * 127 twice is more than 16 bits hold, in which AVX2 adds unless it is told not to."""
    node = helper.make_node
    numbers = {
        "s": np.float32(1),
        "zx": np.uint8(0),
        "w": np.full((8, 16), 127, np.int8),
        "z": np.int8(0),
        "sy": np.float32(4096),
    }
    nodes = [
        node("QuantizeLinear", ["x", "s", "zx"], ["qx"]),
        node("DequantizeLinear", ["qx", "s", "zx"], ["dx"]),
        node("DequantizeLinear", ["w", "s", "z"], ["dw"]),
        node("Gemm", ["dx", "dw"], ["g"], transB=1),
        node("QuantizeLinear", ["g", "sy", "zx"], ["qy"]),
        node("DequantizeLinear", ["qy", "sy", "zx"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()],
    )
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    found = InferenceSession.open(file).run(np.full((4, 16), 255, np.float32))
    assert (found == 4096 * round(255 * 127 * 16 / 4096)).all()


# --- levels and providers -----------------------------------------------------------------------


def test_every_level_of_rewriting_computes_the_same():
    bundle = tiny_bundle("resnet")
    file, x = onnx_bytes(bundle), inputs_for(bundle).numpy()
    plain = InferenceSession.open(file, level="off").run(x)
    for level in ("basic", "extended", "all"):
        np.testing.assert_allclose(
            InferenceSession.open(file, level=level).run(x), plain, atol=1e-5
        )


class Fallen:
    """Stands for ONNX Runtime's session where the libraries of the GPU are missing."""

    taken = "CPUExecutionProvider"

    def __init__(self, data, options, *, providers, enable_fallback):
        assert not enable_fallback
        self.real = RealSession(data, options, providers=["CPUExecutionProvider"])

    def get_providers(self):
        return [self.taken]

    def __getattr__(self, name):
        return getattr(self.real, name)


RealSession = onnxruntime.InferenceSession


@pytest.fixture
def gpu(monkeypatch):
    """An ONNX Runtime that says it has CUDA and TensorRT; which provider is taken can be set."""
    monkeypatch.setattr(providers, "_offered", lambda: PROVIDERS["tensorrt"].order)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Fallen)
    return lambda taken: monkeypatch.setattr(Fallen, "taken", taken)


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ("cuda", "CPUExecutionProvider"),
        ("tensorrt", "CPUExecutionProvider"),
        ("tensorrt", "CUDAExecutionProvider"),
    ],
)
def test_a_session_that_fell_back_is_refused(gpu, asked, taken):
    gpu(taken)
    with pytest.raises(MeasurementError, match=f"would compute by {taken}, not on ") as refused:
        InferenceSession.open(onnx_bytes(tiny_bundle("mlp")), provider=asked)
    assert "driver" in refused.value.hint


@pytest.mark.parametrize("name", providers.GPUS)
def test_a_session_on_a_gpu_says_so(gpu, name):
    gpu(PROVIDERS[name].order[0])
    session = InferenceSession.open(onnx_bytes(tiny_bundle("mlp")), provider=name)
    assert session.runtime == f"{runtime_name()}, {PROVIDERS[name].title}"


def test_a_provider_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(providers, "_offered", lambda: ["CPUExecutionProvider"])
    with pytest.raises(MissingDependencyError, match="has no CUDA here: it offers CPUExec"):
        InferenceSession.open(onnx_bytes(tiny_bundle("mlp")), provider="cuda")
