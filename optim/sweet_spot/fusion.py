"""How far ONNX Runtime rewrites a graph, and in which order PyTorch keeps an image's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from optim.quantity import Comparison, Quantity

__all__ = ["LAYOUTS", "LEVELS", "AtLevel", "Fusion", "Level"]


@dataclass(frozen=True)
class Level:
    """One level of rewriting, which does what those before it do and more, or one layout.

    Attributes:
        title: Name for a reader.
        about: What it does, in a sentence.
    """

    title: str
    about: str


LEVELS = {
    "off": Level("Off", "Computes operator by operator, as the file lists them."),
    "basic": Level(
        "Basic",
        "Folds constants, drops operators that change nothing, and merges batch norm into "
        "convolutions.",
    ),
    "extended": Level(
        "Extended",
        "Fuses neighbours into one kernel: convolution and activation, or a quantized layer into "
        "an integer one.",
    ),
    "all": Level(
        "All",
        "Lays activations out for vector units: channels in blocks (NCHWc), or last for integers.",
    ),
}
"""Levels by name, growing; others are compared with the first, and the last is the default."""

LAYOUTS = {
    "channels_first": Level("Channels first", "One channel after the other, NCHW; the default."),
    "channels_last": Level(
        "Channels last",
        "All channels of a pixel beside each other, NHWC: weights are laid out so once, and images "
        "come so.",
    ),
}
"""Layouts of PyTorch by name; others are compared with the first."""


@dataclass(frozen=True)
class AtLevel:
    """A model rewritten up to a level, or in a layout, at one setting.

    Attributes:
        level: A key of :data:`LEVELS` or of :data:`LAYOUTS`.
        threads: Threads of one inference.
        batch: Samples in one inference.
        latency: Median of one inference of all of them, in ms, over blocks.
        change: The latency over that of the first, block by block; None for that one and
            where it was not measured.
    """

    level: str
    threads: int
    batch: int
    latency: Quantity
    change: Comparison | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "level": self.level,
            "threads": self.threads,
            "batch": self.batch,
            "latency": self.latency.to_json(),
            "change": self.change.to_json() if self.change else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            data["level"],
            data["threads"],
            data["batch"],
            Quantity.from_json(data["latency"]),
            Comparison.from_json(data["change"]) if data["change"] else None,
        )


@dataclass(frozen=True)
class Fusion:
    """Levels, or layouts, side by side.

    Attributes:
        measured: Setting by setting, levels growing.
        refused: ``{level: why}`` of those that were not measured, or not at every setting.
    """

    measured: tuple[AtLevel, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    def by_setting(self) -> dict[tuple[int, int], dict[str, AtLevel]]:
        """Return ``{(threads, batch): {level: what was measured}}``."""
        found: dict[tuple[int, int], dict[str, AtLevel]] = {}
        for one in self.measured:
            found.setdefault((one.threads, one.batch), {})[one.level] = one
        return found

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "measured": [one.to_json() for one in self.measured],
            "refused": dict(self.refused),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(tuple(AtLevel.from_json(one) for one in data["measured"]), data["refused"])
