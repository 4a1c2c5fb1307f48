"""Digit scenes: 64x64 colour scenes of several digits, each with its box, for object detection.

One to six of scikit-learn's handwritten digits, warped, scaled and coloured, stand on a textured
ground among scribbles that are no digits and bands that cover some of them. A box is the smallest
rectangle of whole pixels around a digit's ink, also where something else lies over it.

The source digits are split before any scene is made, as in
:class:`~optim.data.cluttered_digits.ClutteredDigits`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np

from optim.data._drawing import Centres, Draw, band, blend, contrasting, ground, noisy_pixels, stamp
from optim.data._sources import digit_sources
from optim.data.dataset import DataConfig, Dataset, Samples, cached_part
from optim.data.splits import cut_origin
from optim.data.task import NO_LABEL, Detection
from optim.fields import Range

__all__ = ["DigitScenes"]

SIZES = {"train": 6_000, "validation": 1_000, "test": 1_000}
_SIDE = 64
_BATCH = 250
_PLACES = 9
_SCRIBBLES = 3


class DigitScenes(DataConfig):
    """64x64 colour scenes of one to six digits with a box around each."""

    title: ClassVar[str] = "Digit scenes"
    about: ClassVar[str] = (
        "64x64 colour scenes of several digits among scribbles, a box around each, for object "
        "detection. 6,000 / 1,000 / 1,000, generated here from scikit-learn's digits."
    )

    digits: Annotated[
        int,
        Range(
            low=1,
            high=8,
            step=1,
            unit="digits",
            label="Digits",
            help="Most digits in one scene; each number from one on is equally likely.",
        ),
    ] = 6
    difficulty: Annotated[
        float,
        Range(
            low=0.0,
            high=1.0,
            step=0.1,
            label="Difficulty",
            help="More scribbles, bands, noise and warping; less contrast.",
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
            task=Detection(tuple("0123456789"), (_SIDE, _SIDE)),
            hash=identity,
            parts=SIZES,
            input_shape=(3, _SIDE, _SIDE),
            load=lambda part: cached_part(identity, part, lambda: self._make(part)),
            notes=("Source digits were split before the scenes were made.",),
            origin=cut_origin("digit-scenes", self.seed),
        )

    def _make(self, part: str) -> Samples:
        source = digit_sources(self.seed)[part]
        strokes = source.inputs / np.float32(16)
        code = list(SIZES).index(part)
        draw = Draw(np.random.default_rng([self.seed, code]))
        scenes, targets = [], []
        for start in range(0, SIZES[part], _BATCH):
            count = min(_BATCH, SIZES[part] - start)
            images, boxes = self._scenes(draw, strokes, source.targets, count)
            scenes.append(images)
            targets.append(boxes)
        ids = np.arange(SIZES[part], dtype=np.int64) + sum(list(SIZES.values())[:code])
        return Samples(np.concatenate(scenes), np.concatenate(targets), ids)

    def _scenes(
        self, draw: Draw, sources: np.ndarray, labels: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return ``(count, 3, 64, 64)`` uint8 scenes and their ``(count, digits, 5)`` objects."""
        d = self.difficulty
        scene = ground(draw, count, _SIDE)
        for _ in range(_SCRIBBLES):
            # Opposite corners of a digit exchanged: strokes as good, and no digit.
            which = draw.index(len(sources), count)
            alpha = self._stamp(draw, np.roll(sources[which], (4, 4), (1, 2)), _anywhere)
            strength = draw.uniform(0.3, 0.9, count) * (draw.uniform(0, 1, count) < 0.3 + d)
            scene = blend(scene, draw.uniform(0, 1, count, 3), alpha * strength[:, None, None])
        objects = np.full((count, self.digits, 5), NO_LABEL, np.int64)
        places = np.argsort(draw.uniform(0, 1, count, _PLACES), axis=1)
        wanted = 1 + draw.index(self.digits, count)
        for i in range(self.digits):
            which = draw.index(len(sources), count)
            alpha = self._stamp(draw, sources[which], _around(places[:, i]), i < wanted)
            brightness = (scene.mean(axis=1) * alpha).sum(axis=(1, 2), dtype=np.float64)
            under = brightness / np.maximum(alpha.sum(axis=(1, 2), dtype=np.float64), 1)
            colour = contrasting(draw, under.astype(np.float32), 0.55 - 0.35 * d)
            scene = blend(scene, colour, alpha)
            boxes, is_there = _boxes(alpha)
            objects[is_there, i, :4] = boxes[is_there]
            objects[is_there, i, 4] = labels[which[is_there]]
        scene = band(draw, scene, width=(0.01, 0.02 + 0.05 * d), chance=0.3 + 0.5 * d)
        return noisy_pixels(draw, scene, 0.04 + 0.1 * d), objects

    def _stamp(
        self, draw: Draw, digits: np.ndarray, centres: Centres, shown: np.ndarray | None = None
    ) -> np.ndarray:
        return stamp(
            draw,
            digits,
            _SIDE,
            turn=0.35,
            height=(0.2, 0.42),
            centres=centres,
            warp=0.4 + self.difficulty,
            reach=1.5,
            shown=shown,
        )


def _anywhere(draw: Draw, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres all over the scene."""
    return draw.signed(0.95, count), draw.signed(0.95, count)


def _around(places: np.ndarray) -> Centres:
    """Return what draws centres near places ``(N,)`` of a raster of three by three."""

    def centres(draw: Draw, count: int) -> tuple[np.ndarray, np.ndarray]:
        column, row = (
            np.float32(0.62) * (part.astype(np.float32) - 1) for part in (places % 3, places // 3)
        )
        return column + draw.signed(0.16, count), row + draw.signed(0.16, count)

    return centres


def _boxes(alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes ``(N, 4)`` around coverage above one half, and ``(N,)`` whether there is any.

    A box is left, top, right and bottom in pixels; right and bottom are the first ones outside.
    """
    ink = alpha > 0.5
    columns, rows = np.max(ink, axis=1), np.max(ink, axis=2)
    ends = [np.argmax(side, axis=1) for side in (columns, rows)]
    ends += [_SIDE - np.argmax(side[:, ::-1], axis=1) for side in (columns, rows)]
    return np.stack(ends, axis=1), np.max(rows, axis=1)
