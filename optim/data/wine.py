"""Wine: 178 wines of one region described by 13 chemical measurements, from three cultivars.

The smallest table here. Its test part has 36 samples: one more or less is three points, and the
intervals say so.

References:
    Aeberhard and Forina, Wine, UCI Machine Learning Repository, 1992, doi:10.24432/C5PC7J
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from optim.data._sources import open_table
from optim.data.dataset import DataConfig, Dataset
from optim.fields import Range

__all__ = ["Wine"]


class Wine(DataConfig):
    """13 chemical measurements, three classes."""

    title: ClassVar[str] = "Wine"
    about: ClassVar[str] = (
        "13 chemical measurements of wines from three cultivars; 178 samples from scikit-learn."
    )

    seed: Annotated[
        int, Range(low=0, high=9999, step=1, label="Seed", help="Draws another split.")
    ] = 0

    def open(self, ref: str) -> Dataset:
        """Return the data set; nothing is read yet."""
        return open_table(
            self,
            ref,
            name="wine",
            parts={"train": 107, "validation": 35, "test": 36},
            n_features=13,
            class_names=("cultivar 1", "cultivar 2", "cultivar 3"),
            seed=self.seed,
        )
