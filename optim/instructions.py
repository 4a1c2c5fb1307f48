"""What the processor of this machine has instructions for."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["vnni_here", "vnni_of"]

_ADDS_IN_32_BITS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


@cache
def vnni_here() -> bool | None:
    """Return whether this machine adds products of bytes in 32 bits, see :func:`vnni_of`.

    None where the system does not say it as Linux does.
    """
    try:
        return vnni_of(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def vnni_of(cpuinfo: str) -> bool | None:
    """Return whether an x86 processor adds products of bytes in 32 bits: by VNNI or AMX.

    Args:
        cpuinfo: ``/proc/cpuinfo`` of Linux.

    Returns:
        None if it is no x86 processor with AVX2, without which other kernels compute.

    Example:
        >>> vnni_of("flags : fma avx2 avx512_vnni"), vnni_of("flags : fma avx2"), vnni_of("")
        (True, False, None)
    """
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    flags = next((set(text.split()) for name, _, text in lines if name.strip() == "flags"), set())
    return bool(flags & _ADDS_IN_32_BITS) if "avx2" in flags else None
