"""Integers chosen for the error of outputs: by hand, at limits, against rounding to nearest."""

from functools import partial

import pytest
import torch
from torch import nn

from optim.layers.grid import Grid
from optim.layers.rounding import (
    MOST_INPUTS,
    Moments,
    compensated,
    learned,
    moments_of,
    rounded_layers,
)
from optim.layers.table import CompressionTable, QuantizedWeight

METHODS = {
    "compensated": partial(compensated, damping=0.01, by_energy=True),
    "as stored": partial(compensated, damping=0.01, by_energy=False),
    "learned": partial(learned, iterations=100),
}


@pytest.fixture(params=METHODS)
def choose(request):
    return METHODS[request.param]


def quantized(weight, bits=3, granularity="per_channel", symmetric=True, scale=1.0):
    grid = Grid.for_weights(bits, symmetric, granularity, 4)
    rows = {"per_tensor": 1, "per_channel": len(weight)}.get(granularity)
    if rows is None:
        rows = len(weight) * -(-weight[0].numel() // 4)
    zero = torch.full((rows,), 0 if symmetric else 1, dtype=torch.int32)
    return QuantizedWeight(grid, torch.full((rows,), scale), zero)


def same(inner):
    return Moments(inner, inner)


def error(weight, found, inner):
    off = (found - weight).reshape(len(inner), -1, inner.shape[1])
    return float(((off @ inner) * off).sum())


def correlated(groups, size, seed=0):
    """Return the moments of inputs that go together, as those of neighbouring pixels do."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(groups, size, 200, generator=generator)
    x = x + 2 * torch.randn(groups, 1, 200, generator=generator)
    return x @ x.mT / 200


def test_the_second_weight_makes_up_for_the_first(choose):
    """Inputs that are always equal: 0.4 + 0.45 is nearer to 1 than to 0."""
    weight = torch.tensor([[0.4, 0.45]])
    found = choose(weight, quantized(weight), same(torch.ones(1, 2, 2)), None)
    assert sorted(found.flatten().tolist()) == [0.0, 1.0]


def test_inputs_that_have_nothing_in_common_are_rounded_to_nearest(choose):
    weight = torch.tensor([[0.4, 1.6, -0.7], [2.2, -0.2, 0.9]])
    found = choose(weight, quantized(weight), same(torch.eye(3)[None]), None)
    assert torch.equal(found, weight.round())


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel", "per_group"])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("groups", [1, 3])
def test_outputs_err_less_than_rounded_to_nearest(choose, granularity, symmetric, groups):
    weight = torch.randn(6, 2, 5, generator=torch.Generator().manual_seed(1))
    grid = quantized(weight, 3, granularity, symmetric, scale=0.5)
    inner = correlated(groups, 10)
    found = choose(weight, grid, same(inner), None)
    assert error(weight, found, inner) < 0.8 * error(weight, grid.apply(weight), inner)
    held = grid.holding(found)
    torch.testing.assert_close(held.apply(weight), found, msg="it lies on the grid")
    assert held.codes.dtype == torch.int8
    assert held.codes.min() >= grid.grid.qmin
    assert held.codes.max() <= grid.grid.qmax


def test_pruned_weights_stay_zero(choose):
    weight = torch.randn(4, 12)
    mask = torch.rand(4, 12) > 0.5
    found = choose(weight * mask, quantized(weight, scale=0.5), same(correlated(1, 12)), mask)
    assert not found[~mask].any()
    assert found.any()


def test_dead_inputs_and_silent_layers_change_nothing(choose):
    weight = torch.tensor([[0.4, 1.6, -0.7]])
    for inner in (torch.zeros(1, 3, 3), torch.diag(torch.tensor([1.0, 0.0, 2.0]))[None]):
        assert torch.equal(choose(weight, quantized(weight), same(inner), None), weight.round())


def test_weights_make_up_for_inputs_that_have_changed():
    """Every input twice as large: half the weight fits."""
    inner = 4 * correlated(1, 6)
    weight = torch.randn(3, 6)
    fitted = Moments(inner, inner / 2).fitted(weight)
    assert (fitted[0] - weight / 2).abs().max() < 0.05 * weight.abs().max()
    assert torch.equal(same(inner).fitted(weight)[0], weight)


def test_moments_are_means_of_products():
    layer = nn.Linear(2, 1)
    exact, deployed = torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    found = moments_of(layer, "a", exact, deployed)
    assert found.inner.tolist() == [[[2.5, 0.5], [0.5, 0.5]]]
    assert found.cross.tolist() == [[[3.5, 0.5], [1.0, 1.0]]]


def test_layers_are_rounded_in_order_and_each_sees_those_before(choose):
    module = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    weights = {
        name: quantized(module.get_submodule(name).weight, 2, scale=0.3) for name in ("0", "2")
    }
    seen, told = [], []

    def watch(weight, grid, moments, mask):
        seen.append(moments)
        return choose(weight, grid, moments, mask)

    found = rounded_layers(
        module,
        CompressionTable(weights=weights),
        torch.randn(64, 6),
        watch,
        progress=lambda share, name: told.append((share, name)),
    )
    assert told == [(0.0, "0"), (0.5, "2")]
    assert torch.equal(seen[0].inner, seen[0].cross), "nothing was lost yet"
    assert not torch.equal(seen[1].inner, seen[1].cross)
    assert all(entry.codes is not None for entry in found.values())


def test_a_layer_of_too_many_inputs_keeps_its_integers():
    module = nn.Sequential(nn.Linear(MOST_INPUTS + 1, 1, bias=False)).eval()
    entry = quantized(module[0].weight, scale=0.1)

    def never(*arguments):
        raise AssertionError("its moments would be too large")

    table = CompressionTable(weights={"0": entry})
    assert rounded_layers(module, table, torch.randn(2, MOST_INPUTS + 1), never)["0"] is entry
