"""Values of a graph on calibration samples: exact ends, bounded memory, any batch size."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from optim.errors import CalibrationError, Cancelled
from optim.graph.observe import exposed, observe_values
from optim.runtime.session import InferenceSession
from tests.optim.models.convert.graphs import graph, node, values


def session(names, batch="N"):
    model = graph(
        [node("MatMul", "x w", "h"), node("Relu", "h")], (4,), batch=batch, w=values(4, 6)
    )
    opened = InferenceSession.open(exposed(model, names))
    return replace(opened, interface=opened.interface.unread())


def expected():
    x = torch.from_numpy(values(37, 4, seed=9))
    return x, x @ torch.from_numpy(values(4, 6))


@pytest.mark.parametrize("batch", ["N", 5])
def test_the_ends_are_exact_whatever_the_batch(batch):
    x, h = expected()
    opened = session(["x", "h"], batch)
    found = observe_values(opened.values, ["x", "h"], x, batch=opened.batch)
    for name, value in (("x", x), ("h", h)):
        assert float(found[name].low) == pytest.approx(float(value.min()), abs=1e-6)
        assert float(found[name].high) == pytest.approx(float(value.max()), abs=1e-6)
        assert set(np.round(value.numpy().ravel(), 4)) >= set(
            np.round(found[name].values.numpy().ravel(), 4)
        )


def test_large_values_are_observed_a_few_samples_at_a_time():
    asked = []

    def run(x):
        asked.append(len(x))
        return [np.zeros((len(x), 2**22), dtype=np.float32)]

    observe_values(run, ["big"], torch.zeros(20, 1))
    assert asked[0] == 1, "one sample says how large they are"
    assert asked[1:] == [8, 8, 4]


def test_values_that_are_not_finite_are_refused_by_name():
    x, _ = expected()
    x[3, 1] = float("inf")
    opened = session(["h"])
    with pytest.raises(CalibrationError, match="'h' is not finite"):
        observe_values(opened.values, ["h"], x)


def test_no_samples_are_refused():
    with pytest.raises(CalibrationError, match="at least one sample"):
        observe_values(lambda x: [x], ["x"], torch.zeros(0, 4))


def test_observing_can_be_stopped():
    def stop():
        raise Cancelled

    with pytest.raises(Cancelled):
        observe_values(lambda x: [x], ["x"], torch.zeros(3, 4), check=stop)
