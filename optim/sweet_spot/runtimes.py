"""What executes a model on this machine, and why something does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from optim.data.dataset import Samples
from optim.errors import OptimError
from optim.export.deliver import order_of
from optim.export.targets import Order, target_of
from optim.models.bundle import ModelBundle
from optim.recipe import Recipe

if TYPE_CHECKING:
    from optim.runtime.session import Session

__all__ = ["Contender", "contenders", "gpu_words"]

_GPU = {"CUDAExecutionProvider": "CUDA", "TensorrtExecutionProvider": "TensorRT"}


@dataclass(frozen=True, eq=False)
class Contender:
    """A runtime that takes a model.

    Attributes:
        open: Loads the model for so many threads.
        note: What has to be known about what it computes; may be empty.
    """

    open: Callable[[int], Session]
    note: str = ""


def contenders(
    bundle: ModelBundle, recipe: Recipe, samples: Samples, wanted: Sequence[str]
) -> tuple[dict[str, Contender], dict[str, str]]:
    """Return the runtimes that take a model, and why others do not.

    Args:
        bundle: The model, compressed.
        recipe: How it was made.
        samples: Raw samples, at least one.
        wanted: Names of runtimes, keys of ``RUNTIMES``.
    """
    found: dict[str, Contender] = {}
    refused: dict[str, str] = {}
    for name in wanted:
        try:
            found[name] = _MAKERS[name](bundle, recipe, samples)
        except OptimError as error:
            refused[name] = str(error)
    return found, refused


def gpu_words() -> str:
    """Say what was done about the GPUs that ONNX Runtime could use."""
    import onnxruntime

    there = [_GPU[name] for name in onnxruntime.get_available_providers() if name in _GPU]
    if there:
        return f"Not tested on GPU: ONNX Runtime offers {' and '.join(there)} here, left out."
    return "Not tested on GPU: ONNX Runtime has neither CUDA nor TensorRT here."


def _from_target(target: str, bundle: ModelBundle, recipe: Recipe, samples: Samples) -> Contender:
    """Return the runtime in which a kind of file is verified."""
    kind = target_of(target)
    order = order_of(bundle, recipe, target, samples)
    file = kind.make(order)

    def load(threads: int) -> Session:
        interface = order.bundle.interface
        # What is read inside a file would be computed as well.
        return kind.open(order, file, threads, interface.unread() if interface else None)

    return Contender(load)


def _compiled(bundle: ModelBundle, recipe: Recipe, samples: Samples) -> Contender:
    """Return what torch.compile makes of the program that torch.export keeps."""
    from optim.export.torch_program import TorchProgramSession

    order: Order = order_of(bundle, recipe, "pt2", samples)
    file = target_of("pt2").make(order)
    note = "It rounds values to their grids and computes in float32." * bundle.table.is_quantized
    return Contender(lambda threads: TorchProgramSession.open(file, threads, compiled=True), note)


_MAKERS: Mapping[str, Callable[[ModelBundle, Recipe, Samples], Contender]] = {
    "onnx": partial(_from_target, "onnx"),
    "openvino": partial(_from_target, "openvino"),
    "compile": _compiled,
}
