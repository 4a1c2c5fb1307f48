"""Open data by name, by file or by folder."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

from optim.data.bearing import Bearing
from optim.data.breast_cancer import BreastCancer
from optim.data.cluttered_digits import ClutteredDigits
from optim.data.dataset import DataConfig, Dataset
from optim.data.digits import Digits
from optim.data.folder import open_folder, open_zip
from optim.data.wine import Wine
from optim.errors import ConfigError, DataError

__all__ = ["DATASETS", "open_builtin", "open_data"]

DATASETS: dict[str, type[DataConfig]] = {
    "cluttered-digits": ClutteredDigits,
    "digits": Digits,
    "breast-cancer": BreastCancer,
    "wine": Wine,
    "bearing": Bearing,
}
"""Built-in data sets by name. A new one is one file and one line."""


def open_data(ref: str | Path, *, seed: int = 0) -> Dataset:
    """Open a data set; nothing is generated or decoded before it is used.

    Args:
        ref: One of

            - a built-in name, with fields if wanted: ``"cluttered-digits?difficulty=0.8&seed=1"``;
            - a zip of class folders;
            - a folder of class folders, or one with a zip or folder for train and for test (see
              :mod:`optim.data.folder`).

            A name wins over a file of that name; write ``./wine`` for the file.
        seed: Seed of a built-in data set, unless the ref names its own. Files are not affected.

    Raises:
        ConfigError: If a field of a built-in data set does not exist or has an illegal value.
        DataError: If there is no such data, or it cannot be used.

    Example:
        >>> open_data("wine").parts
        {'train': 107, 'validation': 35, 'test': 36}
    """
    if isinstance(ref, str) and _name(ref) in DATASETS:
        return open_builtin(ref, seed=seed)
    kind = _kind(ref)
    if kind == "folder":
        return open_folder(Path(ref), ref=str(ref))
    if kind == "file":
        return open_zip(Path(ref), ref=str(ref))
    raise _unknown(str(ref))


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
            f"The fields of {_name(ref)} must be written as name=value&name=value: got {query!r}."
        ) from error
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ConfigError(f"Each field of {_name(ref)} can be given once: got {query!r}.")
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
        "of images a class.",
    )
