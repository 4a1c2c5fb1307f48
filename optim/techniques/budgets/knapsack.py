"""Spread the bits of a common width over the layers, more where outputs depend on it.

Every layer is quantized alone, at every width, and the change of the outputs is measured. Harms add
up while they are small, so that the best choice within the bytes, the bit operations or the energy
of the common width is a knapsack (:mod:`optim.allocation`). It harms no more than the common width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import mul
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Choice, Range
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
_SAID = {"bytes": "bytes", "operations": "bit operations", "energy": "energy"}


class Knapsack(BudgetMethod):
    """Mixed precision by measured sensitivity and dynamic programming.

    **Differs from the paper**: harm is the squared change of the outputs on samples, and not taken
    from second derivatives of the loss.

    A layer of M MACs and W weights at b bits costs ``W b`` bits of file, ``M b`` bit operations
    (times the bits of activations, which all layers share), or ``M (0.1 + 0.2 b / 8)`` pJ of
    arithmetic and ``W b / 8`` bytes from memory outside of the chip at 244 pJ.
    """

    title: ClassVar[str] = "By sensitivity"
    paper: ClassVar[str] = (
        "Dong et al., HAWQ-V2: Hessian Aware trace-Weighted Quantization of Neural Networks, 2020, "
        "arXiv:1911.03852; Sinha and Zoltners, The Multiple-Choice Knapsack Problem, 1979; bit "
        "operations: Baskin et al., UNIQ, 2018, arXiv:1804.10969; energy: Horowitz, Computing's "
        "Energy Problem, ISSCC 2014"
    )

    limit: Annotated[
        Literal["bytes", "operations", "energy"],
        Choice(
            options={"bytes": "Bytes", "operations": "Bit operations", "energy": "Energy"},
            label="No more",
            help="What may not exceed that of the common bits: bytes of the weights, bit "
            "operations (time on an FPGA or a bit-serial core), or energy of arithmetic and of "
            "fetching weights.",
            expert=True,
        ),
    ] = "bytes"
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
        """Return the bits of least harm that cost no more than the common ones."""
        from optim.allocation import allocate

        harms = self._harms(offer, context)
        names = list(offer.weights)
        costs = self._costs(offer)
        chosen = allocate(
            [[harms[name][bits] for bits in _WIDTHS] for name in names],
            [[costs[name](bits) for bits in _WIDTHS] for name in names],
            sum(costs[name](offer.bits) for name in names),
            known=[_WIDTHS.index(offer.bits)] * len(names),
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
            f"Bits spread over {len(names)} layers, for the {_SAID[self.limit]} of {offer.bits} "
            f"bits everywhere: squared changes of outputs add up to {after:.1%} instead of "
            f"{before:.1%}.",
        )

    def _costs(self, offer: Offer) -> dict[str, Callable[[int], float]]:
        """Return what each layer costs at so many bits, by name."""
        from optim.measure.costs import model_costs

        sizes = {name: weight.numel() for name, weight in offer.weights.items()}
        if self.limit == "bytes":
            return {name: partial(mul, size) for name, size in sizes.items()}
        macs = {cost.name: cost.macs for cost in model_costs(offer.bundle)}
        if self.limit == "operations":
            return {name: partial(mul, macs[name]) for name in sizes}
        return {name: partial(_picojoules, macs[name], size) for name, size in sizes.items()}

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


def _picojoules(macs: int, weights: int, bits: int) -> float:
    """Return the energy of a layer's arithmetic and of fetching its weights, at 45 nm."""
    return macs * (0.1 + 0.2 * bits / 8) + weights * bits / 8 * 243.75
