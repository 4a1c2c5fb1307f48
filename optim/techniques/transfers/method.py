"""What every transfer method is, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optim.data.task import Classification, Detection, ModelTask
from optim.errors import ConfigError, UnsupportedModelError
from optim.fields import MethodConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from optim.layers.features import Place
    from optim.train import Objective

__all__ = ["Lesson", "Setting", "Teacher", "TransferMethod", "answers_of", "shared_stages"]


@dataclass(frozen=True, eq=False)
class Teacher:
    """A model that is imitated.

    Attributes:
        name: For messages.
        module: In evaluation mode, without gradients; moved to the training device before training.
        convert: From inputs as the student takes them to those the teacher takes.
    """

    name: str
    module: nn.Module
    convert: Callable[[Tensor], Tensor] = lambda x: x


@dataclass(frozen=True)
class Setting:
    """What all transfer methods share.

    Attributes:
        input_shape: Shape of one sample.
        task: What student and teachers are for.
        temperature: Softens the answers of student and teacher.
        alpha: Weight of the teacher's answer, in 0..1; the rest is the true label's.
        hard: The loss on the true label.
    """

    input_shape: tuple[int, ...]
    task: ModelTask
    temperature: float
    alpha: float
    hard: Objective

    def loss(self, answers: Callable[[Tensor], Tensor]) -> Objective:
        """Return the loss on soft targets and labels; see :func:`optim.train.imitation_loss`."""
        from optim.train import imitation_loss

        return imitation_loss(self.task, answers, self.temperature, self.alpha, self.hard)


@dataclass(frozen=True, eq=False)
class Lesson:
    """What is trained, and by which loss.

    Attributes:
        module: The student, or something that holds it.
        objective: Its loss.
        inside: What comes before the names of the student's layers in ``module``.
    """

    module: nn.Module
    objective: Objective
    inside: str = ""


class TransferMethod(MethodConfig):
    """Base of the transfer methods."""

    tasks: ClassVar[frozenset[str]] = frozenset({Classification.kind})
    """Kinds of task whose models can learn in this way."""
    has_teacher: ClassVar[bool] = True
    """Whether it learns from other models at all."""

    def lesson(self, student: nn.Module, teachers: Sequence[Teacher], setting: Setting) -> Lesson:
        """Return what is to be trained.

        Args:
            student: Trained in place; in evaluation mode now.
            teachers: One or, where the method allows, several.
            setting: What all methods share.

        Raises:
            ConfigError: If these teachers cannot be learned from in this way.
            UnsupportedModelError: If student and teacher have nothing to compare.
        """
        raise NotImplementedError


def answers_of(teachers: Sequence[Teacher], task: ModelTask) -> Callable[[Tensor], Tensor]:
    """Return a function from inputs ``(B, ...)`` to what the teachers answer ``(B, numbers)``.

    Several are averaged in log-probabilities, so that the geometric mean of their opinions is
    imitated at every temperature. Of detectors logits of single classes and boxes are averaged.
    """
    import torch

    if len(teachers) == 1:
        (teacher,) = teachers
        return lambda x: teacher.module(teacher.convert(x))

    def answers(x: Tensor) -> Tensor:
        found = [teacher.module(teacher.convert(x)) for teacher in teachers]
        if not isinstance(task, Detection):
            found = [logits.log_softmax(dim=1) for logits in found]
        return torch.stack(found).mean(dim=0)

    return answers


def shared_stages(
    method: TransferMethod,
    student: nn.Module,
    teachers: Sequence[Teacher],
    input_shape: tuple[int, ...],
    *,
    with_positions: bool,
) -> tuple[Teacher, list[tuple[Place, Place]]]:
    """Return the one teacher and the stages at which student and teacher can be compared.

    Args:
        method: For messages.
        student: In evaluation mode.
        teachers: Exactly one.
        input_shape: Shape of one sample.
        with_positions: Whether stages without positions are left out.

    Raises:
        ConfigError: If there are several teachers.
        UnsupportedModelError: If no stage has the same size in both.
    """
    from optim.layers.features import common_stages, places_of, stages_of

    title = type(method).title
    if len(teachers) != 1:
        names = ", ".join(teacher.name for teacher in teachers)
        raise ConfigError(
            f"{title} needs one teacher: got {len(teachers)} ({names}).",
            hint="Name one, or learn from the answers of all with soft targets.",
            field="teacher",
        )
    (teacher,) = teachers
    pairs = common_stages(
        stages_of(places_of(student, input_shape)),
        stages_of(places_of(teacher.module, input_shape)),
    )
    if with_positions:
        pairs = [(own, other) for own, other in pairs if own.size]
    if not pairs:
        kind = "feature maps" if with_positions else "hidden layers"
        raise UnsupportedModelError(
            f"{title} compares {kind} of one size, and this student and {teacher.name} share none.",
            hint="Use soft targets, or a teacher of the same family.",
        )
    return teacher, pairs
