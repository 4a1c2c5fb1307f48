"""Formats of data, one file each. A new one is a file and a line in :data:`READERS`.

Which one reads a zip, a tar or a folder is decided by the names of the files in it, in the order
of the index; images in folders come last and take what nobody else does. None of them executes
anything a file holds, and none makes an array before the size a file states was held against the
bytes that are there.
"""

from optim.data.readers import cifar, idx, images, numpy_arrays, table
from optim.data.readers.reader import Place, Reader

__all__ = ["READERS", "Place", "Reader"]

READERS: dict[str, Reader] = {
    "numpy": numpy_arrays.READER,
    "idx": idx.READER,
    "cifar-binary": cifar.BINARY,
    "cifar-python": cifar.PYTHON,
    "table": table.READER,
    "images": images.READER,
}
"""All formats, the particular before the general."""
