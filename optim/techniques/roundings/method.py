"""What every rounding method is, and what those that treat layer after layer share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.fields import MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.rounding import Choose
    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["RoundingMethod", "rounded_by_layer"]


class RoundingMethod(MethodConfig):
    """Base of the rounding methods."""

    @property
    def passes(self) -> int:
        """Samples that are run forward for the method, or about as much work; for drafts."""
        return 0

    def rounded(self, bundle: ModelBundle, inputs: Tensor, context: Context) -> ModelBundle:
        """Return the model with integers, and maybe steps of activations, chosen by the method.

        Args:
            bundle: With grids in its table; of a graph, the folded one.
            inputs: ``(N, ...)`` normalised samples.
            context: For progress and cancelling.
        """
        raise NotImplementedError


def rounded_by_layer(
    bundle: ModelBundle, inputs: Tensor, context: Context, choose: Choose
) -> ModelBundle:
    """Return the model with every weight rounded by a method that sees one layer at a time."""
    from optim.layers.reconstruction import most_samples
    from optim.layers.rounding import rounded_layers
    from optim.runtime.round_graph import rounded_graph

    table = bundle.table
    if bundle.lane == "torch":
        given = inputs[: most_samples(bundle.module, bundle.spec.shape)]
        weights = rounded_layers(
            bundle.module, table, given, choose, context.check, context.progress
        )
    else:
        weights = rounded_graph(bundle, inputs, choose, context.check, context.progress)
    return bundle.with_table(table.with_quantization(weights, table.edges))
