"""Breast cancer: 569 cell images described by 30 numbers each, benign or malignant.

A table for very small networks, as they run on microcontrollers.

References:
    Wolberg, Mangasarian, Street and Street, Breast Cancer Wisconsin (Diagnostic), UCI Machine
    Learning Repository, 1993, doi:10.24432/C5DW2B
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from optim.data._sources import open_table
from optim.data.dataset import DataConfig, Dataset
from optim.fields import Range

__all__ = ["BreastCancer"]


class BreastCancer(DataConfig):
    """30 measurements of cell nuclei, two classes."""

    title: ClassVar[str] = "Breast cancer"
    about: ClassVar[str] = (
        "30 measurements of cell nuclei, malignant or benign; 569 samples from scikit-learn."
    )

    seed: Annotated[
        int, Range(low=0, high=9999, step=1, label="Seed", help="Draws another split.")
    ] = 0

    def open(self, ref: str) -> Dataset:
        """Return the data set; nothing is read yet."""
        return open_table(
            self,
            ref,
            name="breast_cancer",
            parts={"train": 341, "validation": 115, "test": 113},
            n_features=30,
            class_names=("malignant", "benign"),
            seed=self.seed,
        )
