"""Packed files beside what general compressors make of the same ONNX files: bytes and seconds.

Every file is packed, unpacked and compared byte by byte. Times are those of a process that shares
its machine; only their order of magnitude says something.
"""

from __future__ import annotations

import lzma
import time
import zlib
from typing import Any

from cifar import DATA
from common import record

from optim.codecs.opack import sizes_of, unpack
from optim.data import open_data
from optim.export.deploy import onnx_bytes
from optim.graph.packed import pack_onnx
from optim.models.bundle import ModelBundle
from optim.models.open import open_model
from optim.step import Context
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from optim.techniques.share_weights import ShareWeights

EIGHT, FOUR = Quantize(activation_bits="float"), Quantize(weight_bits=4, activation_bits="float")
MOSTLY_ZERO = PruneWeights(sparsity=0.9)
POSITIONS = {
    "float32": (),
    "8 bits": (EIGHT,),
    "4 bits": (FOUR,),
    "90 % zero, 8 bits": (MOSTLY_ZERO, EIGHT),
    "90 % zero, 4 bits": (MOSTLY_ZERO, FOUR),
    "90 % zero, 15 shared values": (MOSTLY_ZERO, ShareWeights(bias_bits=4)),
}


def models() -> dict[str, ModelBundle]:
    """Return what is packed; the network of ../shared only where that is."""
    found = {name: open_model(name) for name in ("clutter-resnet8", "clutter-dscnn", "digits-mlp")}
    weights = DATA / "weights" / "resnet20_cifar10_jpeg.safetensors"
    if weights.is_file():
        found["resnet20"] = open_model(f"resnet20:{weights}")
    return found


def measured(bundle: ModelBundle, steps: tuple[Any, ...]) -> dict[str, Any]:
    """Return the bytes of one model in every form."""
    context = Context(open_data("digits"), bundle)
    for step in steps:
        bundle = step.apply(bundle, context).bundle
    file = onnx_bytes(bundle)
    start = time.process_time()
    packed = pack_onnx(file)
    middle = time.process_time()
    assert unpack(packed) == file
    return {
        "onnx": len(file),
        "deflate": len(zlib.compress(file, 9)),
        "xz": len(lzma.compress(file, preset=9 | lzma.PRESET_EXTREME)),
        "packed": len(packed),
        "of_that_weights": sizes_of(packed).weights,
        "pack_cpu_s": middle - start,
        "unpack_cpu_s": time.process_time() - middle,
    }


def main() -> None:
    record(
        "packing",
        {
            name: {position: measured(bundle, steps) for position, steps in POSITIONS.items()}
            for name, bundle in models().items()
        },
    )


if __name__ == "__main__":
    main()
