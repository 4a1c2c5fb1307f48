"""The grid of a quantized weight, and what one outlier does to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.lessons.drawn import nearest, percent
from optim.lessons.lesson import Frame, Lesson, Line, Panel, Question, Readout, Series, Shown
from optim.quantity import Quantity

if TYPE_CHECKING:
    from torch import Tensor

    from optim.lessons.bench import Bench

__all__ = ["OUTLIERS"]

_BITS = 4
_REACH = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
_BINS = 120


def _show(bench: Bench) -> Shown:
    import numpy as np

    from optim.techniques.quantize import Quantize

    layer, weight = _widest(bench)
    values = weight.detach().flatten()
    most = float(values.abs().max())
    edges = np.linspace(-most, most, _BINS + 1)
    counts = np.histogram(values.numpy(), edges)[0]
    bars = Series(
        "Weights",
        tuple(round(float(x), 5) for x in (edges[:-1] + edges[1:]) / 2),
        tuple(int(count) for count in counts),
        "area",
        "before",
    )
    rounded = [_rounded(values, share * most) for share in _REACH]
    kept = [_sqnr(values, after) for after, _ in rounded]
    curve = Series(
        "Signal to error",
        tuple(100 * share for share in _REACH),
        tuple(round(q.value, 2) for q in kept),
        text=tuple(str(q) for q in kept),
    )
    link = bench.recipe(
        Quantize(
            weight_bits=_BITS,
            activation_bits="float",
            granularity="per_tensor",
            weight_calibration="mse",
        )
    ).to_link()
    frames = []
    for share, quality, (after, scale) in zip(_REACH, kept, rounded, strict=True):
        cut = float((values.abs() > share * most).float().mean())
        grid = sorted(set(after.tolist()))
        frames.append(
            Frame(
                percent(share),
                (
                    Panel(
                        f"Weights of {layer}, and the values that {_BITS} bits can hold",
                        "Weight",
                        "Weights",
                        (bars,),
                        tuple(Line("x", round(value, 5), role="after") for value in grid),
                        x_range=(-1.05 * most, 1.05 * most),
                    ),
                    Panel(
                        "How close the rounded weights are",
                        "Reach of the grid, % of the largest weight",
                        "Signal to error, dB",
                        (curve,),
                        (Line("x", 100 * share, "now"),),
                    ),
                ),
                (
                    Readout("Signal to error", quality, "higher is closer"),
                    Readout("Cut off", Quantity.exact(cut, "fraction"), "weights beyond the grid"),
                    Readout(
                        "Rounded to zero",
                        Quantity.exact(
                            float((values.abs() < scale / 2).float().mean()), "fraction"
                        ),
                        "below half a step",
                    ),
                ),
                link,
                "Each line is a value that can be stored. A grid that reaches the outlier leaves "
                "few lines for all the others.",
            )
        )
    return Shown(
        tuple(frames),
        0,
        _question(kept),
        f"Every weight of {layer} of {bench.bundle.name}, batch norm folded in; one scale.",
    )


def _widest(bench: Bench) -> tuple[str, Tensor]:
    """Return the layer whose largest weight lies furthest from the others."""
    weights = {layer.name: bench.weight(layer.name) for layer in bench.work.layers if layer.shape}
    name = max(weights, key=lambda n: float(weights[n].abs().max() / weights[n].std()))
    return name, weights[name]


def _rounded(values: Tensor, reach: float) -> tuple[Tensor, float]:
    """Return the values on a symmetric grid that reaches so far, and the grid's step."""
    import torch

    from optim.layers.grid import Grid, dequantize, quantize

    grid = Grid.for_weights(_BITS, symmetric=True, granularity="per_tensor")
    scale, zero_point = grid.parameters(torch.tensor([-reach]), torch.tensor([reach]))
    codes = quantize(values[None], grid, scale, zero_point)
    return dequantize(codes, scale, zero_point)[0], float(scale)


def _sqnr(before: Tensor, after: Tensor) -> Quantity:
    import math

    error = float((before - after).square().sum())
    return Quantity.exact(10 * math.log10(float(before.square().sum()) / error), "db")


def _question(kept: list[Quantity]) -> Question:
    best = max(range(len(kept)), key=lambda i: kept[i].value)
    return Question(
        f"With {_BITS} bits, how far should the grid reach?",
        ("To the largest weight", "Somewhat less far", "Only to a fifth of it, or less"),
        0 if best == 0 else 2 if best >= nearest(_REACH, 0.2) else 1,
        f"{kept[best]} at {percent(_REACH[best])} of the largest weight, {kept[0]} when it reaches "
        f"all of it and {kept[-1]} at {percent(_REACH[-1])}. A wide grid rounds everything "
        f"coarsely, "
        "a narrow one cuts the outliers off. The best reach balances both errors.",
    )


OUTLIERS = Lesson(
    title="The grid, and one outlier",
    idea="With b bits there are 2^b values to round to. One large weight stretches the grid, and "
    "all the small ones share what is left.",
    control="Largest weight that keeps its value",
    kind="slider",
    paper="Nagel et al., A White Paper on Neural Network Quantization, 2021, arXiv:2106.08295",
    link="https://arxiv.org/abs/2106.08295",
    source="optim/layers/grid.py",
    show=_show,
)
