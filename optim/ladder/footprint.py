"""What a model asks of a device once it is deployed, in figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from optim.devices.operators import Operator
from optim.devices.profile import Runtime
from optim.errors import UnsupportedModelError
from optim.measure.costs import static_costs
from optim.measure.memory import activation_memory
from optim.measure.operators import operators_of
from optim.models.bundle import ModelBundle
from optim.quantity import Quantity
from optim.runtime.deployed import deployed_owners

__all__ = ["Footprint", "footprint_of"]


@dataclass(frozen=True)
class Footprint:
    """A deployed model, for one inference with one sample.

    Attributes:
        operators: What a runtime executes.
        params: Parameters.
        macs: Multiply-accumulates.
        activations: Values that layers with weights write.
        weight_bytes: Weights and other constants as the runtime holds them, which widens some.
        arena: Memory for activations where every value has a fixed place; None if it is not known.
        weight_bits: ``{layer: bits}`` of quantized weights.
        zeros: ``{layer: share of zero weights}``.
        input_shape: Of one sample.
        task: What the model does.
    """

    operators: tuple[Operator, ...]
    params: int
    macs: int
    activations: int
    weight_bytes: int
    arena: Quantity | None
    weight_bits: Mapping[str, int]
    zeros: Mapping[str, float]
    input_shape: tuple[int, ...]
    task: str

    def weight_bytes_on(self, runtime: Runtime) -> int:
        """Return the bytes of weights as a runtime holds them: widened, or as they are."""
        if not runtime.arbitrary_bits:
            return self.weight_bytes
        return sum(
            math.ceil(o.weight_bytes * o.bits[0] / 8)
            if o.bits and o.dtype == "int8"
            else o.weight_bytes
            for o in self.operators
        )


def footprint_of(bundle: ModelBundle, file: bytes, inputs: np.ndarray) -> Footprint:
    """Return what a deployed model asks of a device.

    Args:
        bundle: The model.
        file: The ONNX file it is deployed as.
        inputs: ``(1, ...)`` float32, one sample as the network takes it.

    Raises:
        ExportError: If the runtime refuses the file.
    """
    operators = operators_of(file, inputs, deployed_owners(bundle), bundle.interface)
    params, macs, _ = static_costs(bundle)
    try:
        arena = activation_memory(bundle).arena
    except UnsupportedModelError:
        arena = None
    zeros, patterned = _zeros(bundle)
    bits = _bits(bundle)
    operators = tuple(
        replace(o, two_of_four=o.layer in patterned, bits=bits.get(o.layer)) for o in operators
    )
    return Footprint(
        operators=operators,
        params=int(params.value),
        macs=int(macs.value),
        activations=sum(o.rows * o.outputs for o in operators if o.macs),
        weight_bytes=sum(o.weight_bytes for o in operators),
        arena=arena,
        weight_bits={name: w.grid.bits for name, w in bundle.table.weights.items()},
        zeros=zeros,
        input_shape=tuple(bundle.spec.shape),
        task=type(bundle.task).__name__.lower(),
    )


def _bits(bundle: ModelBundle) -> dict[str, tuple[int, int]]:
    """Return the bits of weights and activations of layers where both are on grids."""
    edges = [edge.grid.bits for edge in bundle.table.edges.values()]
    if not edges:
        return {}
    # Edges share one width but for those that a step widens: the widest is what must be built.
    return {name: (w.grid.bits, max(edges)) for name, w in bundle.table.weights.items()}


def _zeros(bundle: ModelBundle) -> tuple[dict[str, float], frozenset[str]]:
    """Return the share of zeros by layer, and the layers with two zeros in every four."""
    zeros, patterned = {}, set()
    for name, mask in bundle.table.masks.items():
        kept = np.asarray(mask)
        zeros[name] = 1.0 - float(kept.mean())
        # Runs go along the input channels, the order in which sparse tensor cores read.
        if kept.ndim > 1 and kept.shape[1] % 4 == 0:
            runs = np.moveaxis(kept, 1, -1).reshape(-1, 4)
            if (runs.sum(-1) <= 2).all():
                patterned.add(name)
    return zeros, frozenset(patterned)
