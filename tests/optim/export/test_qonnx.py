"""QONNX: every bit-width is in the file, and its own executor computes what was simulated."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from optim.errors import ExportError, MeasurementError
from optim.export.deploy import properties_of
from optim.export.qonnx import QonnxSession, qonnx_bytes
from optim.models.onnx_file import METADATA_KEY
from optim.techniques.quantize import Quantize
from tests.helpers import assert_similar, context_for, inputs_for, outputs_of, tiny_bundle


def quantized(bundle, **fields):
    return Quantize(samples=32, **fields).apply(bundle, context_for(bundle)).bundle


def written(bundle):
    return qonnx_bytes(bundle, properties_of(bundle))


def quantizers(file):
    """Return ``{value: (bits, signed, narrow)}`` of every Quant node."""
    graph = onnx.load_from_string(file).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type == "Quant":
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            bits = int(constants[node.input[3]])
            found[node.output[0]] = (bits, attributes["signed"], attributes["narrow"])
    return found


@pytest.mark.parametrize(
    "fields",
    [
        {"weight_bits": 3, "activation_bits": 5},
        {"weight_bits": "ternary", "weight_scheme": "symmetric"},
        {"weight_bits": 4, "granularity": "per_group", "activation_bits": "float"},
        {"weight_bits": 5, "weight_scheme": "affine", "granularity": "per_tensor"},
    ],
    ids=["3/5", "ternary", "groups", "affine"],
)
def test_the_executor_computes_what_was_simulated(bundle, fields):
    model = quantized(bundle, **fields)
    x = inputs_for(model, 3)
    found = QonnxSession.open(written(model), 1).run(x.numpy())
    expected = outputs_of(model, x).numpy()
    # A value next to a middle may fall to the other side: a step of the grid, seen at the end.
    assert np.abs(found - expected).max() <= 0.1 * np.abs(expected).max()
    assert np.median(np.abs(found - expected)) <= 0.02 * np.abs(expected).max()


def test_a_float_model_stays_one():
    bundle = tiny_bundle("lenet-5")
    file, x = written(bundle), inputs_for(bundle, 3)
    assert quantizers(file) == {}
    assert_similar(QonnxSession.open(file, 1).run(x.numpy()), outputs_of(bundle, x))


def test_every_bit_width_is_in_the_file():
    bundle = quantized(tiny_bundle("lenet-5"), weight_bits=3, activation_bits=5)
    found = quantizers(written(bundle))
    weights = {name: bits for name, bits in found.items() if name.endswith(".weight")}
    assert weights == {f"{name}.weight": (3, 1, 0) for name in bundle.table.weights}
    assert {bits for name, bits in found.items() if name not in weights} == {(5, 0, 0)}


def test_ternary_weights_are_two_narrow_bits():
    bundle = quantized(tiny_bundle("lenet-5"), weight_bits="ternary")
    found = quantizers(written(bundle))
    assert found["conv1.weight"] == (2, 1, 1)


def test_weights_lie_on_their_grids():
    bundle = quantized(tiny_bundle("mlp"), weight_bits=3)
    graph = onnx.load_from_string(written(bundle)).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    steps = constants["fc1.weight_values"] / constants["fc1.weight_step"]
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)
    assert np.abs(steps).max() <= 4


def test_a_file_says_where_it_comes_from():
    file = onnx.load_from_string(written(tiny_bundle("mlp")))
    assert [p.key for p in file.metadata_props] == [METADATA_KEY]


def test_what_is_no_graph_is_refused():
    with pytest.raises(ExportError, match=r"QONNX 1\.0\.0 cannot load the model"):
        QonnxSession.open(b"nothing", 1)


def test_an_input_of_another_shape_is_a_sentence():
    session = QonnxSession.open(written(tiny_bundle("mlp")), 1)
    with pytest.raises(MeasurementError, match=r"failed on inputs of shape \(2, 5\)"):
        session.run(np.zeros((2, 5), np.float32))
