"""A data set: named parts of samples, a task, and a content hash.

Arrays are numpy so that a page can preview data without loading torch. Nothing is read or
generated before a part is asked for, and decoded parts are kept on disk.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from optim.data.options import Normalisation
from optim.data.task import NO_LABEL, Task
from optim.errors import DataError
from optim.fields import Config
from optim.hashing import digest
from optim.storage import cache_home, write_atomic

__all__ = [
    "DataConfig",
    "Dataset",
    "PartName",
    "Samples",
    "cached_json",
    "cached_part",
    "forget_cached",
]

PartName = Literal["train", "validation", "test", "all"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples with their labels.

    Attributes:
        inputs: ``(N, C, H, W)`` uint8 images in 0..255, or ``(N, ...)`` float32 values.
        targets: ``(N,)`` int64 class indices, -1 where nobody says what a sample is; or float32
            quantities, ``(N,)`` or ``(N, quantities)``.
        ids: ``(N,)`` int64, unique within the data set's source and stable over splits.
    """

    inputs: np.ndarray
    targets: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def is_labelled(self) -> bool:
        """Whether somebody says what the samples are."""
        return len(self) > 0 and not bool((self.targets == NO_LABEL).all())

    def take(self, index: np.ndarray) -> Self:
        """Return the samples at ``index``, in that order."""
        return replace(
            self, inputs=self.inputs[index], targets=self.targets[index], ids=self.ids[index]
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """Parts of one source of samples.

    Attributes:
        ref: How it was asked for: a built-in name or a file.
        title: Name for a reader.
        task: What is to be predicted and how it is judged.
        hash: Content hash of the whole source; equal sources have equal hashes.
        parts: ``{part name: number of samples}``, in the order train, validation, test, all.
        input_shape: Shape of one sample, ``(C, H, W)``, ``(C, L)`` or ``(F,)``.
        load: Reads or generates one part.
        load_targets: Reads the class indices of one part where that is cheaper than :attr:`load`.
        notes: Things a reader should know: where it comes from, how it was split.
        origin: ``{part name: part hashes}`` of other parts its samples were taken from, such as
            the train part that validation was carved from (see :mod:`optim.data.splits`).
        normalisation: What replaces the normalisation a model brings, if somebody said so.
        is_generated: Whether the inputs were made for the model, not collected.
        feature_names: Names of the features of a table, where somebody says them.
    """

    ref: str
    title: str
    task: Task
    hash: str
    parts: Mapping[str, int]
    input_shape: tuple[int, ...]
    load: Callable[[str], Samples] = field(repr=False)
    load_targets: Callable[[str], np.ndarray] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    origin: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    normalisation: Normalisation | None = None
    is_generated: bool = False
    feature_names: tuple[str, ...] = ()

    def part(self, name: str) -> Samples:
        """Return one part; read on first use and kept.

        Raises:
            DataError: If the source has no such part or it holds no sample.
        """
        self._check_part(name)
        if name not in self._loaded:
            samples = self.load(name)
            if not len(samples):
                raise DataError(f"The part {name!r} of {self.title} holds no sample.")
            self._loaded[name] = samples
        return self._loaded[name]

    def targets(self, name: str) -> np.ndarray:
        """Return the ``(N,)`` class indices of one part, without its samples where possible.

        Raises:
            DataError: If the source has no such part.
        """
        self._check_part(name)
        if self.load_targets is not None and name not in self._loaded:
            return self.load_targets(name)
        return self.part(name).targets

    @property
    def is_split(self) -> bool:
        """Whether there are parts to select on and to report on."""
        return "all" not in self.parts

    @cached_property
    def _loaded(self) -> dict[str, Samples]:
        return {}

    def _check_part(self, name: str) -> None:
        if name not in self.parts:
            raise DataError(
                f"{self.title} has no part {name!r}; it has {', '.join(self.parts)}.",
                hint="Use one of those, or split it first.",
            )


class DataConfig(Config):
    """Base of the built-in data sets: fields that say how it is made, and :meth:`open`."""

    title: ClassVar[str]
    about: ClassVar[str]
    """One or two sentences for the picker."""
    version: ClassVar[int] = 1
    """Raised whenever the same fields give other samples."""

    def open(self, ref: str) -> Dataset:
        """Return the data set; nothing is generated yet."""
        raise NotImplementedError

    def identity(self) -> str:
        """Return the hash of everything that decides the samples."""
        return digest(type(self).__name__, self.version, self.model_dump(mode="json"))


CACHE_BYTES = 4 * 2**30
"""Decoded and generated data kept on disk; each seed and difficulty of a data set adds to it."""


def cached_part(identity: str, part: str, make: Callable[[], Samples]) -> Samples:
    """Return a part from the cache folder, making and storing it first where it is missing.

    A cache that cannot be written costs time, not the answer; a broken file is made again.
    """
    folder = cache_home() / "data" / identity
    names = [f"{part}-{array}.npy" for array in ("inputs", "targets", "ids")]
    try:
        arrays = [np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in names]
        os.utime(folder)
        return Samples(*arrays)
    except (OSError, ValueError, EOFError):
        samples = make()
    _forget_oldest(folder.parent, CACHE_BYTES - samples.inputs.nbytes)
    for name, array in zip(names, (samples.inputs, samples.targets, samples.ids), strict=True):
        try:
            _save(folder / name, array)
        except OSError:
            break
    return samples


def cached_json(identity: str, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return plain data about a data set from the cache folder, making it where it is missing."""
    path = cache_home() / "data" / identity / f"{name}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    except (OSError, ValueError):
        pass
    made = make()
    with suppress(OSError):
        write_atomic(path, json.dumps(made).encode())
    return made


def forget_cached(keep: Collection[str] = (), *, unused_since: float = math.inf) -> int:
    """Remove decoded and generated data from the cache folder; they are made again when needed.

    Args:
        keep: Identities that stay.
        unused_since: Only those not used since then, in seconds since 1970.

    Returns:
        Bytes that were removed.
    """
    freed = 0
    for folder in (cache_home() / "data").glob("*/"):
        if folder.name not in keep and folder.stat().st_mtime < unused_since:
            freed += sum(file.stat().st_size for file in folder.iterdir())
            shutil.rmtree(folder, ignore_errors=True)
    return freed


def _forget_oldest(folder: Path, keep_bytes: int) -> None:
    """Delete the data sets that were not used for longest until the rest fits into a limit."""
    entries = [
        (entry.stat().st_mtime, sum(file.stat().st_size for file in entry.iterdir()), entry)
        for entry in folder.glob("*/")
    ]
    total = sum(size for _, size, _ in entries)
    for _, size, entry in sorted(entries):
        if total <= keep_bytes:
            return
        shutil.rmtree(entry, ignore_errors=True)
        total -= size


def _save(path: Path, array: np.ndarray) -> None:
    write_atomic(path, lambda file: np.save(file, array, allow_pickle=False))
