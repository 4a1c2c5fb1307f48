"""Scales, zero points and rounding, by hand and in general."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optim.layers.grid import Grid, dequantize, from_rows, quantize, to_rows
from optim.layers.ternary import ternary_weight

BITS = [2, 3, 4, 5, 6, 7, 8, 16]


def parameters(grid, low, high):
    scale, zero_point = grid.parameters(torch.tensor([low]), torch.tensor([high]))
    return float(scale), int(zero_point)


@pytest.mark.parametrize(
    ("bits", "levels", "ends"),
    [(2, 4, (-2, 1)), (3, 8, (-4, 3)), (4, 16, (-8, 7)), (8, 256, (-128, 127))],
)
def test_a_weight_of_b_bits_has_two_to_the_b_levels(bits, levels, ends):
    grid = Grid.for_weights(bits, symmetric=True, granularity="per_channel")
    assert (grid.levels, grid.bits, (grid.qmin, grid.qmax)) == (levels, bits, ends)


def test_ternary_has_three_levels_in_two_bits():
    grid = Grid.for_weights("ternary", symmetric=True, granularity="per_tensor")
    assert (grid.qmin, grid.qmax, grid.levels, grid.bits) == (-1, 1, 3, 2)


def test_affine_activations_start_at_zero():
    assert (Grid.for_activations(8, False).qmin, Grid.for_activations(8, False).qmax) == (0, 255)
    assert (Grid.for_activations(4, True).qmin, Grid.for_activations(4, True).qmax) == (-8, 7)


def test_symmetric_scale_is_the_reach_over_half_the_steps():
    grid = Grid.for_weights(8, symmetric=True, granularity="per_tensor")
    assert parameters(grid, -1.0, 0.5) == (pytest.approx(1 / 127.5), 0)
    assert parameters(grid, -0.25, 2.0) == (pytest.approx(2 / 127.5), 0)


def test_affine_scale_is_the_range_over_the_steps_and_zero_lies_on_the_grid():
    grid = Grid.for_activations(8, symmetric=False)
    scale, zero_point = parameters(grid, -1.0, 3.0)
    assert scale == pytest.approx(4 / 255)
    assert zero_point == 64  # 1 / (4 / 255) = 63.75
    signed = Grid.for_weights(4, symmetric=False, granularity="per_tensor")
    assert parameters(signed, 0.0, 15.0) == (pytest.approx(1.0), -8)
    assert parameters(signed, -15.0, 0.0) == (pytest.approx(1.0), 7)


@pytest.mark.parametrize(("low", "high"), [(2.0, 6.0), (-6.0, -2.0)])
def test_a_one_sided_range_is_stretched_to_zero(low, high):
    grid = Grid.for_activations(8, symmetric=False)
    assert parameters(grid, low, high)[0] == pytest.approx(6 / 255)


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_row_of_zeros_gets_a_scale_that_can_divide(symmetric):
    grid = Grid.for_weights(8, symmetric, "per_channel")
    assert parameters(grid, 0.0, 0.0)[0] == 1.0


def test_rounding_goes_to_even_as_in_onnx():
    grid = Grid.for_weights(8, symmetric=True, granularity="per_tensor")
    x = torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5]])
    q = quantize(x, grid, torch.ones(1), torch.zeros(1, dtype=torch.int32))
    assert q.tolist() == [[0, 2, 2, 0, -2]]


def test_what_lies_outside_saturates():
    grid = Grid.for_weights(4, symmetric=True, granularity="per_tensor")
    q = quantize(torch.tensor([[-100.0, 100.0]]), grid, torch.ones(1), torch.zeros(1))
    assert q.tolist() == [[-8, 7]]


@st.composite
def rows(draw):
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 30)))
    seed = draw(st.integers(0, 2**31 - 1))
    spread = draw(st.sampled_from([1e-6, 1e-2, 1.0, 300.0]))
    shift = draw(st.sampled_from([-2.0, 0.0, 0.5, 10.0]))
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator) + shift) * spread


@given(values=rows(), bits=st.sampled_from(BITS), symmetric=st.booleans())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_inside_the_range_rounding_errs_by_half_a_step_at_most(values, bits, symmetric):
    grid = Grid.for_weights(bits, symmetric, "per_channel")
    scale, zero_point = grid.parameters(*values.aminmax(dim=1))
    q = quantize(values, grid, scale, zero_point)
    back = dequantize(q, scale, zero_point)
    low = (grid.qmin - zero_point) * scale
    high = (grid.qmax - zero_point) * scale
    inside = (values >= low[:, None]) & (values <= high[:, None])
    error = (back - values).abs()
    # Float32 holds 24 bits: the quotient of 16-bit grids is itself rounded a little.
    limit = scale[:, None] / 2 + values.abs() * 2e-6
    assert (error <= limit)[inside].all()
    # The range was chosen to cover the values up to the half step that the zero point takes.
    assert (error <= scale[:, None] + values.abs() * 2e-6).all()
    assert torch.equal(q, q.round())
    assert q.min() >= grid.qmin
    assert q.max() <= grid.qmax


@given(values=rows(), bits=st.sampled_from(BITS))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_zero_stays_zero_on_every_grid(values, bits):
    for symmetric in (True, False):
        grid = Grid.for_weights(bits, symmetric, "per_channel")
        scale, zero_point = grid.parameters(*values.aminmax(dim=1))
        zeros = torch.zeros_like(values)
        assert torch.equal(
            dequantize(quantize(zeros, grid, scale, zero_point), scale, zero_point), zeros
        )


@given(values=rows(), bits=st.sampled_from(BITS))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_what_lies_on_the_grid_stays_there(values, bits):
    grid = Grid.for_weights(bits, True, "per_channel")
    scale, zero_point = grid.parameters(*values.aminmax(dim=1))
    once = dequantize(quantize(values, grid, scale, zero_point), scale, zero_point)
    twice = dequantize(quantize(once, grid, scale, zero_point), scale, zero_point)
    assert torch.equal(once, twice)


def test_rows_are_what_shares_a_scale():
    weight = torch.arange(24.0).reshape(2, 3, 2, 2)
    one = Grid.for_weights(8, True, "per_tensor")
    channel = Grid.for_weights(8, True, "per_channel")
    group = Grid.for_weights(8, True, "per_group", group_size=8)
    assert to_rows(weight, one).shape == (1, 24)
    assert torch.equal(to_rows(weight, channel)[1], torch.arange(12.0, 24.0))
    grouped = to_rows(weight, group)
    assert grouped.shape == (4, 8)
    assert grouped[1].tolist() == [8, 9, 10, 11, 0, 0, 0, 0], "a short group ends in zeros"


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel", "per_group"])
@pytest.mark.parametrize("shape", [(3, 5), (4, 3, 3, 3), (2, 1, 7), (1, 8)])
def test_rows_go_back_to_the_weight(granularity, shape):
    weight = torch.randn(shape)
    grid = Grid.for_weights(4, True, granularity, group_size=8)
    assert torch.equal(from_rows(to_rows(weight, grid), weight.shape, grid), weight)


def test_groups_are_no_longer_than_a_channel():
    grid = Grid.for_weights(4, True, "per_group", group_size=8)
    assert grid.within(torch.ones(2, 3, 1)).group_size == 3
    assert grid.within(torch.ones(2, 9)) is grid
    whole = Grid.for_weights(4, True, "per_channel", group_size=8)
    assert whole.within(torch.ones(2, 3)) is whole


def test_finer_scales_round_no_worse():
    weight = torch.randn(16, 64) * torch.logspace(-2, 0, 16)[:, None]
    errors = []
    for granularity in ("per_tensor", "per_channel", "per_group"):
        grid = Grid.for_weights(4, True, granularity, group_size=8)
        values = to_rows(weight, grid)
        scale, zero_point = grid.parameters(*values.aminmax(dim=1))
        back = dequantize(quantize(values, grid, scale, zero_point), scale, zero_point)
        errors.append(float((from_rows(back, weight.shape, grid) - weight).square().sum()))
    assert errors[0] > errors[1] > errors[2]


# --- ternary ------------------------------------------------------------------------------------

TERNARY = Grid.for_weights("ternary", True, "per_channel")


def test_ternary_by_hand():
    # Mean magnitude 0.5, threshold 0.35; of 1, -0.8 and 0.4 the mean is 2.2 / 3.
    rows = torch.tensor([[1.0, -0.8, 0.4, 0.2, -0.1]])
    entry = ternary_weight(rows, TERNARY)
    assert entry.codes.tolist() == [[1, -1, 1, 0, 0]]
    assert float(entry.scale) == pytest.approx(2.2 / 3)


def test_zeros_that_fill_up_a_group_do_not_lower_its_threshold():
    rows = torch.tensor([[1.0, -0.8, 0.4, 0.2, -0.1, 0, 0, 0]])
    entry = ternary_weight(rows, TERNARY, torch.tensor([5.0]))
    assert entry.codes.tolist() == [[1, -1, 1, 0, 0, 0, 0, 0]]


def test_ternary_scale_is_the_best_for_its_codes():
    rows = torch.randn(3, 200)
    entry = ternary_weight(rows, TERNARY)
    codes = entry.codes.float()
    for factor in (0.9, 0.99, 1.01, 1.1):
        best = (rows - codes * entry.scale[:, None]).square().sum(dim=1)
        other = (rows - codes * entry.scale[:, None] * factor).square().sum(dim=1)
        assert (best < other).all()


def test_ternary_of_nothing_is_nothing():
    entry = ternary_weight(torch.zeros(2, 4), TERNARY)
    assert not entry.codes.any()
    assert torch.equal(entry.apply(torch.zeros(2, 4)), torch.zeros(2, 4))
