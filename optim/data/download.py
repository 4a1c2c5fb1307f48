"""Fetch well-known data from where their authors keep them: resumed, and checked.

Nothing here runs unless somebody asks for it. A file is written under a temporary name, goes on
where it stopped the last time, and gets its own name only when its SHA-256 is right.
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from optim.data.added import DataCard, add_data
from optim.data.options import DataOptions
from optim.errors import DataError
from optim.storage import store_home

__all__ = ["DOWNLOADS", "Download", "RemoteFile", "download", "fetch"]

Progress = Callable[[float, str], None]

_BLOCK = 2**18
_TIMEOUT_S = 30


@dataclass(frozen=True)
class RemoteFile:
    """One file on a server.

    Attributes:
        urls: Where it lies; the next one is asked if one does not answer.
        sha256: Checksum of its bytes.
        size: How many there are.
    """

    urls: tuple[str, ...]
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """Its name without the server's folders."""
        return self.urls[0].rpartition("/")[2]


@dataclass(frozen=True)
class Download:
    """Data that can be fetched.

    Attributes:
        title: Name for a reader.
        about: What they are, and their licence as far as the authors state one.
        files: All files; several go into a folder.
        options: How they are read.
    """

    title: str
    about: str
    files: tuple[RemoteFile, ...]
    options: dict[str, Any] = field(default_factory=dict)


def _four(bases: tuple[str, ...], sums: dict[str, tuple[str, int]]) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(tuple(f"{base}/{name}-ubyte.gz" for base in bases), checksum, size)
        for name, (checksum, size) in sums.items()
    )


_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)

DOWNLOADS: dict[str, Download] = {
    "mnist": Download(
        "MNIST",
        "70,000 grey handwritten digits of 28x28 pixels (LeCun, Cortes and Burges, 1998).",
        _four(
            (
                "https://storage.googleapis.com/cvdf-datasets/mnist",
                "https://ossci-datasets.s3.amazonaws.com/mnist",
            ),
            {
                "train-images-idx3": (
                    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                    9_912_422,
                ),
                "train-labels-idx1": (
                    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                    28_881,
                ),
                "t10k-images-idx3": (
                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                    1_648_877,
                ),
                "t10k-labels-idx1": (
                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                    4_542,
                ),
            },
        ),
    ),
    "fashion-mnist": Download(
        "Fashion-MNIST",
        "70,000 grey pictures of clothes of 28x28 pixels (Xiao, Rasul and Vollgraf, 2017; MIT).",
        _four(
            (
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
            ),
            {
                "train-images-idx3": (
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                    26_421_880,
                ),
                "train-labels-idx1": (
                    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                    29_515,
                ),
                "t10k-images-idx3": (
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                    4_422_102,
                ),
                "t10k-labels-idx1": (
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                    5_148,
                ),
            },
        ),
        {"class_names": _CLOTHES},
    ),
    "cifar-10": Download(
        "CIFAR-10",
        "60,000 colour pictures of 32x32 pixels in 10 classes (Krizhevsky, 2009).",
        (
            RemoteFile(
                ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                170_052_171,
            ),
        ),
    ),
    "cifar-100": Download(
        "CIFAR-100",
        "60,000 colour pictures of 32x32 pixels in 100 classes (Krizhevsky, 2009).",
        (
            RemoteFile(
                ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
                168_513_733,
            ),
        ),
    ),
    "speech-commands": Download(
        "Speech Commands, test set",
        "4,890 spoken words of one second at 16 kHz in 12 classes (Warden, 2018; CC BY 4.0): the "
        "test set of version 0.02 as a subset that is quickly fetched.",
        (
            RemoteFile(
                (
                    "https://storage.googleapis.com/download.tensorflow.org/data/"
                    "speech_commands_test_set_v0.02.tar.gz",
                    "http://download.tensorflow.org/data/speech_commands_test_set_v0.02.tar.gz",
                ),
                "cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df",
                112_563_277,
            ),
        ),
        {"resize": (16_000,), "split": "made"},
    ),
}
"""What can be fetched by name. Addresses and checksums are those the authors' mirrors agree on."""


def download(name: str, *, progress: Progress = lambda share, what: None) -> DataCard:
    """Fetch data and add them to those that pages can use, under their own name.

    What is there already is checked and not fetched again.

    Args:
        name: One of :data:`DOWNLOADS`.
        progress: Called with a share in 0..1 and what is being done.

    Raises:
        DataError: If there is no such data, no server answers, or what came is not what it should
            be.
    """
    if name not in DOWNLOADS:
        raise DataError(
            f"There are no data {name!r} to fetch.", hint=f"There are {', '.join(DOWNLOADS)}."
        )
    wanted = DOWNLOADS[name]
    folder = store_home() / "downloads" / name
    total, done = sum(file.size for file in wanted.files), 0
    for file in wanted.files:

        def report(count: int, of: RemoteFile = file, before: int = done) -> None:
            progress((before + count) / total, f"fetching {of.name}")

        fetch(file, folder / file.name, report)
        done += file.size
    path = folder if len(wanted.files) > 1 else folder / wanted.files[0].name
    return add_data(path, title=wanted.title, name=name, options=DataOptions(**wanted.options))


def fetch(file: RemoteFile, path: Path, report: Callable[[int], None] = lambda count: None) -> None:
    """Fetch one file, going on where an earlier attempt stopped.

    Args:
        file: What is fetched.
        path: Where it shall lie.
        report: Called with the number of bytes that are there.

    Raises:
        DataError: If no server answers, or the checksum is wrong; ``path`` is then untouched.
    """
    if path.is_file() and path.stat().st_size == file.size and _sha256(path) == file.sha256:
        report(file.size)
        return
    partial = path.with_name(f".{path.name}.part")
    reasons = []
    for url in file.urls:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _transfer(url, file.size, partial, report)
        except (OSError, HTTPException, ValueError) as error:
            reasons.append(f"{_host(url)}: {_reason(error)}")
            continue
        if _sha256(partial) == file.sha256:
            partial.replace(path)
            return
        partial.unlink()
        reasons.append(f"{_host(url)}: what came has another checksum and was deleted")
    raise DataError(
        f"{file.name} could not be fetched ({'; '.join(reasons)}).",
        hint="What has come is kept and the next attempt goes on from there. Without a network, "
        "fetch it elsewhere and open the file itself.",
    )


def _transfer(url: str, size: int, partial: Path, report: Callable[[int], None]) -> None:
    """Append what is missing; begin anew where the server cannot go on in the middle."""
    have = partial.stat().st_size if partial.is_file() else 0
    if have > size:
        have = 0
    if have == size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "optim-studio"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        goes_on = response.status == 206 and _starts_at(response.headers, have)
        have = have if goes_on else 0
        with partial.open("ab" if goes_on else "wb") as target:
            while block := response.read(_BLOCK):
                have += len(block)
                if have > size:
                    target.truncate(0)
                    raise ValueError(f"more than the {size:,} bytes that were expected")
                target.write(block)
                report(have)
    if have < size:
        raise ValueError(f"the connection ended after {have:,} of {size:,} bytes")


def _starts_at(headers: Any, have: int) -> bool:
    return str(headers.get("Content-Range", "")).startswith(f"bytes {have}-")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _host(url: str) -> str:
    return url.split("/")[2]


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"it answers {error.code}"
    if isinstance(error, urllib.error.URLError):
        return f"it cannot be reached ({getattr(error.reason, 'strerror', None) or error.reason})"
    if isinstance(error, OSError):
        return error.strerror or "it does not answer"
    return str(error) or "it does not answer"
