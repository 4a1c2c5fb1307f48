"""Round every weight to the nearest value of its grid. Free; below 6 bits the errors add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.techniques.roundings.method import RoundingMethod

if TYPE_CHECKING:
    from torch import Tensor

    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["Nearest"]


class Nearest(RoundingMethod):
    """Each weight by itself."""

    title: ClassVar[str] = "Nearest"
    paper: ClassVar[str] = (
        "Jacob et al., Quantization and Training of Neural Networks for Efficient "
        "Integer-Arithmetic-Only Inference, 2017, arXiv:1712.05877"
    )

    def rounded(self, bundle: ModelBundle, inputs: Tensor, context: Context) -> ModelBundle:
        """Return the model as it is: integers that are not stored are the nearest ones."""
        return bundle
