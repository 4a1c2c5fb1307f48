"""A number that says what it is, how sure it is and how it was obtained.

Every figure that reaches a page, a report or a JSON file is a :class:`Quantity`. Two quantities
cannot be subtracted: a difference of two measurements on the same samples has a narrower interval
than the two alone suggest, and only the code that holds the samples can compute it. That code
(``optim.measure``) returns the difference as a Quantity of its own inside a :class:`Comparison`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal, NoReturn, Self

from optim.errors import ConfigError

__all__ = ["Comparison", "How", "Quantity", "format_at_least", "format_value"]


class How(StrEnum):
    """How a number was obtained."""

    MEASURED = "measured"
    """Observed on real data, real bytes or a real runtime."""
    ESTIMATED = "estimated"
    """Computed by a model of the device or extrapolated."""
    SIMULATED = "simulated"
    """Computed by a stand-in for the deployed arithmetic (fake quantization)."""
    PUBLISHED = "published"
    """Taken from a paper or a vendor's table."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with its unit, interval and origin.

    Attributes:
        value: The best single figure, in ``unit``.
        unit: One of ``UNITS``: ``"fraction"`` (0 to 1, shown as %), ``"points"`` (percentage
            points), ``"ms"``, ``"s"``, ``"bytes"``, ``"macs"``, ``"params"``, ``"x"`` (a ratio),
            ``"per_s"``, ``"count"``, ``"j"``, ``"h"``, ``"g_co2e"``, ``"db"`` (decibels),
            ``"nats"``, ``"cosine"``,
            ``"r2"`` (1 at most, below 0 for worse than the mean), ``"tau"`` (a rank correlation,
            -1 to 1), ``"target"`` (the unit of what is
            predicted).
        low: Lower end of the 95 % interval; equal to ``value`` for an exact count.
        high: Upper end of the 95 % interval.
        n: Number of samples, runs or rounds behind it; ``None`` for an exact count.
        how: See :class:`How`.

    Raises:
        ConfigError: If the unit is unknown or ``low <= value <= high`` does not hold.

    Example:
        >>> print(Quantity(0.8103, "fraction", 0.8025, 0.8179, n=10_000))
        81.0 ± 0.8 %
    """

    value: float
    unit: str
    low: float
    high: float
    n: int | None = None
    how: How = How.MEASURED

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ConfigError(
                f"unit must be one of {', '.join(UNITS)}: got unit={self.unit!r}.", field="unit"
            )
        if not self.low <= self.value <= self.high:
            raise ConfigError(
                "A Quantity needs low <= value <= high: "
                f"got low={self.low}, value={self.value}, high={self.high}.",
                field="value",
            )
        object.__setattr__(self, "how", How(self.how))

    @classmethod
    def exact(cls, value: float, unit: str, how: How = How.MEASURED) -> Self:
        """Make a quantity without uncertainty: bytes of a file, a count of parameters."""
        return cls(value, unit, value, value, None, how)

    @property
    def is_exact(self) -> bool:
        """Whether the interval is a point."""
        return self.low == self.high

    @property
    def half_width(self) -> float:
        """Half the width of the interval, in ``unit``."""
        return (self.high - self.low) / 2

    def to_json(self) -> dict[str, Any]:
        """Return the stable JSON form: ``value, low, high, n, unit, how``."""
        return {**asdict(self), "how": str(self.how)}

    def shown(self) -> dict[str, Any]:
        """Return the JSON form with the ``text`` a reader sees."""
        return {**self.to_json(), "text": str(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            ConfigError: If a value is illegal.
            TypeError: If it is not such a mapping.
        """
        if not all(isinstance(data[name], int | float) for name in ("value", "low", "high")):
            raise TypeError("value, low and high must be numbers")
        return cls(**data)

    def with_ends(self) -> str:
        """Return value and both ends as text: for intervals that are lopsided.

        Example:
            >>> Quantity(2.0, "ms", 0.5, 40.0, how=How.ESTIMATED).with_ends()
            '2.00 ms (500 µs to 40.0 ms)'
            >>> print(Quantity(0.05, "fraction", 0.0, 0.06, n=500))
            5.00 % (0.0 % to 6.00 %)
        """
        ends = (format_value(end, self.unit) for end in (self.low, self.high))
        return f"{format_value(self.value, self.unit)} ({' to '.join(ends)})"

    def __str__(self) -> str:
        if self._is_lopsided:
            return self.with_ends()
        return format_value(self.value, self.unit, None if self.is_exact else self.half_width)

    @property
    def _is_lopsided(self) -> bool:
        """Whether ± would tell of values that cannot be, "3 ± 10 ms", or hide that 0 can be."""
        below, above = self.value - self.low, self.high - self.value
        is_long_above = self.half_width > self.value / 2 and above > 2 * below
        return (self.low > 0 and is_long_above) or (self.low == 0 and below > 2 * above)

    def __sub__(self, other: object) -> NoReturn:
        raise TypeError(
            "Two quantities cannot be subtracted: the interval of a difference needs the samples. "
            "Use the comparison that optim.measure computes from both models' predictions."
        )

    __rsub__ = __sub__


