"""Let the smaller model learn from the original one, or from others. Needs samples and time.

The student sees what the teacher finds likely, not only the right answer, and recovers in minutes
what pruning took. On the Lab's first screen students are looked up, never trained: what was
trained before, with the same model, data, seed and preceding steps, is found by its key.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.fields import Method, Models, Range
from optim.step import Applied, Context
from optim.techniques.training import TrainingStep
from optim.techniques.transfers import TRANSFERS, SoftTargets, Teacher, TransferMethod

if TYPE_CHECKING:
    from optim.models.bundle import ModelBundle

__all__ = ["ORIGINAL", "Distill"]

ORIGINAL = "original"
"""Name under which a recipe's own model, before any step, is a teacher."""


class Distill(TrainingStep):
    """Knowledge distillation; by default from the recipe's original model, with soft targets.

    A detector learns its teacher's classes and boxes at every place, and from the true boxes.
    """

    title: ClassVar[str] = "Distil"
    about: ClassVar[str] = "Trains the compressed model to imitate the original."
    paper: ClassVar[str] = (
        "Hinton et al., Distilling the Knowledge in a Neural Network, 2015, arXiv:1503.02531; of "
        "detectors: Chen et al., Learning Efficient Object Detection Models with Knowledge "
        "Distillation, 2017"
    )

    epochs: Annotated[
        int,
        Range(
            low=0,
            high=100,
            step=1,
            unit="epochs",
            label="Distillation",
            help="Passes over the training data in which the student learns from its teacher.",
        ),
    ] = 12
    temperature: Annotated[
        float,
        Range(
            low=1.0,
            high=10.0,
            step=0.5,
            label="Temperature",
            help="Softens the teacher: higher shows more of what it finds second best.",
        ),
    ] = 4.0
    alpha: Annotated[
        float,
        Range(
            low=0.0,
            high=1.0,
            step=0.05,
            scale="percent",
            label="Soft weight",
            help="Weight of the teacher's answer; the rest is the true label's.",
        ),
    ] = 0.9
    transfer: Annotated[
        TransferMethod,
        Method(
            family=TRANSFERS,
            label="Learns from",
            help="What the student takes from its teacher.",
        ),
    ] = SoftTargets()
    teacher: Annotated[
        tuple[str, ...],
        Models(
            label="Teacher",
            help="The original model, another trained one by name, or several whose answers are "
            "averaged. Self-distillation asks none.",
        ),
    ] = (ORIGINAL,)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the teachers other than the original."""
        names = self.teacher if self.transfer.has_teacher else ()
        return tuple(name for name in names if name != ORIGINAL)

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return the trained student."""
        import torch

        from optim.device import compute_device
        from optim.techniques.transfers import Setting

        context.require_labels()
        self._check_transfer(bundle)
        student = copy.deepcopy(bundle.module)
        frozen = self.frozen_layers(student)
        teachers = self._teachers(bundle, context)
        setting = Setting(
            bundle.spec.shape,
            bundle.task,
            self.temperature,
            self.alpha,
            self.label_loss(context),
        )
        with torch.random.fork_rng():
            torch.manual_seed(context.seed)  # helpers are drawn from the global generator
            lesson = self.transfer.lesson(student, teachers, setting)
        for teacher in teachers:
            teacher.module.to(compute_device())
        trained = self.train(
            lesson.module,
            context,
            lesson.objective,
            masks={lesson.inside + name: mask for name, mask in bundle.table.masks.items()},
            frozen=[lesson.inside + name for name in frozen],
        )
        result = bundle.with_module(student).having_seen(context.seen())
        return Applied(result, self.report(student, trained, frozen))

    def _check_transfer(self, bundle: ModelBundle) -> None:
        """Refuse to learn in a way that models of this task cannot.

        Raises:
            ConfigError: Naming the ways that they can.
        """
        from optim.errors import ConfigError

        kind = bundle.task.kind
        if kind not in self.transfer.tasks:
            fitting = [method.title for method in TRANSFERS.values() if kind in method.tasks]
            raise ConfigError(
                f"{self.transfer.title} compares the probabilities of classes, and "
                f"{bundle.name} finds objects.",
                hint=f"Learn from: {', '.join(fitting)}.",
                field="transfer",
            )

    def _teachers(self, bundle: ModelBundle, context: Context) -> tuple[Teacher, ...]:
        """Return copies of the teachers.

        Raises:
            ConfigError: If one is not there, or does not go with the student.
        """
        from optim.errors import ConfigError, UnsupportedModelError
        from optim.models.open import check_pair, open_registered_model

        if not self.transfer.has_teacher:
            return ()
        teachers = []
        for name in self.teacher:
            try:
                model = context.reference if name == ORIGINAL else open_registered_model(name)
                check_pair(model, bundle)
            except UnsupportedModelError as error:
                raise ConfigError(error.message, hint=error.hint, field="teacher") from error
            module = copy.deepcopy(model.module).eval().requires_grad_(False)
            teachers.append(Teacher(name, module, bundle.spec.to(model.spec)))
        return tuple(teachers)
