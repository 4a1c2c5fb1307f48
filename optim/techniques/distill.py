"""Let the smaller model learn from the original one, or from others. Needs samples and time.

The student sees what the teacher finds likely, not only the right answer, and recovers in minutes
what pruning took. On the Lab's first screen students are looked up, never trained: what was
trained before, with the same model, data, seed and preceding steps, is found by its key.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Method, Models, Range
from optim.step import Applied, Context, LayerReport, Step, StepReport
from optim.techniques.transfers import TRANSFERS, SoftTargets, Teacher, TransferMethod

if TYPE_CHECKING:
    from optim.models.bundle import ModelBundle

__all__ = ["Distill"]


_ORIGINAL = "original"


class Distill(Step):
    """Knowledge distillation; by default from the recipe's original model, with soft targets."""

    title: ClassVar[str] = "Distil"
    about: ClassVar[str] = "Trains the compressed model to imitate the original."
    paper: ClassVar[str] = (
        "Hinton et al., Distilling the Knowledge in a Neural Network, 2015, arXiv:1503.02531"
    )
    cost: ClassVar[Literal["instant", "calibrated", "training"]] = "training"

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
    learning_rate: Annotated[
        float,
        Range(
            low=0.001,
            high=0.5,
            step=0.001,
            label="Learning rate",
            expert=True,
            help="Highest learning rate of the one-cycle schedule.",
        ),
    ] = 0.1
    batch_size: Annotated[
        int,
        Range(
            low=16,
            high=1024,
            step=16,
            scale="log",
            unit="samples",
            label="Batch size",
            help="Samples a training step.",
            expert=True,
        ),
    ] = 128
    shift: Annotated[
        int,
        Range(
            low=0,
            high=8,
            step=1,
            unit="pixels",
            label="Random shift",
            expert=True,
            help="Largest random shift of an image while training.",
        ),
    ] = 3
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
    ] = (_ORIGINAL,)

    @property
    def is_neutral(self) -> bool:
        """Whether nothing would be trained."""
        return self.epochs == 0

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the teachers other than the original."""
        names = self.teacher if self.transfer.has_teacher else ()
        return tuple(name for name in names if name != _ORIGINAL)

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return the trained student."""
        import torch

        from optim.device import compute_device
        from optim.techniques.transfers import Setting
        from optim.train import Augment, Schedule, classification_loss, fit

        inputs, targets = context.training()
        student = copy.deepcopy(bundle.module)
        teachers = self._teachers(bundle, context)
        setting = Setting(
            bundle.spec.shape,
            bundle.task.n_classes,
            self.temperature,
            self.alpha,
            classification_loss(),
        )
        with torch.random.fork_rng():
            # Helpers are drawn from the global generator, and so is dropout.
            torch.manual_seed(context.seed)
            lesson = self.transfer.lesson(student, teachers, setting)
            for teacher in teachers:
                teacher.module.to(compute_device())
            history = fit(
                lesson.module,
                inputs,
                targets,
                lesson.objective,
                Schedule(self.epochs, self.batch_size, self.learning_rate),
                generator=context.generator(),
                augment=Augment(shift=self.shift),
                masks={lesson.inside + n: mask for n, mask in bundle.table.masks.items()},
                on_epoch=lambda e: context.progress(
                    e.number / self.epochs, f"epoch {e.number} of {self.epochs}, loss {e.loss:.3f}"
                ),
                check=context.check,
            )
        layers = tuple(
            LayerReport(name.removesuffix(".weight"), True, "trained")
            for name, p in student.named_parameters()
            if name.endswith(".weight") and p.ndim > 1
        )
        summary = (
            f"{self.epochs} epochs on {len(inputs):,} samples, loss {history[0].loss:.3f} to "
            f"{history[-1].loss:.3f}."
        )
        trained = bundle.with_module(student).having_seen(context.seen())
        return Applied(trained, StepReport(summary, layers))

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
                model = context.reference if name == _ORIGINAL else open_registered_model(name)
                check_pair(model, bundle)
            except UnsupportedModelError as error:
                raise ConfigError(error.message, hint=error.hint, field="teacher") from error
            module = copy.deepcopy(model.module).eval().requires_grad_(False)
            teachers.append(Teacher(name, module, bundle.spec.to(model.spec)))
        return tuple(teachers)
