"""Images or sounds in class folders, in a zip, tar or on disk: ``cat/1.png``, ``dog/1.png``.

What is accepted:

- a zip of class folders, or a folder of them: one part, ``all``;
- a zip or folder with ``train/`` and ``test/`` (and ``validation/``) of class folders, called so or
  by another word for it (:data:`~optim.data.splits.PART_OF_WORD`);
- a folder with ``train.zip`` and ``test.zip`` (and ``validation.zip``), called likewise; what else
  lies in it is not looked at;
- files without any class folder: samples without labels.

One folder wrapped around all others is looked through. Classes are numbered in the alphabetical
order of their folders, images in that of their names. All images must have one size and all be
grey or all be in colour: how to bring them there is the user's decision, not ours. The option
``resize`` is one; of sounds, which are rarely of one length, it is the number of samples.

Opening lists the names, hashes the bytes and decodes a single image; the others are decoded when
their part is first used (10,000 small ones take about a second) and kept in the cache under the
content hash. :mod:`optim.data._containers` says how hostile files are met.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from optim.data._containers import Container, ZipContainer, is_image, os_errors_named, shown
from optim.data._images import SUFFIXES, decode_image, describe_shape, resize_images
from optim.data._sounds import decode_sound, is_sound
from optim.data.class_names import check_class_names
from optim.data.dataset import Dataset, Samples, cached_part
from optim.data.options import NO_LABELS, DataOptions, check_no_choice
from optim.data.splits import PART_OF_WORD, PART_SHARES, part_hash
from optim.data.task import NO_LABEL, Classification, Unlabelled
from optim.errors import DataError
from optim.hashing import digest

__all__ = [
    "MAX_CLASSES",
    "MAX_DECODED_BYTES",
    "is_sample",
    "open_class_folders",
    "open_part_zips",
]

MAX_CLASSES = 1_000
"""Class folders: as many as ImageNet; tables of confusions grow with the square."""
MAX_DECODED_BYTES = 2 * 2**30
"""Decoded size of one part, which is made in memory."""

_VERSION = 1
"""Raised whenever the same files give other samples."""
_LAYOUT = "Images lie in one folder a class: cat/1.png, dog/1.png."
_RESIZE = {
    3: "Scale them, as in resize=32,32.",
    2: "Bring them to one length, as in resize=16000.",
}


def open_class_folders(
    container: Container, options: DataOptions, *, title: str, ref: str
) -> Dataset:
    """Open class folders, or files without any.

    Args:
        container: Where they lie.
        options: ``resize`` is followed while the files are decoded, ``target=none`` takes the
            folders for no classes.
        title: Name for a reader.
        ref: How it was asked for.

    Raises:
        DataError: If the container is unsafe, damaged or laid out differently.
    """
    return _dataset(_folders_in(container, options), title, ref)


def open_part_zips(path: Path, options: DataOptions, *, ref: str) -> Dataset | None:
    """Open a folder that holds a zip of class folders for each part; None if it holds none.

    Args:
        path: The folder.
        options: See :func:`open_class_folders`.
        ref: How it was asked for.

    Raises:
        DataError: If a zip is a link, unsafe, damaged or laid out differently.
    """
    parts = _zips_in(path, options)
    return _dataset(parts, path.resolve().name, ref) if parts else None


@dataclass(frozen=True, eq=False)
class _ClassFolders:
    """Image files in class folders: listed and checked, not read.

    Attributes:
        container: Where they lie.
        prefix: What the class folders' names begin with inside it.
        classes: ``{class name: file names}``, both in alphabetical order; one without a name
            holds files that nobody has put into classes.
        size: ``(height, width)`` or ``(length,)`` that samples are brought to; empty for their own.
    """

    container: Container
    prefix: str
    classes: Mapping[str, tuple[str, ...]]
    size: tuple[int, ...] = ()

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Names of all images in the order of their ids."""
        return tuple(file for files in self.classes.values() for file in files)

    @cached_property
    def source(self) -> str:
        """Hash of the files: that of a data set with these images, as they are, as its part."""
        return digest("images", _VERSION, self.container.content_hash(self.prefix, self.files))

    @property
    def identity(self) -> str:
        """Hash of what becomes of the files."""
        if self.is_labelled and not self.size:
            return self.source
        return digest(self.source, list(self.size), self.is_labelled)

    @cached_property
    def first(self) -> np.ndarray:
        """The first sample."""
        with self.container.reader() as read:
            return self._decoded(read(self.files[0]), self.files[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """``(C, H, W)`` of an image or ``(C, L)`` of a sound."""
        return self.first.shape

    @property
    def is_labelled(self) -> bool:
        """Whether the folders are classes."""
        return "" not in self.classes

    def targets(self) -> np.ndarray:
        """Return ``(N,)`` class indices."""
        counts = [len(files) for files in self.classes.values()]
        if not self.is_labelled:
            return np.full(sum(counts), NO_LABEL, np.int64)
        return np.repeat(np.arange(len(counts), dtype=np.int64), counts)

    def samples(self) -> Samples:
        """Return all images, from the cache where they are there."""
        return cached_part(self.identity, "all", self._decode)

    def _decode(self) -> Samples:
        # One thread: decoding small images is bound by Python, and two threads took 1.5 times
        # as long as one.
        inputs = np.empty((len(self.files), *self.shape), self.first.dtype)
        with self.container.reader() as read:
            for i, name in enumerate(self.files):
                sample = self._decoded(read(name), name)
                if sample.shape != self.shape:
                    raise DataError(
                        _shapes_differ(self.files[0], self.shape, name, sample.shape),
                        hint=_RESIZE[len(self.shape)],
                    )
                inputs[i] = sample
        return Samples(inputs, self.targets(), np.arange(len(self.files), dtype=np.int64))

    def _decoded(self, data: bytes, name: str) -> np.ndarray:
        if is_sound(name):
            sound, _ = decode_sound(data, name)
            if len(self.size) != 1:
                return sound
            kept = sound[:, : self.size[0]]
            return np.pad(kept, ((0, 0), (0, self.size[0] - kept.shape[1])))
        image = decode_image(data, name)
        if len(self.size) != 2 or image.shape[1:] == self.size:
            return image
        return resize_images(image[None], *self.size)[0]


def _dataset(parts: Mapping[str, _ClassFolders], title: str, ref: str) -> Dataset:
    first_name, first = next(iter(parts.items()))
    for name, folders in parts.items():
        if list(folders.classes) != list(first.classes):
            raise DataError(_classes_differ(first_name, first, name, folders))
        if folders.shape != first.shape:
            one, other = f"{first_name}: {first.files[0]}", f"{name}: {folders.files[0]}"
            raise DataError(_shapes_differ(one, first.shape, other, folders.shape))
        _check_decoded_size(folders)
    check_class_names(first.classes, lambda _: f"A folder of {title!r}")
    sizes = {name: len(folders.files) for name, folders in parts.items()}
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))

    def load(part: str) -> Samples:
        samples = parts[part].samples()
        return replace(samples, ids=samples.ids + starts[part])

    lone = "all" in parts
    return Dataset(
        ref=ref,
        title=title,
        task=Classification(tuple(first.classes)) if first.is_labelled else Unlabelled(),
        hash=first.identity if lone else digest({n: f.identity for n, f in parts.items()}),
        parts=sizes,
        input_shape=first.shape,
        load=load,
        load_targets=lambda part: parts[part].targets(),
        # A model may have been trained on the same files opened alone or as they are.
        origin={n: (part_hash(f.source, "all"),) for n, f in parts.items()},
    )


