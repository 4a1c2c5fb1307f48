"""The ranges that methods choose, by hand and against each other."""

import math

import pytest
import torch

from optim.errors import CalibrationError
from optim.layers.graph import trace
from optim.layers.grid import Grid, dequantize, quantize
from optim.layers.quantized_graph import QuantizationPlan
from optim.layers.statistics import Statistics, collect_statistics
from optim.techniques.calibrations import CALIBRATIONS, WEIGHT_CALIBRATIONS
from tests.helpers import inputs_for

GRIDS = {
    "affine 8": Grid.for_activations(8, symmetric=False),
    "affine 4": Grid.for_activations(4, symmetric=False),
    "symmetric 8": Grid.for_activations(8, symmetric=True),
    "symmetric 2": Grid.for_activations(2, symmetric=True),
}


@pytest.fixture(params=CALIBRATIONS)
def method(request):
    return CALIBRATIONS[request.param]()


@pytest.fixture(params=GRIDS)
def grid(request):
    return GRIDS[request.param]


def gaussian(count=20_000, outlier=0.0, positive=False):
    values = torch.randn(1, count, generator=torch.Generator().manual_seed(0))
    values = values.relu() if positive else values
    if outlier:
        values[0, 7] = outlier
    return Statistics.of_rows(values)


def error(statistics, grid, limits):
    scale, zero_point = grid.parameters(*limits)
    rounded = dequantize(quantize(statistics.values, grid, scale, zero_point), scale, zero_point)
    return float((rounded - statistics.values).square().mean())


def test_min_max_is_exact():
    statistics = gaussian(outlier=50.0)
    low, high = CALIBRATIONS["minmax"]().limits(statistics, GRIDS["affine 8"])
    assert float(high) == 50.0
    assert float(low) == float(statistics.values.min())


def test_a_percentile_by_hand():
    values = torch.arange(-1000.0, 1001.0)[None]
    low, high = CALIBRATIONS["percentile"](percentile=95.0).limits(
        Statistics.of_rows(values), GRIDS["affine 8"]
    )
    assert float(low) == pytest.approx(-950)
    assert float(high) == pytest.approx(950)


def test_a_percentile_clips_nothing_at_an_exact_zero():
    low, high = CALIBRATIONS["percentile"](percentile=99.0).limits(
        gaussian(positive=True), GRIDS["affine 8"]
    )
    assert float(low) == 0.0
    assert 2 < float(high) < 3


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("outlier", [0.0, 60.0])
def test_a_range_stays_inside_what_was_seen(method, grid, positive, outlier):
    statistics = gaussian(outlier=outlier, positive=positive)
    low, high = method.limits(statistics, grid)
    assert low.shape == high.shape == (1,)
    assert statistics.low <= low <= 0
    assert 0 < high <= statistics.high


def test_the_mean_squared_error_is_never_above_that_of_the_exact_range(grid):
    for outlier in (0.0, 10.0, 60.0):
        statistics = gaussian(8_000, outlier=outlier)
        searched = error(statistics, grid, CALIBRATIONS["mse"]().limits(statistics, grid))
        exact = error(statistics, grid, CALIBRATIONS["minmax"]().limits(statistics, grid))
        assert searched <= exact


def test_the_search_finds_the_best_of_its_candidates():
    statistics, grid = gaussian(4_000, outlier=12.0), GRIDS["affine 4"]
    low, high = CALIBRATIONS["mse"](candidates=16).limits(statistics, grid)
    errors = {
        share: error(statistics, grid, (statistics.low * share, statistics.high * share))
        for share in torch.linspace(1.0, 0.2, 16).tolist()
    }
    best = min(errors, key=errors.__getitem__)
    assert float(high) == pytest.approx(12.0 * best)
    assert float(low) == pytest.approx(float(statistics.low) * best)


