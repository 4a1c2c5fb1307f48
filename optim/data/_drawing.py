"""Scenes drawn from digits: strokes on textured grounds, with the same bytes on every machine.

Operations are integers, sums, products and square roots; angles are rounded before they are used.
Scenes are ``(N, 3, S, S)`` floats in about 0..1 until they are turned into pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = [
    "Centres",
    "Draw",
    "band",
    "blend",
    "contrasting",
    "ground",
    "noisy_pixels",
    "stamp",
]


@dataclass(frozen=True)
class Draw:
    """Random numbers in the form the scenes need."""

    generator: np.random.Generator

    def uniform(self, low: float, high: float, *shape: int) -> np.ndarray:
        """Return float32 in low..high."""
        unit = self.generator.random(shape, dtype=np.float32)
        return np.float32(low) + np.float32(high - low) * unit

    def signed(self, size: float, *shape: int) -> np.ndarray:
        """Return float32 in -size..size."""
        return self.uniform(-size, size, *shape)

    def index(self, below: int, *shape: int) -> np.ndarray:
        """Return integers from 0, below a limit."""
        return self.generator.integers(0, below, shape)


Centres = Callable[[Draw, int], tuple[np.ndarray, np.ndarray]]
"""Draws columns and rows ``(N,)`` in -1..1 of so many middles."""


def ground(draw: Draw, count: int, side: int) -> np.ndarray:
    """Return scenes in which two colours run into each other, with soft blotches on top."""
    y, x = _grid(side)
    tilt = draw.signed(1, count, 2)
    ramp = 0.5 + 0.5 * (tilt[:, :1, None] * x + tilt[:, 1:, None] * y)
    first, second = draw.uniform(0, 1, count, 3), draw.uniform(0, 1, count, 3)
    second = first + (second - first) * np.float32(0.6)
    blotches = _smooth(draw.signed(1, count, 6, 6), side)
    blotches = blotches * draw.uniform(0, 0.18, count)[:, None, None]
    mixed = first[:, :, None, None] + (second - first)[:, :, None, None] * ramp[:, None]
    return mixed + blotches[:, None]


def stamp(
    draw: Draw,
    digits: np.ndarray,
    side: int,
    *,
    turn: float,
    height: tuple[float, float],
    centres: Centres,
    warp: float,
    reach: float = np.inf,
    shown: np.ndarray | None = None,
) -> np.ndarray:
    """Draw ``(N, 8, 8)`` strokes in 0..1 into coverage ``(N, side, side)``, warped and placed.

    Args:
        draw: Decides everything within these limits.
        digits: What is drawn.
        side: Of the scenes, in pixels.
        turn: Largest rotation in radians.
        height: Least and largest height as a share of the scene's.
        centres: Draws where their middles lie.
        warp: Strength of shear and bending.
        reach: Nothing is drawn farther from the middle, in half heights and half widths: bending
            folds a scene that is much larger than its digit.
        shown: ``(N,)`` whether it is drawn at all; None draws all.
    """
    count = len(digits)
    y, x = _grid(side)
    angle = np.round(draw.signed(turn, count).astype(np.float64), 4)
    cosine = np.round(np.cos(angle), 6).astype(np.float32)
    sine = np.round(np.sin(angle), 6).astype(np.float32)
    shear = draw.signed(0.25 * warp, count)
    tall = draw.uniform(*height, count)
    wide = tall * draw.uniform(0.7, 1.15, count)
    centre_x, centre_y = centres(draw, count)
    dx, dy = x - centre_x[:, None, None], y - centre_y[:, None, None]
    u = (cosine[:, None, None] * dx + sine[:, None, None] * dy) / wide[:, None, None]
    v = (cosine[:, None, None] * dy - sine[:, None, None] * dx) / tall[:, None, None]
    bend = draw.signed(0.12 * warp, count, 4)
    threshold, softness = draw.uniform(0.22, 0.48, count), draw.uniform(0.12, 0.3, count)
    is_near = np.maximum(np.abs(u), np.abs(v)) <= reach
    if shown is not None:
        is_near &= shown[:, None, None]
    # Most of a large scene is far from its digit, where the rest need not be asked.
    which = np.nonzero(is_near)[0].astype(np.int32)
    u, v, bend = u[is_near], v[is_near], bend[which]
    u = u + shear[which] * v
    u, v = (
        u + bend[:, 0] * (v * v - 0.3) + bend[:, 1] * u * v,
        (v + bend[:, 2] * (u * u - 0.3) + bend[:, 3] * u * v),
    )
    ink = _sample(digits, which, u, v)
    coverage = np.zeros(is_near.shape)
    coverage[is_near] = np.clip((ink - threshold[which]) / softness[which] + np.float32(0.5), 0, 1)
    return coverage


def band(draw: Draw, scene: np.ndarray, *, width: tuple[float, float], chance: float) -> np.ndarray:
    """Lay a straight band of one colour across some of the scenes.

    Args:
        draw: Decides where.
        scene: What it is laid over.
        width: Least and largest half width; the scene's half side is 1.
        chance: Share of the scenes that have one.
    """
    count, side = len(scene), scene.shape[-1]
    y, x = _grid(side)
    turn = np.round(draw.signed(3.1416, count).astype(np.float64), 4)
    nx = np.round(np.cos(turn), 6).astype(np.float32)[:, None, None]
    ny = np.round(np.sin(turn), 6).astype(np.float32)[:, None, None]
    offset = draw.signed(0.55, count)[:, None, None]
    half = draw.uniform(*width, count)[:, None, None]
    shown = (draw.uniform(0, 1, count) < chance)[:, None, None]
    distance = np.abs(nx * x + ny * y - offset)
    alpha = np.clip((half - distance) * np.float32(side / 2) + np.float32(0.5), 0, 1) * shown
    return blend(scene, draw.uniform(0, 1, count, 3), alpha)


def blend(scene: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lay colours ``(N, 3)`` over scenes where coverage ``(N, S, S)`` says so."""
    which, y, x = np.nonzero(alpha)
    blended = scene.astype(np.float64)
    for channel in range(3):
        under = scene[which, channel, y, x]
        over = (colour[which, channel] - under) * alpha[which, y, x]
        blended[which, channel, y, x] = under + over
    return blended


