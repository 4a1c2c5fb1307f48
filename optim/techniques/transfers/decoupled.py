"""Weigh what the teacher says about the wrong classes on its own. For teachers that are sure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.fields import Range
from optim.techniques.transfers.method import Lesson, Setting, Teacher, TransferMethod, answers_of

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Decoupled", "decoupled_divergences"]


class Decoupled(TransferMethod):
    """Split soft targets into how sure the teacher is and what it finds second best.

    The usual loss weighs the second part by how unsure the teacher is, and so hardly hears it where
    the teacher is right.
    """

    title: ClassVar[str] = "Decoupled"
    paper: ClassVar[str] = "Zhao et al., Decoupled Knowledge Distillation, 2022, arXiv:2203.08679"

    target_weight: Annotated[
        float,
        Range(
            low=0.0,
            high=4.0,
            step=0.25,
            label="Target class",
            help="Weight of how sure the teacher is of the true class.",
        ),
    ] = 1.0
    other_weight: Annotated[
        float,
        Range(
            low=0.0,
            high=10.0,
            step=0.5,
            label="Other classes",
            help="Weight of how the teacher ranks the wrong classes.",
        ),
    ] = 2.0

    def lesson(self, student: nn.Module, teachers: Sequence[Teacher], setting: Setting) -> Lesson:
        """Return the student and its loss."""
        import torch

        answers = answers_of(teachers, setting.task)
        temperature, alpha = setting.temperature, setting.alpha

        def objective(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
            with torch.no_grad():
                soft = answers(inputs)
            # Of mixed samples the larger share counts as the target.
            classes = targets if targets.ndim == 1 else targets.argmax(dim=1)
            target, others = decoupled_divergences(outputs, soft, classes, temperature)
            imitation = self.target_weight * target.mean() + self.other_weight * others.mean()
            hard = setting.hard(outputs, targets, inputs)
            return alpha * temperature**2 * imitation + (1 - alpha) * hard

        return Lesson(student, objective)


def decoupled_divergences(
    outputs: Tensor, answers: Tensor, targets: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return the divergences ``(B,)`` of student from teacher: on the target, and on the others.

    With the teacher's probability ``p`` of the target, ``target + (1 - p) * others`` is the whole
    Kullback-Leibler divergence.

    Args:
        outputs: The student's logits ``(B, classes)``.
        answers: The teacher's logits ``(B, classes)``.
        targets: True classes ``(B,)``.
        temperature: Divides both.
    """
    import torch
    from torch.nn import functional

    is_target = functional.one_hot(targets, outputs.shape[1]).bool()

    def parts(logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities of target or not, and those among the others."""
        whole = (logits / temperature).log_softmax(dim=1)
        others = whole[~is_target].reshape(len(whole), -1)
        mass = others.logsumexp(dim=1, keepdim=True)
        return torch.cat([whole[is_target][:, None], mass], dim=1), others - mass

    (student, student_others), (teacher, teacher_others) = parts(outputs), parts(answers)

    def divergence(own: Tensor, other: Tensor) -> Tensor:
        return functional.kl_div(own, other, reduction="none", log_target=True).sum(dim=1)

    return divergence(student, teacher), divergence(student_others, teacher_others)
