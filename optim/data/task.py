"""What is to be predicted, and in which terms it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["Classification"]


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
