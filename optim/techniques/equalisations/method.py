"""What every equalisation method is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.fields import MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.equalisation import Link, Scaled
    from optim.step import Context

__all__ = ["EqualisationMethod"]


class EqualisationMethod(MethodConfig):
    """Base of the equalisation methods."""

    norms: ClassVar[bool] = False
    """Whether outputs of layer norms are scaled as well."""

    def scaled(self, scaled: Scaled, links: list[Link], context: Context) -> dict[str, Tensor]:
        """Scale the channels of the links in place.

        Returns:
            ``{source: (C,)}``, by what its channels were divided in all.
        """
        raise NotImplementedError
