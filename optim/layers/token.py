"""A learned constant that is put beside every sample, such as the class token of a transformer."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Token"]


class Token(nn.Module):
    """Repeat a constant for every sample of a batch.

    Args:
        value: ``(1, ...)``.
    """

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(value)

    def forward(self, x: Tensor) -> Tensor:
        """Return the constant as ``(N, ...)`` for inputs ``(N, ...)`` of any further shape."""
        return self.weight.expand(x.shape[0], *[-1] * (self.weight.ndim - 1))
