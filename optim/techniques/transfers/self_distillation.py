"""Let the network teach its own early layers. Needs no teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.fields import Range
from optim.techniques.transfers.method import Lesson, Setting, Teacher, TransferMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

    from optim.layers.features import Place

__all__ = ["SelfDistillation"]


class SelfDistillation(TransferMethod):
    """Small classifiers on early layers imitate the network's own answer and are then dropped.

    **Differs from the paper**: the classifiers are one dense layer on the mean over positions, and
    features are not compared.
    """

    title: ClassVar[str] = "Self-distillation"
    paper: ClassVar[str] = (
        "Zhang et al., Be Your Own Teacher: Improve the Performance of Convolutional Neural "
        "Networks via Self Distillation, 2019, arXiv:1905.08094"
    )
    has_teacher: ClassVar[bool] = False

    exits: Annotated[
        int,
        Range(
            low=1,
            high=6,
            step=1,
            label="Classifiers",
            help="Early layers with a classifier of their own, evenly spread over the depth.",
        ),
    ] = 3

    def lesson(self, student: nn.Module, teachers: Sequence[Teacher], setting: Setting) -> Lesson:
        """Return the student with its early classifiers, and their loss."""
        import torch
        from torch import nn

        from optim.errors import UnsupportedModelError
        from optim.layers.features import ObservedModule, places_of

        places = self._chosen(places_of(student, setting.input_shape))
        if not places:
            raise UnsupportedModelError(
                f"{self.title} needs activation functions to attach classifiers to, and this "
                "network has none.",
                hint="Use soft targets.",
            )
        heads: list[nn.Module] = [
            nn.Linear(place.channels, setting.task.n_classes) for place in places
        ]
        learner = ObservedModule(student, places, heads)

        def objective(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
            own = outputs.detach()
            taught = setting.loss(lambda x: own)
            losses = [
                taught(head(_mean(features, place)), targets, inputs)
                for head, features, place in zip(
                    learner.helpers, learner.take(), places, strict=True
                )
            ]
            return setting.hard(outputs, targets, inputs) + torch.stack(losses).mean()

        return Lesson(learner, objective, inside="student.")

    def _chosen(self, places: list[Place]) -> list[Place]:
        """Return places evenly spread over the depth; the last one only if it is the only one."""
        last = len(places) - 1
        positions = {last * k // (self.exits + 1) for k in range(1, self.exits + 1)}
        return [places[i] for i in sorted(positions)] if places else []


def _mean(features: Tensor, place: Place) -> Tensor:
    """Return the mean ``(B, C)`` over positions."""
    if not place.size:
        return features
    return features.mean(dim=1) if place.axis == -1 else features.flatten(2).mean(dim=2)
