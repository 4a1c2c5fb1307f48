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

__all__ = ["ImportanceMethod", "scores_of"]

_LOG = logging.getLogger(__name__)


class ImportanceMethod(MethodConfig):
    """Base of the importance methods."""

    def score(self, bundle: ModelBundle, channels: Channels, context: Context) -> dict[str, Tensor]:
        """Return ``{group: (channels,) scores}``, mean 1 in each group.

        A group the method cannot judge is left out.
        """
        raise NotImplementedError


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
