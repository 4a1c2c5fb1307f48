"""Yes-or-no decisions in as many bits as they surprise, by probabilities learned on the way.

A model is written once and runs in both directions: it asks a *coder* for decisions and says how
likely each is. The encoder knows them already and notes them down; the decoder reads them. Both
learn from what they have seen so far, so that no table has to be stored (adaptive binary coding, as
in CABAC: Marpe et al., 2003; for weights of networks: Wiedemann et al., DeepCABAC, 2019,
arXiv:1905.08318).

Decisions come in blocks, whose probabilities are known before the block: numpy computes them all at
once. They are made of counts by single additions, multiplications and divisions of float64, whose
results IEEE 754 fixes to the last bit, so that every machine decodes the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import constriction
import numpy as np

from optim.codecs._frame import corrupt

__all__ = ["AdaptiveBits", "BitCoder", "BitDecoder", "BitEncoder"]

_WORD = np.dtype("<u4")
_STEPS = 2.0**16
"""Probabilities are multiples of one part in so many, and never 0 or 1."""


class BitCoder(Protocol):
    """What a model asks for decisions."""

    def code(self, probabilities: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        """Return ``(N,)`` bool decisions.

        Args:
            probabilities: ``(N,)`` float64, how likely each is True.
            bits: The decisions where they are known, which is when encoding.
        """


class BitEncoder:
    """Notes decisions down."""

    def __init__(self) -> None:
        self._bits: list[np.ndarray] = []
        self._probabilities: list[np.ndarray] = []

    def code(self, probabilities: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        """See :class:`BitCoder`."""
        assert bits is not None
        self._bits.append(bits)
        self._probabilities.append(_on_grid(probabilities))
        return bits

    def to_bytes(self) -> bytes:
        """Return all decisions, coded by asymmetric numeral systems, in words of four bytes."""
        coder = constriction.stream.stack.AnsCoder()
        if self._bits:
            bits = np.concatenate(self._bits).astype(np.int32)
            coder.encode_reverse(bits, _family(), np.concatenate(self._probabilities))
        return coder.get_compressed().astype(_WORD).tobytes()


class BitDecoder:
    """Reads the decisions of :meth:`BitEncoder.to_bytes`.

    Raises:
        DataError: If the bytes cannot be what an encoder wrote.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        if len(data) % _WORD.itemsize:
            raise corrupt("the coded decisions end within a word")
        words = np.frombuffer(data, dtype=_WORD).astype(np.uint32)
        if len(words) and words[-1] == 0:
            raise corrupt("the coded decisions end in a word of zeros")
        self._coder = constriction.stream.stack.AnsCoder(words)

    def code(self, probabilities: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        """See :class:`BitCoder`."""
        if not len(probabilities):
            return np.zeros(0, dtype=bool)
        return self._coder.decode(_family(), _on_grid(probabilities)).astype(bool)

    def end(self) -> None:
        """Refuse data from which decisions are left."""
        if not self._coder.is_empty():
            raise corrupt("the coded decisions do not come out even")


class AdaptiveBits:
    """Decisions that each belong to a context; a context knows how often it was True so far.

    Args:
        contexts: Number of contexts.
    """

    def __init__(self, contexts: int) -> None:
        # Half a decision of each kind before the first: Krichevsky and Trofimov, 1981.
        self._true = np.full(contexts, 0.5)
        self._all = np.full(contexts, 1.0)

    def code(self, coder: BitCoder, contexts: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        """Code ``(N,)`` decisions, of which each has a context; see :meth:`BitCoder.code`."""
        found = []
        for block in _blocks(len(contexts)):
            own = contexts[block]
            known = None if bits is None else bits[block]
            decided = coder.code(self._true[own] / self._all[own], known)
            self._true += np.bincount(own[decided], minlength=len(self._true))
            self._all += np.bincount(own, minlength=len(self._all))
            found.append(decided)
        return np.concatenate(found) if found else np.zeros(0, dtype=bool)


def _blocks(count: int) -> Iterator[slice]:
    """Cut ``count`` decisions into blocks, each half as long again as the one before."""
    start, size = 0, 16
    while start < count:
        yield slice(start, start + size)
        start, size = start + size, size + size // 2


def _on_grid(probabilities: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(probabilities * _STEPS), 1, _STEPS - 1) / _STEPS


def _family() -> constriction.stream.model.Bernoulli:
    return constriction.stream.model.Bernoulli(perfect=False)
