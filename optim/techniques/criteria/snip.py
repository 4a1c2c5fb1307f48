"""How much the loss would rise to first order if a weight went. Needs labelled samples."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

from optim.techniques.criteria.method import CriterionMethod
from optim.techniques.pruning import losses_on_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["SNIP"]

_AT_ONCE = 128


class SNIP(CriterionMethod):
    """Absolute value of weight times gradient."""

    title: ClassVar[str] = "SNIP"
    paper: ClassVar[str] = (
        "Lee et al., SNIP: Single-shot Network Pruning based on Connection Sensitivity, 2018, "
        "arXiv:1810.02340"
    )
    needs_samples: ClassVar[bool] = True

    def scores(
        self,
        bundle: ModelBundle,
        weights: Mapping[str, Tensor],
        context: Context,
        count: int,
        *,
        refit: bool = False,
    ) -> dict[str, Tensor]:
        """Return ``|w dL/dw|`` over all samples.

        Raises:
            CalibrationError: If samples have no labels.
            UnsupportedModelError: If the model is an ONNX graph.
        """
        module = copy.deepcopy(bundle.module).eval()
        for loss in losses_on_labels(module, bundle, context, count, _AT_ONCE, self.title):
            loss.backward()
        found = {}
        for name, weight in weights.items():
            grad = module.get_submodule(name).get_parameter("weight").grad
            found[name] = (weight * grad).abs() if grad is not None else weight.abs() * 0
        return found
