"""Start Python children that find this very package."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["child_environment"]


def child_environment() -> dict[str, str]:
    """Return the environment of a child process in which ``import optim`` gives this package."""
    root = str(Path(__file__).resolve().parents[1])
    others = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{others}" if others else root}
