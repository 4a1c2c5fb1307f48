"""Static quantization of Intel Neural Compressor for PyTorch: 8 bits by PT2E."""

from __future__ import annotations

import network
import torch
from neural_compressor.torch.export import export
from neural_compressor.torch.quantization import StaticQuantConfig, convert, prepare
from worker import Cell, Run, serve, torch_run


def quantized(cell: Cell) -> Run:
    cell.refuse_but((8,), (8,))
    batches = torch.from_numpy(cell.calibration).split(64)
    shapes = ({0: torch.export.Dim("batch", min=2, max=1024)},)
    network_ = network.opened(cell.folder / "network.npz")
    exported = export(network_, (batches[0],), dynamic_shapes=shapes)
    prepared = prepare(exported, StaticQuantConfig(act_algo=cell.way))
    with torch.no_grad():
        for batch in batches:
            prepared(batch)
    return torch_run(convert(prepared))


if __name__ == "__main__":
    serve(lambda folder: torch_run(network.opened(folder / "network.npz")), quantized)