def _zips_in(path: Path, options: DataOptions) -> dict[str, _ClassFolders]:
    """Return the parts of a folder that holds a zip for each, nothing if it holds none."""
    with os_errors_named(path.name):
        found = {
            file.name: file
            for file in path.iterdir()
            if file.suffix.lower() == ".zip" and _is_part(file.stem) and file.is_file()
        }
    if not found:
        return {}
    for file in found.values():
        if file.is_symlink():
            raise DataError(f"{file.name!r} is a link.", hint="Put the file itself there.")
    parts = {}
    for part, name in _by_part(found).items():
        inside = _folders_in(ZipContainer(found[name]), options)
        if "all" not in inside:
            raise DataError(f"{name} is itself split into train and test.", hint=_LAYOUT)
        parts[part] = inside["all"]
    return parts


def _folders_in(container: Container, options: DataOptions) -> dict[str, _ClassFolders]:
    """Return the parts in a zip or folder: ``all``, or train, test and perhaps validation."""
    check_no_choice(container.name, options)
    entries = container.entries()
    samples = sorted(entry for entry in entries if is_sample(entry))
    if samples and (options.target == NO_LABELS or not any("/" in entry for entry in samples)):
        _check_kind(samples)
        unnamed = {"": tuple(samples)}
        return {"all": _ClassFolders(container, _wrapper(entries), unnamed, options.resize)}
    prefix = _wrapper(entries)
    inside = [entry.removeprefix(prefix) for entry in entries if entry.startswith(prefix)]
    folders = _top_folders(inside)
    parts = {folder for folder in folders if _is_part(folder)}
    if not parts or _has_images_near_top(inside):
        return {"all": _class_folders(container, prefix, entries, options.resize)}
    if unknown := sorted(folders - parts):
        raise DataError(
            f"{shown(unknown[0])} lies beside {', '.join(sorted(parts))} in {container.name}, and "
            "is the name of no part.",
            hint=f"Take it out, or call it one of {', '.join(PART_OF_WORD)}.",
        )
    return {
        part: _class_folders(container, f"{prefix}{name}/", entries, options.resize)
        for part, name in _by_part(parts).items()
    }


def _is_part(name: str) -> bool:
    return name.lower() in PART_OF_WORD


