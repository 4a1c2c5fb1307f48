"""Let the weights on both sides of a channel reach equally far. Free; best where a scale is shared.

Batch norm leaves some channels of a layer with weights a hundred times smaller than others: on a
grid for the whole tensor they round to zero. Nothing is looked at but weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.fields import Range
from optim.techniques.equalisations.method import EqualisationMethod

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.equalisation import Link, Scaled
    from optim.step import Context

__all__ = ["CrossLayer"]

_DEAD = 1e-8
"""A channel whose weights are all smaller is left as it is."""
_MOST = 1e4
"""Largest scale of a channel in one sweep, either way."""


class CrossLayer(EqualisationMethod):
    """Cross-layer equalisation.

    **Differs from the paper**: large biases are not absorbed by the next layer, which would change
    the outputs of the network in floating point.
    """

    title: ClassVar[str] = "Cross-layer"
    paper: ClassVar[str] = (
        "Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, "
        "2019, arXiv:1906.04721"
    )

    sweeps: Annotated[
        int,
        Range(
            low=1,
            high=50,
            step=1,
            label="Sweeps",
            help="How often all layers are gone through; a layer between two others needs several.",
            expert=True,
        ),
    ] = 10

    def scaled(self, scaled: Scaled, links: list[Link], context: Context) -> dict[str, Tensor]:
        """Scale by the square root of the ratio of both reaches."""
        import torch

        total: dict[str, Tensor] = {}
        for _ in range(self.sweeps):
            for link in links:
                context.check()
                made, read = scaled.made(link), scaled.read(link)
                live = (made > _DEAD) & (read > _DEAD)
                ratio = torch.where(live, made, 1.0) / torch.where(live, read, 1.0)
                scales = ratio.sqrt().clamp(1 / _MOST, _MOST)
                scaled.scale(link, scales)
                total[link.source] = total.get(link.source, 1.0) * scales
        return total