def contrasting(draw: Draw, middle: np.ndarray, distance: float) -> np.ndarray:
    """Draw colours ``(N, 3)`` whose brightness differs from ``middle`` by at least ``distance``."""
    colour = draw.uniform(0, 1, len(middle), 3)
    brightness = (colour[:, 0] + colour[:, 1] + colour[:, 2]) / np.float32(3)
    away = np.where(middle < 0.5, np.float32(1), np.float32(-1))
    wanted = middle + away * np.maximum(np.abs(brightness - middle), np.float32(distance))
    shift = wanted - brightness
    return np.clip(colour + shift[:, None], 0, 1)


def noisy_pixels(draw: Draw, scene: np.ndarray, most: float) -> np.ndarray:
    """Return uint8 pixels under noise whose level goes from 0.02 to ``most``."""
    noise = draw.signed(1, *scene.shape) + draw.signed(1, *scene.shape)
    level = draw.uniform(0.02, most, len(scene))
    scene = scene + noise * level[:, None, None, None]
    pixels = np.floor(np.clip(scene, 0, 1) * np.float32(255) + np.float32(0.5))
    return pixels.astype(np.uint8)


def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column coordinates of pixel centres in -1..1."""
    axis = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side / 2) - 1
    return axis[:, None], axis[None, :]


def _sample(digits: np.ndarray, which: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Read ``(N, 8, 8)`` digits bilinearly; zero outside.

    Args:
        digits: All of them.
        which: ``(P,)`` the digit of each place.
        u: ``(P,)`` columns in -1..1.
        v: ``(P,)`` rows in -1..1.
    """
    flat = np.pad(digits, ((0, 0), (1, 1), (1, 1))).reshape(-1)
    column = np.clip((u + 1) * np.float32(4) + np.float32(0.5), 0, 8.999)
    row = np.clip((v + 1) * np.float32(4) + np.float32(0.5), 0, 8.999)
    left, top = np.floor(column).astype(np.int32), np.floor(row).astype(np.int32)
    fx, fy = column - left, row - top
    base = which * 100 + top * 10 + left
    upper = flat[base] * (1 - fx) + flat[base + 1] * fx
    lower = flat[base + 10] * (1 - fx) + flat[base + 11] * fx
    return upper * (1 - fy) + lower * fy


def _smooth(coarse: np.ndarray, side: int) -> np.ndarray:
    """Stretch ``(N, k, k)`` values over the scene bilinearly."""
    k = coarse.shape[1]
    at = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * np.float32((k - 1) / side)
    low = np.floor(at).astype(np.int32)
    f = (at - low).astype(np.float32)
    rows = coarse[:, low] * (1 - f)[:, None] + coarse[:, low + 1] * f[:, None]
    return rows[:, :, low] * (1 - f) + rows[:, :, low + 1] * f
