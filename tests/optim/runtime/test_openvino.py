"""OpenVINO runs what ONNX Runtime runs, and says in its own words what it cannot."""

import numpy as np
import pytest

from optim.errors import ExportError, MeasurementError
from optim.models.interface import Interface, Read
from optim.runtime.openvino import OpenVinoSession, openvino_ir
from optim.runtime.session import InferenceSession
from tests.optim.models.convert.graphs import graph, node, values


@pytest.fixture
def four():
    """A product that is written for four samples at once, and its interface."""
    model = graph([node("MatMul", "x w")], (5,), batch=4, w=values(5, 3))
    return model.SerializeToString(), Interface("x", batch=4, reads=(Read("y"),))


@pytest.mark.parametrize("count", [1, 4, 6])
def test_a_fixed_batch_is_filled(four, count):
    file, interface = four
    x = values(count, 5, seed=1)
    found = OpenVinoSession.open(*openvino_ir(file), interface=interface)
    expected = InferenceSession.open(file, interface=interface).run(x)
    np.testing.assert_allclose(found.run(x), expected, atol=1e-5)
    found.timed(x)()


def test_what_it_refuses_is_said_in_its_words(four):
    file, _ = four
    opened = OpenVinoSession.open(*openvino_ir(file))
    with pytest.raises(MeasurementError, match=r"model input .shape=.4,5.. and") as raised:
        opened.run(values(3, 5))
    assert "Exception from" not in raised.value.message
    with pytest.raises(ExportError, match=r"OpenVINO .* cannot load the model"):
        openvino_ir(b"no model")
