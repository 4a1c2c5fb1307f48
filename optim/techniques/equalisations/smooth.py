"""Hand a share of the outliers of activations to the weights that read them. Needs samples.

A few channels of a transformer's activations reach a hundred times as far as the others, and one
scale serves them all. Weights have a scale a channel, and take it more easily.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.fields import Range
from optim.techniques.equalisations.method import EqualisationMethod

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.equalisation import Link, Scaled
    from optim.step import Context

__all__ = ["Smooth"]

_SMALLEST = 1e-5
"""Magnitudes below this count as this: a silent channel is not blown up."""


class Smooth(EqualisationMethod):
    """SmoothQuant.

    **Differs from the paper**: also channels that a layer with weights makes are smoothed, not only
    those of layer norms.
    """

    title: ClassVar[str] = "SmoothQuant"
    paper: ClassVar[str] = (
        "Xiao et al., SmoothQuant: Accurate and Efficient Post-Training Quantization for Large "
        "Language Models, 2022, arXiv:2211.10438"
    )
    norms: ClassVar[bool] = True

    alpha: Annotated[
        float,
        Range(
            low=0.0,
            high=1.0,
            step=0.05,
            label="Migration strength",
            help="Share of the outliers that weights take over: 0 evens out weights, "
            "1 activations.",
        ),
    ] = 0.5
    samples: Annotated[
        int,
        Range(
            low=32,
            high=2048,
            step=32,
            scale="log",
            unit="samples",
            label="Samples",
            help="Training samples the reach of activations is taken from.",
            expert=True,
        ),
    ] = 256

    def scaled(self, scaled: Scaled, links: list[Link], context: Context) -> dict[str, Tensor]:
        """Scale by ``reach of activations ** alpha / reach of weights ** (1 - alpha)``."""
        from optim.layers.equalisation import channel_reach

        x, _ = context.calibration(self.samples)
        context.check()
        reach = channel_reach(scaled.module, links, x.split(128))
        total = {}
        for link in links:
            # No other link moves these activations: what it divides, its readers multiply.
            activations = reach[link.value].clamp(min=_SMALLEST)
            weights = scaled.read(link).clamp(min=_SMALLEST)
            scales = activations**self.alpha / weights ** (1 - self.alpha)
            total[link.source] = scales.clamp(min=_SMALLEST)
            scaled.scale(link, total[link.source])
        return total
