"""Measure again what batch norm believes about its inputs. Needs samples, no labels, no gradients.

Pruning changes the statistics of every layer behind it while batch norm still subtracts the old
mean and divides by the old deviation. A pass over a few hundred samples puts that right and often
wins back most of what pruning cost. Only before quantization: then the norms are folded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Range
from optim.step import Applied, Context, LayerReport, Step, StepReport

if TYPE_CHECKING:
    from torch import Tensor

    from optim.models.bundle import ModelBundle

__all__ = ["ReestimateBatchNorm"]


class ReestimateBatchNorm(Step):
    """Re-estimate running means and variances."""

    title: ClassVar[str] = "Re-estimate batch norm"
    about: ClassVar[str] = "Updates batch norm statistics after pruning; often wins most back."
    paper: ClassVar[str] = (
        "Li et al., EagleEye: Fast Sub-net Evaluation for Efficient Neural Network Pruning, 2020, "
        "arXiv:2007.02491"
    )
    cost: ClassVar[Literal["instant", "calibrated", "training"]] = "calibrated"
    sketches: ClassVar[bool] = True
    ensures: ClassVar[frozenset[str]] = frozenset({"bn_measured"})
    removes: ClassVar[frozenset[str]] = frozenset({"bias_corrected"})

    samples: Annotated[
        int,
        Range(
            low=64,
            high=4096,
            step=64,
            scale="log",
            unit="samples",
            label="Samples",
            help="Training samples the statistics are taken from.",
        ),
    ] = 512

    def outline(self, bundle: ModelBundle, context: Context) -> ModelBundle:
        """Return the model as it is: only numbers would change."""
        return bundle

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return the model with new batch norm statistics."""
        from optim.layers.graph import fork
        from optim.layers.norms import measure_norms_
        from optim.layers.rewrite import norm_layers

        if bundle.hash == context.reference.hash:
            note = "The model is as it was trained; its statistics are still right."
            return Applied(bundle, StepReport("Nothing to re-estimate.", notes=(note,)))
        module = fork(bundle.module)
        norms = norm_layers(module)
        if not norms:
            note = "The model has no batch norm; nothing was changed."
            return Applied(bundle, StepReport("No batch norm to re-estimate.", notes=(note,)))
        old = {
            name: norm.running_mean.clone()
            for name, norm in norms.items()
            if norm.running_mean is not None
        }
        x, _ = context.calibration(self.samples)

        def batches() -> Iterator[Tensor]:
            for batch in x.split(256):
                context.check()
                yield batch

        measure_norms_(module, batches())
        return Applied(bundle.with_module(module), _report(old, norms, len(x)))


def _report(old: dict, norms: dict, samples: int) -> StepReport:  # type: ignore[type-arg]
    layers = []
    for name, norm in norms.items():
        spread = norm.running_var.sqrt().mean().clamp(min=1e-12)
        moved = float((norm.running_mean - old[name]).abs().mean() / spread)
        layers.append(LayerReport(name, True, f"means moved by {moved:.2f} deviations"))
    return StepReport(f"{len(layers)} batch norms measured on {samples} samples.", tuple(layers))
