"""What a model asks of a device once it is deployed, in figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from optim.devices.operators import Operator
from optim.devices.profile import Runtime
from optim.errors import UnsupportedModelError
from optim.layers.table import CompressionTable
from optim.measure.costs import static_costs
from optim.measure.memory import activation_memory
from optim.measure.operators import constant_bytes, operators_of
from optim.models.bundle import ModelBundle
from optim.quantity import Quantity
from optim.runtime.deployed import deployed_owners
from optim.runtime.onnx_graph import container_for

__all__ = ["Footprint", "footprint_of"]


@dataclass(frozen=True)
class Footprint:
    """A deployed model, for one inference with one sample.

    Attributes:
        operators: What a runtime executes.
        params: Parameters.
        macs: Multiply-accumulates.
        activations: Values that layers with weights write.
        weight_bytes: Weights and other constants as ONNX Runtime holds them, which widens some.
        stored_bytes: The same as the file stores them.
        unpacked_bytes: The largest weight that the file stores in fewer bits than are multiplied,
            as it is multiplied; 0 if there is none.
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
    stored_bytes: int
    unpacked_bytes: int
    arena: Quantity | None
    weight_bits: Mapping[str, int]
    zeros: Mapping[str, float]
    input_shape: tuple[int, ...]
    task: str

    def weight_bytes_on(self, runtime: Runtime) -> int:
        """Return the bytes of weights as a runtime holds them: widened, or as they are."""
        if not runtime.arbitrary_bits:
            return self.weight_bytes
        held = ((o, o.weight_bytes - o.shared_bytes) for o in self.operators)
        return sum(
            math.ceil(size * o.bits[0] / 8) if o.bits and o.dtype == "int8" else size
            for o, size in held
        )

    def flash_bytes_on(self, runtime: Runtime) -> int:
        """Return the bytes of weights in flash: as the file stores them, each once."""
        return self.weight_bytes_on(runtime) if runtime.arbitrary_bits else self.stored_bytes

    def unpacked_bytes_on(self, runtime: Runtime) -> int:
        """Return the RAM for a weight that is unpacked from flash before it is multiplied.

        One at a time: each is needed by one operator.
        """
        return 0 if runtime.arbitrary_bits else self.unpacked_bytes


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
        weight_bytes=sum(o.weight_bytes - o.shared_bytes for o in operators),
        stored_bytes=constant_bytes(file),
        unpacked_bytes=max((_unpacked(o, bundle.table) for o in operators), default=0),
        arena=arena,
        weight_bits={name: w.grid.bits for name, w in bundle.table.weights.items()},
        zeros=zeros,
        input_shape=tuple(bundle.spec.shape),
        task=type(bundle.task).__name__.lower(),
    )


def _unpacked(operator: Operator, table: CompressionTable) -> int:
    """Return the bytes an operator's weight grows to; 0 if it is multiplied as it is stored."""
    width = {"int8": 1, "float16": 2}.get(operator.dtype, 4)
    quantized = table.weights.get(operator.layer)
    packed = operator.layer in table.codebooks
    if not packed and (quantized is None or container_for(quantized.grid.bits) >= 8 * width):
        return 0
    return operator.weight_count * width


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
