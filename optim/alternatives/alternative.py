"""One way to train a network, as plain data and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optim.errors import ConfigError
from optim.models.architecture import Architecture
from optim.models.zoo import architecture_from_json, architecture_to_json
from optim.step import Step
from optim.techniques import TECHNIQUES, name_of

__all__ = ["Alternative"]


@dataclass(frozen=True)
class Alternative:
    """One way to train.

    Attributes:
        title: Name for a reader; unique among those compared.
        architecture: What is trained, from fresh weights.
        training: The step that trains it.
    """

    title: str
    architecture: Architecture
    training: Step

    def to_json(self) -> dict[str, Any]:
        """Return plain data that :meth:`from_json` reads back."""
        return {
            "title": self.title,
            "architecture": architecture_to_json(self.architecture),
            "training": {name_of(self.training): self.training.changed()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Alternative:
        """Read what :meth:`to_json` wrote; the data may come from anybody.

        Raises:
            ConfigError: Naming what is wrong.
        """
        try:
            title, architecture, training = data["title"], data["architecture"], data["training"]
            ((name, fields),) = training.items()
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise ConfigError(
                f"An alternative is {{title, architecture, training}}: got {data!r}."
            ) from error
        if not isinstance(title, str) or not 0 < len(title) <= 60:
            raise ConfigError(f"title must be a short text: got {title!r}.", field="title")
        trains = [key for key, technique in TECHNIQUES.items() if technique.cost == "training"]
        if name not in trains:
            raise ConfigError(
                f"training must be one of {', '.join(trains)}: got {name!r}.", field="training"
            )
        return cls(title, architecture_from_json(architecture), TECHNIQUES[name](**(fields or {})))
