"""Round one input of a layer after the other, and let the next ones make up for the error.

In closed form, from the second moments of the layer's inputs: seconds for networks of usual size.
Below 6 bits it wins back most of what rounding to nearest loses.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Choice, Range
from optim.techniques.roundings.method import RoundingMethod, rounded_by_layer

if TYPE_CHECKING:
    from torch import Tensor

    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["GPTQ"]


class GPTQ(RoundingMethod):
    """Error-compensated rounding, as in Optimal Brain Quantization.

    **Differs from the paper**: a layer is fitted to the outputs it had in the original, so that it
    also makes up for what the layers before it lost.
    """

    title: ClassVar[str] = "GPTQ"
    paper: ClassVar[str] = (
        "Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained "
        "Transformers, 2022, arXiv:2210.17323"
    )

    damping: Annotated[
        float,
        Range(
            low=0.001,
            high=1.0,
            step=0.001,
            scale="decades",
            label="Damping",
            help="How little is made up for, in units of an input's mean energy; more is safer "
            "with few samples.",
            expert=True,
        ),
    ] = 0.01
    order: Annotated[
        Literal["energy", "given"],
        Choice(
            options={"energy": "Strongest first", "given": "As stored"},
            label="Order",
            help="Which inputs are rounded first, while many are left to make up for them.",
            expert=True,
        ),
    ] = "energy"

    @property
    def passes(self) -> int:
        """Return about as many samples as cost the same time."""
        return 8000

    def rounded(self, bundle: ModelBundle, inputs: Tensor, context: Context) -> ModelBundle:
        """Return the model with integers that make up for each other."""
        from optim.layers.rounding import compensated

        choose = partial(compensated, damping=self.damping, by_energy=self.order == "energy")
        return rounded_by_layer(bundle, inputs, context, choose)
