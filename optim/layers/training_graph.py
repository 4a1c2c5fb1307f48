"""The graph that is deployed, with gradients: rounding is passed over, the steps of grids learn.

:func:`training_graph` computes the very numbers of :func:`~optim.layers.quantized_graph.
simulated_graph`, but its parameters are those of the module itself. Batch norm is folded anew at
every step, with its statistics frozen, so that its factor and shift learn along with the weights.
A rounded value passes the gradient of its result on to what was rounded (straight-through
estimator), unless it was clipped, and the step of every grid is a parameter (Esser et al., Learned
Step Size Quantization, 2020, arXiv:1902.08153):

    d(on grid) / d(step) = (integer - zero point) - x / step     inside the grid
                         = (integer - zero point)                where x was clipped

scaled by ``1 / sqrt(n * qmax)``, with ``n`` values that share the step, so that steps and weights
change at one pace. Where steps of activations learn by what is clipped alone, the upper case is 0
(Choi et al., PACT: Parameterized Clipping Activation for Quantized Neural Networks, 2018,
arXiv:1805.06085). Zero points stay as they were, and so do steps of more than 8 bits: their
rounding errs too little to learn from. Dropout is left out, as in everything deployed.

The values of shared weights learn by the sum of the gradients of all weights that take them (Han et
al., Deep Compression, 2015, arXiv:1510.00149), which is divided by the root of how many these are,
for the same reason.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from optim.layers.graph import COMPUTE, folded_parameters, kind_of, layer_of, norm_factor, trace
from optim.layers.grid import Grid, dequantize, from_rows, quantize, to_rows
from optim.layers.quantized_graph import (
    bias_codes,
    bias_scale,
    deployable_graph,
    integer_inputs,
    source_of,
)
from optim.layers.table import CompressionTable, QuantizedEdge, QuantizedWeight, SharedWeight

__all__ = [
    "LearnedBook",
    "LearnedEdge",
    "LearnedWeight",
    "TrainedLayer",
    "learned_table",
    "take_shared",
    "training_graph",
]

_WIDEST = 8
"""Bits of the widest grid whose steps are learned."""

_SMALLEST = 0.01
"""Share of its first value below which no step falls: one of zero could never grow again."""


def training_graph(
    module: nn.Module, table: CompressionTable, *, by_clipping: bool = False
) -> fx.GraphModule:
    """Return the simulated graph of a module, to be trained.

    Args:
        module: Traceable; whatever is trained is its own parameters, in place.
        table: Its quantized weights and edges, from which the steps start.
        by_clipping: Whether the steps of activations learn by what is clipped alone, as in PACT.
    """
    steps = {name: LearnedEdge(name, edge, by_clipping) for name, edge in table.edges.items()}
    traced = trace(module, behind=steps, folded=TrainedLayer)
    integer = integer_inputs(deployable_graph(module, table), table)
    ready: set[str] = set()
    for node in traced.graph.nodes:
        name = str(node.target)
        if kind_of(node) not in (*COMPUTE, "batch_norm") or name in ready:
            continue
        ready.add(name)
        layer = layer_of(node)
        if kind_of(node) == "batch_norm":
            traced.set_submodule(name, _FrozenNorm(layer))
            continue
        trained = layer if isinstance(layer, TrainedLayer) else TrainedLayer(layer)
        if name in table.weights:
            trained.put_on_grid(table.weights[name])
        if name in table.codebooks:
            trained.share(table.codebooks[name])
        if name in integer:
            trained.add_to_accumulator(layer_of(source_of(node.all_input_nodes[0])))
        traced.set_submodule(name, trained)
    return traced


def learned_table(traced: fx.GraphModule, table: CompressionTable) -> CompressionTable:
    """Return a table with the steps and shared values a training graph has learned.

    Args:
        traced: Result of :func:`training_graph`.
        table: What it was made with.
    """
    layers = {n: m for n, m in traced.named_modules() if isinstance(m, TrainedLayer)}
    edges = {m.name: m for m in traced.modules() if isinstance(m, LearnedEdge)}
    learned = table.with_quantization(
        {name: layers[name].quantized() for name in table.weights},
        {name: edges[name].edge() for name in table.edges},
    )
    return learned.with_codebooks({name: layers[name].shared() for name in table.codebooks})


def take_shared(traced: fx.GraphModule, table: CompressionTable) -> None:
    """Put the shared values a training graph has learned into the module it was made of.

    Args:
        traced: Result of :func:`training_graph`.
        table: What it was made with.
    """
    for name in table.codebooks:
        layer = traced.get_submodule(name)
        assert isinstance(layer, TrainedLayer)
        layer.take_shared()


class LearnedWeight(nn.Module):
    """The grid of one weight, with steps that learn.

    Where a method chose the integers by more than rounding, every weight is first moved, by a
    constant, to the nearest value that rounds to its integer.
    """

    scale: nn.Parameter
    zero_point: Tensor
    smallest: Tensor
    offset: Tensor | None

    def __init__(self, quantized: QuantizedWeight, weight: Tensor) -> None:
        super().__init__()
        self.grid = quantized.grid
        self.scale = _parameter(quantized.scale.clone(), self.grid)
        self.register_buffer("zero_point", quantized.zero_point.clone())
        self.register_buffer("smallest", _SMALLEST * quantized.scale)
        offset = None if quantized.codes is None else _offset(quantized, weight)
        self.register_buffer("offset", offset)

    def forward(self, weight: Tensor) -> Tensor:
        """Return a weight as it is once stored on the grid and read back."""
        rows = self._rows(weight)
        share = _gradient_share(rows.shape[1], self.grid)
        rounded = _RowsOnGrid.apply(rows, self.step(), self.zero_point, self.grid, share)
        return from_rows(rounded, weight.shape, self.grid)

    def step(self) -> Tensor:
        """Return the steps ``(R,)``, above zero."""
        return _above(self.scale, self.smallest)

    def quantized(self, weight: Tensor) -> QuantizedWeight:
        """Return what stands in the table for a weight."""
        scale, zero_point = self.step().detach().cpu(), self.zero_point.cpu()
        quantized = QuantizedWeight(self.grid, scale, zero_point)
        if self.offset is None:
            return quantized
        rows = self._rows(weight.detach()).cpu()
        return quantized.holding(from_rows(rows, weight.shape, self.grid))

    def _rows(self, weight: Tensor) -> Tensor:
        rows = to_rows(weight, self.grid)
        return rows if self.offset is None else rows + self.offset


class LearnedEdge(nn.Module):
    """The grid of one activation, with a step that learns.

    Attributes:
        name: The edge it stands on.
    """

    scale: nn.Parameter
    zero_point: Tensor
    smallest: Tensor

    def __init__(self, name: str, edge: QuantizedEdge, by_clipping: bool = False) -> None:
        super().__init__()
        self.name = name
        self.by_clipping = by_clipping
        self.grid = edge.grid
        self.scale = _parameter(torch.tensor([edge.scale]), self.grid)
        self.register_buffer("zero_point", torch.tensor([edge.zero_point], dtype=torch.int32))
        self.register_buffer("smallest", torch.tensor([_SMALLEST * edge.scale]))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, ...)`` to the nearest values on the grid."""
        share = _gradient_share(x[0].numel(), self.grid)
        return _EdgeOnGrid.apply(
            *(x, _above(self.scale, self.smallest), self.zero_point),
            *(self.grid, share, self.by_clipping),
        )

    def edge(self) -> QuantizedEdge:
        """Return what stands in the table."""
        step = _above(self.scale.detach(), self.smallest)
        return QuantizedEdge(self.grid, float(step), int(self.zero_point))


