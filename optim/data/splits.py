"""Which samples select and which report: stratified, seeded, and never seen by the model.

A part has a name that does not depend on where its file lies: :func:`part_hash`. A model declares
the names of what it was trained on (:func:`trained_on`), a data set knows from which other parts
its own were taken (``Dataset.origin``), and :func:`overlap` compares the two. All names that
concern the samples of one source part begin with the same 32 digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from optim.data.dataset import Dataset, Samples
from optim.data.task import NO_LABEL
from optim.errors import ConfigError, DataError
from optim.hashing import digest

__all__ = [
    "PART_OF_WORD",
    "PART_SHARES",
    "Overlap",
    "SplitPolicy",
    "cut_origin",
    "cut_parts",
    "overlap",
    "overlap_note",
    "part_hash",
    "stratified_order",
    "stratified_split",
    "trained_on",
    "with_validation",
]

SplitPolicy = Literal["auto", "train", "test"]
"""Where validation samples come from when a source brings none: carved from train, from test, or
decided by what the model has seen."""

Overlap = Literal["unseen", "unknown", "seen"]
"""Whether a part holds samples that a model was trained on: it does not, nobody knows, it may."""

VALIDATION_SHARE = 0.1
"""Share of the train part that becomes validation where it is carved from there."""

PART_SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
"""Shares of the parts of data that come without any."""

PART_OF_WORD = {
    "train": "train",
    "training": "train",
    "tr": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "t10k": "test",
}
"""What parts are called by who makes data; in whatever case."""

_HELD_OUT = "-held-out"
"""Follows the name of what was kept to name what was held out."""


def part_hash(dataset_hash: str, part: str, seed: int | None = None) -> str:
    """Return the name of a part, by which a model says that it was trained on it.

    Args:
        dataset_hash: Content hash of the data set as it was opened, before any split.
        part: Name of the part.
        seed: If given, the name is that of the part without the validation samples that were
            carved from it with this seed.

    Returns:
        32 hexadecimal digits for a whole part; the same digits and a suffix for what was kept.

    Example:
        >>> part_hash("5eed", "train", 0).startswith(part_hash("5eed", "train"))
        True
    """
    whole = digest(dataset_hash, part)
    return whole if seed is None else _kept(whole, seed)


def trained_on(dataset: Dataset, part: str = "train") -> tuple[str, ...]:
    """Return what a model trained on a part has to declare as ``seen``."""
    return (part_hash(dataset.hash, part), *dataset.origin.get(part, ()))


def overlap(dataset: Dataset, part: str, seen: tuple[str, ...] | None) -> Overlap:
    """Say whether a part may include samples that a model was trained on.

    Args:
        dataset: The data, as opened or as split by :func:`with_validation`.
        part: Name of the part that is to be measured.
        seen: What the model declares; ``None`` if that is unknown, empty if it was never trained.

    Returns:
        ``"seen"`` also where the model saw *some* samples of the source part and it is not certain
        that they are others, as when validation was carved with another seed. No model has seen
        inputs that were made after it.
    """
    if dataset.is_generated:
        return "unseen"
    return _overlap(trained_on(dataset, part), seen)


def overlap_note(overlap: Overlap, part: str) -> str:
    """Say what a reader must know about a part the model may have been trained on.

    Returns:
        A sentence; empty where the model has certainly not seen the part.
    """
    if overlap == "seen":
        return f"the model was trained on samples of part {part}; its accuracy there is too good."
    if overlap == "unknown":
        return (
            "nobody declared which samples the model was trained on; "
            f"part {part} may include some of them."
        )
    return ""


def with_validation(
    dataset: Dataset,
    *,
    seen: tuple[str, ...] | None,
    policy: SplitPolicy = "auto",
    seed: int = 0,
) -> Dataset:
    """Give a data set of train and test a validation part.

    - Data that has a validation part, or is not split at all (``{"all"}``), is returned unchanged.
    - Policy ``"train"`` carves ``VALIDATION_SHARE`` of the train part; test stays whole.
    - Policy ``"test"`` halves the test part into validation and test; train stays whole.
    - Policy ``"auto"`` carves from train only if it is certain that the model has not seen the
      carved samples: it was trained on other data, or on this train part without exactly these
      samples. If the model saw the whole train part, or nobody knows, it halves test.

    Every draw is by class and decided by ``seed``. Sample ids stay what they were.

    Args:
        dataset: The data as it was opened.
        seen: What the model declares; see :func:`overlap`.
        policy: See above.
        seed: Decides the draw.

    Returns:
        Parts train, validation and test, with a hash of their own and a note on how they were made.

    Raises:
        ConfigError: If the policy is unknown.
        DataError: If there are too few samples to split.
    """
    if policy not in get_args(SplitPolicy):
        allowed = ", ".join(get_args(SplitPolicy))
        raise ConfigError(f"policy must be one of {allowed}: got {policy!r}.", field="policy")
    if not dataset.is_split or "validation" in dataset.parts:
        return dataset
    carve = policy == "train"
    if policy == "auto":
        carve = _overlap(_held_out(dataset, seed), seen) == "unseen"
    return _with_train_carved(dataset, seed) if carve else _with_test_halved(dataset, seed)


def cut_parts(dataset: Dataset, seed: int) -> Dataset:
    """Give data without parts a train, a validation and a test part, drawn by class.

    Args:
        dataset: The data as they were opened; data that have parts are returned unchanged.
        seed: Decides the draw. Sample ids stay what they were.

    Returns:
        Parts of the shares of :data:`PART_SHARES`, with a hash of their own and a note.

    Raises:
        DataError: If there are too few samples.
    """
    if dataset.is_split:
        return dataset
    pieces = stratified_split(dataset.targets("all"), tuple(PART_SHARES.values()), seed)
    rows = {part: ("all", index) for part, index in zip(PART_SHARES, pieces, strict=True)}
    note = (
        f"Train, validation and test: {', '.join(f'{len(index):,}' for index in pieces)} of the "
        f"{dataset.parts['all']:,} samples, drawn by class with seed {seed}."
    )
    identity = digest(dataset.hash, "cut", list(PART_SHARES.values()), seed)
    kept = tuple(_kept(name, seed) for name in trained_on(dataset, "all"))
    held_out = tuple(name + _HELD_OUT for name in kept)
    origin = {"train": kept, "validation": held_out, "test": held_out}
    return _split(dataset, rows, origin, note, identity)


def cut_origin(source: str, seed: int) -> dict[str, tuple[str, ...]]:
    """Return the origin of the parts of a source that a seed cuts into train and the rest.

    Another seed holds out other samples of the same source: a model trained with one of them may
    have seen what the other one holds out, and with these names :func:`overlap` says so.
    """
    kept = part_hash(source, "all", seed)
    held_out = (kept + _HELD_OUT,)
    return {"train": (kept,), "validation": held_out, "test": held_out}


def stratified_split(
    targets: np.ndarray, shares: tuple[float, ...], seed: int
) -> tuple[np.ndarray, ...]:
    """Split rows so that every class has the same shares everywhere.

    Args:
        targets: ``(N,)`` class indices, or quantities, of which those of like size are a class.
        shares: Share of each piece; they add up to 1.
        seed: Decides the draw.

    Returns:
        One sorted array of row indices a piece; together they hold every row once.
    """
    targets = _strata(targets)
    generator = np.random.default_rng(seed)
    pieces: list[list[np.ndarray]] = [[] for _ in shares]
    cuts = np.cumsum(shares)[:-1]
    for label in np.unique(targets):
        rows = generator.permutation(np.flatnonzero(targets == label))
        for piece, part in zip(
            pieces, np.split(rows, np.rint(cuts * len(rows)).astype(int)), strict=True
        ):
            piece.append(part)
    return tuple(np.sort(np.concatenate(piece)) for piece in pieces)


def stratified_order(targets: np.ndarray, seed: int) -> np.ndarray:
    """Return a permutation of the rows in which every prefix has nearly the class shares of all.

    A measurement that stops after any number of samples is then still a fair one.
    """
    targets = _strata(targets)
    generator = np.random.default_rng(seed)
    position = np.empty(len(targets))
    for label in np.unique(targets):
        rows = generator.permutation(np.flatnonzero(targets == label))
        position[rows] = (np.arange(len(rows)) + generator.random(len(rows))) / len(rows)
    return np.argsort(position, kind="stable")


def _strata(targets: np.ndarray) -> np.ndarray:
    """Return ``(N,)`` classes: as given, of quantities their range, of boxes their number."""
    if targets.ndim == 3:
        count: np.ndarray = (targets[..., 4] != NO_LABEL).sum(axis=1)
        return count
    if targets.dtype.kind != "f":
        return targets
    first = targets.reshape(len(targets), -1)[:, 0]
    rank = np.argsort(np.argsort(first, kind="stable"), kind="stable")
    groups = min(_GROUPS, max(1, len(first) // _GROUP_ROWS))
    group: np.ndarray = rank * groups // max(1, len(first))
    return group


_GROUPS = 10
_GROUP_ROWS = 5


def _with_train_carved(dataset: Dataset, seed: int) -> Dataset:
    shares = (1 - VALIDATION_SHARE, VALIDATION_SHARE)
    train, validation = stratified_split(dataset.targets("train"), shares, seed)
    origin = {
        "train": tuple(_kept(name, seed) for name in trained_on(dataset, "train")),
        "validation": _held_out(dataset, seed),
        "test": trained_on(dataset, "test"),
    }
    note = (
        f"Validation: {len(validation):,} of the {dataset.parts['train']:,} train samples, "
        f"drawn by class with seed {seed}."
    )
    rows = {"train": ("train", train), "validation": ("train", validation)}
    identity = digest(dataset.hash, "carved", VALIDATION_SHARE, seed)
    return _split(dataset, rows, origin, note, identity)


def _with_test_halved(dataset: Dataset, seed: int) -> Dataset:
    validation, test = stratified_split(dataset.targets("test"), (0.5, 0.5), seed)
    halves = trained_on(dataset, "test")
    origin = {"train": trained_on(dataset, "train"), "validation": halves, "test": halves}
    note = (
        f"Validation and test: the {dataset.parts['test']:,} test samples, "
        f"halved by class with seed {seed}."
    )
    rows = {"validation": ("test", validation), "test": ("test", test)}
    return _split(dataset, rows, origin, note, digest(dataset.hash, "halved", seed))


def _split(
    dataset: Dataset,
    rows: Mapping[str, tuple[str, np.ndarray]],
    origin: Mapping[str, tuple[str, ...]],
    note: str,
    identity: str,
) -> Dataset:
    """Return a data set in which some parts are rows ``{part: (source part, row indices)}``."""

    def load(part: str) -> Samples:
        if part not in rows:
            return dataset.part(part)
        source, index = rows[part]
        return dataset.part(source).take(index)

    def load_targets(part: str) -> np.ndarray:
        if part not in rows:
            return dataset.targets(part)
        source, index = rows[part]
        return dataset.targets(source)[index]

    sizes = dict(dataset.parts) | {part: len(index) for part, (_, index) in rows.items()}
    for part, size in sizes.items():
        if not size:
            raise DataError(
                f"{dataset.title} has too few samples to split: its {part} part would be empty.",
                hint="Bring a validation part, or more samples of each class.",
            )
    return replace(
        dataset,
        hash=identity,
        parts={part: sizes[part] for part in ("train", "validation", "test")},
        load=load,
        load_targets=load_targets,
        notes=(*dataset.notes, note),
        origin=origin,
    )


def _kept(whole: str, seed: int) -> str:
    return f"{whole}-{digest(VALIDATION_SHARE, seed)}"


def _held_out(dataset: Dataset, seed: int) -> tuple[str, ...]:
    """Return the names of the validation part that ``seed`` would carve from train."""
    return tuple(_kept(name, seed) + _HELD_OUT for name in trained_on(dataset, "train"))


def _overlap(names: tuple[str, ...], seen: tuple[str, ...] | None) -> Overlap:
    if seen is None:
        return "unknown"
    return "seen" if any(_may_share(name, entry) for name in names for entry in seen) else "unseen"


def _may_share(name: str, seen: str) -> bool:
    """Whether two named pieces may have samples in common."""
    same_source = name[:_DIGITS] == seen[:_DIGITS]
    return same_source and name != seen + _HELD_OUT


_DIGITS = len(digest())
