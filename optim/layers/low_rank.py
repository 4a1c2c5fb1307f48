"""One layer as two or three thinner ones: matrices and kernels of low rank.

Dense layers and 1x1 convolutions become two of their kind (singular value decomposition). Larger
kernels become a 1x1, a smaller kernel and a 1x1 convolution (Tucker-2), or a column and a row of
weights (spatial). What is closest to the weights need not be closest to the outputs: with the
*covariance* of a layer's inputs, errors count by how much inputs point that way.

References:
    Denton et al., Exploiting Linear Structure Within Convolutional Networks, 2014, arXiv:1404.0736
    Jaderberg et al., Speeding up Convolutional Neural Networks with Low Rank Expansions, 2014,
    arXiv:1405.3866 (spatial)
    Kim et al., Compression of Deep Convolutional Neural Networks, 2016, arXiv:1511.06530 (Tucker-2)
    Nakajima et al., Global Analytic Solution of Fully-observed Variational Bayesian Matrix
    Factorization, JMLR 14, 2013 (rank by VBMF)
    Wang et al., SVD-LLM, 2025, arXiv:2403.07378 (whitening by the inputs)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

__all__ = [
    "Form",
    "Shapes",
    "energy_rank",
    "factors",
    "form_of",
    "input_covariance",
    "macs",
    "sides",
    "spectra",
    "variational_rank",
]

Form = Literal["matrix", "tucker", "spatial"]
"""How a layer is taken apart: its weight as one matrix, by Tucker-2, or by columns and rows."""


@dataclass(frozen=True)
class Shapes:
    """Sizes of what a layer reads and writes for one sample, without its channels.

    Attributes:
        reads: ``(H, W)``, ``(L,)``, or of a dense layer the sizes before its features.
        writes: The same of its result.
        maps: How many such maps a sample has: several where something folds them into the batch.
    """

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    maps: int = 1


def form_of(layer: nn.Module, kernels: Literal["tucker", "spatial"]) -> Form | str:
    """Return how a layer is taken apart, or a sentence on why it is not.

    Args:
        layer: A convolution or a dense layer.
        kernels: What becomes of kernels of more than one column and row; others are taken apart by
            channels.
    """
    if isinstance(layer, nn.Linear):
        return "matrix"
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    if layer.groups > 1:
        return f"its {layer.groups} groups of channels are thin already"
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return "only kernels with zero padding in pixels are taken apart"
    if all(size == 1 for size in layer.kernel_size):
        return "matrix"
    has_both = isinstance(layer, nn.Conv2d) and min(layer.kernel_size) > 1
    return "spatial" if kernels == "spatial" and has_both else _tucker(layer)


def _tucker(layer: nn.Conv1d | nn.Conv2d) -> Form | str:
    few = min(layer.in_channels, layer.out_channels) < 2
    return "it has a single channel to begin or to end with" if few else "tucker"


def spectra(weight: Tensor, form: Form) -> list[np.ndarray]:
    """Return the singular values that ranks are chosen by, largest first.

    Args:
        weight: ``(O, I, ...)``.
        form: See :data:`Form`.

    Returns:
        One spectrum for a matrix or columns and rows; two for Tucker-2, inputs and outputs.
    """
    return [torch.linalg.svdvals(matrix.double()).numpy() for matrix in _unfoldings(weight, form)]


def sides(weight: Tensor, form: Form) -> list[tuple[int, int]]:
    """Return rows and columns of the matrices of :func:`spectra`."""
    return [(len(matrix), matrix.shape[1]) for matrix in _unfoldings(weight, form)]


def _unfoldings(weight: Tensor, form: Form) -> list[Tensor]:
    if form == "tucker":
        return [weight.transpose(0, 1).flatten(1), weight.flatten(1)]
    return [_columns_by_rows(weight)] if form == "spatial" else [weight.flatten(1)]


def _columns_by_rows(weight: Tensor) -> Tensor:
    """Return ``(O, I, kh, kw)`` as ``(I * kh, O * kw)``."""
    return weight.permute(1, 2, 0, 3).flatten(2).flatten(0, 1)


def energy_rank(spectrum: np.ndarray, energy: float) -> int:
    """Return the least rank that keeps a share of the squared singular values, at least 1."""
    squares = spectrum**2
    kept = np.cumsum(squares) / max(squares.sum(), np.finfo(float).tiny)
    return min(int(np.searchsorted(kept, energy - 1e-12)) + 1, len(spectrum))


def variational_rank(spectrum: np.ndarray, rows: int, columns: int) -> int:
    """Return the rank of what stands out of noise, by empirical variational Bayes; at least 1.

    Args:
        spectrum: ``(min(rows, columns),)`` singular values, largest first.
        rows: Of the matrix.
        columns: Of the matrix.
    """
    from scipy.optimize import minimize_scalar

    short, long = min(rows, columns), max(rows, columns)
    squares = np.maximum(spectrum**2, np.finfo(float).tiny)
    aspect = short / long
    turning = 2.5129 * aspect**0.5
    edge = (1 + turning) * (1 + aspect / turning)

    def cost(noise: float) -> float:
        x = squares / (long * noise)
        signal, rest = x[x > edge], x[x <= edge]
        shifted = signal - (1 + aspect)
        tau = (shifted + np.sqrt(np.maximum(shifted**2 - 4 * aspect, 0))) / 2
        return float(
            (rest - np.log(rest)).sum()
            + (signal - tau + np.log((tau + 1) / signal)).sum()
            + aspect * np.log(tau / aspect + 1).sum()
        )

    most = min(int(np.ceil(short / (1 + aspect))) - 1, short - 1)
    low = max(squares[most] / (long * edge), squares[most:].mean() / long)
    high = squares.sum() / (short * long)
    noise = float(minimize_scalar(cost, bounds=(low, max(high, 2 * low)), method="bounded").x)
    return max(1, int(np.count_nonzero(squares > long * noise * edge)))


def macs(weight: Tensor, form: Form | None, ranks: tuple[int, ...], at: Shapes) -> int:
    """Return the multiply-accumulates of a layer for one sample, taken apart or (None) whole."""
    outputs, inputs, *kernel = weight.shape
    written, read = at.maps * int(np.prod(at.writes)), at.maps * int(np.prod(at.reads))
    if form is None:
        return outputs * inputs * int(np.prod(kernel)) * written
    if form == "matrix":
        return ranks[0] * (inputs + outputs) * written
    if form == "spatial":
        between = at.maps * at.writes[0] * at.reads[1]
        return ranks[0] * (inputs * kernel[0] * between + outputs * kernel[1] * written)
    first, second = ranks
    core = first * second * int(np.prod(kernel))
    return first * inputs * read + (core + second * outputs) * written


def input_covariance(layer: nn.Module, form: Form, x: Tensor) -> Tensor:
    """Return the sum of outer products ``(n, n)`` of what the first factor of a layer reads.

    Args:
        layer: The layer.
        form: How it is taken apart.
        x: A batch of its inputs.
    """
    if isinstance(layer, nn.Linear):
        rows = x.reshape(-1, x.shape[-1])
    elif form == "spatial":
        assert isinstance(layer, nn.Conv2d)
        assert not isinstance(layer.padding, str)
        columns = nn.functional.unfold(
            x,
            (layer.kernel_size[0], 1),
            dilation=(layer.dilation[0], 1),
            padding=(layer.padding[0], 0),
            stride=(layer.stride[0], 1),
        )
        rows = columns.transpose(1, 2).flatten(0, 1)
    else:
        rows = x.movedim(1, -1).flatten(0, -2)
    rows = rows.double()
    return rows.T @ rows


def factors(
    layer: nn.Module, form: Form, ranks: tuple[int, ...], covariance: Tensor | None
) -> nn.Sequential:
    """Return a layer taken apart, the first factor first.

    Args:
        layer: A convolution or a dense layer.
        form: How it is taken apart.
        ranks: One rank; of Tucker-2 those of inputs and outputs.
        covariance: See :func:`input_covariance`; errors of all weights count alike if None.
    """
    weight = layer.get_parameter("weight").detach().double()
    root = None if covariance is None else _root(covariance)
    if form == "tucker":
        assert isinstance(layer, nn.Conv1d | nn.Conv2d)
        return _tucker_factors(layer, weight, ranks, root)
    if form == "spatial":
        assert isinstance(layer, nn.Conv2d)
        return _spatial_factors(layer, weight, ranks[0], root)
    left, right = _two(weight.flatten(1), ranks[0], root)
    if isinstance(layer, nn.Linear):
        first = _empty(nn.Linear, weight.shape[1], ranks[0], bias=False)
        second = _empty(nn.Linear, ranks[0], weight.shape[0], bias=layer.bias is not None)
        return _filled((first, right), (second, left), bias=layer.bias)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    kind = type(layer)
    ones = [1] * (weight.ndim - 2)
    strides = {"stride": layer.stride, "padding": layer.padding}
    thin = _empty(kind, weight.shape[1], ranks[0], 1, bias=False, **strides)
    wide = _empty(kind, ranks[0], weight.shape[0], 1, bias=layer.bias is not None)
    return _filled(
        (thin, right.reshape(*right.shape, *ones)),
        (wide, left.reshape(*left.shape, *ones)),
        bias=layer.bias,
    )


def _root(covariance: Tensor) -> Tensor:
    """Return a lower triangular root ``(n, n)``; directions never seen count a little."""
    size = len(covariance)
    scale = covariance.trace() / size
    if scale <= 0:
        return torch.eye(size, dtype=covariance.dtype)
    return torch.linalg.cholesky(covariance / scale + 1e-4 * torch.eye(size).double())


def _two(matrix: Tensor, rank: int, root: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return ``(m, r)`` and ``(r, n)`` whose product is closest to ``(m, n)``, by the inputs."""
    u, s, v = torch.linalg.svd(matrix if root is None else matrix @ root, full_matrices=False)
    part = s[:rank].sqrt()
    left, right = u[:, :rank] * part, part[:, None] * v[:rank]
    return left, right if root is None else _unwhitened(right, root)


