"""Learn for every weight whether it is rounded up or down, layer after layer. No labels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.fields import Range
from optim.techniques.roundings.method import RoundingMethod, rounded_by_layer

if TYPE_CHECKING:
    from torch import Tensor

    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["AdaRound"]


class AdaRound(RoundingMethod):
    """Adaptive rounding.

    **Differs from the paper**: the error is that of a layer's outputs before their activation
    function. It is then known from the second moments of the inputs, and a step of the optimiser
    looks at all samples at once.
    """

    title: ClassVar[str] = "AdaRound"
    paper: ClassVar[str] = (
        "Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, 2020, "
        "arXiv:2004.10568"
    )

    iterations: Annotated[
        int,
        Range(
            low=100,
            high=10_000,
            step=100,
            scale="decades",
            label="Iterations",
            help="Steps of the optimiser for each layer.",
        ),
    ] = 500

    @property
    def passes(self) -> int:
        """Return about as many samples as cost the same time."""
        return 50 * self.iterations

    def rounded(self, bundle: ModelBundle, inputs: Tensor, context: Context) -> ModelBundle:
        """Return the model with learned integers."""
        from optim.layers.rounding import learned

        choose = partial(learned, iterations=self.iterations, check=context.check)
        return rounded_by_layer(bundle, inputs, context, choose)
