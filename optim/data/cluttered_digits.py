"""Cluttered digits: 32x32 colour scenes made from scikit-learn's handwritten digits.

Plain 8x8 digits are too easy to teach anything: every network reaches 99 % and four bits cost
nothing. Here one digit, warped, rotated, scaled and coloured, stands on a textured ground, partly
covered, with other digits intruding at the rim. A small network reaches a little over 90 %, and
each thing taken from it shows.

The source digits are split before any scene is made, so that no pen stroke of a validation scene
was ever trained on. Scenes are computed with operations that give the same bytes on every machine:
integers, sums, products and square roots; angles are rounded before they are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from optim.data._sources import digit_sources
from optim.data.dataset import DataConfig, Dataset, Samples, cached_part
from optim.data.splits import cut_origin
from optim.data.task import Classification
from optim.fields import Range

__all__ = ["ClutteredDigits"]

SIZES = {"train": 20_000, "validation": 4_000, "test": 4_000}
_SIDE = 32
_BATCH = 500


class ClutteredDigits(DataConfig):
    """32x32 colour scenes of a digit among clutter, ten classes."""

    title: ClassVar[str] = "Cluttered digits"
    about: ClassVar[str] = (
        "32x32 colour scenes: a warped digit on a textured ground, partly covered, with other "
        "digits at the rim. 20,000 / 4,000 / 4,000, generated here from scikit-learn's digits."
    )

    difficulty: Annotated[
        float,
        Range(
            low=0.0,
            high=1.0,
            step=0.1,
            label="Difficulty",
            help="More occlusion, distractors, noise and warping; less contrast.",
        ),
    ] = 0.5
    seed: Annotated[
        int, Range(low=0, high=9999, step=1, label="Seed", help="Draws other scenes.")
    ] = 0

    def open(self, ref: str) -> Dataset:
        """Return the data set; scenes are generated part by part and cached."""
        identity = self.identity()
        return Dataset(
            ref=ref,
            title=self.title,
            task=Classification(tuple("0123456789")),
            hash=identity,
            parts=SIZES,
            input_shape=(3, _SIDE, _SIDE),
            load=lambda part: cached_part(identity, part, lambda: self._make(part)),
            notes=("Source digits were split before the scenes were made.",),
            origin=cut_origin("cluttered-digits", self.seed),
        )

    def _make(self, part: str) -> Samples:
        source = digit_sources(self.seed)[part]
        strokes = source.inputs / np.float32(16)
        code = list(SIZES).index(part)
        draw = _Draw(np.random.default_rng([self.seed, code]))
        scenes, targets = [], []
        for start in range(0, SIZES[part], _BATCH):
            count = min(_BATCH, SIZES[part] - start)
            images, classes = _scenes(draw, strokes, source.targets, count, self.difficulty)
            scenes.append(images)
            targets.append(classes)
        ids = np.arange(SIZES[part], dtype=np.int64) + sum(list(SIZES.values())[:code])
        return Samples(np.concatenate(scenes), np.concatenate(targets), ids)


@dataclass(frozen=True)
class _Draw:
    """Random numbers in the form the scenes need."""

    generator: np.random.Generator

    def uniform(self, low: float, high: float, *shape: int) -> np.ndarray:
        unit = self.generator.random(shape, dtype=np.float32)
        return np.float32(low) + np.float32(high - low) * unit

    def signed(self, size: float, *shape: int) -> np.ndarray:
        return self.uniform(-size, size, *shape)

    def index(self, below: int, *shape: int) -> np.ndarray:
        return self.generator.integers(0, below, shape)


def _scenes(
    draw: _Draw, sources: np.ndarray, labels: np.ndarray, count: int, difficulty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(count, 3, 32, 32)`` uint8 scenes and their ``(count,)`` labels."""
    d = 1.7 * difficulty
    ground = _ground(draw, count)
    scene = ground
    for _ in range(3):
        which = draw.index(len(sources), count)
        shown = draw.uniform(0, 1, count) < 0.25 + 0.6 * d
        alpha = _stamp(draw, sources[which], at_rim=True, warp=0.5 + d)
        colour = draw.uniform(0, 1, count, 3)
        scene = _blend(
            scene, colour, alpha * (shown * draw.uniform(0.35, 0.9, count))[:, None, None]
        )
    which = draw.index(len(sources), count)
    alpha = _stamp(draw, sources[which], at_rim=False, warp=0.5 + d)
    colour = _contrasting(draw, ground, 0.75 - 0.5 * d)
    scene = _blend(scene, colour, alpha)
    scene = _occlude(draw, scene, d)
    noise = draw.signed(1, *scene.shape) + draw.signed(1, *scene.shape)
    level = draw.uniform(0.02, 0.05 + 0.12 * d, count)
    scene = scene + noise * level[:, None, None, None]
    pixels = np.floor(np.clip(scene, 0, 1) * np.float32(255) + np.float32(0.5))
    return pixels.astype(np.uint8), labels[which]


def _ground(draw: _Draw, count: int) -> np.ndarray:
    """Two colours run into each other in a random direction, with soft blotches on top."""
    y, x = _grid()
    tilt = draw.signed(1, count, 2)
    ramp = 0.5 + 0.5 * (tilt[:, :1, None] * x + tilt[:, 1:, None] * y)
    first, second = draw.uniform(0, 1, count, 3), draw.uniform(0, 1, count, 3)
    second = first + (second - first) * np.float32(0.6)
    blotches = _smooth(draw.signed(1, count, 6, 6)) * draw.uniform(0, 0.18, count)[:, None, None]
    mixed = first[:, :, None, None] + (second - first)[:, :, None, None] * ramp[:, None]
    return mixed + blotches[:, None]


