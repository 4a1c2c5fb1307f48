"""ONNX in float16: half the bytes, for GPUs and NPUs that compute with them."""

from __future__ import annotations

import onnx

from optim.errors import ExportError, first_line

__all__ = ["half_precision"]


def half_precision(file: bytes) -> bytes:
    """Return a float32 ONNX file with weights and activations in float16.

    Inputs and outputs stay float32. Numbers beyond the range of float16 (65504) are cut to it, and
    what that costs is measured like everything else.

    Raises:
        ExportError: If an operator of the file has no float16 form.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        model = convert_float_to_float16(onnx.load_from_string(file), keep_io_types=True)
    except Exception as error:
        # The converter raises whatever onnx, NumPy and its own code raise.
        raise ExportError(
            f"The model cannot be written in float16: {first_line(error)}."
        ) from error
    return model.SerializeToString()
