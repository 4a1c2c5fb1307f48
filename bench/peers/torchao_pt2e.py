"""PT2E of torchao: an exported graph with observers, no reconstruction.

The quantizer for x86 has 8 bits. That for XNNPACK, which torchao keeps among its testing modules,
takes any range of integers.
"""

from __future__ import annotations

import network
import torch
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack
from worker import Cell, Run, serve, torch_run


def quantizer(cell: Cell):
    """Return what says where which observers go."""
    if cell.way == "x86":
        cell.refuse_but((8,), (8,))
        config = x86.get_default_x86_inductor_quantization_config()
        return x86.X86InductorQuantizer().set_global(config)
    weights, activations = 2 ** (cell.weight_bits - 1), 2 ** (cell.activation_bits - 1)
    config = xnnpack.get_symmetric_quantization_config(
        is_per_channel=True,
        act_qmin=-activations,
        act_qmax=activations - 1,
        weight_qmin=-127 if cell.weight_bits == 8 else -weights,
        weight_qmax=weights - 1,
    )
    return xnnpack.XNNPACKQuantizer().set_global(config)


def quantized(cell: Cell) -> Run:
    batches = torch.from_numpy(cell.calibration).split(64)
    shapes = ({0: torch.export.Dim("batch", min=2, max=1024)},)
    network_ = network.opened(cell.folder / "network.npz")
    exported = torch.export.export(network_, (batches[0],), dynamic_shapes=shapes)
    prepared = prepare_pt2e(exported.module(), quantizer(cell))
    with torch.no_grad():
        for batch in batches:
            prepared(batch)
    return torch_run(convert_pt2e(prepared))


if __name__ == "__main__":
    serve(lambda folder: torch_run(network.opened(folder / "network.npz")), quantized)
