"""Choose the integers of a weight so that its layer's outputs change least.

Rounding every weight to its nearest value makes each error small, and lets them add up. What counts
is the error of the outputs, and for a layer it depends on its inputs only through their second
moments

    E |W x - Q x'|^2 = tr (Q - W*) M (Q - W*)^T + what no Q changes,    M = E x' x'^T,

with ``x`` the inputs of the original, ``x'`` those of the deployed model, and
``W* = W E x x'^T M^-1`` the weights that fit best before rounding. Both methods here see nothing
else of the samples, so that they work on whatever can be observed: modules, and graphs that stay
as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from optim.layers.columns import columns_at, places_of, sampled_places
from optim.layers.graph import layer_of, with_parameters
from optim.layers.grid import from_rows, to_rows
from optim.layers.lockstep import Lockstep
from optim.layers.quantized_graph import deployable_graph
from optim.layers.table import CompressionTable, QuantizedWeight

__all__ = [
    "MOST_INPUTS",
    "ROUNDING_RATE",
    "Choose",
    "Moments",
    "SoftRounding",
    "compensated",
    "damped",
    "learned",
    "moments_of",
    "rounded_layers",
]

MOST_INPUTS = 8192
"""Inputs of one output, at most, whose moments are kept: their matrix grows with the square."""
ROUNDING_RATE = 10.0
"""Learning rate of the positions between two values of a grid, over the number of iterations: that
of the papers with 10,000; with few, a weight still gets to the other side where it should."""
_PLACES = 64
"""Positions of each sample, at most, that are looked at."""
_CHUNK_BYTES = 2**26
_RIDGE = 0.01
"""Pull of the best weights towards the original's, in units of the mean energy of an input."""
_LAZY = 128
"""Columns that are rounded before the error is passed on to all that follow."""
_STRETCH = 0.1
"""How far the sigmoid of a soft rounding reaches beyond 0 and 1, so that it gets there."""
_FREE = 0.2
"""Share of the iterations in which nothing has to be decided."""


@dataclass(frozen=True, eq=False)
class Moments:
    """What the squared error of a layer's outputs depends on, for each group of its channels.

    Attributes:
        inner: ``(G, D, D)``, mean product of the deployed inputs with each other.
        cross: ``(G, D, D)``, mean product of the original's inputs with the deployed ones.
    """

    inner: Tensor
    cross: Tensor

    def fitted(self, weight: Tensor) -> Tensor:
        """Return the ``(G, O / G, D)`` weights that make up best for inputs that have changed."""
        rows = weight.reshape(len(self.inner), -1, self.inner.shape[1])
        shift = (self.cross - self.inner).double()
        if not shift.any():
            return rows
        inner = damped(self.inner.double(), _RIDGE)
        return rows + torch.linalg.solve(inner, shift.mT @ rows.double().mT).mT.to(rows.dtype)


Choose = Callable[[Tensor, QuantizedWeight, Moments, Tensor | None], Tensor]
"""Given weight, grid, moments and mask, returns a weight of the same shape on its grid."""


def damped(inner: Tensor, share: float) -> Tensor:
    """Return ``(G, D, D)`` moments that can be inverted; dead inputs have the mean energy."""
    energy = inner.diagonal(dim1=1, dim2=2)
    level = energy.mean(1, keepdim=True)
    level = torch.where(level > 0, level, torch.ones_like(level))
    return inner + torch.diag_embed(share * level + level * (energy == 0))