def _by_part(names: Iterable[str]) -> dict[str, str]:
    """Return ``{part: name of its folder or zip}`` in the order train, validation, test."""
    found: dict[str, str] = {}
    for name in sorted(names):
        part = PART_OF_WORD[name.lower().removesuffix(".zip")]
        if part in found:
            raise DataError(f"There are both {found[part]!r} and {name!r}.", hint="Keep one.")
        found[part] = name
    missing = [part for part in ("train", "test") if part not in found]
    if missing:
        raise DataError(
            f"There is {', '.join(found)} without {' and '.join(missing)}.",
            hint="A split data set has train and test, and may have validation.",
        )
    return {part: found[part] for part in PART_SHARES if part in found}


def _wrapper(entries: list[str]) -> str:
    """Return the one folder around all others with its slash, or nothing."""
    folders = _top_folders(entries)
    if len(folders) != 1 or _has_images_near_top(entries):
        return ""
    return f"{folders.pop()}/"


def _top_folders(entries: list[str]) -> set[str]:
    return {entry.split("/")[0] for entry in entries if "/" in entry}


def _has_images_near_top(entries: list[str]) -> bool:
    """Whether images lie at the top or one folder below, as in a class folder."""
    return any(is_sample(entry) and entry.count("/") <= 1 for entry in entries)


def _class_folders(
    container: Container, prefix: str, entries: list[str], size: tuple[int, ...]
) -> _ClassFolders:
    """Sort the entries under ``prefix`` into classes."""
    classes: dict[str, list[str]] = {}
    for entry in entries:
        if not entry.startswith(prefix):
            continue
        name, slash, file = entry.removeprefix(prefix).partition("/")
        if not slash and is_sample(entry):
            raise DataError(f"{entry!r} lies in no class folder.", hint=_LAYOUT)
        if not slash:
            continue
        files = classes.setdefault(name, [])
        if "/" in file:
            raise DataError(f"{entry!r} lies deeper than a class folder.", hint=_LAYOUT)
        if file and not is_sample(file):
            raise DataError(
                f"{entry!r} is in a class folder and is not an image.",
                hint=f"Take it out. Images end in {', '.join(sorted(SUFFIXES))}, sounds in .wav.",
            )
        if file:
            files.append(entry)
    _check_classes(container.name, classes)
    ordered = {name: tuple(sorted(classes[name])) for name in sorted(classes)}
    _check_kind([file for files in ordered.values() for file in files])
    return _ClassFolders(container, prefix, ordered, size)


def _check_kind(files: list[str]) -> None:
    """Refuse sounds among images."""
    odd = [file for file in files if is_sound(file) != is_sound(files[0])]
    if odd:
        raise DataError(f"There are images and sounds together: {files[0]!r} and {odd[0]!r}.")


def _check_classes(where: str, classes: Mapping[str, list[str]]) -> None:
    if len(classes) < 2:
        found = f"one ({next(iter(classes))!r})" if classes else "none"
        raise DataError(
            f"{where} needs at least two class folders: found {found}.",
            hint=f"{_LAYOUT} To read them without labels, say target=none." if classes else _LAYOUT,
        )
    if len(classes) > MAX_CLASSES:
        raise DataError(
            f"{where} has {len(classes):,} class folders: at most {MAX_CLASSES:,} are allowed."
        )
    for name, files in classes.items():
        if not files:
            raise DataError(f"The class folder {name!r} of {where} holds no image.")


def _check_decoded_size(folders: _ClassFolders) -> None:
    size = len(folders.files) * int(np.prod(folders.shape)) * folders.first.dtype.itemsize
    if size > MAX_DECODED_BYTES:
        raise DataError(
            f"{folders.container.name} holds {size / 2**30:.1f} GiB of samples: "
            f"at most {MAX_DECODED_BYTES / 2**30:g} GiB are allowed.",
            hint="Scale the images down or use fewer of them.",
        )


def _shapes_differ(
    first: str, first_shape: tuple[int, ...], other: str, other_shape: tuple[int, ...]
) -> str:
    if len(first_shape) == 2:
        return (
            "All sounds must have one length and as many channels: "
            f"{first!r} is {_clip(first_shape)}, {other!r} is {_clip(other_shape)}."
        )
    return (
        "All images must have one size and all be grey or all in colour: "
        f"{first!r} is {describe_shape(first_shape)}, {other!r} is {describe_shape(other_shape)}."
    )


def _clip(shape: tuple[int, ...]) -> str:
    return f"{shape[1]:,} samples long with {shape[0]} channel{'s' if shape[0] > 1 else ''}"


def _classes_differ(
    first_name: str, first: _ClassFolders, name: str, folders: _ClassFolders
) -> str:
    odd = sorted(set(first.classes) ^ set(folders.classes))[0]
    has, lacks = (first_name, name) if odd in first.classes else (name, first_name)
    return f"All parts need the same classes: {has} has {odd!r}, {lacks} does not."


def is_sample(entry: str) -> bool:
    """Whether an entry is an image or a sound by its name."""
    return not entry.endswith("/") and (is_image(entry) or is_sound(entry))
