"""The trade-off between size and quality as a drawing that needs no program to be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from optim.quantity import Quantity, format_value
from optim.report.facts import Point

__all__ = ["trade_off"]

_WIDTH, _HEIGHT = 680, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 24, 16, 48
_TICKS = 4


def trade_off(points: Sequence[Point], metric: str) -> str:
    """Return an SVG of quality, with its interval, against the bytes of the file.

    Args:
        points: The original, the result, and others.
        metric: Name of the axis.

    Returns:
        The drawing; empty if there are fewer than two points.
    """
    if len(points) < 2:
        return ""
    sizes = [math.log10(max(point.size.value, 1.0)) for point in points]
    x = _Scale(min(sizes) - 0.08, max(sizes) + 0.08, _LEFT, _WIDTH - _RIGHT)
    ends = [end for p in points for end in (p.quality.low, p.quality.high)]
    margin = 0.08 * (max(ends) - min(ends) or 1.0)
    low, high = min(ends) - margin, max(ends) + margin
    y = _Scale(low, high, _HEIGHT - _BOTTOM, _TOP)
    unit = points[0].quality.unit
    parts = [_grid(low, high, y, unit), _sizes(min(sizes), max(sizes), x)]
    # What is talked about is drawn last, above the others.
    for point, size in reversed(list(zip(points, sizes, strict=True))):
        parts.append(_drawn(point, x(size), y))
    label = f"{metric} against the size of the file"
    below = f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 6}" class="axis">File (smaller is left)</text>'
    turned = f'x="-{_HEIGHT / 2}" y="14" transform="rotate(-90)"'
    beside = f'<text {turned} class="axis">{escape(metric)}</text>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{below}{beside}{''.join(parts)}</svg>"
    )


class _Scale:
    """A straight line from values to positions."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.start = low, start
        self.slope = (end - start) / (high - low)

    def __call__(self, value: float) -> float:
        return round(self.start + (value - self.low) * self.slope, 1)


def _grid(low: float, high: float, y: _Scale, unit: str) -> str:
    step = _round_step((high - low) / _TICKS)
    ticks = [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
    lines = []
    for tick in ticks:
        text = format_value(tick, unit)
        lines.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick)}" y2="{y(tick)}"/>')
        lines.append(
            f'<text x="{_LEFT - 8}" y="{y(tick) + 4}" class="tick end">{escape(text)}</text>'
        )
    return "".join(lines)


def _sizes(low: float, high: float, x: _Scale) -> str:
    """Mark sizes of one digit, as many as there is room for."""
    every = [
        digit * 10.0**power
        for power in range(math.floor(low), math.ceil(high) + 1)
        for digit in (1, 2, 5)
    ]
    shown = [size for size in every if low - 0.05 <= math.log10(size) <= high + 0.05]
    shown = shown[:: max(1, math.ceil(len(shown) / 6))]
    return "".join(
        f'<text x="{x(math.log10(size))}" y="{_HEIGHT - _BOTTOM + 20}" class="tick mid">'
        f"{escape(str(Quantity.exact(size, 'bytes')))}</text>"
        for size in shown
    )


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= step * 0.999)


def _drawn(point: Point, x: float, y: _Scale) -> str:
    kind = point.title if point.title in ("original", "result") else "other"
    about = f"{point.title}: {point.quality}, {point.size}"
    bar = (
        f'<line class="bar {kind}" x1="{x}" x2="{x}" '
        f'y1="{y(point.quality.low)}" y2="{y(point.quality.high)}"/>'
    )
    radius = 4 if kind == "other" else 7
    dot = f'<circle class="{kind}" cx="{x}" cy="{y(point.quality.value)}" r="{radius}"/>'
    name = ""
    if kind != "other":
        turned = x > _WIDTH - 160
        name = (
            f'<text x="{x - 12 if turned else x + 12}" y="{y(point.quality.value) - 10}" '
            f'class="name {kind}{" end" if turned else ""}">{kind}</text>'
        )
    return f"<g><title>{escape(about)}</title>{bar}{dot}{name}</g>"
