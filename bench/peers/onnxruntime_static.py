"""Static quantization of ONNX Runtime: QDQ, min-max ranges, no reconstruction."""

from __future__ import annotations

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from worker import Cell, Run, onnx_session, serve

WEIGHTS = {8: QuantType.QInt8, 4: QuantType.QInt4}
ACTIVATIONS = {8: QuantType.QUInt8, 4: QuantType.QUInt4}


class Reader(CalibrationDataReader):
    """Hands over calibration images, 64 at a time."""

    def __init__(self, images: np.ndarray) -> None:
        self.batches = iter(np.split(images, len(images) // 64))

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch; None behind the last."""
        batch = next(self.batches, None)
        return None if batch is None else {"input": batch}


def quantized(cell: Cell) -> Run:
    cell.refuse_but(tuple(WEIGHTS), tuple(ACTIVATIONS))
    quantize_static(
        cell.folder / "network.onnx",
        cell.file,
        Reader(cell.calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=cell.way == "per channel",
        activation_type=ACTIVATIONS[cell.activation_bits],
        weight_type=WEIGHTS[cell.weight_bits],
    )
    return onnx_session(cell.file)


if __name__ == "__main__":
    serve(lambda folder: onnx_session(folder / "network.onnx"), quantized)