def _unwhitened(rows: Tensor, root: Tensor) -> Tensor:
    """Return ``rows @ inverse(root)``."""
    return torch.linalg.solve_triangular(root.T, rows.T, upper=True).T


def _tucker_factors(
    layer: nn.Conv1d | nn.Conv2d, weight: Tensor, ranks: tuple[int, ...], root: Tensor | None
) -> nn.Sequential:
    if root is not None:
        weight = torch.einsum("oi...,ij->oj...", weight, root)
    inner = _leading(weight.transpose(0, 1).flatten(1), ranks[0])
    outer = _leading(weight.flatten(1), ranks[1])
    for _ in range(2):  # each side anew, the other one given (orthogonal iteration)
        inner = _leading(torch.einsum("oi...,or->ir...", weight, outer).flatten(1), ranks[0])
        outer = _leading(torch.einsum("oi...,ir->or...", weight, inner).flatten(1), ranks[1])
    core = torch.einsum("oi...,ir,os->sr...", weight, inner, outer)
    first = inner.T if root is None else _unwhitened(inner.T, root)
    kind = type(layer)
    ones = [1] * (weight.ndim - 2)
    outputs, inputs = weight.shape[:2]
    same = {
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "bias": False,
    }
    return _filled(
        (_empty(kind, inputs, ranks[0], 1, bias=False), first.reshape(*first.shape, *ones)),
        (_empty(kind, *ranks, layer.kernel_size, **same), core),
        (
            _empty(kind, ranks[1], outputs, 1, bias=layer.bias is not None),
            outer.reshape(*outer.shape, *ones),
        ),
        bias=layer.bias,
    )


