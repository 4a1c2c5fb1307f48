"""Whole numbers other than zero, the small ones in few bits: sign, magnitude class, leading bits.

Signs are coded by those of their neighbours. The *class* of a number is how many bits its magnitude
has. It is coded as a row of decisions (are there more bits?), then the three bits behind the
leading one; these are where the distribution of weights has its shape. What is left is close to
noise and is stored as it is. All decisions learn their probabilities on the way, in a few weights,
where a table for every value would take hundreds.

References:
    Wiedemann et al., DeepCABAC, 2019, arXiv:1905.08318 (binarization of weights)
"""

from __future__ import annotations

import numpy as np

from optim.codecs._bits import AdaptiveBits, BitCoder

__all__ = ["MAX_CLASS", "code_signed"]

MAX_CLASS = 17
"""Bits of the largest magnitude."""

_STRIDES = (8, 4, 2, 1)
"""Columns whose signs come first, second, ...: multiples of these."""
_FARTHEST = _STRIDES[0]

_SHAPED = 3
"""Bits behind the leading one whose probabilities are learned."""


def code_signed(
    coder: BitCoder, nonzero: np.ndarray, values: np.ndarray | None, *, alike: bool
) -> np.ndarray:
    """Code numbers that are not zero.

    Args:
        coder: Takes or gives the decisions.
        nonzero: ``(R, n)`` bool: where they stand, ``N`` of them.
        values: ``(N,)`` int64 of at most ``2**MAX_CLASS - 1`` in magnitude, where they are known,
            which is when encoding.
        alike: Whether magnitudes of both signs are expected to be distributed alike, as those of
            weights on a grid, and unlike ranks in a codebook.

    Returns:
        ``(N,)`` int64.
    """
    known = None if values is None else np.abs(values)
    signs = _code_signs(coder, nonzero, None if values is None else values < 0)
    kinds = np.zeros(len(signs), dtype=np.int64) if alike else signs.astype(np.int64)
    classes = _code_classes(coder, kinds, known)
    magnitudes = _code_magnitudes(coder, kinds, classes, known)
    return np.where(signs, -magnitudes, magnitudes)


def _code_signs(coder: BitCoder, nonzero: np.ndarray, negative: np.ndarray | None) -> np.ndarray:
    """Code which numbers are negative: ``(N,)`` bool.

    Every eighth column comes first, then those in the middle between two that are known, and so
    on: the signs on both sides tell something where kernels are smooth.
    """
    rows, columns = np.nonzero(nonzero)
    found = np.zeros(len(rows), dtype=bool)
    known = np.zeros((nonzero.shape[0], nonzero.shape[1] + 2 * _FARTHEST), dtype=np.int64)
    model = AdaptiveBits(5 * len(_STRIDES))
    for level, step in enumerate(_STRIDES):
        turn = np.flatnonzero((columns % step == 0) & ((columns % (2 * step) != 0) | (level == 0)))
        row, column = rows[turn], columns[turn] + _FARTHEST
        beside = known[row, column - step] + known[row, column + step]
        found[turn] = model.code(
            coder, 5 * level + 2 + beside, None if negative is None else negative[turn]
        )
        known[row, column] = np.where(found[turn], -1, 1)
    return found


def _code_classes(coder: BitCoder, kinds: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """Code how many bits follow the leading one of each magnitude: ``(N,)`` int64."""
    classes = np.zeros_like(kinds)
    model = AdaptiveBits(2 * MAX_CLASS)
    open_ = np.arange(len(kinds))
    for size in range(1, MAX_CLASS):
        if not len(open_):
            break
        more = None if known is None else known[open_] >= 2**size
        contexts = 2 * size + kinds[open_]
        open_ = open_[model.code(coder, contexts, more)]
        classes[open_] = size
    return classes


def _code_magnitudes(
    coder: BitCoder, kinds: np.ndarray, classes: np.ndarray, known: np.ndarray | None
) -> np.ndarray:
    """Code the bits behind the leading one: ``(N,)`` int64."""
    magnitudes = np.ones_like(classes)
    model = AdaptiveBits(2 * MAX_CLASS * 2**_SHAPED)
    for behind in range(1, MAX_CLASS):
        open_ = np.flatnonzero(classes >= behind)
        if not len(open_):
            break
        own = classes[open_]
        bits = None if known is None else (known[open_] >> (own - behind)) & 1 == 1
        if behind <= _SHAPED:
            contexts = (2 * own + kinds[open_]) * 2**_SHAPED + magnitudes[open_]
            bits = model.code(coder, contexts, bits)
        else:
            bits = coder.code(np.full(len(open_), 0.5), bits)
        magnitudes[open_] = 2 * magnitudes[open_] + bits
    return magnitudes