def moments_of(layer: nn.Module, name: str, exact: Tensor, deployed: Tensor) -> Moments:
    """Return the moments of a layer's inputs.

    Args:
        layer: A convolution or dense layer.
        name: Decides which positions are looked at.
        exact: ``(N, ...)`` inputs in the original.
        deployed: ``(N, ...)`` inputs in the deployed model.
    """
    groups = getattr(layer, "groups", 1)
    size = groups * layer.get_parameter("weight")[0].numel()
    places = sampled_places(name, len(exact), math.prod(places_of(layer, exact)), _PLACES)
    inner = torch.zeros(groups, size // groups, size // groups)
    cross = torch.zeros_like(inner)
    step = max(1, _CHUNK_BYTES // (4 * size * places.shape[1]))
    for start in range(0, len(exact), step):
        chunk = slice(start, start + step)
        y = _columns(layer, deployed[chunk], places[chunk], groups)
        inner += y @ y.mT
        if exact is not deployed:
            cross += _columns(layer, exact[chunk], places[chunk], groups) @ y.mT
    if exact is deployed:
        cross = inner
    return Moments(inner / places.numel(), cross / places.numel())


def _columns(layer: nn.Module, given: Tensor, places: Tensor, groups: int) -> Tensor:
    """Return ``(G, D, samples x places)``, what a layer computes its outputs from."""
    found = columns_at(layer, given, places)
    return found.reshape(len(given), groups, -1, places.shape[1]).permute(1, 2, 0, 3).flatten(2)


def rounded_layers(
    module: nn.Module,
    table: CompressionTable,
    inputs: Tensor,
    choose: Choose,
    check: Callable[[], None] = lambda: None,
    progress: Callable[[float, str], None] = lambda share, what: None,
) -> dict[str, QuantizedWeight]:
    """Return the quantized weights of a module, rounded layer after layer by a method.

    Each layer sees the inputs that the layers before it, already rounded, and the quantizers of
    activations give it. One with more than :data:`MOST_INPUTS` inputs keeps its integers.

    Args:
        module: A traceable module with float weights.
        table: Grids of weights and activations, and masks.
        inputs: ``(N, ...)`` normalised.
        choose: The method.
        check: Called between operations; raises to stop.
        progress: Called with a share in 0..1 and the name of a layer.
    """
    found: dict[str, QuantizedWeight] = {}

    def change(node: fx.Node, exact: Tensor, deployed: Tensor) -> nn.Module | None:
        name, layer = str(node.target), layer_of(node)
        if name not in table.weights:
            return None
        progress(len(found) / len(table.weights), name)
        weight = layer.get_parameter("weight").detach()
        quantized = table.weights[name]
        if weight[0].numel() <= MOST_INPUTS:
            moments = moments_of(layer, name, exact, deployed)
            quantized = quantized.holding(choose(weight, quantized, moments, table.masks.get(name)))
        found[name] = quantized
        return with_parameters(layer, weight=quantized.apply(weight))

    with torch.no_grad():
        Lockstep(deployable_graph(module, table), change, check).run(inputs)
    return {name: found.get(name, entry) for name, entry in table.weights.items()}


def _spread(values: Tensor, weight: Tensor, quantized: QuantizedWeight) -> Tensor:
    """Return what rows share, one number for every weight ``(O, D)``."""
    rows = to_rows(weight, quantized.grid)
    return from_rows(values[:, None].expand_as(rows), weight.shape, quantized.grid).flatten(1)


def compensated(
    weight: Tensor,
    quantized: QuantizedWeight,
    moments: Moments,
    mask: Tensor | None,
    *,
    damping: float = 0.01,
    by_energy: bool = True,
) -> Tensor:
    """Round one input after the other; those that follow take up the error (GPTQ).

    Args:
        weight: ``(O, I, ...)``.
        quantized: Its grid.
        moments: Of the layer's inputs.
        mask: Weights that must stay zero.
        damping: Added to the moments, in units of the mean energy of an input.
        by_energy: Whether the inputs of most energy come first, so that least is left to make up
            for them.

    Returns:
        A weight of the same shape on its grid.

    References:
        Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
        Transformers, 2022, arXiv:2210.17323; Frantar and Alistarh, Optimal Brain Compression, 2022,
        arXiv:2208.11580
    """
    w = moments.fitted(weight).double()
    scale = _spread(quantized.scale, weight, quantized).reshape(w.shape).double()
    zero = _spread(quantized.zero_point, weight, quantized).reshape(w.shape).double()
    live = (mask if mask is not None else torch.ones_like(weight)).reshape(w.shape).double()
    inner = damped(moments.inner.double(), damping)
    order = torch.arange(w.shape[2]).expand(len(inner), -1)
    if by_energy:
        order = inner.diagonal(dim1=1, dim2=2).argsort(dim=1, descending=True, stable=True)
    across = order[:, None].expand(w.shape)
    w, scale, zero, live = (t.gather(2, across) for t in (w, scale, zero, live))
    rows = order[:, :, None].expand(inner.shape)
    inner = inner.gather(1, rows).gather(2, rows.mT)
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(inner)), upper=True)
    grid, result = quantized.grid, torch.empty_like(w)
    for start in range(0, w.shape[2], _LAZY):
        end = min(start + _LAZY, w.shape[2])
        errors = torch.empty_like(w[:, :, start:end])
        for i in range(start, end):
            q = (w[:, :, i] / scale[:, :, i]).round_() + zero[:, :, i]
            q = (q.clamp_(grid.qmin, grid.qmax) - zero[:, :, i]) * scale[:, :, i] * live[:, :, i]
            error = (w[:, :, i] - q) / factor[:, i, i, None]
            w[:, :, i:end] -= error[:, :, None] * factor[:, None, i, i:end]
            result[:, :, i], errors[:, :, i - start] = q, error
        w[:, :, end:] -= errors @ factor[:, start:end, end:]
    restored = torch.empty_like(result).scatter_(2, across, result)
    return restored.reshape(weight.shape).to(weight.dtype)


