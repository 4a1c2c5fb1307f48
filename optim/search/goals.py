"""What is asked for: figures to be as small as can be, and limits that must be kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from optim.errors import ConfigError
from optim.quantity import Quantity
from optim.search.figures import FIGURES, figure_text, value_text

__all__ = ["BYTES_OF", "Goals", "Limit", "Miss"]

BYTES_OF: dict[str, str] = {
    "onnx": "ONNX file",
    "dense": "Weights as float32",
    "bit_width": "Weights at their bits",
    "sparse": "Weights, zeros left out",
    "entropy": "Weights, entropy-coded",
}
"""Whose bytes count, by name; all but the file are those of ``optim.measure.size``."""

_LEAST_POINTS = 1.0
"""A limit of no loss at all is missed by a whole if it is missed by so many points."""


@dataclass(frozen=True)
class Limit:
    """A figure that must not be larger.

    Attributes:
        figure: A key of ``FIGURES``.
        most: Largest value, in the figure's unit.
        is_asked: Whether somebody asked for it; else it is all that the device has.

    Raises:
        ConfigError: If there is no such figure, or it can never be so small.
    """

    figure: str
    most: float
    is_asked: bool = True

    def __post_init__(self) -> None:
        if self.figure not in FIGURES:
            raise ConfigError(
                f"figure must be one of {', '.join(FIGURES)}: got {self.figure!r}.",
                field=self.figure,
            )
        if not math.isfinite(self.most) or self.most < 0 or (not self.most and not self._may_be_0):
            raise ConfigError(
                f"The limit of {FIGURES[self.figure].title.lower()} must be a positive number"
                f"{' or 0' if self._may_be_0 else ''}: got {self.most!r}.",
                field=self.figure,
            )

    @property
    def _may_be_0(self) -> bool:
        return FIGURES[self.figure].unit == "points"

    @property
    def text(self) -> str:
        """The limit for a reader: ``Size at most 40 kB``."""
        most = value_text(self.figure, self.most)
        whose = "" if self.is_asked else ", all the device has"
        return f"{FIGURES[self.figure].title} at most {most}{whose}"

    def over(self, value: float) -> float:
        """Return how much larger a value is, as a share of the limit; not above 0 if it is kept."""
        scale = max(self.most, _LEAST_POINTS) if self._may_be_0 else self.most
        return (value - self.most) / scale


@dataclass(frozen=True)
class Miss:
    """A limit that a candidate does not keep.

    Attributes:
        limit: The limit.
        value: What the candidate has; None where that is not known.
    """

    limit: Limit
    value: Quantity | None

    @property
    def text(self) -> str:
        """What is missed, and by how much, in one sentence."""
        name = self.limit.figure
        figure = FIGURES[name]
        allowed = value_text(name, self.limit.most)
        if self.value is None:
            are = "are" if figure.title.endswith("s") else "is"
            return f"{figure.title} {are} not known; {allowed} allowed."
        much = value_text(name, self.value.value - self.limit.most)
        has = figure_text(name, self.value) if name == "params" else str(self.value)
        return f"It {figure.verb} {has}; {allowed} allowed, {much} too much."

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "figure": self.limit.figure,
            "most": self.limit.most,
            "value": self.value.to_json() if self.value else None,
            "text": self.text,
        }


@dataclass(frozen=True)
class Goals:
    """What a search is for.

    Attributes:
        objectives: Keys of ``FIGURES``; the first tells quality, the others cost.
        limits: What must be kept, one a figure at most.
        bytes_of: Whose bytes count, a key of ``BYTES_OF``.
        device: Name of a device of the catalogue; empty if no figure is of a device.

    Raises:
        ConfigError: Naming what is wrong.
    """

    objectives: tuple[str, ...] = ("loss", "bytes")
    limits: tuple[Limit, ...] = ()
    bytes_of: str = "onnx"
    device: str = ""

    def __post_init__(self) -> None:
        for name in self.objectives:
            if name not in FIGURES:
                raise ConfigError(
                    f"objectives must be of {', '.join(FIGURES)}: got {name!r}.", field="objectives"
                )
        if len(self.objectives) < 2 or len(set(self.objectives)) < len(self.objectives):
            raise ConfigError(
                "A search weighs at least two different figures: "
                f"got {', '.join(self.objectives) or 'none'}.",
                field="objectives",
            )
        limited = [limit.figure for limit in self.limits]
        if len(set(limited)) < len(limited):
            raise ConfigError(f"Each figure has one limit: got {', '.join(limited)}.")
        if self.bytes_of not in BYTES_OF:
            raise ConfigError(
                f"bytes_of must be one of {', '.join(BYTES_OF)}: got {self.bytes_of!r}.",
                field="bytes_of",
            )
        wants = [n for n in (*limited, *self.objectives) if n in _OF_DEVICE]
        if wants and not self.device:
            raise ConfigError(
                f"{FIGURES[wants[0]].title} is that of a device, and none is named.",
                hint="Name one of the catalogue; optim devices list shows them.",
                field="device",
            )

    @property
    def quality(self) -> str:
        """The figure that tells quality."""
        return self.objectives[0]

    @property
    def costs(self) -> tuple[str, ...]:
        """The figures that tell cost, the one that matters most first."""
        return self.objectives[1:]

    @property
    def figures(self) -> tuple[str, ...]:
        """Every figure that is asked for."""
        return tuple(dict.fromkeys((*self.objectives, *(limit.figure for limit in self.limits))))

    @property
    def asked(self) -> tuple[Limit, ...]:
        """The limits that somebody asked for."""
        return tuple(limit for limit in self.limits if limit.is_asked)

    def limit(self, figure: str) -> Limit | None:
        """Return the limit of a figure; None if there is none."""
        return next((limit for limit in self.limits if limit.figure == figure), None)

    def misses(
        self, figures: Mapping[str, Quantity], *, certainly: bool = False, but: Sequence[str] = ()
    ) -> list[Miss]:
        """Return the limits that figures do not keep.

        Args:
            figures: Of a candidate.
            certainly: Whether the whole interval has to lie within.
            but: Figures whose limits are not looked at.
        """
        found = []
        for limit in self.limits:
            if limit.figure in but:
                continue
            value = figures.get(limit.figure)
            if value is None or limit.over(value.high if certainly else value.value) > 0:
                found.append(Miss(limit, value))
        return found

    def excess(self, figures: Mapping[str, Quantity], *, but: Sequence[str] = ()) -> float:
        """Return by how much limits are missed in all, as shares of them; 0 if all are kept."""
        return sum(
            1.0 if miss.value is None else miss.limit.over(miss.value.value)
            for miss in self.misses(figures, but=but)
        )

    def values(self, figures: Mapping[str, Quantity]) -> tuple[float, ...] | None:
        """Return the objectives of figures, in order; None where one is not known."""
        if any(name not in figures for name in self.objectives):
            return None
        return tuple(figures[name].value for name in self.objectives)

    def to_json(self) -> dict[str, Any]:
        """Return plain data that :meth:`from_json` reads back."""
        return {
            "objectives": list(self.objectives),
            "limits": {limit.figure: limit.most for limit in self.asked},
            "capacity": {x.figure: x.most for x in self.limits if not x.is_asked},
            "bytes_of": self.bytes_of,
            "device": self.device,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read plain data, which may come from anybody.

        Raises:
            ConfigError: Naming what is wrong.
        """
        try:
            limits = tuple(
                Limit(str(figure), float(most), is_asked)
                for found, is_asked in ((data["limits"], True), (data.get("capacity", {}), False))
                for figure, most in found.items()
            )
            objectives = tuple(map(str, data["objectives"]))
            return cls(objectives, limits, str(data["bytes_of"]), str(data["device"]))
        except (AttributeError, LookupError, TypeError) as error:
            raise ConfigError(
                f"Goals are {{objectives, limits, capacity, bytes_of, device}}: got {data!r}."
            ) from error
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"A limit must be a number: {error}.", field="limits") from error


_OF_DEVICE = frozenset({"latency", "ram", "flash", "energy"})