@dataclass(frozen=True, slots=True)
class Comparison:
    """Candidate against baseline on the same samples, rounds or bytes.

    Attributes:
        difference: Candidate minus baseline for things that add (unit ``"points"``), or candidate
            over baseline for things that scale (unit ``"x"``), with its paired 95 % interval.
        better: Whether a higher or a lower candidate is an improvement.
    """

    difference: Quantity
    better: Literal["higher", "lower"]

    @property
    def neutral(self) -> float:
        """The value of no change: 1 for a ratio, 0 for a difference."""
        return 1.0 if self.difference.unit == "x" else 0.0

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves out 'no change'."""
        return not self.difference.low <= self.neutral <= self.difference.high

    @property
    def direction(self) -> Literal["better", "worse", "same"]:
        """What a reader may conclude: ``"same"`` unless the interval excludes no change."""
        if not self.beyond_noise:
            return "same"
        rose = self.difference.value > self.neutral
        return "better" if rose == (self.better == "higher") else "worse"

    def verdict(self) -> str:
        """Say the result in words, without promising more than the interval holds.

        Example:
            >>> noise = Quantity(-0.1, "points", -0.6, 0.4, n=4000)
            >>> Comparison(noise, better="higher").verdict()
            'no difference beyond noise (-0.1 ± 0.5 points)'
        """
        change = self.difference
        if change.is_exact and change.value == self.neutral:
            return "no difference"
        if not self.beyond_noise:
            return f"no difference beyond noise ({_signed(change)})"
        if change.unit == "x":
            return _ratio_in_words(change)
        verb = "gains" if change.value > 0 else "loses"
        size = format_value(
            abs(change.value), change.unit, None if change.is_exact else change.half_width
        )
        return f"{verb} {size}"

    def to_json(self) -> dict[str, Any]:
        """Return ``difference``, ``better``, ``direction`` and ``verdict`` as plain data."""
        return {
            "difference": self.difference.to_json(),
            "better": self.better,
            "direction": self.direction,
            "verdict": self.verdict(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote; the derived keys are recomputed."""
        return cls(Quantity.from_json(data["difference"]), data["better"])


@dataclass(frozen=True, slots=True)
class _Unit:
    """How a unit is printed: scale steps as (from this magnitude, divide by, suffix)."""

    steps: tuple[tuple[float, float, str], ...]
    digits: int = 3


_DECIMAL = ((1e9, 1e9, " G"), (1e6, 1e6, " M"), (1e3, 1e3, " k"), (0.0, 1.0, " "))

