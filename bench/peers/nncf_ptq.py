"""Post-training quantization of NNCF on the ONNX file: 8 bits, with bias correction."""

from __future__ import annotations

import nncf
import onnx
from worker import Cell, Run, onnx_session, serve


def quantized(cell: Cell) -> Run:
    cell.refuse_but((8,), (8,))
    found = nncf.quantize(
        onnx.load(cell.folder / "network.onnx"),
        nncf.Dataset(list(cell.calibration[:, None]), lambda image: {"input": image}),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(cell.calibration),
        fast_bias_correction=cell.way == "fast bias correction",
    )
    onnx.save(found, cell.file)
    return onnx_session(cell.file)


if __name__ == "__main__":
    serve(lambda folder: onnx_session(folder / "network.onnx"), quantized)
