"""The figures a search may weigh or limit. Of all of them less is better."""

from __future__ import annotations

from dataclasses import dataclass

from optim.quantity import Quantity, format_value

__all__ = ["FIGURES", "Figure", "earlier_text", "figure_text", "times_text", "value_text"]


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

    @property
    def word(self) -> str:
        """The title within a sentence."""
        return self.title if self.title in ("MACs", "RAM") else self.title.lower()


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


def value_text(figure: str, value: float) -> str:
    """Return a value as it stands beside the title of its figure, which is not said again.

    Example:
        >>> value_text("macs", 2e6), value_text("params", 802), value_text("bytes", 4e4)
        ('2.00 M', '802', '40.0 kB')
    """
    text = format_value(value, FIGURES[figure].unit)
    return text.removesuffix(f" {FIGURES[figure].title}")


def figure_text(figure: str, value: Quantity | str) -> str:
    """Return a figure as it stands alone in a sentence: what it is, unless its unit says so.

    Example:
        >>> figure_text("bytes", "40 kB"), figure_text("params", "802"), figure_text("ram", "8 kB")
        ('40 kB', '802 parameters', 'RAM 8 kB')
    """
    if figure in ("bytes", "macs"):
        return str(value)
    word = FIGURES[figure].word
    return f"{value} {word}" if figure == "params" else f"{word} {value}"


def earlier_text(count: int, what: str) -> str:
    """Say that what earlier searches found is tried first.

    Example:
        >>> earlier_text(1, "network"), earlier_text(3, "recipe")  # doctest: +NORMALIZE_WHITESPACE
        ('1 network of earlier searches is tried first.',
         '3 recipes of earlier searches are tried first.')
    """
    many = f"1 {what} of earlier searches is" if count == 1 else ""
    return f"{many or f'{count} {what}s of earlier searches are'} tried first."


def times_text(count: int) -> str:
    """Return how often something was done.

    Example:
        >>> times_text(1), times_text(3)
        ('once', '3 times')
    """
    return "once" if count == 1 else f"{count} times"
