"""How an ONNX graph is fed with samples, and how its answers are read.

A graph may have several inputs: samples feed the *main* one, each of the others is given a fixed
value. It may have several outputs of any shape: they become one row of numbers a sample, so that
two models can be compared on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

__all__ = ["MAX_NUMBERS", "SAMPLES", "Feed", "Interface", "Read", "rows_of"]

SAMPLES = -1
"""Stands in a :class:`Feed`'s shape for the number of samples."""

MAX_NUMBERS = 4096
"""Numbers of one sample that are compared; of more, so many are drawn, always the same ones."""


@dataclass(frozen=True)
class Feed:
    """What an input is given that samples do not feed.

    Attributes:
        name: Of the input.
        dtype: NumPy type.
        shape: Its sizes; :data:`SAMPLES` where the number of samples goes.
        values: One number for all, or one for each place of the last axis.
        why: Why these, for the reader.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: tuple[float, ...]
    why: str

    def array(self, n: int) -> np.ndarray:
        """Return what the input is given for ``n`` samples."""
        shape = tuple(n if size == SAMPLES else size for size in self.shape)
        values = np.array(self.values if len(self.values) > 1 else self.values[0], self.dtype)
        return np.ascontiguousarray(np.broadcast_to(values, shape))


@dataclass(frozen=True)
class Read:
    """An output, or a tensor inside the graph, that is read.

    Attributes:
        name: Of the tensor.
        axis: The one along which samples lie; None if all of it belongs to the one sample.
        is_inside: Whether it is no output of the file's own.
    """

    name: str
    axis: int | None = 0
    is_inside: bool = False


@dataclass(frozen=True)
class Interface:
    """Inputs and outputs of a graph, as samples see them.

    Attributes:
        name: Of the main input.
        dtype: Its NumPy type.
        has_samples_axis: Whether its first axis counts samples; without, one sample is all of it.
        batch: Samples one inference takes if that is fixed; 0 if it takes any number.
        channels_last: Whether it takes images with channels last; samples have them first.
        limit: Whole numbers that it takes are below this one; 0 for no limit.
        feeds: What the other inputs are given.
        reads: What is read.
    """

    name: str
    dtype: str = "float32"
    has_samples_axis: bool = True
    batch: int = 0
    channels_last: bool = False
    limit: int = 0
    feeds: tuple[Feed, ...] = ()
    reads: tuple[Read, ...] = ()

    @property
    def takes_whole_numbers(self) -> bool:
        """Whether its main input is of whole numbers or truth values."""
        return np.dtype(self.dtype).kind in "iub"

    def inputs(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return what every input is given.

        Args:
            x: ``(n, ...)`` normalised samples, as many as one inference takes.
        """
        if self.channels_last:
            x = np.ascontiguousarray(np.moveaxis(x, 1, -1))
        if self.takes_whole_numbers:
            x = np.clip(np.rint(x), None, self.limit - 1) if self.limit else np.rint(x)
        main = x.astype(self.dtype, copy=False)
        fed = {feed.name: feed.array(len(x)) for feed in self.feeds}
        return {self.name: main if self.has_samples_axis else main[0], **fed}

    def pieces(self, x: np.ndarray) -> list[np.ndarray]:
        """Return samples in pieces of the size that one inference takes, the last one filled up.

        It is filled with its last sample; a graph that takes any number takes all at once.
        """
        if not self.batch or len(x) == self.batch:
            return [x]
        missing = -len(x) % self.batch
        filled = np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]) if missing else x
        return np.split(filled, len(filled) // self.batch)

    def sizes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Return ``{input: shape}`` for samples of one shape, as few as one inference takes."""
        n = self.batch or 1
        shape = (*shape[1:], shape[0]) if self.channels_last else shape
        main = (n, *shape) if self.has_samples_axis else shape
        return {self.name: main, **{feed.name: feed.array(n).shape for feed in self.feeds}}

    def rows(self, outputs: Sequence[np.ndarray], n: int) -> np.ndarray:
        """Return ``(n, numbers)`` float32 of what was read, in the order of :attr:`reads`."""
        arrays = [
            output[None] if read.axis is None else np.moveaxis(output, read.axis, 0)
            for read, output in zip(self.reads, outputs, strict=True)
        ]
        return rows_of(arrays)

    def draw(self, shape: tuple[int, ...], count: int, seed: int = 0) -> np.ndarray:
        """Return random samples ``(count, *shape)`` that the main input can take.

        Whole numbers are drawn evenly below the limit; of other numbers, one half is normal and
        one half lies evenly in 0..1.
        """
        generator = np.random.default_rng(seed)
        if self.takes_whole_numbers:
            whole = generator.integers(0, self.limit or 2, (count, *shape))
            return whole.astype(np.float32)
        normal = generator.standard_normal((count - count // 2, *shape), np.float32)
        return np.concatenate([normal, generator.random((count // 2, *shape), np.float32)])

    @property
    def inside(self) -> tuple[str, ...]:
        """Names of the tensors inside the graph that are read."""
        return tuple(read.name for read in self.reads if read.is_inside)

    def unread(self) -> Interface:
        """Return one that reads nothing, for a graph that is timed with the outputs it has."""
        return replace(self, reads=())


def rows_of(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays ``(n, ...)`` as one ``(n, numbers)`` of float32.

    Of more than :data:`MAX_NUMBERS` as many are drawn; one array that is ``(n, numbers)`` already
    stays whole: its numbers may be classes.
    """
    if len(arrays) == 1 and arrays[0].ndim == 2:
        return arrays[0].astype(np.float32, copy=False)
    flat = np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)
    if flat.shape[1] > MAX_NUMBERS:
        flat = flat[:, _drawn(flat.shape[1])]
    return flat.astype(np.float32, copy=False)


@lru_cache(maxsize=8)
def _drawn(count: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).choice(count, MAX_NUMBERS, replace=False))
