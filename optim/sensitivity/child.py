"""Analyse in a process of its own: ``python -m optim.sensitivity.child``.

Reads one line of JSON, ``{"key": ..., "recipe": ..., "samples": ..., "times": ...}``, and keeps
what is known after few samples already. With ``times`` a complete analysis is only timed.
"""

from __future__ import annotations

from typing import Any

import torch

from optim.aside import Check, Told, serve
from optim.processes import available_cores
from optim.recipe import Recipe
from optim.sensitivity.analysis import analyse
from optim.sensitivity.kept import SHELF, kept_profile
from optim.sensitivity.times import timed
from optim.subject import open_subject

__all__ = ["main"]

_MOST_S = 1200


def main() -> None:
    """Analyse the model of a recipe; only registered models and data are opened."""
    torch.set_num_threads(1)  # chunks of samples are shared out instead
    serve(SHELF, _analyse, most_s=_MOST_S, late="The model was not analysed within 20 minutes.")


def _analyse(request: dict[str, Any], told: Told, check: Check) -> None:
    subject = open_subject(Recipe.from_json(request["recipe"]), registered_only=True)
    key = request["key"]
    known = kept_profile(key)
    if request["times"] and known is not None and known.is_complete:
        found = timed(known, subject, told, check)
    else:
        found = analyse(
            subject, samples=request["samples"], workers=available_cores(), told=told, check=check
        )
    for profile in found:
        SHELF.keep(key, profile.to_json())


if __name__ == "__main__":
    main()
