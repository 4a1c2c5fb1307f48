"""What ONNX Runtime computes on: the processor, or a GPU where its package has the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from optim.errors import MissingDependencyError

__all__ = ["GPUS", "PROVIDERS", "Provider", "gpus_here", "provider_of"]


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