@pytest.mark.parametrize("side", [1, -1])
def test_what_the_search_does_not_round_counts_where_it_is_clipped(side):
    values = torch.randn(1, 65_536, generator=torch.Generator().manual_seed(0)).relu()
    values[0, 1::64] = 9.0  # none of them is among the eighth that is rounded
    statistics, grid = Statistics.of_rows(side * values), GRIDS["affine 8"]
    errors = [
        error(statistics, grid, (statistics.low * share, statistics.high * share))
        for share in torch.linspace(1.0, 0.2, 32)
    ]
    found = error(statistics, grid, CALIBRATIONS["mse"]().limits(statistics, grid))
    assert found <= 1.02 * min(errors)


@pytest.mark.parametrize("name", ["percentile", "mse", "entropy"])
def test_an_outlier_does_not_stretch_the_steps_of_a_robust_method(name):
    grid = GRIDS["affine 4"]
    statistics = gaussian(outlier=100.0)
    _, high = CALIBRATIONS[name]().limits(statistics, grid)
    assert float(high) < 50


@pytest.mark.parametrize("values", [0.0, 3.0, -2.0])
def test_a_constant_activation_is_stored_exactly(method, values):
    grid = GRIDS["affine 8"]
    statistics = Statistics.of_rows(torch.full((1, 100), values))
    limits = method.limits(statistics, grid)
    scale, _ = grid.parameters(*limits)
    assert math.isfinite(float(scale))
    assert float(scale) > 0
    if isinstance(method, CALIBRATIONS["minmax"]):
        assert error(statistics, grid, limits) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("symmetric", [True, False])
def test_half_quadratic_ranges_serve_the_bulk_and_not_outliers(bits, symmetric):
    grid = Grid.for_weights(bits, symmetric, "per_channel")
    rows = torch.randn(8, 256, generator=torch.Generator().manual_seed(0))
    rows[:, 3] = 20.0
    statistics = Statistics.of_rows(rows)

    def bulk(name):
        limits = WEIGHT_CALIBRATIONS[name]().limits(statistics, grid)
        scale, zero_point = grid.parameters(*limits)
        off = dequantize(quantize(rows, grid, scale, zero_point), scale, zero_point) - rows
        return float(off.abs().pow(0.7).mean())

    assert bulk("hqq") < bulk("minmax")
    assert bulk("hqq") <= 1.02 * bulk("mse")


@pytest.mark.parametrize("name", WEIGHT_CALIBRATIONS)
def test_rows_are_judged_one_by_one(name):
    grid = Grid.for_weights(4, True, "per_channel")
    rows = torch.randn(5, 300) * torch.logspace(-3, 1, 5)[:, None]
    together = WEIGHT_CALIBRATIONS[name]().limits(Statistics.of_rows(rows), grid)
    for i, row in enumerate(rows):
        alone = WEIGHT_CALIBRATIONS[name]().limits(Statistics.of_rows(row[None]), grid)
        assert torch.allclose(together[0][i], alone[0])
        assert torch.allclose(together[1][i], alone[1])


# --- what calibration observes ------------------------------------------------------------------


def test_the_ends_are_exact_and_the_sample_is_bounded(bundle):
    traced = trace(bundle.module)
    plan = QuantizationPlan.of(traced)
    x = inputs_for(bundle, 64)
    found = collect_statistics(bundle.module, plan, x.split(16))
    assert set(found) == set(plan.edges)
    with torch.inference_mode():
        first = next(n.name for n in traced.graph.nodes if n.op == "placeholder")
    assert float(found[first].low) == float(x.min())
    assert float(found[first].high) == float(x.max())
    for statistics in found.values():
        assert statistics.values.shape[1] <= 65_536
        assert statistics.values.min() >= statistics.low
        assert statistics.values.max() <= statistics.high


def test_observing_needs_a_batch(tiny_mlp):
    plan = QuantizationPlan.of(trace(tiny_mlp.module))
    with pytest.raises(CalibrationError, match="at least one batch"):
        collect_statistics(tiny_mlp.module, plan, [])
