"""Quantization of NVIDIA ModelOpt: ranges of maxima, or of weights by squared error.

Its documentation recommends ``INT8_DEFAULT_CFG`` for convolutional networks; other bits are that
with another number in it. Inputs of layers with weights are quantized, additions are not.
"""

from __future__ import annotations

import copy

import modelopt.torch.quantization as mtq
import network
import torch
from worker import Cell, Run, serve, torch_run


def quantized(cell: Cell) -> Run:
    config = copy.deepcopy(mtq.INT8_DEFAULT_CFG)
    bits = {"*weight_quantizer": cell.weight_bits, "*input_quantizer": cell.activation_bits}
    for entry in config["quant_cfg"]:
        if entry["quantizer_name"] in bits:
            entry["cfg"]["num_bits"] = bits[entry["quantizer_name"]]
    config["algorithm"] = cell.way
    batches = torch.from_numpy(cell.calibration).split(64)

    def calibrate(module: torch.nn.Module) -> None:
        with torch.no_grad():
            for batch in batches:
                module(batch)

    network_ = network.opened(cell.folder / "network.npz")
    return torch_run(mtq.quantize(network_, config, calibrate))


if __name__ == "__main__":
    serve(lambda folder: torch_run(network.opened(folder / "network.npz")), quantized)
