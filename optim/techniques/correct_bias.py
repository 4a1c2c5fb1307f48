"""Shift biases so that quantized layers are right on average. Needs samples, no labels.

Rounding the weights of a channel rarely errs evenly: its outputs move up or down as a whole. That
shift is the mean input times the rounding error of the weights, and the bias can take it back for
free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Range
from optim.step import Applied, Context, LayerReport, Step, StepReport

if TYPE_CHECKING:
    from optim.models.bundle import ModelBundle

__all__ = ["CorrectBias"]


class CorrectBias(Step):
    """Quantization bias correction.

    **Differs from the paper**: mean inputs are measured on samples instead of being derived from
    batch norm, and with their place in the image, so that padding is accounted for.
    """

    title: ClassVar[str] = "Correct bias"
    about: ClassVar[str] = "Takes back the average error that rounding the weights causes."
    paper: ClassVar[str] = (
        "Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, "
        "2019, arXiv:1906.04721"
    )
    cost: ClassVar[Literal["instant", "calibrated", "training"]] = "calibrated"
    sketches: ClassVar[bool] = True
    requires: ClassVar[frozenset[str]] = frozenset()
    ensures: ClassVar[frozenset[str]] = frozenset({"bias_corrected"})

    samples: Annotated[
        int,
        Range(
            low=64,
            high=2048,
            step=64,
            scale="log",
            unit="samples",
            label="Samples",
            help="Training samples the mean inputs are taken from.",
        ),
    ] = 256

    def outline(self, bundle: ModelBundle, context: Context) -> ModelBundle:
        """Return the model as it is: only numbers would change."""
        return bundle

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return the model with shifted biases."""
        from optim.layers.bias import mean_inputs, mean_shifts, shift_outputs
        from optim.layers.rewrite import untreated_layers, weights_of

        if not bundle.table.weights:
            note = "No weight is quantized at this point; put this step after 'Quantize'."
            return Applied(bundle, StepReport("Nothing to correct.", notes=(note,)))
        x, _ = context.calibration(self.samples)
        # Of the exact weights: however they are rounded, these inputs stay.
        means = context.memo(
            f"mean_inputs:{bundle.without_grids().hash}:{len(x)}:{context.key}",
            lambda: mean_inputs(bundle.module, x.split(128)),
        )
        shifts = mean_shifts(bundle.module, bundle.table.weights, means)
        module = shift_outputs(bundle.module, {name: -shift for name, shift in shifts.items()})
        layers = []
        for name in (*weights_of(bundle.module), *untreated_layers(bundle.module)):
            if name in shifts:
                size = float(shifts[name].abs().mean())
                layers.append(LayerReport(name, True, f"outputs shifted by {size:.2g} on average"))
            else:
                layers.append(LayerReport(name, False, "its weights are not quantized"))
        summary = f"Biases of {len(shifts)} layers corrected on {len(x)} samples."
        return Applied(bundle.with_module(module), StepReport(summary, tuple(layers)))
