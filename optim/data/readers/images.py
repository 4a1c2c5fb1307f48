"""Images or sounds, a file each, in class folders or without; see :mod:`optim.data.folder`."""

from __future__ import annotations

from collections.abc import Sequence

from optim.data.dataset import Dataset
from optim.data.folder import open_class_folders
from optim.data.options import DataOptions
from optim.data.readers.reader import Place, Reader

__all__ = ["READER"]


def _takes(files: Sequence[str]) -> bool:
    return True


def _open(place: Place, options: DataOptions) -> Dataset:
    return open_class_folders(place.container, options, title=place.title, ref=place.ref)


READER = Reader(
    title="Images or sounds",
    endings=(),
    holds="cat/1.png, dog/1.png; train/cat/1.png, test/cat/1.png; 1.png, 2.png",
    labels="folders; none where there are no folders",
    takes=_takes,
    open=_open,
)
