"""Inputs that are made for a model, where there are no data at all.

What is written here is only how they are asked for; they are made, from the model, by
:mod:`optim.measure.generated`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from optim.fields import Config, Range

__all__ = ["GENERATED", "Generated"]

GENERATED = "generated"
"""Name by which such inputs are asked for: ``generated?samples=512&seed=0``."""


class Generated(Config):
    """Inputs made for the model itself."""

    title: ClassVar[str] = "Generated inputs"
    about: ClassVar[str] = (
        "No data: inputs made for the model, matched to the statistics in its batch norms where it "
        "has any, normal noise where not."
    )

    samples: Annotated[
        int,
        Range(low=16, high=4096, step=16, label="Samples", help="How many inputs are made."),
    ] = 256
    seed: Annotated[
        int, Range(low=0, high=9999, step=1, label="Seed", help="Draws other inputs.")
    ] = 0
