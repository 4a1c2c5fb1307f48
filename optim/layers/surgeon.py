"""What single weights bring to their layer's outputs, and how the others make up for them.

For a layer the squared error of its outputs depends on its inputs only through their second moments
(:mod:`optim.layers.rounding`), whatever is done to the weights: rounding them, or taking some away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import torch
from torch import Tensor, fx, nn

from optim.layers.graph import layer_of, with_parameters
from optim.layers.lockstep import Lockstep
from optim.layers.quantized_graph import deployable_graph
from optim.layers.rounding import MOST_INPUTS, Moments, damped, moments_of
from optim.layers.table import CompressionTable

__all__ = [
    "energy_shares",
    "refitted_layers",
    "refitted_weight",
    "with_moments",
]

T = TypeVar("T")


_DAMPING = 0.01
"""Added to the moments, in units of the mean energy of an input."""
_STEPS = 60
_SOLVED = 1e-5
"""Gradient at which a refit is done, relative to that at the start."""


def energy_shares(weight: Tensor, moments: Moments | None) -> Tensor:
    """Return the share of the output energy that each weight brings, were inputs independent.

    Args:
        weight: ``(O, I, ...)``.
        moments: Of the layer's inputs; None where nobody knows them, which takes all for equal.

    Returns:
        The same shape; the sum is 1.
    """
    rows = _rows(weight, moments)
    energy = torch.ones(()) if moments is None else _energy(moments)
    found = rows.square() * energy
    return (found / found.sum().clamp(min=torch.finfo(found.dtype).tiny)).reshape(weight.shape)


def refitted_weight(weight: Tensor, mask: Tensor, moments: Moments) -> Tensor:
    """Return the weights under a mask whose outputs are closest to those of the original.

    The least squares that SparseGPT approaches in one sweep, solved by conjugate gradients for all
    outputs at once.

    Args:
        weight: ``(O, I, ...)`` of the original.
        mask: Which of them may be other than zero.
        moments: Of the inputs that the layer gets now, and those it got in the original.

    References:
        Frantar and Alistarh, SparseGPT, 2023, arXiv:2301.00774; Meng et al., ALPS: Improved
        Optimization for Highly Sparse One-Shot Pruning, 2024, arXiv:2406.07831
    """
    live = mask.reshape(_rows(weight, moments).shape).to(weight.dtype)
    inner, wanted = damped(moments.inner, _DAMPING), moments.fitted(weight)
    slope = inner.diagonal(dim1=1, dim2=2)[:, None]
    w = wanted * live
    residual = ((wanted - w) @ inner) * live
    preconditioned = residual / slope
    direction = preconditioned
    power = (residual * preconditioned).sum(2, keepdim=True)
    enough = _SOLVED**2 * power
    for _ in range(_STEPS):
        if bool((power <= enough).all()):
            break
        image = (direction @ inner) * live
        step = power / (direction * image).sum(2, keepdim=True).clamp(min=1e-30)
        w = w + step * direction
        residual = residual - step * image
        preconditioned = residual / slope
        before, power = power, (residual * preconditioned).sum(2, keepdim=True)
        direction = preconditioned + power / before.clamp(min=1e-30) * direction
    return w.reshape(weight.shape)


def with_moments(
    module: nn.Module,
    names: Collection[str],
    inputs: Tensor,
    use: Callable[[str, Moments], T],
    check: Callable[[], None] = lambda: None,
) -> dict[str, T]:
    """Return what is made of the moments of each layer's inputs, one layer after the other.

    Layers with more than ``MOST_INPUTS`` inputs are left out.

    Args:
        module: A traceable module with float weights, as it is.
        names: The layers.
        inputs: ``(N, ...)`` normalised.
        use: Given name and moments; all moments at once would take too much memory.
        check: Called between operations; raises to stop.
    """
    found: dict[str, T] = {}

    def look(node: fx.Node, exact: Tensor, deployed: Tensor) -> None:
        name, layer = str(node.target), layer_of(node)
        if name in names and layer.get_parameter("weight")[0].numel() <= MOST_INPUTS:
            found[name] = use(name, moments_of(layer, name, exact, exact))

    with torch.no_grad():
        Lockstep(deployable_graph(module, CompressionTable()), look, check).run(inputs)
    return found


def refitted_layers(
    module: nn.Module,
    masks: Mapping[str, Tensor],
    inputs: Tensor,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Tensor]:
    """Return the weights of a module under masks, refitted layer after layer.

    Each layer is fitted to the outputs it had in the original, from the inputs that the layers
    before it, already refitted, give it. One with more than ``MOST_INPUTS`` inputs is only masked.

    Args:
        module: A traceable module with float weights.
        masks: ``{layer: mask}``.
        inputs: ``(N, ...)`` normalised.
        check: Called between operations; raises to stop.
    """
    found: dict[str, Tensor] = {}

    def change(node: fx.Node, exact: Tensor, deployed: Tensor) -> nn.Module | None:
        name, layer = str(node.target), layer_of(node)
        if name not in masks:
            return None
        folded = layer.get_parameter("weight").detach()
        fitted = folded * masks[name]
        if folded[0].numel() <= MOST_INPUTS:
            moments = moments_of(layer, name, exact, deployed)
            fitted = refitted_weight(folded, masks[name], moments)
        found[name] = _unfolded(fitted, folded, module.get_parameter(f"{name}.weight").detach())
        return with_parameters(layer, weight=fitted)

    with torch.no_grad():
        Lockstep(deployable_graph(module, CompressionTable()), change, check).run(inputs)
    return found


def _unfolded(fitted: Tensor, folded: Tensor, weight: Tensor) -> Tensor:
    """Return a weight before batch norm was folded in, which scales every output by a factor."""
    rows = weight.flatten(1)
    factor = (folded.flatten(1) * rows).sum(1) / rows.square().sum(1).clamp(min=1e-30)
    # An output that batch norm switches off stays as it is.
    dead = factor == 0
    scaled = fitted.flatten(1) / torch.where(dead, torch.ones_like(factor), factor)[:, None]
    alive = fitted.flatten(1) != 0
    return torch.where(dead[:, None], rows * alive, scaled).reshape(weight.shape)


def _rows(weight: Tensor, moments: Moments | None) -> Tensor:
    """Return a weight as ``(G, O / G, D)``."""
    groups = 1 if moments is None else len(moments.inner)
    return weight.reshape(groups, -1, weight[0].numel())


def _energy(moments: Moments) -> Tensor:
    """Return ``(G, 1, D)``, the mean square of every input."""
    return moments.inner.diagonal(dim1=1, dim2=2)[:, None]
