"""Rounding activations: bit by bit what torch's own operator gives."""

import pytest
import torch

from optim.layers.grid import Grid, dequantize, quantize, round_
from optim.layers.quantized_graph import FakeQuantize
from optim.layers.table import QuantizedEdge


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_activations_are_rounded_as_torch_does(bits, symmetric, seed):
    drawn = torch.Generator().manual_seed(seed)
    x = 3 * torch.randn(4, 8, 6, 6, generator=drawn)
    grid = Grid.for_activations(bits, symmetric)
    scale, zero_point = grid.parameters(x.min()[None] / 2, x.max()[None] / 2)
    edge = QuantizedEdge(grid, float(scale), int(zero_point))
    x[0, 0] = (torch.arange(36.0).reshape(6, 6) - 18 + 0.5) * edge.scale  # ties, and beyond the end
    given = x.to(memory_format=torch.channels_last)
    before = given.clone()
    expected = torch.fake_quantize_per_tensor_affine(
        x, edge.scale, edge.zero_point, grid.qmin, grid.qmax
    )
    assert torch.equal(FakeQuantize(edge)(given), expected)
    assert torch.equal(given, before)


def test_gradients_pass_where_nothing_is_clipped():
    x = torch.tensor([-3.0, 0.26, 0.9, 7.0], requires_grad=True)
    edge = QuantizedEdge(Grid.for_activations(4, False), 0.25, 4)
    FakeQuantize(edge)(x).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_rounding_in_place_is_rounding_and_reading_back():
    rows = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    grid = Grid.for_weights(3, False, "per_channel")
    scale, zero_point = grid.parameters(rows.amin(1) / 2, rows.amax(1))
    expected = dequantize(quantize(rows, grid, scale, zero_point), scale, zero_point)
    assert torch.equal(round_(rows.clone(), grid, scale, zero_point), expected)