UNITS: dict[str, _Unit] = {
    "fraction": _Unit(((0.0, 0.01, " %"),)),
    "points": _Unit(((0.0, 1.0, " points"),)),
    "ms": _Unit(((1e3, 1e3, " s"), (1.0, 1.0, " ms"), (0.0, 1e-3, " µs"))),
    "s": _Unit(((60.0, 60.0, " min"), (1.0, 1.0, " s"), (0.0, 1e-3, " ms"))),
    "bytes": _Unit(((1e9, 1e9, " GB"), (1e6, 1e6, " MB"), (1e3, 1e3, " kB"), (0.0, 1.0, " B"))),
    "macs": _Unit(tuple((a, b, c.rstrip() + " MACs") for a, b, c in _DECIMAL)),
    "params": _Unit(tuple((a, b, c) for a, b, c in _DECIMAL)),
    "x": _Unit(((0.0, 1.0, "x"),)),
    "per_s": _Unit(tuple((a, b, c.rstrip() + " /s") for a, b, c in _DECIMAL)),
    "count": _Unit(((0.0, 1.0, ""),)),
    "j": _Unit(
        (
            *((1.0, 1.0, " J"), (1e-3, 1e-3, " mJ"), (1e-6, 1e-6, " µJ")),
            *((1e-9, 1e-9, " nJ"), (0.0, 1e-12, " pJ")),
        )
    ),
    "h": _Unit(((8766.0, 8766.0, " years"), (48.0, 24.0, " days"), (0.0, 1.0, " h"))),
    "g_co2e": _Unit(((1e3, 1e3, " kg CO2e"), (1.0, 1.0, " g CO2e"), (0.0, 1e-3, " mg CO2e"))),
    "db": _Unit(((0.0, 1.0, " dB"),)),
    "nats": _Unit(((0.0, 1.0, " nats"),)),
    "cosine": _Unit(((0.0, 1.0, ""),), digits=4),
    "r2": _Unit(((0.0, 1.0, ""),)),
    "tau": _Unit(((0.0, 1.0, ""),)),
    "target": _Unit(((0.0, 1.0, ""),), digits=4),
}

_WHOLE = frozenset({"bytes", "macs", "params", "count"})
"""Units that are counted: seven bytes are not 7.00 bytes."""


def format_value(value: float, unit: str, half_width: float | None = None) -> str:
    """Write a value for a reader: scaled, with unit, rounded to what its interval supports.

    Args:
        value: Figure in ``unit``.
        unit: A key of ``UNITS``.
        half_width: Half of the interval in ``unit``; decides the digits when given.

    Returns:
        For example ``"81.0 ± 0.8 %"``, ``"205 kB"``, ``"1.94x"``.

    Example:
        >>> format_value(330_032, "bytes"), format_value(40_900_000, "macs")
        ('330 kB', '40.9 M MACs')
    """
    if not math.isfinite(value):
        return "not measured"
    spec = UNITS[unit]
    _, divisor, suffix = _step_of(value, unit)
    scaled = value / divisor
    if half_width is None or not math.isfinite(half_width):
        whole = unit in _WHOLE and scaled == value == round(value)
        digits = 0 if whole else _digits_for(scaled, spec.digits)
        return f"{_round(scaled, digits)}{suffix}".rstrip()
    spread = half_width / divisor
    digits = _digits_for(spread, 1)
    return f"{_round(scaled, digits)} ± {_round(spread, digits)}{suffix}"


def format_at_least(value: float, unit: str) -> str:
    """Write a value for a reader who has to allow it: as :func:`format_value`, rounded up.

    Example:
        >>> format_value(40_036, "bytes"), format_at_least(40_036, "bytes")
        ('40.0 kB', '40.1 kB')
    """
    if not math.isfinite(value):
        return format_value(value, unit)
    _, divisor, _ = _step_of(value, unit)
    scale = 10 ** _digits_for(value / divisor, UNITS[unit].digits)
    # What floating point adds to a value that has just these digits is not rounded up.
    return format_value(math.ceil(round(value / divisor * scale, 6)) / scale * divisor, unit)


def _step_of(value: float, unit: str) -> tuple[float, float, str]:
    """Return from which value on, by what, and under which name a unit is scaled."""
    return next(step for step in UNITS[unit].steps if abs(value) >= step[0] or not step[0])


def _digits_for(value: float, significant: int) -> int:
    """Return the number of decimals that show ``significant`` digits, at most three."""
    if value == 0:
        return 1
    exponent = math.floor(math.log10(abs(value)))
    return max(0, min(3, significant - 1 - exponent))


def _round(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def _signed(change: Quantity) -> str:
    text = str(change)
    return f"+{text}" if change.value > 0 and change.unit != "x" else text


def _ratio_in_words(change: Quantity) -> str:
    """Say a ratio as "2.1x less" or "1.3x more" with the interval turned the same way round."""
    if change.low <= 0:  # how many times less than nothing is no number
        return f"{_ratio_interval(change.value, change.low, change.high)} of it"
    if change.value >= 1:
        return f"{_ratio_interval(change.value, change.low, change.high)} more"
    return f"{_ratio_interval(1 / change.value, 1 / change.high, 1 / change.low)} less"


def _ratio_interval(value: float, low: float, high: float) -> str:
    return format_value(value, "x", None if low == high else (high - low) / 2)
