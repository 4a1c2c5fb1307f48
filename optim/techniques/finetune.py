"""Go on training, so that the weights that are left make up for those that are gone.

The plainest way to win accuracy back, and the control that distillation has to beat.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

from optim.step import Applied, Context
from optim.techniques.training import TrainingStep

if TYPE_CHECKING:
    from optim.models.bundle import ModelBundle

__all__ = ["FineTune"]


class FineTune(TrainingStep):
    """Training on the true labels."""

    title: ClassVar[str] = "Fine-tune"
    about: ClassVar[str] = "Trains the compressed model on, with the true labels."
    paper: ClassVar[str] = (
        "Renda et al., Comparing Rewinding and Fine-tuning in Neural Network Pruning, 2020, "
        "arXiv:2003.02389"
    )

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return the trained model; masked weights stay zero."""
        module = copy.deepcopy(bundle.module)
        frozen = self.frozen_layers(module)
        trained = self.train(
            module,
            context,
            self.label_loss(context),
            masks=bundle.table.masks,
            frozen=frozen,
        )
        result = bundle.with_module(module).having_seen(context.seen())
        return Applied(result, self.report(module, trained, frozen))
