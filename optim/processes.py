"""Start Python children that find this very package."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["child_environment", "limit_resources"]


def child_environment() -> dict[str, str]:
    """Return the environment of a child process in which ``import optim`` gives this package."""
    root = str(Path(__file__).resolve().parents[1])
    others = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{others}" if others else root}


def limit_resources(memory_bytes: int, cpu_s: int, write_bytes: int) -> None:
    """Bound what this process may use; not every system can.

    Args:
        memory_bytes: Address space.
        cpu_s: Seconds of computing.
        write_bytes: Of any one file.
    """
    try:
        import resource
    except ImportError:
        return
    wanted = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: write_bytes,
    }
    for kind, most in wanted.items():
        _, hard = resource.getrlimit(kind)  # what the parent was given cannot be exceeded
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))
