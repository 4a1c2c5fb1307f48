"""What every format of data says about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from optim.data._containers import Container
from optim.data.dataset import Dataset
from optim.data.options import DataOptions
from optim.data.splits import PART_OF_WORD
from optim.errors import DataError

__all__ = ["Place", "Reader", "ordered_parts", "role_of", "stem_of"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Place:
    """Where files were found.

    Attributes:
        container: Holds them.
        entries: What it holds, checked.
        ref: How it was asked for.
        title: Name for a reader.
    """

    container: Container
    entries: tuple[str, ...]
    ref: str
    title: str

    @property
    def files(self) -> list[str]:
        """The entries that are no folders."""
        return [entry for entry in self.entries if not entry.endswith("/")]


@dataclass(frozen=True)
class Reader:
    """One format.

    Attributes:
        title: Its name for a reader.
        endings: How lone files of it end; empty where it is always several files.
        holds: What lies in a zip, tar or folder of it.
        labels: Where the labels come from.
        takes: Whether files of these names are of this format; nothing is read for that.
        open: Opens them.
    """

    title: str
    endings: tuple[str, ...]
    holds: str
    labels: str
    takes: Callable[[Sequence[str]], bool]
    open: Callable[[Place, DataOptions], Dataset]


_INPUTS = {"x", "image", "images", "img", "imgs", "data", "input", "inputs", "features", "samples"}
_LABELS = {"y", "label", "labels", "target", "targets", "class", "classes"}


def role_of(name: str) -> tuple[str, str]:
    """Guess from a file's or array's name which part it belongs to and what it holds.

    Returns:
        Part (``all`` if none is named) and ``inputs``, ``labels`` or an empty string.

    Example:
        >>> role_of("X_train.npy"), role_of("t10k-labels-idx1-ubyte"), role_of("weights")
        (('train', 'inputs'), ('test', 'labels'), ('all', ''))
    """
    stem = name.lower()
    for ending in (".npy", ".gz", ".idx"):
        stem = stem.removesuffix(ending)
    for separator in "_-./ ":
        stem = stem.replace(separator, " ")
    words = _split_joined(stem.split())
    parts = [PART_OF_WORD[word] for word in words if word in PART_OF_WORD]
    # "data/y_train": the last word that says something counts.
    roles = ["inputs" if w in _INPUTS else "labels" for w in words if w in _INPUTS | _LABELS]
    return (parts[-1] if parts else "all"), (roles[-1] if roles else "")


def _split_joined(words: list[str]) -> list[str]:
    """Take ``xtrain`` and ``trainx`` apart."""
    apart = []
    for word in words:
        for end in ("x", "y"):
            if word.removeprefix(end) in PART_OF_WORD and word.startswith(end):
                apart += [word.removeprefix(end), end]
                break
            if word.removesuffix(end) in PART_OF_WORD and word.endswith(end):
                apart += [word.removesuffix(end), end]
                break
        else:
            apart.append(word)
    return apart


def ordered_parts(parts: Mapping[str, _T], name: str) -> dict[str, _T]:
    """Return parts in the order train, validation, test; a lone one is ``all``.

    Raises:
        DataError: If train or test is missing where there are several.
    """
    if len(parts) == 1:
        return {"all": next(iter(parts.values()))}
    missing = [part for part in ("train", "test") if part not in parts]
    if missing or "all" in parts:
        raise DataError(
            f"{name} has {', '.join(sorted(parts))} and cannot be read as parts.",
            hint="A split data set has train and test, and may have validation.",
        )
    return {part: parts[part] for part in ("train", "validation", "test") if part in parts}


def stem_of(name: str) -> str:
    """Return a file's name without folders and endings."""
    return PurePosixPath(name).name.partition(".")[0]