class LearnedBook(nn.Module):
    """The values of one shared weight, which learn; which of them a weight takes stays."""

    book: nn.Parameter
    indices: Tensor
    share: Tensor

    def __init__(self, shared: SharedWeight) -> None:
        super().__init__()
        self.ranks = shared.ranks
        self.book = nn.Parameter(shared.book.clone())
        indices = shared.ranks.long() % len(shared.book)
        self.register_buffer("indices", indices)
        share = torch.bincount(indices.flatten(), minlength=len(shared.book)).clamp(min=1).rsqrt()
        share[0] = 0  # zero stays zero
        self.register_buffer("share", share)

    def forward(self) -> Tensor:
        """Return the weight."""
        return _Shared.apply(self.book, self.indices, self.share)

    def shared(self) -> SharedWeight:
        """Return what stands in the table."""
        return SharedWeight(self.book.detach().cpu().bfloat16().float(), self.ranks)


class TrainedLayer(nn.Module):
    """A layer with weights and the batch norm behind it, folded at every step.

    Attributes:
        layer: The convolution or dense layer.
        norm: The batch norm, or None; only its factor and shift learn.
        quantizer: The grid of the folded weight, or None.
        book: The values of the folded weight, or None.
        bias_book: The values of the folded bias, or None.
        source: The grid of the input where integer kernels add the bias, or None.
    """

    quantizer: LearnedWeight | None
    book: LearnedBook | None
    bias_book: LearnedBook | None
    source: LearnedEdge | None

    def __init__(self, layer: nn.Module, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layer = layer
        self.norm = norm
        self.quantizer = None
        self.book = None
        self.bias_book = None
        # The graph owns it; here it is only looked at, and not a part.
        object.__setattr__(self, "source", None)

    def put_on_grid(self, quantized: QuantizedWeight) -> None:
        """Round the folded weight from now on."""
        with torch.no_grad():
            self.quantizer = LearnedWeight(quantized, self.folded()[0])

    def share(self, shared: SharedWeight) -> None:
        """Take the values of a codebook in place of the weights from now on."""
        self.book = LearnedBook(shared)
        self.bias_book = None if shared.bias is None else LearnedBook(shared.bias)

    def add_to_accumulator(self, source: nn.Module) -> None:
        """Round the bias from now on, to the step of the accumulator it is added to."""
        assert isinstance(source, LearnedEdge)
        object.__setattr__(self, "source", source)

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias with the batch norm folded in, in floating point."""
        if self.norm is not None:
            return folded_parameters(self.layer, self.norm)
        bias = self.layer.bias
        assert bias is None or isinstance(bias, Tensor)
        return self.layer.get_parameter("weight"), bias

    def quantized(self) -> QuantizedWeight:
        """Return what stands in the table for the weight."""
        assert self.quantizer is not None
        with torch.no_grad():
            return self.quantizer.quantized(self.folded()[0])

    def shared(self) -> SharedWeight:
        """Return what stands in the table for a shared weight."""
        assert self.book is not None
        bias = None if self.bias_book is None else self.bias_book.shared()
        return replace(self.book.shared(), bias=bias)

    @torch.no_grad()
    def take_shared(self) -> None:
        """Make what is shared the parameters of the layer, those of before its norm.

        Whoever takes the model without its codebooks gets what was trained, not what it was before.
        """
        shared, (weight, bias) = self.shared(), self.folded()
        factor = torch.ones(len(weight)) if self.norm is None else norm_factor(self.norm)
        by_row = factor.reshape(-1, *[1] * (weight.ndim - 1))
        missing = shared.values().to(weight) - weight
        self.layer.get_parameter("weight").add_(torch.where(by_row == 0, 0.0, missing / by_row))
        if shared.bias is None or bias is None:
            return
        rise = shared.bias.values().to(bias) - bias
        if self.norm is not None and isinstance(self.norm.bias, Tensor):
            self.norm.bias.add_(rise)
        else:
            self.layer.get_parameter("bias").add_(torch.where(factor == 0, 0.0, rise / factor))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer with what would be deployed in place of weight and bias."""
        weight, bias = self.folded()
        if self.book is not None:
            weight = self.book()
        if self.bias_book is not None:
            bias = self.bias_book()
        if self.quantizer is not None:
            weight = self.quantizer(weight)
            if bias is not None and self.source is not None:
                bias = _Replaced.apply(bias, self._rounded(bias))
        if isinstance(self.layer, nn.Linear):
            return nn.functional.linear(x, weight, bias)
        assert isinstance(self.layer, nn.Conv1d | nn.Conv2d)
        return self.layer._conv_forward(x, weight, bias)

    def _rounded(self, bias: Tensor) -> Tensor:
        assert self.quantizer is not None
        assert self.source is not None
        grid, zero_point = self.quantizer.grid, self.quantizer.zero_point
        steps = QuantizedWeight(grid, self.quantizer.step().detach(), zero_point)
        edge = self.source.edge()
        return bias_codes(bias.detach(), steps, edge).float() * bias_scale(steps, edge)


class _FrozenNorm(nn.Module):
    """A batch norm that stands alone: its factor and shift learn, its statistics do not."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def train(self, mode: bool = True) -> _FrozenNorm:
        """Stay in evaluation mode."""
        super().train(False)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by the running statistics."""
        return self.norm(x)


def _parameter(scale: Tensor, grid: Grid) -> nn.Parameter:
    return nn.Parameter(scale, requires_grad=grid.bits <= _WIDEST)


def _gradient_share(count: int, grid: Grid) -> float:
    """Return LSQ's factor for the gradient of a step that ``count`` values share."""
    return 1 / math.sqrt(count * max(1, grid.qmax))


def _offset(quantized: QuantizedWeight, weight: Tensor) -> Tensor:
    """Return the ``(R, n)`` distances from a weight to what rounds to its chosen integers."""
    rows = to_rows(weight, quantized.grid)
    middle = dequantize(quantized.integers(weight), quantized.scale, quantized.zero_point)
    reach = 0.499 * quantized.scale[:, None]
    return rows.clamp(middle - reach, middle + reach) - rows


def _above(scale: Tensor, smallest: Tensor) -> Tensor:
    """Return a scale that is at least ``smallest``; the gradient passes in any case."""
    return _Replaced.apply(scale, scale.detach().clamp(min=smallest))


class _Replaced(torch.autograd.Function):
    """Put one value in place of another, and pass the gradient to that other one."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, replacement: Tensor) -> Tensor:
        return replacement.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class _Shared(torch.autograd.Function):
    """Look values up; their gradients are added up, times a share for each value."""

    @staticmethod
    def forward(ctx: Any, book: Tensor, indices: Tensor, share: Tensor) -> Tensor:
        ctx.save_for_backward(indices, share)
        return book[indices]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        indices, share = ctx.saved_tensors
        sums = torch.bincount(indices.flatten(), gradient.flatten(), minlength=len(share))
        return sums.to(gradient.dtype) * share, None, None


class _RowsOnGrid(torch.autograd.Function):
    """Round ``(R, n)`` rows to a grid with steps ``(R,)``."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, scale: Tensor, zero_point: Tensor, grid: Grid, share: float
    ) -> Tensor:
        q = quantize(rows, grid, scale, zero_point)
        ctx.save_for_backward(rows, scale, zero_point, q)
        ctx.grid, ctx.share = grid, share
        return dequantize(q, scale, zero_point)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, scale, zero_point, q = ctx.saved_tensors
        position = rows / scale[:, None]
        zero = zero_point[:, None]
        inside = (position >= ctx.grid.qmin - zero) & (position <= ctx.grid.qmax - zero)
        steps = None
        if ctx.needs_input_grad[1]:
            slope = q - zero - position * inside
            steps = (gradient * slope).sum(dim=1) * ctx.share
        return gradient * inside, steps, None, None, None


class _EdgeOnGrid(torch.autograd.Function):
    """Round a tensor of any shape to a grid with one step ``(1,)``."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        zero_point: Tensor,
        grid: Grid,
        share: float,
        by_clipping: bool,
    ) -> Tensor:
        rounded = torch.fake_quantize_per_tensor_affine(x, scale, zero_point, grid.qmin, grid.qmax)
        ctx.save_for_backward(x, scale, zero_point, rounded)
        ctx.grid, ctx.share, ctx.by_clipping = grid, share, by_clipping
        return rounded

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, zero_point, rounded = ctx.saved_tensors
        low, high = (ctx.grid.qmin - zero_point) * scale, (ctx.grid.qmax - zero_point) * scale
        inside = (x >= low) & (x <= high)
        steps = None
        if ctx.needs_input_grad[1]:
            # The slope is this difference over the step, which is one number: divided at the end.
            slope = rounded * ~inside if ctx.by_clipping else rounded - x * inside
            steps = (gradient * slope).sum() / scale * ctx.share
        return gradient * inside, steps, None, None, None, None
