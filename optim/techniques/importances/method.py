"""What every importance method is."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from optim.fields import MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.groups import Channels
    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["ImportanceMethod", "reduction", "scores_of"]

_LOG = logging.getLogger(__name__)


class ImportanceMethod(MethodConfig):
    """Base of the importance methods."""

    def score(
        self, bundle: ModelBundle, channels: Channels, context: Context, *, total: bool = False
    ) -> dict[str, Tensor]:
        """Return ``{group: (channels,) scores}``; a group the method cannot judge is left out.

        Args:
            bundle: The model.
            channels: Its groups.
            context: Of the step.
            total: Whether a score is what a channel is worth altogether, summed over all layers
                that it passes through; else it has mean 1 in each group.
        """
        raise NotImplementedError


def reduction(total: bool) -> dict[str, Any]:
    """Return how one of torch-pruning's measures puts the layers of a group together."""
    return {"group_reduction": "sum", "normalizer": None} if total else {}


def scores_of(channels: Channels, measure: Any) -> dict[str, Tensor]:
    """Return the scores one of torch-pruning's importance measures gives to each group."""
    found = {}
    for group in channels.groups:
        try:
            scores = measure(group.source)
        except (IndexError, RuntimeError) as error:
            # Layers that it was not made for; the report says that it cannot judge them.
            _LOG.info("%s cannot be scored: %s", group.name, error)
            continue
        if scores is not None and len(scores):
            found[group.name] = scores.detach().float()
    return found
