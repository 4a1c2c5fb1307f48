"""Samples that come with scikit-learn, cut into parts by class and by seed.

The numbers of samples do not depend on the seed, so that a data set knows its parts before
scikit-learn is imported.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from optim.data.dataset import DataConfig, Dataset, Samples, cached_part
from optim.data.splits import cut_origin, stratified_split
from optim.data.task import Classification

__all__ = ["cut", "digit_sources", "open_table"]

_SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}


def cut(targets: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return the sorted row indices of each part, 60/20/20 by class."""
    pieces = stratified_split(targets, tuple(_SHARES.values()), seed)
    return dict(zip(_SHARES, pieces, strict=True))


def digit_sources(seed: int) -> dict[str, Samples]:
    """Return scikit-learn's 1,797 handwritten digits: ``(N, 8, 8)`` uint8 strokes in 0..16.

    Some are much harder to tell than others, and 360 of them are few: drawn by class alone, one
    part can come out four points easier than another. So they are drawn by class and by how close
    the nearest digit of another class is.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.uint8)
    labels = labels.astype(np.int64)
    parts = _cut_evenly(labels, _margins(images, labels), seed)
    return {part: Samples(images[rows], labels[rows], rows) for part, rows in parts.items()}


def _margins(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return ``(N,)`` squared distances: nearest other class minus nearest of the same class."""
    flat = images.reshape(len(images), -1).astype(np.float64)  # whole numbers: exact in any order
    squares = (flat**2).sum(axis=1)
    distances = squares[:, None] + squares[None] - 2 * flat @ flat.T
    np.fill_diagonal(distances, np.inf)
    same = labels[:, None] == labels[None]
    nearest_other = np.where(same, np.inf, distances).min(axis=1)
    return nearest_other - np.where(same, distances, np.inf).min(axis=1)


_DEAL = ("train", "validation", "test", "train", "train")


def _cut_evenly(labels: np.ndarray, hardness: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return sorted rows of each part: of any five neighbours in hardness 3, 1 and 1 go to each."""
    generator = np.random.default_rng(seed)
    parts: dict[str, list[int]] = {part: [] for part in _SHARES}
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(hardness[rows], kind="stable")]
        for start in range(0, len(rows), len(_DEAL)):
            five = generator.permutation(rows[start : start + len(_DEAL)])
            for part, row in zip(_DEAL, five, strict=False):
                parts[part].append(int(row))
    return {part: np.sort(np.array(rows, dtype=np.int64)) for part, rows in parts.items()}


def open_table(
    config: DataConfig,
    ref: str,
    *,
    name: Literal["breast_cancer", "wine"],
    parts: dict[str, int],
    n_features: int,
    class_names: tuple[str, ...],
    seed: int,
) -> Dataset:
    """Return one of scikit-learn's tables, columns standardised with the train part's statistics.

    Args:
        config: The data set's own configuration.
        ref: How it was asked for.
        name: Name of the table in scikit-learn.
        parts: Number of samples of each part.
        n_features: Number of columns.
        class_names: Names in the order of the table's class indices.
        seed: Decides the split.
    """
    identity = config.identity()
    return Dataset(
        ref=ref,
        title=config.title,
        task=Classification(class_names),
        hash=identity,
        parts=parts,
        input_shape=(n_features,),
        load=lambda part: cached_part(identity, part, lambda: _table_part(name, part, seed)),
        notes=("Columns are standardised with the train part's mean and deviation.",),
        origin=cut_origin(name, seed),
    )


def _table_part(name: str, part: str, seed: int) -> Samples:
    from sklearn import datasets

    features, targets = getattr(datasets, f"load_{name}")(return_X_y=True)
    targets = targets.astype(np.int64)
    rows = cut(targets, seed)
    train = features[rows["train"]]
    scaled = (features - train.mean(axis=0)) / train.std(axis=0)
    return Samples(scaled[rows[part]].astype(np.float32), targets[rows[part]], rows[part])
