"""Set single weights to zero.

Makes a file smaller once zeros are encoded; dense kernels multiply zeros as fast as anything else,
so it does not make them faster. Needs no data. N:M patterns are what sparse tensor cores take.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Choice
from optim.step import Applied, Context, LayerReport, Step, StepReport
from optim.techniques.pruning import LAYERS, SCOPE, SPARSITY, emptied

if TYPE_CHECKING:
    from torch import Tensor

    from optim.models.bundle import ModelBundle

__all__ = ["PruneWeights"]


class PruneWeights(Step):
    """Unstructured or N:M magnitude pruning."""

    title: ClassVar[str] = "Prune weights"
    about: ClassVar[str] = "Sets the smallest weights to zero. Smaller when encoded, not faster."
    paper: ClassVar[str] = (
        "Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015, "
        "arXiv:1506.02626; N:M: Mishra et al., 2021, arXiv:2104.08378"
    )
    cost: ClassVar[Literal["instant", "calibrated", "training"]] = "instant"
    removes: ClassVar[frozenset[str]] = frozenset({"bn_measured", "recovered", "bias_corrected"})
    lanes: ClassVar[frozenset[str]] = frozenset({"torch", "graph"})
    sketches: ClassVar[bool] = True

    pattern: Annotated[
        Literal["element", "2:4", "1:4", "4:8"],
        Choice(
            options={"element": "Any weight", "2:4": "2:4", "1:4": "1:4", "4:8": "4:8"},
            label="Pattern",
            help="N:M keeps N of every M weights, as sparse tensor cores need. "
            "Any weight gives the best accuracy.",
        ),
    ] = "element"
    sparsity: Annotated[float, replace(SPARSITY, when={"pattern": ("element",)})] = 0.5
    scope: Annotated[Literal["global", "local"], replace(SCOPE, when={"pattern": ("element",)})] = (
        "global"
    )
    layers: Annotated[
        dict[str, float],
        replace(LAYERS, alone={"sparsity": 0.0, "pattern": "element"}, tried=(0.5, 0.75, 0.9)),
    ] = {}

    @property
    def is_neutral(self) -> bool:
        """Whether nothing would become zero."""
        return self.pattern == "element" and self.sparsity == 0 and not any(self.layers.values())

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
        masks, skipped = self._masks(weights)
        pruned = with_weights(bundle, {name: weights[name] * m for name, m in masks.items()})
        gone = {name: mask.numel() - int(mask.count_nonzero()) for name, mask in masks.items()}
        zeros = sum(gone.values())
        total = sum(weight.numel() for weight in weights.values())
        layers = [
            _layer_report(name, weights[name].numel(), gone.get(name), skipped.get(name))
            for name in weights
        ]
        report = StepReport(
            f"{zeros:,} of {total:,} weights set to zero ({zeros / max(total, 1):.1%}).",
            (*layers, *(LayerReport(name, False, reason) for name, reason in kept.items())),
            (self._notes() if weights or kept else (NO_WEIGHTS,)) + emptied(masks),
        )
        return Applied(pruned.with_table(bundle.table.with_masks(masks)), report)

    def _notes(self) -> tuple[str, ...]:
        ignored = [name for name, sparsity in self.layers.items() if sparsity > 0]
        if self.pattern == "element" or not ignored:
            return ()
        return (
            f"The pattern {self.pattern} decides the sparsity of {', '.join(ignored)}; "
            "of single layers it takes only 0, which leaves one alone.",
        )

    def _masks(self, weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return ``{layer: mask}`` and ``{layer: reason it is skipped}``."""
        from optim.layers.masks import global_masks, lowest_mask, n_of_m_mask

        scores = {name: weight.abs() for name, weight in weights.items()}
        masks: dict[str, Tensor] = {}
        skipped = {name: "left alone by choice" for name, s in self.layers.items() if s == 0}
        if self.pattern != "element":
            n, m = (int(part) for part in self.pattern.split(":"))
            for name in scores.keys() - skipped.keys():
                mask = n_of_m_mask(scores[name], n, m)
                if mask is None:
                    skipped[name] = f"{scores[name].shape[1]} inputs are not a multiple of {m}"
                else:
                    masks[name] = mask
            return masks, skipped
        for name, sparsity in self.layers.items():
            if sparsity > 0:
                masks[name] = lowest_mask(scores[name], round(sparsity * scores[name].numel()))
        rest = {name: s for name, s in scores.items() if name not in self.layers}
        if self.scope == "local" or not rest:
            masks |= {n: lowest_mask(s, round(self.sparsity * s.numel())) for n, s in rest.items()}
        else:
            total = sum(s.numel() for s in rest.values())
            masks |= global_masks(rest, round(self.sparsity * total))
        return masks, skipped


def _layer_report(name: str, total: int, zeros: int | None, reason: str | None) -> LayerReport:
    if zeros is None:
        return LayerReport(name, False, reason or "not pruned")
    if not zeros:
        return LayerReport(name, False, "all weights are among the larger ones", 0.0)
    return LayerReport(name, True, f"{zeros:,} of {total:,} weights zero", zeros / total)
