"""Scale channels so that weights and activations fit their grids better. Changes no output.

What one layer divides, the next multiplies: the network computes the same in floating point, and
something better once it is quantized. Comes before quantization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Method
from optim.step import Applied, Context, LayerReport, Step, StepReport
from optim.techniques.equalisations import EQUALISATIONS, CrossLayer, EqualisationMethod

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.equalisation import Link
    from optim.models.bundle import ModelBundle

__all__ = ["Equalise"]


class Equalise(Step):
    """Equalisation of channels, for the grids they will share."""

    title: ClassVar[str] = "Equalise"
    about: ClassVar[str] = "Scales channels so that they suit one grid; outputs stay the same."
    paper: ClassVar[str] = (
        "Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, "
        "2019, arXiv:1906.04721"
    )
    cost: ClassVar[Literal["instant", "calibrated", "training"]] = "calibrated"

    method: Annotated[
        EqualisationMethod,
        Method(
            family=EQUALISATIONS,
            label="Method",
            help="Cross-layer looks at weights and helps scales per tensor; SmoothQuant looks at "
            "activations and helps where few of their channels reach far.",
        ),
    ] = CrossLayer()

    @property
    def calibration_passes(self) -> int:
        """Samples the method looks at."""
        return int(getattr(self.method, "samples", 0))

    def outline(self, bundle: ModelBundle, context: Context) -> ModelBundle:
        """Return the model as it is: only numbers would change."""
        return bundle

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return the model with scaled channels; masks stay."""
        from optim.layers.equalisation import Scaled, links_of
        from optim.layers.rewrite import untreated_layers, weights_of

        links, reasons = links_of(bundle.module, norms=self.method.norms)
        scaled = Scaled(bundle.module)
        scales = self.method.scaled(scaled, links, context)
        layers = (
            *(_report(name, links, scales, reasons) for name in weights_of(bundle.module)),
            *(LayerReport(n, False, why) for n, why in untreated_layers(bundle.module).items()),
        )
        done = sum(entry.touched for entry in layers)
        summary = (
            f"Channels of {len(links)} outputs scaled; {done} of {len(layers)} layers changed."
        )
        notes = () if links else ("No layer's outputs are read by layers with weights alone.",)
        return Applied(
            bundle.with_module(scaled.result()) if links else bundle,
            StepReport(summary, layers, notes),
        )


def _report(
    name: str, links: list[Link], scales: dict[str, Tensor], reasons: dict[str, str]
) -> LayerReport:
    told = []
    if name in scales:
        low, high = (float(end) for end in scales[name].aminmax())
        told.append(f"outputs divided by {low:.2g} to {high:.2g}")
    else:
        told.append(f"outputs as they were: {reasons[name]}")
    sources = [link.source for link in links if name in link.readers]
    told += [f"inputs scaled as {source} needs it" for source in sources]
    return LayerReport(name, name in scales or bool(sources), "; ".join(told))
