"""Train a quantized model as it will be deployed. Needs training samples and time.

Calibration finds good grids for weights that never heard of them. Here the weights learn to live
with their grids, and the grids move to where the weights want them: what 3 or 4 bits cost comes
back for the most part within a few epochs.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Range
from optim.step import Applied, Context, LayerReport, Step, StepReport

if TYPE_CHECKING:
    from torch import nn

    from optim.layers.table import CompressionTable
    from optim.models.bundle import ModelBundle
    from optim.train import Objective

__all__ = ["FineTuneQuantized"]


class FineTuneQuantized(Step):
    """Quantization-aware training with learned step sizes.

    **Differs from the papers**: steps start from those that calibration found; batch norm is folded
    with its statistics frozen, so that what is trained is the very graph that is deployed.
    """

    title: ClassVar[str] = "Quantization-aware fine-tuning"
    about: ClassVar[str] = "Trains quantized weights, and the steps of their grids, as deployed."
    paper: ClassVar[str] = (
        "Esser et al., Learned Step Size Quantization, 2020, arXiv:1902.08153; Jacob et al., "
        "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only "
        "Inference, 2017, arXiv:1712.05877"
    )
    cost: ClassVar[Literal["instant", "calibrated", "training"]] = "training"
    requires: ClassVar[frozenset[str]] = frozenset({"quantized"})

    epochs: Annotated[
        int,
        Range(
            low=0,
            high=100,
            step=1,
            unit="epochs",
            label="Epochs",
            help="Passes over the training data.",
        ),
    ] = 4
    alpha: Annotated[
        float,
        Range(
            low=0.0,
            high=1.0,
            step=0.05,
            scale="percent",
            label="Soft weight",
            help="Weight of what the original model answers; the rest is the true label's.",
        ),
    ] = 0.5
    temperature: Annotated[
        float,
        Range(
            low=1.0,
            high=10.0,
            step=0.5,
            label="Temperature",
            help="Softens the original model's answers: higher shows more of what it finds second "
            "best.",
            expert=True,
        ),
    ] = 2.0
    learning_rate: Annotated[
        float,
        Range(
            low=0.0005,
            high=0.1,
            step=0.0005,
            label="Learning rate",
            expert=True,
            help="Highest learning rate of the one-cycle schedule.",
        ),
    ] = 0.01
    batch_size: Annotated[
        int,
        Range(
            low=16,
            high=1024,
            step=16,
            scale="log",
            unit="samples",
            label="Batch size",
            help="Samples a training step.",
            expert=True,
        ),
    ] = 64
    shift: Annotated[
        int,
        Range(
            low=0,
            high=8,
            step=1,
            unit="pixels",
            label="Random shift",
            expert=True,
            help="Largest random shift of an image while training.",
        ),
    ] = 0

    @property
    def is_neutral(self) -> bool:
        """Whether nothing would be trained."""
        return self.epochs == 0

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return the trained model with the learned grids in its table."""
        import torch

        from optim.layers.training_graph import learned_table, training_graph
        from optim.train import Augment, Schedule, fit

        inputs, targets = context.training()
        module = copy.deepcopy(bundle.module)
        traced = training_graph(module, bundle.table)
        with torch.random.fork_rng():
            torch.manual_seed(context.seed)
            history = fit(
                traced,
                inputs,
                targets,
                self._objective(context.reference),
                Schedule(self.epochs, self.batch_size, self.learning_rate, weight_decay=1e-4),
                generator=context.generator(),
                augment=Augment(shift=self.shift),
                masks={f"{name}.layer": mask for name, mask in bundle.table.masks.items()},
                on_epoch=lambda e: context.progress(
                    e.number / self.epochs, f"epoch {e.number} of {self.epochs}, loss {e.loss:.3f}"
                ),
                check=context.check,
            )
        table = learned_table(traced, bundle.table)
        summary = (
            f"{self.epochs} epochs on {len(inputs):,} samples, loss {history[0].loss:.3f} to "
            f"{history[-1].loss:.3f}."
        )
        trained = bundle.with_module(module, table).having_seen(context.seen())
        return Applied(trained, StepReport(summary, _layers(module, bundle.table, table)))

    def _objective(self, original: ModelBundle) -> Objective:
        from optim.device import compute_device
        from optim.train import classification_loss, distillation_loss

        if self.alpha == 0:
            return classification_loss()
        teacher = copy.deepcopy(original.module).to(compute_device()).eval().requires_grad_(False)
        return distillation_loss(teacher, self.temperature, self.alpha)


def _layers(
    module: nn.Module, before: CompressionTable, after: CompressionTable
) -> tuple[LayerReport, ...]:
    from optim.layers.rewrite import weights_of

    layers = []
    for name in weights_of(module):
        detail = "trained in floating point"
        if name in before.weights:
            old, new = before.weights[name].scale, after.weights[name].scale
            moved = float(((new - old) / old).abs().mean())
            detail = f"trained on its grid, steps moved by {moved:.0%}"
        layers.append(LayerReport(name, True, detail))
    return tuple(layers)
