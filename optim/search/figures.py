"""The figures a search may weigh or limit. Of all of them less is better."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FIGURES", "Figure", "times_text"]


@dataclass(frozen=True)
class Figure:
    """One figure of a candidate.

    Attributes:
        title: Name for a reader.
        unit: As in :class:`~optim.quantity.Quantity`.
        about: What it says, in one sentence.
        verb: What a candidate does with so much of it, as in "loses 1.2 points".
    """

    title: str
    unit: str
    about: str
    verb: str = "takes"


FIGURES: dict[str, Figure] = {
    "loss": Figure(
        "Loss of quality",
        "points",
        "Percentage points of accuracy or mAP below the original on the same samples; of outputs "
        "that are no classes, of their difference.",
        "loses",
    ),
    "error": Figure("Error", "points", "100 % minus accuracy, or mAP.", "has an error of"),
    "bytes": Figure("Size", "bytes", "Bytes of the file, or of one encoding of the weights."),
    "macs": Figure("MACs", "macs", "Multiply-accumulates for one sample."),
    "params": Figure("Parameters", "params", "Parameters of the deployed model.", "has"),
    "latency": Figure("Latency", "ms", "Time of an inference on the device; here it is measured."),
    "ram": Figure("RAM", "bytes", "Estimated peak memory of an inference on the device."),
    "flash": Figure("Flash", "bytes", "Weights as the file stores them."),
    "energy": Figure("Energy", "j", "Estimated energy of an inference on the device."),
    "training": Figure("Training time", "s", "Seconds of training that led to it."),
}
"""Figures by name."""


def times_text(count: int) -> str:
    """Return how often something was done.

    Example:
        >>> times_text(1), times_text(3)
        ('once', '3 times')
    """
    return "once" if count == 1 else f"{count} times"
