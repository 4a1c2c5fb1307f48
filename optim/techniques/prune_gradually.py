"""Set single weights to zero while training. Needs training samples and time.

Weights that go one after the other leave the rest time to take over what they did: above nine
zeros of ten this keeps much of what one cut loses even if the same training follows it. It wants
time; in very short trainings a cut at the start, which leaves all steps to what remains, can be
better. The model it makes is that of :class:`~optim.techniques.prune_weights.PruneWeights`: smaller
when encoded, not faster.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Choice, Range
from optim.step import Applied, Context, LayerReport, StepReport
from optim.techniques.pruning import LAYERS, SCOPE, SPARSITY, emptied
from optim.techniques.training import TaughtStep

if TYPE_CHECKING:
    from torch import Tensor

    from optim.models.bundle import ModelBundle
    from optim.train import GradualMasks

__all__ = ["PruneGradually"]


class PruneGradually(TaughtStep):
    """Pruning in many small steps of a training, with re-growth on request.

    **Differs from the papers**: weights of all layers are compared by default, and exchanges stop
    where removal does, so that the last epochs train one network. By movement, weights that are
    gone collect no score, so that they stay away.
    """

    title: ClassVar[str] = "Prune while training"
    about: ClassVar[str] = "Sets weights to zero little by little while it trains."
    paper: ClassVar[str] = (
        "Zhu and Gupta, To Prune, or Not to Prune, 2017, arXiv:1710.01878; re-growth: Evci et al., "
        "Rigging the Lottery, 2020, arXiv:1911.11134; movement: Sanh et al., Movement Pruning: "
        "Adaptive Sparsity by Fine-Tuning, 2020, arXiv:2005.07683"
    )

    sparsity: Annotated[float, SPARSITY] = 0.9
    removal: Annotated[
        Literal["one_shot", "linear", "cubic"],
        Choice(
            options={"one_shot": "At once", "linear": "Evenly", "cubic": "Many first"},
            label="Removal",
            help="All at the start, equally many each time, or many at first, when there are many "
            "to spare, and few in the end.",
        ),
    ] = "cubic"
    criterion: Annotated[
        Literal["magnitude", "movement"],
        Choice(
            options={"magnitude": "The smallest", "movement": "By movement"},
            label="First go",
            help="The smallest weights, or those that training has moved most towards zero; on "
            "small networks that were tried here the smallest were better.",
            expert=True,
        ),
    ] = "magnitude"
    start: Annotated[
        float,
        Range(
            low=0.0,
            high=0.25,
            step=0.05,
            scale="percent",
            label="First removal",
            help="Share of the training before the first weights go.",
            expert=True,
        ),
    ] = 0.0
    end: Annotated[
        float,
        Range(
            low=0.25,
            high=1.0,
            step=0.05,
            scale="percent",
            label="Last removal",
            help="Share of the training after which no more weights go; the rest trains what is "
            "left.",
            expert=True,
        ),
    ] = 0.5
    scope: Annotated[Literal["global", "local"], SCOPE] = "global"
    regrow: Annotated[
        float,
        Range(
            low=0.0,
            high=0.5,
            step=0.05,
            scale="percent",
            label="Re-growth",
            help="Share of a layer's weights that are exchanged for missing ones which the loss "
            "pulls more; falls to zero until the last removal.",
            expert=True,
        ),
    ] = 0.0
    layers: Annotated[dict[str, float], LAYERS] = {}

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return the trained model with masked weights; masks go into the compression table."""
        from optim.layers.rewrite import untreated_layers, weights_of

        module = copy.deepcopy(bundle.module)
        weights = weights_of(module, self.layers)
        frozen = self.frozen_layers(module)
        pruned = [n for n in weights if n not in frozen and self.layers.get(n) != 0]
        growing = self._masks({n: weights[n] for n in pruned}, bundle.table.masks)
        trained = self.train(
            module, context, self.taught_loss(context), masks=growing, frozen=frozen
        )
        masks = {name: growing.current[name] for name in pruned}
        layers = [_layer_report(name, masks.get(name), frozen) for name in weights]
        untreated = untreated_layers(module)
        for name, reason in untreated.items():
            is_trained = name not in frozen
            said = f"trained, and left dense: {reason}" if is_trained else "frozen by choice"
            layers.append(LayerReport(name, is_trained, said))
        zeros = sum(int((~mask).sum()) for mask in masks.values())
        total = sum(weight.numel() for weight in weights.values())
        others = f" in {len(weights)} of {len(layers)} layers" if untreated else ""
        summary = (
            f"{zeros:,} of {total:,} weights{others} set to zero ({zeros / total:.1%}) in "
            f"{trained.summary}"
        )
        result = bundle.with_module(module, bundle.table.with_masks(masks))
        report = StepReport(summary, tuple(layers), trained.notes + emptied(masks))
        return Applied(result.having_seen(context.seen()), report)

    def _masks(self, weights: Mapping[str, Tensor], fixed: Mapping[str, Tensor]) -> GradualMasks:
        from optim.train import Gradual, GradualMasks

        settings = Gradual(
            self.sparsity,
            self.removal,
            self.start,
            self.end,
            scope=self.scope,
            regrow=self.regrow,
            criterion=self.criterion,
        )
        shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        return GradualMasks(settings, shapes, fixed, self.layers)


def _layer_report(name: str, mask: Tensor | None, frozen: Collection[str]) -> LayerReport:
    if name in frozen:
        return LayerReport(name, False, "frozen by choice")
    if mask is None:
        return LayerReport(name, True, "trained, and left dense by choice")
    zeros = int((~mask).sum())
    if not zeros:
        return LayerReport(name, True, "trained; all weights are among the larger ones", 0.0)
    share = zeros / mask.numel()
    return LayerReport(name, True, f"trained; {zeros:,} of {mask.numel():,} weights zero", share)
