"""Short lessons: one idea, one control, one picture, one question.

A lesson is one file with one :class:`~optim.lessons.lesson.Lesson` and one line below. All it shows
is computed from the default model and data, or from the catalogue of devices, by
:mod:`optim.lessons.kept`; nothing heavy is imported here.
"""

from __future__ import annotations

from optim.lessons.batchnorm import BATCHNORM
from optim.lessons.dropout import DROPOUT
from optim.lessons.for_a_device import FOR_A_DEVICE
from optim.lessons.lesson import Lesson, Shown
from optim.lessons.moving_bytes import MOVING_BYTES
from optim.lessons.outliers import OUTLIERS
from optim.lessons.proxies import PROXIES_MISLEAD
from optim.lessons.roofline import ROOFLINE
from optim.lessons.scales import SCALES
from optim.lessons.structure import STRUCTURE
from optim.lessons.temperature import TEMPERATURE
from optim.lessons.tour import TOUR
from optim.lessons.weight_cost import WEIGHT_COST

__all__ = ["LESSONS", "TOUR", "Lesson", "Shown"]

LESSONS: dict[str, Lesson] = {
    "weight-cost": WEIGHT_COST,
    "structure": STRUCTURE,
    "outliers": OUTLIERS,
    "scales": SCALES,
    "temperature": TEMPERATURE,
    "dropout": DROPOUT,
    "batch-norm": BATCHNORM,
    "proxies": PROXIES_MISLEAD,
    "roofline": ROOFLINE,
    "moving-bytes": MOVING_BYTES,
    "for-a-device": FOR_A_DEVICE,
}
"""Lessons by name, in the order in which they build on each other."""
