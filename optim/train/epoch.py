"""What an epoch gave, and which one's model is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Epoch", "Stopping"]


@dataclass(frozen=True)
class Epoch:
    """What one pass over the data gave.

    Attributes:
        number: From 1.
        loss: Mean training loss.
        learning_rate: At its end.
        accuracy: On the validation samples, if there are any, in 0..1.
        train_accuracy: On the training samples as they were learned from: augmented, and by the
            model as it was at that moment; None where samples were mixed or are of no single class.
        seconds: Wall time of training, without validation.
    """

    number: int
    loss: float
    learning_rate: float
    accuracy: float | None = None
    train_accuracy: float | None = None
    seconds: float = 0.0

    def figures(self) -> dict[str, float]:
        """Return what was measured by name, as :attr:`optim.step.Context.record` takes it."""
        values = self.to_json()
        found = {"epoch": values.pop("number"), **values}
        return {name: float(value) for name, value in found.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Stopping:
    """Which epoch's model is kept, and when to stop looking for a better one.

    Attributes:
        keep: ``last``, or the ``best`` on validation samples; of equal ones the first.
        patience: Epochs without a better one after which training stops; 0 trains to the end.
    """

    keep: Literal["last", "best"] = "last"
    patience: int = 0

    @property
    def selects(self) -> bool:
        """Whether epochs are compared at all, which needs validation samples."""
        return self.keep == "best" or self.patience > 0
