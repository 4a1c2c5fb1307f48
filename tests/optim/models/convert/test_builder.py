"""What is followed without being called is as large as what torch gives."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from optim.layers.functions import FUNCTIONS
from optim.models.convert.builder import _called, _result

FEATURES = torch.empty(2, 6, 5, 5)
LAYERS = [
    *(nn.ReLU(), nn.GELU(), nn.Hardswish(), nn.LeakyReLU(), nn.Softmax(1), nn.Sigmoid()),
    *(nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d(2), nn.Linear(5, 3), nn.Conv2d(6, 4, 3)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_layers(layer):
    with torch.inference_mode():
        expected = layer(FEATURES)
    found = _result(layer, (FEATURES.to("meta"),))
    assert (found.shape, found.dtype, found.device.type) == (expected.shape, expected.dtype, "meta")


@pytest.mark.parametrize("kind", ["add", "mul", "sub"])
@pytest.mark.parametrize("other", [torch.empty(6, 1, 1), torch.empty(5).half(), 2.0])
def test_functions(kind, other):
    expected = FUNCTIONS[kind](FEATURES, other)
    empty = other.to("meta") if isinstance(other, torch.Tensor) else other
    found = _called(kind, (FEATURES.to("meta"), empty), {})
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


@pytest.mark.parametrize(
    "given", [torch.empty(2, 7, device="meta"), torch.empty((), device="meta")]
)
def test_what_does_not_fit_is_refused_as_torch_does(given):
    with pytest.raises((RuntimeError, IndexError)):
        _result(nn.Linear(5, 3), (given,))


def test_a_residual_network_needs_no_compiler():
    program = """
import sys, torch
from optim.models.convert.builder import _called, _result
x = torch.empty(1, 3, 8, 8, device="meta")
for layer in (torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)):
    x = _result(layer, (x,))
x = _called("add", (x, x), {})
x = _result(torch.nn.AdaptiveAvgPool2d(1), (x,))
x = _result(torch.nn.Linear(3, 2), (_called("flatten", (x, 1), {}),))
assert x.shape == (1, 2)
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
