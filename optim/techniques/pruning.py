"""What the techniques that set single weights to zero have in common: fields and a warning.

Not a technique itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optim.fields import Choice, PerLayer, Range

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LAYERS", "SCOPE", "SPARSITY", "emptied"]

SPARSITY = Range(
    low=0.0,
    high=0.99,
    step=0.01,
    scale="percent",
    label="Sparsity",
    help="Share of the weights that are zero in the end.",
)
SCOPE = Choice(
    options={"global": "Global", "local": "Per layer"},
    label="Scope",
    help="Global compares weights of all layers; per layer gives each the same sparsity.",
)
LAYERS = PerLayer(
    overrides="sparsity",
    label="Layers",
    help="Sparsity of single layers; 0 leaves a layer alone.",
)


def emptied(masks: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Say which layers have no weight left: what comes before them no longer matters."""
    empty = [name for name, mask in masks.items() if not mask.any()]
    if not empty:
        return ()
    return (
        f"No weight is left in {', '.join(empty)}: give single layers a sparsity of their own, "
        "or all the same with the scope per layer.",
    )
