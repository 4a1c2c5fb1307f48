"""Learn from what the teacher finds likely. The default; asks nothing of the architectures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from optim.data.task import Classification, Detection
from optim.techniques.transfers.method import Lesson, Setting, Teacher, TransferMethod, answers_of

if TYPE_CHECKING:
    from torch import nn

__all__ = ["SoftTargets"]


class SoftTargets(TransferMethod):
    """Match the teacher's softened distribution over the classes; of a detector its boxes too."""

    title: ClassVar[str] = "Soft targets"
    paper: ClassVar[str] = (
        "Hinton et al., Distilling the Knowledge in a Neural Network, 2015, arXiv:1503.02531; of "
        "detectors: Chen et al., Learning Efficient Object Detection Models with Knowledge "
        "Distillation, 2017"
    )
    tasks: ClassVar[frozenset[str]] = frozenset({Classification.kind, Detection.kind})

    def lesson(self, student: nn.Module, teachers: Sequence[Teacher], setting: Setting) -> Lesson:
        """Return the student and its loss."""
        return Lesson(student, setting.loss(answers_of(teachers, setting.task)))
