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

from typing import Annotated, ClassVar

import numpy as np

from optim.data._drawing import Draw, band, blend, contrasting, ground, noisy_pixels, stamp
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
        draw = Draw(np.random.default_rng([self.seed, code]))
        scenes, targets = [], []
        for start in range(0, SIZES[part], _BATCH):
            count = min(_BATCH, SIZES[part] - start)
            images, classes = _scenes(draw, strokes, source.targets, count, self.difficulty)
            scenes.append(images)
            targets.append(classes)
        ids = np.arange(SIZES[part], dtype=np.int64) + sum(list(SIZES.values())[:code])
        return Samples(np.concatenate(scenes), np.concatenate(targets), ids)


def _scenes(
    draw: Draw, sources: np.ndarray, labels: np.ndarray, count: int, difficulty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(count, 3, 32, 32)`` uint8 scenes and their ``(count,)`` labels."""
    d = 1.7 * difficulty
    behind = ground(draw, count, _SIDE)
    scene = behind
    for _ in range(3):
        which = draw.index(len(sources), count)
        shown = draw.uniform(0, 1, count) < 0.25 + 0.6 * d
        alpha = stamp(
            draw,
            sources[which],
            _SIDE,
            turn=1.2,
            height=(0.35, 0.6),
            centres=_rim,
            warp=0.5 + d,
        )
        colour = draw.uniform(0, 1, count, 3)
        scene = blend(
            scene, colour, alpha * (shown * draw.uniform(0.35, 0.9, count))[:, None, None]
        )
    which = draw.index(len(sources), count)
    alpha = stamp(
        draw,
        sources[which],
        _SIDE,
        turn=0.45,
        height=(0.5, 0.85),
        centres=_middle,
        warp=0.5 + d,
    )
    middle = behind[:, :, 8:24, 8:24].mean(axis=(1, 2, 3), dtype=np.float64).astype(np.float32)
    colour = contrasting(draw, middle, 0.75 - 0.5 * d)
    scene = blend(scene, colour, alpha)
    scene = band(draw, scene, width=(0.03, 0.06 + 0.12 * d), chance=0.3 + 0.5 * d)
    return noisy_pixels(draw, scene, 0.05 + 0.12 * d), labels[which]


def _middle(draw: Draw, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres near that of the scene."""
    return draw.signed(0.18, count), draw.signed(0.18, count)


def _rim(draw: Draw, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres near one of the four edges."""
    along = draw.signed(1, count)
    across = draw.uniform(0.75, 1.05, count) * np.where(draw.index(2, count) == 0, -1, 1)
    across = across.astype(np.float32)
    upright = draw.index(2, count) == 0
    return np.where(upright, across, along), np.where(upright, along, across)
