"""What is to be predicted, and in which terms it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["NO_LABEL", "Classification", "Task", "Unlabelled"]

NO_LABEL = -1
"""Target of a sample of which nobody says what it is."""


@dataclass(frozen=True)
class Classification:
    """One class per sample; judged by accuracy, resampled by sample.

    Attributes:
        class_names: Names in the order of the model's outputs.
    """

    class_names: tuple[str, ...]
    kind: ClassVar[str] = "classification"
    primary_metric: ClassVar[str] = "accuracy"

    @property
    def n_classes(self) -> int:
        """Number of outputs a model for this task has."""
        return len(self.class_names)


@dataclass(frozen=True)
class Unlabelled:
    """Samples of which nobody says what they are; judged by agreement with the original model.

    Their targets are :data:`NO_LABEL`. Nothing can be learned from such labels: what trains or
    measures accuracy refuses them.
    """

    kind: ClassVar[str] = "unlabelled"
    primary_metric: ClassVar[str] = "agreement"
    class_names: ClassVar[tuple[str, ...]] = ()
    n_classes: ClassVar[int] = 0


Task = Classification | Unlabelled
