"""Open data by name, by file or by folder."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

from optim.data._containers import Container, FileContainer, FolderContainer, ZipContainer
from optim.data._tar import TarContainer
from optim.data.applied import with_options
from optim.data.bearing import Bearing
from optim.data.breast_cancer import BreastCancer
from optim.data.cluttered_digits import ClutteredDigits
from optim.data.dataset import DataConfig, Dataset
from optim.data.digit_scenes import DigitScenes
from optim.data.digits import Digits
from optim.data.folder import open_part_zips
from optim.data.generated import GENERATED, Generated
from optim.data.options import DataOptions
from optim.data.readers import READERS, Place
from optim.data.wine import Wine
from optim.errors import ConfigError, DataError

__all__ = [
    "DATASETS",
    "ENDINGS",
    "ending_of",
    "generated_by",
    "open_builtin",
    "open_data",
    "path_and_options",
]

DATASETS: dict[str, type[DataConfig]] = {
    "cluttered-digits": ClutteredDigits,
    "digits": Digits,
    "breast-cancer": BreastCancer,
    "wine": Wine,
    "bearing": Bearing,
    "digit-scenes": DigitScenes,
}
"""Built-in data sets by name. A new one is one file and one line."""


ENDINGS = (
    ".zip",
    ".tar",
    ".tar.gz",
    ".tgz",
    *dict.fromkeys(ending for reader in READERS.values() for ending in reader.endings),
)
"""How the names of files end that can be opened alone."""


def open_data(ref: str | Path, *, seed: int = 0, options: DataOptions | None = None) -> Dataset:
    """Open a data set; nothing is generated or decoded before it is used.

    Args:
        ref: One of

            - a built-in name, with fields if wanted: ``"cluttered-digits?difficulty=0.8&seed=1"``;
            - a file, a zip, a tar or a folder of a format in :data:`optim.data.readers.READERS`,
              with options if wanted: ``"samples.npz?layout=NHWC"``.

            A name wins over a file of that name; write ``./wine`` for the file.
        seed: Seed of a built-in data set, unless the ref names its own. Files are not affected.
        options: How files are read, in place of what the ref says.

    Raises:
        ConfigError: If a field of a built-in data set or an option does not exist or has an
            illegal value.
        DataError: If there is no such data, or it cannot be used.

    Example:
        >>> open_data("wine").parts
        {'train': 107, 'validation': 35, 'test': 36}
    """
    if isinstance(ref, str) and _name(ref) in (GENERATED, *DATASETS):
        return open_builtin(ref, seed=seed)
    path, said = path_and_options(ref)
    options = options or said
    if _kind(path) == "nothing" or ref == "":
        raise _unknown(str(ref))
    return with_options(_read(path, options, str(ref)), options)


def generated_by(ref: str) -> Generated | None:
    """Return how inputs shall be made for the model; None if a ref asks for data.

    Raises:
        ConfigError: If a field does not exist or has an illegal value.
    """
    return Generated(**_fields(ref)) if _name(ref) == GENERATED else None


def path_and_options(ref: str | Path) -> tuple[Path, DataOptions]:
    """Take a file's name and the options behind it apart: ``samples.npz?layout=NHWC``.

    Raises:
        ConfigError: If an option does not exist or has an illegal value.
    """
    name = _name(str(ref))
    if _kind(ref) == "nothing" and name != str(ref) and _kind(name) != "nothing":
        return Path(name), DataOptions(**_fields(str(ref)))
    return Path(ref), DataOptions()


def _read(path: Path, options: DataOptions, ref: str) -> Dataset:
    if path.is_dir():
        zips = open_part_zips(path, options, ref=ref)
        if zips is not None:
            return zips
    container = _container(path)
    entries = tuple(container.entries())
    files = [entry for entry in entries if not entry.endswith("/")]
    title = path.resolve().name if path.is_dir() else _without_ending(path.name)
    reader = next(reader for reader in READERS.values() if reader.takes(files))
    if isinstance(container, FileContainer) and not reader.endings:
        # What was copied has another name and the same ending.
        ending = ending_of(path.name)
        reader = next(reader for reader in READERS.values() if ending in reader.endings)
    return reader.open(Place(container, entries, ref, title), options)


def _container(path: Path) -> Container:
    """Return what a path holds: known by its ending, for several formats are zips inside."""
    name = path.name.lower()
    if path.is_dir():
        return FolderContainer(path)
    if name.endswith((".tar", ".tar.gz", ".tgz")):
        return TarContainer(path)
    if name.endswith(ENDINGS) and not name.endswith((".zip", ".npz")):
        return FileContainer(path)
    return ZipContainer(path)


def ending_of(name: str) -> str:
    """Return how a file's name ends: ``.tar.gz`` as a whole, empty if nobody knows it."""
    longest = sorted(ENDINGS, key=len, reverse=True)
    return next((ending for ending in longest if name.lower().endswith(ending)), "")


def _without_ending(name: str) -> str:
    return name[: len(name) - len(ending_of(name))] or name


def open_builtin(ref: str, *, seed: int = 0) -> Dataset:
    """Open a built-in data set only: safe for a ref that came with a link.

    Args:
        ref: Name and fields as in :func:`open_data`.
        seed: See :func:`open_data`.

    Raises:
        ConfigError: If a field does not exist or has an illegal value.
        DataError: If there is no built-in data set of that name.
    """
    name = _name(ref)
    if name == GENERATED:
        raise DataError(
            "Generated inputs are made for a model and are no data of their own.",
            hint="Name data here; only what is measured or compressed can do without.",
        )
    if name not in DATASETS:
        raise _unknown(ref)
    return DATASETS[name](**{"seed": seed, **_fields(ref)}).open(ref)


def _name(ref: str) -> str:
    return ref.partition("?")[0]


def _fields(ref: str) -> Mapping[str, Any]:
    """Return the fields written behind the question mark, as text."""
    query = ref.partition("?")[2]
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=32)
    except ValueError as error:
        raise ConfigError(
            f"The fields of {Path(_name(ref)).name} must be written as name=value&name=value: got "
            f"{query!r}."
        ) from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ConfigError(
            f"Each field of {Path(_name(ref)).name} can be given once: got {query!r}."
        )
    return fields


def _kind(ref: str | Path) -> Literal["folder", "file", "nothing"]:
    if ref == "":
        return "nothing"
    try:
        return "folder" if Path(ref).is_dir() else "file" if Path(ref).is_file() else "nothing"
    except OSError:  # such as a name that is too long for the file system
        return "nothing"


def _unknown(ref: str) -> DataError:
    # Only the last name of a path: a message may be shown to somebody else than its owner.
    name = Path(_name(ref)).name[:80]
    close = get_close_matches(name, DATASETS, n=2)
    guess = f"Did you mean {' or '.join(close)}? " if close else ""
    return DataError(
        f"There is no data set, zip or folder {name!r}.",
        hint=f"{guess}Built in are {', '.join(DATASETS)}; or name a zip or folder with one folder "
        "of images a class, or a file of arrays or a table.",
    )