def _stamp(draw: _Draw, digits: np.ndarray, *, at_rim: bool, warp: float) -> np.ndarray:
    """Draw ``(N, 8, 8)`` digits into ``(N, 32, 32)`` coverage, warped and placed."""
    count = len(digits)
    y, x = _grid()
    turn = np.round(draw.signed(0.45 if not at_rim else 1.2, count).astype(np.float64), 4)
    cosine = np.round(np.cos(turn), 6).astype(np.float32)
    sine = np.round(np.sin(turn), 6).astype(np.float32)
    shear = draw.signed(0.25 * warp, count)
    height = draw.uniform(0.5, 0.85, count) if not at_rim else draw.uniform(0.35, 0.6, count)
    width = height * draw.uniform(0.7, 1.15, count)
    centre_x, centre_y = (
        _rim(draw, count) if at_rim else (draw.signed(0.18, count), draw.signed(0.18, count))
    )
    dx, dy = x - centre_x[:, None, None], y - centre_y[:, None, None]
    u = (cosine[:, None, None] * dx + sine[:, None, None] * dy) / width[:, None, None]
    v = (cosine[:, None, None] * dy - sine[:, None, None] * dx) / height[:, None, None]
    u = u + shear[:, None, None] * v
    bend = draw.signed(0.12 * warp, count, 4)[:, :, None, None]
    u, v = (
        u + bend[:, 0] * (v * v - 0.3) + bend[:, 1] * u * v,
        (v + bend[:, 2] * (u * u - 0.3) + bend[:, 3] * u * v),
    )
    ink = _sample(digits, u, v)
    threshold = draw.uniform(0.22, 0.48, count)[:, None, None]
    softness = draw.uniform(0.12, 0.3, count)[:, None, None]
    return np.clip((ink - threshold) / softness + np.float32(0.5), 0, 1)


def _rim(draw: _Draw, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres near one of the four edges."""
    along = draw.signed(1, count)
    across = draw.uniform(0.75, 1.05, count) * np.where(draw.index(2, count) == 0, -1, 1)
    across = across.astype(np.float32)
    upright = draw.index(2, count) == 0
    return np.where(upright, across, along), np.where(upright, along, across)


def _sample(digits: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Read ``(N, 8, 8)`` digits bilinearly at ``u, v`` in -1..1; zero outside."""
    padded = np.pad(digits, ((0, 0), (1, 1), (1, 1)))
    column = np.clip((u + 1) * np.float32(4) + np.float32(0.5), 0, 8.999)
    row = np.clip((v + 1) * np.float32(4) + np.float32(0.5), 0, 8.999)
    left, top = np.floor(column).astype(np.int32), np.floor(row).astype(np.int32)
    fx, fy = column - left, row - top
    flat = padded.reshape(-1)
    base = np.arange(len(digits), dtype=np.int32)[:, None, None] * 100 + top * 10 + left
    upper = flat[base] * (1 - fx) + flat[base + 1] * fx
    lower = flat[base + 10] * (1 - fx) + flat[base + 11] * fx
    return upper * (1 - fy) + lower * fy


def _contrasting(draw: _Draw, ground: np.ndarray, distance: float) -> np.ndarray:
    """Draw a colour whose brightness differs from the ground's middle by at least ``distance``."""
    middle = ground[:, :, 8:24, 8:24].mean(axis=(1, 2, 3), dtype=np.float64).astype(np.float32)
    colour = draw.uniform(0, 1, len(ground), 3)
    brightness = (colour[:, 0] + colour[:, 1] + colour[:, 2]) / np.float32(3)
    away = np.where(middle < 0.5, np.float32(1), np.float32(-1))
    wanted = middle + away * np.maximum(np.abs(brightness - middle), np.float32(distance))
    shift = wanted - brightness
    return np.clip(colour + shift[:, None], 0, 1)


def _occlude(draw: _Draw, scene: np.ndarray, difficulty: float) -> np.ndarray:
    """Lay a straight band of one colour across the scene."""
    count = len(scene)
    y, x = _grid()
    turn = np.round(draw.signed(3.1416, count).astype(np.float64), 4)
    nx = np.round(np.cos(turn), 6).astype(np.float32)[:, None, None]
    ny = np.round(np.sin(turn), 6).astype(np.float32)[:, None, None]
    offset = draw.signed(0.55, count)[:, None, None]
    half = draw.uniform(0.03, 0.06 + 0.12 * difficulty, count)[:, None, None]
    shown = (draw.uniform(0, 1, count) < 0.3 + 0.5 * difficulty)[:, None, None]
    distance = np.abs(nx * x + ny * y - offset)
    alpha = np.clip((half - distance) * np.float32(16) + np.float32(0.5), 0, 1) * shown
    return _blend(scene, draw.uniform(0, 1, count, 3), alpha)


def _blend(scene: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return scene + (colour[:, :, None, None] - scene) * alpha[:, None]


def _smooth(coarse: np.ndarray) -> np.ndarray:
    """Stretch ``(N, k, k)`` values over the scene bilinearly."""
    k = coarse.shape[1]
    at = (np.arange(_SIDE, dtype=np.float32) + np.float32(0.5)) * np.float32((k - 1) / _SIDE)
    low = np.floor(at).astype(np.int32)
    f = (at - low).astype(np.float32)
    rows = coarse[:, low] * (1 - f)[:, None] + coarse[:, low + 1] * f[:, None]
    return rows[:, :, low] * (1 - f) + rows[:, :, low + 1] * f


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Return row and column coordinates of pixel centres in -1..1."""
    axis = (np.arange(_SIDE, dtype=np.float32) + np.float32(0.5)) / np.float32(_SIDE / 2) - 1
    return axis[:, None], axis[None, :]
