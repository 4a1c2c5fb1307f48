"""Train a quantized model as it will be deployed. Needs training samples and time.

Calibration finds good grids for weights that never heard of them. Here the weights learn to live
with their grids, and the grids move to where the weights want them: what 3 or 4 bits cost comes
back for the most part within a few epochs.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Choice
from optim.step import Applied, Context, LayerReport, StepReport
from optim.techniques.training import (
    BatchSize,
    Epochs,
    LearningRate,
    Shift,
    TaughtStep,
    WeightDecay,
)

if TYPE_CHECKING:
    from torch import nn

    from optim.layers.table import CompressionTable
    from optim.models.bundle import ModelBundle

__all__ = ["FineTuneQuantized"]


class FineTuneQuantized(TaughtStep):
    """Quantization-aware training with learned step sizes.

    **Differs from the papers**: steps start from those that calibration found; batch norm is folded
    with its statistics frozen, so that what is trained is the very graph that is deployed.
    """

    title: ClassVar[str] = "Quantization-aware fine-tuning"
    about: ClassVar[str] = (
        "Trains quantized weights with the steps of their grids, or shared values, as deployed."
    )
    paper: ClassVar[str] = (
        "Esser et al., Learned Step Size Quantization, 2020, arXiv:1902.08153; Choi et al., PACT: "
        "Parameterized Clipping Activation for Quantized Neural Networks, 2018, arXiv:1805.06085; "
        "Jacob et al., Quantization and Training of Neural Networks for Efficient "
        "Integer-Arithmetic-Only Inference, 2017, arXiv:1712.05877; shared values: Han et al., "
        "Deep Compression, 2015, arXiv:1510.00149"
    )
    requires: ClassVar[frozenset[str]] = frozenset({"quantized"})

    epochs: Epochs = 4
    learning_rate: LearningRate = 0.01
    batch_size: BatchSize = 64
    weight_decay: WeightDecay = 0.0001
    shift: Shift = 0
    steps: Annotated[
        Literal["lsq", "pact"],
        Choice(
            options={"lsq": "Rounding and clipping", "pact": "Clipping alone"},
            label="Steps of activations learn by",
            help="LSQ weighs what is rounded against what is clipped; PACT moves the end of the "
            "range by what lies beyond it.",
            expert=True,
        ),
    ] = "lsq"

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return the trained model with the learned grids in its table."""
        from optim.layers.training_graph import learned_table, take_shared, training_graph

        module = copy.deepcopy(bundle.module)
        traced = training_graph(module, bundle.table, by_clipping=self.steps == "pact")
        # Batch norms are folded: they are no longer there.
        there = {name for name, _ in (*traced.named_modules(), *traced.named_parameters())}
        frozen = [name for name in self.frozen_layers(module) if name in there]
        trained = self.train(
            traced,
            context,
            self.taught_loss(context),
            masks={f"{name}.layer": mask for name, mask in bundle.table.masks.items()},
            frozen=frozen,
        )
        table = learned_table(traced, bundle.table)
        take_shared(traced, bundle.table)
        layers = _layers(module, bundle.table, table, frozen)
        result = bundle.with_module(module, table).having_seen(context.seen())
        return Applied(result, StepReport(trained.summary, layers, trained.notes))


def _layers(
    module: nn.Module, before: CompressionTable, after: CompressionTable, frozen: Collection[str]
) -> tuple[LayerReport, ...]:
    from optim.layers.rewrite import untreated_layers, weights_of

    layers = []
    for name in (*weights_of(module), *untreated_layers(module)):
        detail = "trained in floating point"
        if name in before.weights:
            old, new = before.weights[name].scale, after.weights[name].scale
            moved = float(((new - old) / old).abs().mean())
            detail = f"trained on its grid, steps moved by {moved:.0%}"
        if name in before.codebooks:
            first, last = before.codebooks[name].book[1:], after.codebooks[name].book[1:]
            moved = float(((last - first) / first).abs().mean()) if len(first) else 0.0
            detail = f"{len(first)} shared values trained, moved by {moved:.0%}"
        if name in frozen:
            detail = "frozen by choice"
        layers.append(LayerReport(name, name not in frozen, detail))
    return tuple(layers)
