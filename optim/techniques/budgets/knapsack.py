"""Spread the bits of a common width over the layers, more where outputs depend on it.

Every layer is quantized alone, at every width, and the change of the outputs is measured. Harms add
up while they are small, so that the best choice within the bytes is a knapsack, solved exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.fields import Range
from optim.techniques.budgets.method import BudgetMethod, Spread

if TYPE_CHECKING:
    from optim.models.bundle import ModelBundle
    from optim.step import Context
    from optim.techniques.budgets.method import Offer

__all__ = ["Knapsack"]

_WIDTHS = (2, 3, 4, 5, 6, 7, 8)
_BATCH = 64
_LAYERS = 20
"""Layers of a usual network, to say ahead what measuring costs."""


class Knapsack(BudgetMethod):
    """Mixed precision by measured sensitivity and dynamic programming.

    **Differs from the paper**: harm is the squared change of the outputs on samples, and not taken
    from second derivatives of the loss.
    """

    title: ClassVar[str] = "By sensitivity"
    paper: ClassVar[str] = (
        "Dong et al., HAWQ-V2: Hessian Aware trace-Weighted Quantization of Neural Networks, 2020, "
        "arXiv:1911.03852; Sinha and Zoltners, The Multiple-Choice Knapsack Problem, 1979"
    )

    samples: Annotated[
        int,
        Range(
            low=32,
            high=1024,
            step=32,
            scale="log",
            unit="samples",
            label="Samples",
            help="Training samples on which every layer's harm is measured; no labels.",
        ),
    ] = 128

    @property
    def passes(self) -> int:
        """Return the work for a usual network; what lies before a layer is not run again."""
        return self.samples * len(_WIDTHS) * _LAYERS // 2

    def spread(self, offer: Offer, context: Context) -> Spread:
        """Return the bits of least harm that cost no more bytes than the common ones."""
        from optim.allocation import allocate

        harms = self._harms(offer, context)
        names = list(offer.weights)
        sizes = [offer.weights[name].numel() for name in names]
        chosen = allocate(
            [[harms[name][bits] for bits in _WIDTHS] for name in names],
            [[size * bits for bits in _WIDTHS] for size in sizes],
            sum(sizes) * offer.bits,
        )
        bits = {name: _WIDTHS[i] for name, i in zip(names, chosen, strict=True)}
        before = sum(harms[name][offer.bits] for name in names)
        after = sum(harms[name][bits[name]] for name in names)
        return Spread(
            bits,
            {
                name: f"alone it changes outputs by {harms[name][bits[name]]:.1%}, "
                f"by {harms[name][2]:.1%} at 2 bits"
                for name in names
            },
            f"Bits spread over {len(names)} layers, for the bytes of {offer.bits} bits everywhere: "
            f"squared changes of outputs add up to {after:.1%} instead of {before:.1%}.",
        )

    def _harms(self, offer: Offer, context: Context) -> dict[str, dict[int, float]]:
        """Return ``{layer: {bits: squared change of the outputs, in units of their square}}``."""
        from optim.measure.variants import Variants

        x, _ = context.calibration(self.samples)
        cases = [(name, bits) for name in offer.weights for bits in _WIDTHS]

        def alone(name: str, bits: int) -> ModelBundle:
            only = {name: offer.quantized(offer.weights[name], bits)}
            return offer.bundle.with_table(offer.bundle.table.with_quantization(only, {}))

        def measure() -> dict[str, dict[int, float]]:
            variants = Variants(offer.bundle, [alone(*case) for case in cases])
            size, errors = 0.0, [0.0] * len(cases)
            for batch in x.split(_BATCH):
                exact, changed = variants.outputs(batch, context.check)
                size += float((exact**2).sum())
                for i, outputs in enumerate(changed):
                    errors[i] += float(((outputs - exact) ** 2).sum())
            harms: dict[str, dict[int, float]] = {name: {} for name in offer.weights}
            for (name, bits), error in zip(cases, errors, strict=True):
                harms[name][bits] = error / max(size, 1e-12)
            return harms

        names = ",".join(offer.weights)
        key = f"harms:{offer.bundle.hash}:{len(x)}:{names}:{offer.key}:{context.key}"
        return context.memo(key, measure)