def _leading(matrix: Tensor, rank: int) -> Tensor:
    """Return the leading left singular vectors ``(m, r)``."""
    return torch.linalg.svd(matrix, full_matrices=False).U[:, :rank]


def _spatial_factors(
    layer: nn.Conv2d, weight: Tensor, rank: int, root: Tensor | None
) -> nn.Sequential:
    outputs, inputs, high, wide = weight.shape
    left, right = _two(_columns_by_rows(weight).T, rank, root)
    assert not isinstance(layer.padding, str)
    stride, padding, dilation = layer.stride, layer.padding, layer.dilation
    column = _empty(
        nn.Conv2d,
        inputs,
        rank,
        (high, 1),
        stride=(stride[0], 1),
        padding=(padding[0], 0),
        dilation=(dilation[0], 1),
        bias=False,
    )
    row = _empty(
        nn.Conv2d,
        rank,
        outputs,
        (1, wide),
        stride=(1, stride[1]),
        padding=(0, padding[1]),
        dilation=(1, dilation[1]),
        bias=layer.bias is not None,
    )
    return _filled(
        (column, right.reshape(rank, inputs, high, 1)),
        (row, left.reshape(outputs, wide, rank).permute(0, 2, 1).unsqueeze(2)),
        bias=layer.bias,
    )


def _empty(kind: type[nn.Module], *sizes: Any, **settings: Any) -> nn.Module:
    """Return a layer whose weights are still to be set; no random number is drawn for them."""
    return nn.utils.skip_init(kind, *sizes, **settings)


def _filled(*parts: tuple[nn.Module, Tensor], bias: Tensor | None) -> nn.Sequential:
    """Return layers with these weights, the last one with the bias."""
    for layer, weight in parts:
        layer.register_parameter("weight", nn.Parameter(weight.float().contiguous()))
    if bias is not None:
        parts[-1][0].register_parameter("bias", nn.Parameter(bias.detach().clone()))
    return nn.Sequential(*(layer for layer, _ in parts)).eval()
