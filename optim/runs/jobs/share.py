"""Compute a grid of positions and keep it as one HTML file; see :mod:`optim.share`.

``spec`` is ``{"recipe": Recipe.to_json()}``; only registered models and data are opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optim.runs.work import Kind, Work

__all__ = ["KIND", "SHARE", "SHARED"]

KIND = "share"
"""Name of the kind in the index."""
SHARED = "shared.html"
"""Name of the file that comes out."""


def _prepare() -> None:
    import optim.share.grid  # noqa: F401


def _work(work: Work) -> Mapping[str, Any]:
    """Evaluate every position, and keep the file."""
    import torch

    from optim.share.grid import evaluated
    from optim.share.page import shared_html
    from optim.whatif.engine import Engine

    torch.set_num_threads(work.threads)
    recipe = work.run.recipe
    assert recipe is not None
    engine = Engine(registered_only=True)
    found = evaluated(engine, recipe, told=work.progress, check=work.check)
    content = shared_html(found).encode()
    work.keep(SHARED, content)
    return {
        "schema": "optim.share/1",
        "points": len(found["points"]),
        "n": found["n"],
        "seconds": found["seconds"],
        "bytes": len(content),
    }


SHARE = Kind("Share", _work, _prepare)
