"""Which weights are zero, each by how many are in its row, its column and beside it.

Pruned weights lie together: whole inputs of a layer matter little, and so do whole outputs. The
matrix is cut into tiles, and each tile is coded by what the tiles before it have shown. The odds
that a weight is not zero are those of its row, times those of its column, over those of the layer;
what is known of the nearest weights of its row moves them further. These odds are sorted into
*classes*, and every class learns how often it is right, so that a wrong guess costs little.

With nothing to see in rows and columns it costs about two percent more than the frequency alone.

References:
    Wiedemann et al., DeepCABAC, 2019, arXiv:1905.08318 (significance by that of its neighbours)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from optim.codecs._bits import BitCoder

__all__ = ["code_significance", "density_level"]

_TILE = 256
"""Weights of a tile, if no more than :data:`_MOST` tiles come of it."""
_MOST = 24
"""Tiles from top to bottom, and from left to right, at most."""
_REACH = 3
"""Weights to the left and to the right that count as near."""
_ROW_TRUST, _NEAR_TRUST, _CLASS_TRUST = 4.0, 8.0, 12.0
"""Weights that have to be seen before a row or column, neighbours, or a class are believed more
than what was expected of them."""
_OCTAVES = 16
"""Odds are told apart from ``2**-16`` to ``2**16``, two classes an octave."""


def density_level(nonzero: np.ndarray) -> int:
    """Return the level, 0 to 255, of the share of weights that are not zero."""
    share = (np.count_nonzero(nonzero) + 0.5) / (nonzero.size + 1)
    return min(int(np.searchsorted(_DENSITIES, share)), len(_DENSITIES) - 1)


def code_significance(
    coder: BitCoder, shape: tuple[int, int], level: int, nonzero: np.ndarray | None
) -> np.ndarray:
    """Code which weights of a layer are not zero.

    Args:
        coder: Takes or gives the decisions.
        shape: Rows and columns ``(R, n)``.
        level: See :func:`density_level`.
        nonzero: ``(R, n)`` bool where it is known, which is when encoding.

    Returns:
        ``(R, n)`` bool.
    """
    seen = _Seen(shape, float(_DENSITIES[level]))
    for rows, columns in _tiles(shape):
        odds_class = seen.classes(rows, columns)
        known = None if nonzero is None else nonzero[rows, columns].reshape(-1)
        bits = coder.code(seen.probabilities(odds_class).reshape(-1), known)
        seen.learn(rows, columns, odds_class, bits.reshape(odds_class.shape))
    return seen.nonzero


def _tiles(shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Cut a matrix into tiles: neighbouring rows, and every so-maniest column.

    Columns of a tile lie apart, so that the first tiles show something of every part of a row.
    """
    rows, columns = shape
    if not rows * columns:
        return
    count = min(max(1, rows * columns // _TILE), _MOST**2)
    down = min(rows, _MOST, max(1, round(count**0.5)))
    across = min(columns, _MOST, max(1, round(count / down)))
    edges = [rows * i // down for i in range(down + 1)]
    for top, bottom in pairwise(edges):
        for first in range(across):
            yield slice(top, bottom), slice(first, None, across)


class _Seen:
    """What the tiles so far have shown."""

    def __init__(self, shape: tuple[int, int], density: float) -> None:
        rows, columns = shape
        self.nonzero = np.zeros(shape, dtype=bool)
        self._rows, self._columns = np.zeros((2, rows)), np.zeros((2, columns))
        # The layer's density is believed as if sixteen weights had shown it.
        self._layer = np.array([16 * density, 16.0])
        self._right = _CLASS_TRUST * _CLASS_SHARES
        self._asked = np.full(len(_CLASS_SHARES), _CLASS_TRUST)

    def classes(self, rows: slice, columns: slice) -> np.ndarray:
        """Return the class of the odds of each weight of a tile."""
        share = self._layer[0] / self._layer[1]
        near = _window(self._columns)
        expected = (near[0] + _ROW_TRUST * share) / (near[1] + _ROW_TRUST)
        by_column = _odds(self._columns[:, columns], expected[columns], _ROW_TRUST)
        by_row = _odds(self._rows[:, rows], share, _ROW_TRUST)
        odds = by_row[:, None] * by_column * ((1 - share) / share)
        likely = odds / (1 + odds)
        there = _window(self.nonzero[rows])[:, columns]
        # The columns up to the tile's first are known in all of its rows, and no others.
        across = columns.step
        known = np.arange(self.nonzero.shape[1]) % across < columns.start
        asked = _window(known[None])[:, columns]
        odds = odds * ((there + _NEAR_TRUST * likely) / (asked * likely + _NEAR_TRUST * likely))
        fraction, octave = np.frexp(odds)
        classes = 2 * (octave.astype(np.int64) + _OCTAVES) + (fraction >= 0.75)
        return np.clip(classes, 0, len(_CLASS_SHARES) - 1)

    def probabilities(self, classes: np.ndarray) -> np.ndarray:
        """Return how likely a weight of each class is not zero."""
        return (self._right / self._asked)[classes]

    def learn(self, rows: slice, columns: slice, classes: np.ndarray, tile: np.ndarray) -> None:
        """Take in a tile that is now known."""
        size = len(self._asked)
        self._right += np.bincount(classes[tile], minlength=size)
        self._asked += np.bincount(classes.reshape(-1), minlength=size)
        self.nonzero[rows, columns] = tile
        self._rows[:, rows] += tile.sum(axis=1), np.full(len(tile), tile.shape[1])
        self._columns[:, columns] += tile.sum(axis=0), np.full(tile.shape[1], len(tile))
        self._layer += tile.sum(), tile.size


def _odds(seen: np.ndarray, expected: np.ndarray | float, trust: float) -> np.ndarray:
    """Return the odds ``(N,)`` of weights of which so many were seen, and so many not zero."""
    there, asked = seen
    return (there + trust * expected) / (asked - there + trust * (1 - expected))


def _window(numbers: np.ndarray) -> np.ndarray:
    """Return sums of the ``(N, n)`` numbers at most :data:`_REACH` columns away."""
    rows, columns = numbers.shape
    sums = np.zeros((rows, columns + 2 * _REACH + 1))
    np.cumsum(numbers, axis=1, out=sums[:, _REACH + 1 : _REACH + 1 + columns])
    sums[:, _REACH + 1 + columns :] = sums[:, [_REACH + columns]]
    return sums[:, 2 * _REACH + 1 :] - sums[:, :columns]


def _shares() -> np.ndarray:
    """Return how likely a weight is not zero, by the odds in the middle of each class."""
    octaves = np.repeat(2.0 ** np.arange(-_OCTAVES, _OCTAVES), 2)
    odds = octaves * np.tile([0.625, 0.875], 2 * _OCTAVES)
    return odds / (1 + odds)


_CLASS_SHARES = _shares()

_EIGHTHS = np.arange(-128, 0)
_BELOW_HALF = (1 + _EIGHTHS % 8 / 8) * 2.0 ** (_EIGHTHS // 8) / 2
_DENSITIES = np.concatenate([_BELOW_HALF, [0.5], 1 - _BELOW_HALF[:0:-1]])
"""The densities a level states: eight an octave from ``2**-17`` to a half, and mirrored above.

They are exact in binary, so that no rounding decides them.
"""
