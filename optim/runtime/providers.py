"""What ONNX Runtime computes on: the processor, or a GPU where its package has the kernels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from optim.errors import MissingDependencyError

__all__ = ["GPUS", "PROVIDERS", "Provider", "gpu_words", "gpus_here", "provider_of"]


@dataclass(frozen=True)
class Provider:
    """What executes a graph.

    Attributes:
        title: Name for a reader.
        order: Execution providers as ONNX Runtime calls them: every operator goes to the first
            that has a kernel for it.
    """

    title: str
    order: tuple[str, ...]


_CPU = ("CPUExecutionProvider",)
_CUDA = ("CUDAExecutionProvider", *_CPU)

PROVIDERS = {
    "cpu": Provider("CPU", _CPU),
    "cuda": Provider("CUDA", _CUDA),
    "tensorrt": Provider("TensorRT", ("TensorrtExecutionProvider", *_CUDA)),
}
"""Providers by name."""
GPUS = ("cuda", "tensorrt")
"""Those that compute on a GPU."""


_BENCH = Path(__file__).resolve().parents[2] / "bench" / "gpu.json"
"""What ``bench/gpu.py`` measured, in a source tree where somebody ran it on a GPU."""


def gpus_here() -> tuple[str, ...]:
    """Return which of :data:`GPUS` the installed package has kernels for; a GPU may be missing."""
    offered = _offered()
    return tuple(name for name in GPUS if PROVIDERS[name].order[0] in offered)


def provider_of(name: str) -> Provider:
    """Return a provider of :data:`PROVIDERS`.

    Raises:
        MissingDependencyError: If the installed package has no kernels for it.
    """
    provider, offered = PROVIDERS[name], _offered()
    if provider.order[0] not in offered:
        raise MissingDependencyError(
            f"ONNX Runtime has no {provider.title} here: it offers {', '.join(offered)}.",
            hint="Install onnxruntime-gpu instead of onnxruntime.",
        )
    return provider


def gpu_words() -> str:
    """Say whether GPUs can be measured here, and whether this project was tested on one."""
    there = [PROVIDERS[name].title for name in gpus_here()]
    here = "ONNX Runtime has neither CUDA nor TensorRT here."
    if there:
        here = f"ONNX Runtime has {' and '.join(there)} here, which can be measured."
    if not _BENCH.is_file():
        return f"Not tested on GPU. {here}"
    known = json.loads(_BENCH.read_text(encoding="utf-8"))
    return f"Tested on {known['results']['gpu']} on {known['date']} (bench/gpu.json). {here}"


def _offered() -> list[str]:
    """Return what the installed package computes on; the one for the processor need not be loaded.

    Pages ask as well, and nothing that computes is loaded into the web server.
    """
    if not _is_installed("onnxruntime-gpu"):
        return [*_CPU]
    import onnxruntime

    found: list[str] = onnxruntime.get_available_providers()
    return found


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
