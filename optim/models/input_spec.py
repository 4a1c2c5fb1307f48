"""How raw samples become the tensor a model was trained on. It travels with the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from optim.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["InputSpec"]

_MAX_NUMBERS = 2**24
"""Numbers of one sample: five colour pictures of 1024 by 1024."""


@dataclass(frozen=True)
class InputSpec:
    """Shape and normalisation of one input.

    Attributes:
        shape: ``(C, H, W)`` for images, ``(C, L)`` for series, ``(F,)`` for tables.
        mean: Subtracted per channel after scaling; one value serves all channels; empty for none.
        std: Divided by per channel after that; same length as ``mean``.
        scale: Raw values are divided by this first: 255 for bytes, 1 for floats.
    """

    shape: tuple[int, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("shape", "mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.shape or any(not isinstance(side, int) or side < 1 for side in self.shape):
            raise ConfigError(
                f"shape must be whole numbers above 0: got shape={self.shape}.", field="shape"
            )
        if math.prod(self.shape) > _MAX_NUMBERS:
            raise ConfigError(
                f"shape must be of at most {_MAX_NUMBERS:,} numbers: got shape={self.shape}.",
                field="shape",
            )
        if len(self.mean) != len(self.std):
            raise ConfigError(
                f"mean and std must have the same length: got {len(self.mean)} and "
                f"{len(self.std)} values.",
                field="mean",
            )
        if self.mean and len(self.mean) not in (1, self.shape[0]):
            raise ConfigError(
                f"mean must have one value or one a channel ({self.shape[0]}): "
                f"got {len(self.mean)}.",
                field="mean",
            )
        if any(not 0 < value < math.inf for value in (*self.std, self.scale)):
            raise ConfigError(
                f"std and scale must be above 0: got std={self.std}, scale={self.scale}.",
                field="std",
            )

    def normalise(self, inputs: np.ndarray) -> Tensor:
        """Return raw samples as the float32 tensor a model takes.

        Args:
            inputs: ``(N, *shape)``, bytes or floats.

        Raises:
            DataError: If the samples have another shape.
        """
        import torch

        if inputs.shape[1:] != self.shape:
            raise DataError(
                f"The model takes inputs of shape {self.shape}: the samples have "
                f"{tuple(inputs.shape[1:])}.",
                hint="Choose data of that shape, or another model.",
            )
        # np.array copies: cached samples are read-only memory maps.
        x = torch.from_numpy(np.array(inputs)).float()
        if self.scale != 1:
            x /= self.scale
        if self.mean:
            spread = (-1, *[1] * (len(self.shape) - 1))
            x -= torch.tensor(self.mean).reshape(spread)
            x /= torch.tensor(self.std).reshape(spread)
        return x

    def to(self, other: InputSpec) -> Callable[[Tensor], Tensor]:
        """Return a function from inputs normalised in this way to those another model takes.

        Args:
            other: Its input, of the same shape.
        """
        import torch

        if self == other:
            return lambda x: x
        spread = (-1, *[1] * (len(self.shape) - 1))
        mean, std = (torch.tensor(v or (d,)) for v, d in ((self.mean, 0.0), (self.std, 1.0)))
        centre, width = (torch.tensor(v or (d,)) for v, d in ((other.mean, 0.0), (other.std, 1.0)))
        ratio = self.scale / other.scale
        factor = (std * ratio / width).reshape(spread)
        shift = ((mean * ratio - centre) / width).reshape(spread)
        return lambda x: x * factor.to(x.device) + shift.to(x.device)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(**data)
