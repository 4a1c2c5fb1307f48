"""Set single weights to zero, and let the others make up for them.

Makes a file smaller once zeros are encoded; dense kernels multiply zeros as fast as anything else,
so it does not make them faster. N:M patterns are what sparse tensor cores take. Magnitude needs no
data; other criteria, and refitting the weights that stay, look at samples.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Choice, Method, Range
from optim.step import Applied, Context, LayerReport, Step, StepReport
from optim.techniques.criteria import CRITERIA, CriterionMethod, Magnitude
from optim.techniques.pruning import LAYERS, REFIT, SCOPE, SPARSITY, emptied

if TYPE_CHECKING:
    from torch import Tensor

    from optim.models.bundle import ModelBundle

__all__ = ["PruneWeights"]


_FREE = ("element", "kernel", "block")
"""Patterns of any sparsity."""
_WHOLE = {
    "kernel": "its weights have no positions to go together",
    "block": "its outputs are not a multiple of 4",
}


class PruneWeights(Step):
    """Unstructured, block-wise or N:M pruning."""

    title: ClassVar[str] = "Prune weights"
    about: ClassVar[str] = "Sets the smallest weights to zero. Smaller when encoded, not faster."
    paper: ClassVar[str] = (
        "Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015, "
        "arXiv:1506.02626; N:M: Mishra et al., 2021, arXiv:2104.08378"
    )
    cost: ClassVar[Literal["instant", "calibrated", "training"]] = "calibrated"
    removes: ClassVar[frozenset[str]] = frozenset({"bn_measured", "recovered", "bias_corrected"})
    lanes: ClassVar[frozenset[str]] = frozenset({"torch", "graph"})
    sketches: ClassVar[bool] = True

    pattern: Annotated[
        Literal["element", "kernel", "block", "2:4", "1:4", "4:8"],
        Choice(
            options={
                "element": "Any weight",
                "kernel": "Kernels",
                "block": "Blocks of 4",
                "2:4": "2:4",
                "1:4": "1:4",
                "4:8": "4:8",
            },
            label="Pattern",
            help="What goes together. Any weight gives the best accuracy. Kernels are all "
            "positions of an input, blocks four outputs at one; N:M keeps N of every M weights, "
            "as sparse tensor cores need.",
        ),
    ] = "element"
    sparsity: Annotated[float, replace(SPARSITY, when={"pattern": _FREE})] = 0.5
    criterion: Annotated[
        CriterionMethod,
        Method(family=CRITERIA, label="Criterion", help="Which weights go first."),
    ] = Magnitude()
    scope: Annotated[
        Literal["global", "local", "output", "erk"],
        replace(
            SCOPE,
            options={**SCOPE.options, "output": "Per output", "erk": "By size (ERK)"},
            help="Global compares weights of all layers; per layer and per output give each the "
            "same sparsity; by size makes large layers sparser.",
            when={"pattern": _FREE},
        ),
    ] = "global"
    reconstruct: Annotated[bool, REFIT] = False
    calibration_samples: Annotated[
        int,
        Range(
            low=64,
            high=2048,
            step=64,
            scale="log",
            unit="samples",
            label="Samples",
            help="Training samples that criteria look at and weights are refitted on.",
            expert=True,
        ),
    ] = 256
    layers: Annotated[
        dict[str, float],
        replace(LAYERS, alone={"sparsity": 0.0, "pattern": "element"}, tried=(0.5, 0.75, 0.9)),
    ] = {}

    @property
    def samples(self) -> int:
        """Samples that are looked at."""
        needed = self.reconstruct or self.criterion.needs_samples
        return self.calibration_samples if needed else 0

    @property
    def looks_at_data(self) -> bool:
        """Whether the criterion or the refit looks at samples."""
        return self.samples > 0

    @property
    def is_neutral(self) -> bool:
        """Whether nothing would become zero."""
        return self.pattern in _FREE and self.sparsity == 0 and not any(self.layers.values())

    def outline(self, bundle: ModelBundle, context: Context) -> ModelBundle:
        """Return the model with zeros; of a sketch, the model as it is: a file stays as large."""
        from optim.layers.sketch import is_sketch

        if bundle.lane == "torch" and is_sketch(bundle.module):
            return bundle
        return self.apply(bundle, context).bundle

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return the model with masked weights; masks go into the compression table."""
        from optim.models.weighted import NO_WEIGHTS, kept_weights, model_weights, with_weights
        from optim.runtime.run_graph import editable

        bundle = editable(bundle, context.memo)
        weights, kept = model_weights(bundle, self.layers), kept_weights(bundle)
        masks, skipped = self._masks(weights, self._scores(bundle, weights, context))
        changed = {name: weights[name] * mask for name, mask in masks.items()}
        if self.reconstruct:
            changed |= self._refitted(bundle, masks, context)
        pruned = with_weights(bundle, changed)
        gone = {name: mask.numel() - int(mask.count_nonzero()) for name, mask in masks.items()}
        zeros = sum(gone.values())
        total = sum(weight.numel() for weight in weights.values())
        others = f" in {len(weights)} of {len(weights) + len(kept)} layers" if kept else ""
        layers = [
            _layer_report(name, weights[name].numel(), gone.get(name), skipped.get(name))
            for name in weights
        ]
        report = StepReport(
            f"{zeros:,} of {total:,} weights{others} set to zero ({zeros / max(total, 1):.1%}).",
            (*layers, *(LayerReport(name, False, reason) for name, reason in kept.items())),
            (self._notes() if weights or kept else (NO_WEIGHTS,)) + emptied(masks),
        )
        return Applied(pruned.with_table(bundle.table.with_masks(masks)), report)

    def _notes(self) -> tuple[str, ...]:
        ignored = [name for name, sparsity in self.layers.items() if sparsity > 0]
        if self.pattern in _FREE or not ignored:
            return ()
        return (
            f"The pattern {self.pattern} decides the sparsity of {', '.join(ignored)}; "
            "of single layers it takes only 0, which leaves one alone.",
        )

    def _scores(
        self, bundle: ModelBundle, weights: dict[str, Tensor], context: Context
    ) -> dict[str, Tensor]:
        """Return how much each weight matters."""
        return context.memo(
            f"criterion:{bundle.hash}:{self.criterion!r}:{self.samples}:{self.reconstruct}:"
            f"{context.key}",
            lambda: self.criterion.scores(
                bundle, weights, context, self.samples, refit=self.reconstruct
            ),
        )

    def _refitted(
        self, bundle: ModelBundle, masks: dict[str, Tensor], context: Context
    ) -> dict[str, Tensor]:
        """Return the weights that stay, fitted so that each layer gives what it gave before."""
        from optim.layers.reconstruction import most_samples
        from optim.layers.surgeon import refitted_layers
        from optim.runtime.round_graph import refitted_graph

        x, _ = context.calibration(self.samples)
        if bundle.lane == "torch":
            given = x[: most_samples(bundle.module, bundle.spec.shape)]
            return refitted_layers(bundle.module, masks, given, context.check)
        return refitted_graph(bundle, masks, x, context.check)

    def _masks(
        self, weights: dict[str, Tensor], scores: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return ``{layer: mask}`` and ``{layer: reason it is skipped}``."""
        from optim.layers.masks import lowest_mask, n_of_m_mask, over_units

        masks: dict[str, Tensor] = {}
        skipped = {name: "left alone by choice" for name, s in self.layers.items() if s == 0}
        open_ = {name: scores[name] for name in weights if name not in skipped}
        if self.pattern not in _FREE:
            n, m = (int(part) for part in self.pattern.split(":"))
            for name, own in open_.items():
                mask = n_of_m_mask(own, n, m)
                if mask is None:
                    skipped[name] = f"{own.shape[1]} inputs are not a multiple of {m}"
                else:
                    masks[name] = mask
            return masks, skipped
        if self.pattern != "element":
            units = {name: over_units(own, self.pattern) for name, own in open_.items()}
            skipped |= {name: _WHOLE[self.pattern] for name, unit in units.items() if unit is None}
            open_ = {name: unit for name, unit in units.items() if unit is not None}
        for name, sparsity in self.layers.items():
            if name in open_:
                own = open_.pop(name)
                masks[name] = lowest_mask(own, round(sparsity * own.numel()))
        return masks | self._common_masks(open_), skipped

    def _common_masks(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the masks of layers that have no sparsity of their own."""
        from optim.layers.masks import erk_shares, global_masks, lowest_mask

        if self.scope == "global" and scores:
            total = sum(s.numel() for s in scores.values())
            return global_masks(scores, round(self.sparsity * total))
        if self.scope == "output":
            return {name: _by_output(s, self.sparsity) for name, s in scores.items()}
        shares = dict.fromkeys(scores, self.sparsity)
        if self.scope == "erk":
            shares = erk_shares({name: tuple(s.shape) for name, s in scores.items()}, self.sparsity)
        return {n: lowest_mask(s, round(shares[n] * s.numel())) for n, s in scores.items()}


def _by_output(scores: Tensor, sparsity: float) -> Tensor:
    """Return a mask that is False at the same share of the weights of each output."""
    import torch

    from optim.layers.masks import lowest_mask

    count = round(sparsity * scores[0].numel())
    return torch.stack([lowest_mask(row, count) for row in scores])


def _layer_report(name: str, total: int, zeros: int | None, reason: str | None) -> LayerReport:
    if zeros is None:
        return LayerReport(name, False, reason or "not pruned")
    if not zeros:
        return LayerReport(name, False, "all weights are among the larger ones", 0.0)
    return LayerReport(name, True, f"{zeros:,} of {total:,} weights zero", zeros / total)