def learned(
    weight: Tensor,
    quantized: QuantizedWeight,
    moments: Moments,
    mask: Tensor | None,
    *,
    iterations: int,
    check: Callable[[], None] = lambda: None,
) -> Tensor:
    """Learn for every weight whether to round it up or down (AdaRound).

    Whatever is learned, the result is no worse than the integers that are given, the nearest ones
    where none were chosen before.

    Args:
        weight: ``(O, I, ...)``.
        quantized: Its grid.
        moments: Of the layer's inputs.
        mask: Weights that must stay zero.
        iterations: Steps of the optimiser.
        check: Called at every step; raises to stop.

    Returns:
        A weight of the same shape on its grid.

    References:
        Nagel et al., Up or Down? Adaptive Rounding for Post-Training Quantization, 2020,
        arXiv:2004.10568
    """
    wanted = moments.fitted(weight)

    def error(values: Tensor) -> Tensor:
        off = values.reshape(wanted.shape) - wanted
        return ((off @ moments.inner) * off).sum()

    given = quantized.apply(weight)
    unit = error(given).clamp(min=1e-12)
    soft = SoftRounding(weight, quantized, mask)
    optimiser = torch.optim.Adam([soft.position], lr=ROUNDING_RATE / iterations)
    with torch.enable_grad():
        for i in range(iterations):
            check()
            loss = error(soft()) / unit + soft.undecided(i / iterations)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    found = soft.decided()
    return found if error(found) < error(given) else given


class SoftRounding(nn.Module):
    """A weight between two values of its grid; learning decides for one of them.

    They are those around the weight. Where a method chose an integer before, one of them is that,
    the other its neighbour on the side of the weight, and learning starts half-way to the choice.

    Attributes:
        position: ``(O, I, ...)``; the share of a step above the lower value is a stretched sigmoid
            of it, which reaches 0 and 1.
    """

    def __init__(self, weight: Tensor, quantized: QuantizedWeight, mask: Tensor | None) -> None:
        super().__init__()
        self.grid = quantized.grid
        self.mask = mask
        self.scale = _spread(quantized.scale, weight, quantized).reshape(weight.shape)
        self.zero = _spread(quantized.zero_point, weight, quantized).reshape(weight.shape)
        steps = weight / self.scale
        self.lower = steps.floor()
        share = steps - self.lower
        if quantized.codes is not None:
            chosen = from_rows(quantized.codes.float(), weight.shape, quantized.grid) - self.zero
            self.lower = torch.where(steps < chosen, chosen - 1, chosen)
            share = ((steps - self.lower).clamp(0, 1) + (chosen - self.lower)) / 2
        stretched = (share + _STRETCH) / (1 + 2 * _STRETCH)
        self.position = nn.Parameter(torch.logit(stretched))

    def share(self) -> Tensor:
        """Return how far above the lower value every weight is, in 0..1."""
        stretched = torch.sigmoid(self.position) * (1 + 2 * _STRETCH) - _STRETCH
        return stretched.clamp(0, 1)

    def forward(self) -> Tensor:
        """Return the weight as it is now, with gradients to the positions."""
        return self._at(self.share())

    def decided(self) -> Tensor:
        """Return the weight on its grid."""
        return self._at((self.share() >= 0.5).float()).detach()

    def undecided(self, progress: float) -> Tensor:
        """Return a penalty on what is neither up nor down, sharper and sharper.

        Args:
            progress: Share of the iterations that have passed, in 0..1.
        """
        if progress < _FREE:
            return torch.zeros(())
        passed = (progress - _FREE) / (1 - _FREE)
        power = 2 + 9 * (1 + math.cos(math.pi * passed))
        return (1 - (2 * self.share() - 1).abs().pow(power)).mean()

    def _at(self, share: Tensor) -> Tensor:
        q = (self.lower + share + self.zero).clamp(self.grid.qmin, self.grid.qmax) - self.zero
        values = q * self.scale
        return values if self.mask is None else values * self.mask
