"""Quantization simulation of AIMET: equalised across layers, nearest or AdaRound."""

from __future__ import annotations

import network
import torch

# The torchvision that AIMET imports has operators that a torch for the CPU alone does not load.
torch.library.define(
    "torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
)

from aimet_torch.adaround import Adaround, AdaroundParameters  # noqa: E402
from aimet_torch.common.defs import QuantScheme  # noqa: E402
from aimet_torch.cross_layer_equalization import equalize_model  # noqa: E402
from aimet_torch.model_preparer import prepare_model  # noqa: E402
from aimet_torch.quantsim import QuantizationSimModel  # noqa: E402
from worker import Cell, NotOffered, Run, serve, torch_run  # noqa: E402

ITERATIONS = 1000
"""Of AdaRound, for each layer; AIMET's default is 15,000."""
SCHEME = QuantScheme.post_training_tf_enhanced
CONFIG = "default_per_channel"


def quantized(cell: Cell) -> Run:
    if cell.weight_bits < 4:
        raise NotOffered(f"weights of {cell.weight_bits} bits; its documentation says 4 to 31")
    images = torch.from_numpy(cell.calibration)
    prepared = prepare_model(network.opened(cell.folder / "network.npz")).eval()
    equalize_model(prepared, dummy_input=images[:1])
    rounds = cell.way.startswith("AdaRound")
    if rounds:
        batches = images.split(32)
        prepared = Adaround.apply_adaround(
            prepared,
            images[:1],
            AdaroundParameters(
                batches,
                len(batches),
                default_num_iterations=ITERATIONS,
                forward_fn=lambda module, batch: module(batch),
            ),
            path=str(cell.folder),
            filename_prefix="adaround",
            default_param_bw=cell.weight_bits,
            default_quant_scheme=SCHEME,
            default_config_file=CONFIG,
        )
    simulated = QuantizationSimModel(
        prepared,
        images[:1],
        quant_scheme=SCHEME,
        default_output_bw=cell.activation_bits,
        default_param_bw=cell.weight_bits,
        config_file=CONFIG,
    )
    if rounds:
        simulated.set_and_freeze_param_encodings(str(cell.folder / "adaround.encodings"))

    def calibrate(module: torch.nn.Module) -> None:
        with torch.no_grad():
            for batch in images.split(64):
                module(batch)

    simulated.compute_encodings(calibrate)
    return torch_run(simulated.model)


if __name__ == "__main__":
    serve(lambda folder: torch_run(network.opened(folder / "network.npz")), quantized)
