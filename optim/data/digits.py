"""Handwritten digits: scikit-learn's 1,797 grey images of 8x8 pixels.

Small and quick, for tests and first steps. It is too easy to compare techniques on: every network
reaches 97 % or more. Cluttered digits are made from the same strokes and are not.

References:
    Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, 1998, doi:10.24432/C50P49
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np

from optim.data._sources import digit_sources
from optim.data.dataset import DataConfig, Dataset, Samples, cached_part
from optim.data.splits import cut_origin
from optim.data.task import Classification
from optim.fields import Range

__all__ = ["Digits"]

_SIZES = {"train": 1_076, "validation": 362, "test": 359}


class Digits(DataConfig):
    """8x8 grey handwritten digits, ten classes."""

    title: ClassVar[str] = "Digits"
    about: ClassVar[str] = (
        "8x8 grey handwritten digits from scikit-learn, 1,797 in all. Quick, and easy to classify."
    )

    seed: Annotated[
        int, Range(low=0, high=9999, step=1, label="Seed", help="Draws another split.")
    ] = 0

    def open(self, ref: str) -> Dataset:
        """Return the data set; nothing is read yet."""
        identity = self.identity()
        return Dataset(
            ref=ref,
            title=self.title,
            task=Classification(tuple("0123456789")),
            hash=identity,
            parts=_SIZES,
            input_shape=(1, 8, 8),
            load=lambda part: cached_part(identity, part, lambda: self._read(part)),
            origin=cut_origin("digits", self.seed),
        )

    def _read(self, part: str) -> Samples:
        source = digit_sources(self.seed)[part]
        # 0..16 to 0..255, rounded to the nearest: 255 k / 16 + 1/2, in integers.
        pixels = (source.inputs.astype(np.uint16) * 255 + 8) // 16
        return Samples(pixels.astype(np.uint8)[:, None], source.targets, source.ids)
