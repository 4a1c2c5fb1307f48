"""One index of the operators that can become part of a module; files by subject.

=================  =========================================================================
``layers``         convolutions, dense layers, normalisations, embeddings
``activations``    activation functions and softmax
``pooling``        pooling
``arithmetic``     value by value, matrix products, types
``shapes``         what moves, cuts and repeats values
``quantizers``     grids of weights and activations
``reductions``     means, sums, extremes along dimensions
=================  =========================================================================
"""

from __future__ import annotations

from optim.models.convert.builder import Handler
from optim.models.convert.operators.activations import ACTIVATIONS
from optim.models.convert.operators.arithmetic import ARITHMETIC
from optim.models.convert.operators.layers import LAYERS
from optim.models.convert.operators.pooling import POOLING
from optim.models.convert.operators.quantizers import QUANTIZERS
from optim.models.convert.operators.reductions import REDUCTIONS
from optim.models.convert.operators.shapes import SHAPES

__all__ = ["OPERATORS"]

OPERATORS: dict[str, Handler] = {
    **LAYERS,
    **ACTIVATIONS,
    **POOLING,
    **ARITHMETIC,
    **SHAPES,
    **REDUCTIONS,
    **QUANTIZERS,
}
"""``{ONNX operator: what makes layers and calls of it}``."""
