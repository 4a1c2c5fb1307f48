"""Post-training quantization of Brevitas, in the order of its own example for ImageNet.

Equalised graph, ranges of activations from a percentile, bias correction, GPTQ where asked for.
"""

from __future__ import annotations

import network
import torch
from brevitas.graph.quantize import preprocess_for_quantize
from brevitas_examples.imagenet_classification.ptq import ptq_common as example
from worker import Cell, Run, serve, torch_run


def quantized(cell: Cell) -> Run:
    images = torch.from_numpy(cell.calibration)
    batches = [(batch, torch.zeros(len(batch))) for batch in images.split(64)]
    network_ = preprocess_for_quantize(
        network.opened(cell.folder / "network.npz"), equalize_iters=20, equalize_merge_bias=True
    )
    found = example.quantize_model(
        network_,
        backend="fx",
        weight_bit_width=cell.weight_bits,
        act_bit_width=cell.activation_bits,
        bias_bit_width=32,
        weight_quant_granularity="per_channel",
        act_quant_percentile=99.999,
        act_quant_type="sym",
        scale_factor_type="float_scale",
        quant_format="int",
        weight_param_method="stats" if cell.weight_bits == 8 else "mse",
        act_param_method="stats" if cell.activation_bits == 8 else "mse",
    ).eval()
    with torch.no_grad():
        found(images[:64])
    example.calibrate(batches, found)
    if cell.way.startswith("GPTQ"):
        example.apply_gptq(batches, found, act_order=True, create_weight_orig=True)
    example.apply_bias_correction(batches, found)
    return torch_run(found)


if __name__ == "__main__":
    serve(lambda folder: torch_run(network.opened(folder / "network.npz")), quantized)
