"""What executes a model on this machine, and why something does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from optim.data.dataset import Samples
from optim.errors import OptimError
from optim.export.deliver import order_of
from optim.export.targets import Order, target_of
from optim.models.bundle import ModelBundle
from optim.recipe import Recipe
from optim.runtime.providers import provider_of
from optim.sweet_spot.fusion import LAYOUTS, LEVELS

if TYPE_CHECKING:
    from optim.models.interface import Interface
    from optim.runtime.session import Session

__all__ = ["Contender", "at_levels", "contenders", "in_layouts"]

_GPU_NOTE = (
    "Samples go to the GPU and results come back within the time. Operators without a kernel "
    "there are computed on the CPU, and float32 may be multiplied as TF32."
)


@dataclass(frozen=True, eq=False)
class Contender:
    """A runtime that takes a model.

    Attributes:
        open: Loads the model for so many threads.
        note: What has to be known about what it computes; may be empty.
        most_threads: Most threads it is tried with; None if all are. A GPU needs one.
    """

    open: Callable[[int], Session]
    note: str = ""
    most_threads: int | None = None


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


def at_levels(bundle: ModelBundle, recipe: Recipe, samples: Samples) -> dict[str, Contender]:
    """Return ONNX Runtime by the level up to which it rewrites the graph, keys of ``LEVELS``.

    Args:
        bundle: The model, compressed.
        recipe: How it was made.
        samples: Raw samples, at least one.
    """
    load = _onnx_loader(bundle, recipe, samples)
    return {level: Contender(partial(load, level=level)) for level in LEVELS}


def in_layouts(bundle: ModelBundle, recipe: Recipe, samples: Samples) -> dict[str, Contender]:
    """Return PyTorch by the order in which it keeps an image's numbers, keys of ``LAYOUTS``.

    Args:
        bundle: The model, compressed.
        recipe: How it was made.
        samples: Raw samples, at least one.

    Raises:
        OptimError: If there is no program of the model.
    """
    from optim.export.torch_program import TorchProgramSession

    order = order_of(bundle, recipe, "pt2", samples)
    file = target_of("pt2").make(order)

    def load(threads: int, *, channels_last: bool) -> Session:
        return TorchProgramSession.open(file, threads, channels_last=channels_last)

    return {
        name: Contender(partial(load, channels_last=name == "channels_last")) for name in LAYOUTS
    }


def _from_target(target: str, bundle: ModelBundle, recipe: Recipe, samples: Samples) -> Contender:
    """Return the runtime in which a kind of file is verified."""
    kind = target_of(target)
    order = order_of(bundle, recipe, target, samples)
    file = kind.make(order)
    return Contender(lambda threads: kind.open(order, file, threads, _unread(order)))


def _on_gpu(provider: str, bundle: ModelBundle, recipe: Recipe, samples: Samples) -> Contender:
    """Return ONNX Runtime on a GPU."""
    provider_of(provider)  # refuses what is not there before a file is made
    load = _onnx_loader(bundle, recipe, samples)
    note = _GPU_NOTE
    if provider == "tensorrt":
        note += " An engine is made for every batch first, and that time is not counted."
    return Contender(partial(load, provider=provider), note, most_threads=1)


def _onnx_loader(bundle: ModelBundle, recipe: Recipe, samples: Samples) -> Callable[..., Session]:
    """Return a function that loads the ONNX file for so many threads, with other options."""
    from optim.runtime.session import InferenceSession

    order = order_of(bundle, recipe, "onnx", samples)
    file = target_of("onnx").make(order)

    def load(threads: int, **options: Any) -> Session:
        return InferenceSession.open(file, threads, _unread(order), **options)

    return load


def _unread(order: Order) -> Interface | None:
    """Return how a file is run: what is read inside it would be computed as well."""
    interface = order.bundle.interface
    return interface.unread() if interface else None


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
    "cuda": partial(_on_gpu, "cuda"),
    "tensorrt": partial(_on_gpu, "tensorrt"),
}
