"""Whether an ONNX graph holds all of its numbers itself.

A tensor may say that its numbers lie in another file. Whoever opens such a graph reads that file: a
name that is not absolute is looked for in the folder the program runs in. Tensors stand in more
places than among the weights: in attributes, in the branches of ``If``, in functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onnx import ModelProto, TensorProto, load_from_string

from optim.errors import UnsupportedModelError

__all__ = ["check_whole", "external_tensors"]


def external_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Yield the tensors whose numbers lie in other files, wherever in the model they stand."""
    parts: list[Any] = [model]  # messages of all kinds
    while parts:
        for field, value in parts.pop().ListFields():
            if field.message_type is None:
                continue
            found = value if field.is_repeated else (value,)
            if field.message_type is not TensorProto.DESCRIPTOR:
                parts.extend(found)
                continue
            yield from (t for t in found if t.data_location != TensorProto.DEFAULT)


def check_whole(file: bytes) -> None:
    """Refuse an ONNX file that would have other files read.

    Raises:
        UnsupportedModelError: If some of its numbers lie elsewhere.
    """
    tensor = next(external_tensors(load_from_string(file)), None)
    if tensor is not None:
        raise UnsupportedModelError(
            f"The ONNX graph keeps the numbers of {tensor.name[:80]!r} in another file, and "
            "a graph is run alone.",
            hint="Save it as a single file.",
        )
