"""Learn what the teacher sees on the way to its answer. A small layer translates between widths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.data.task import Classification, Detection
from optim.fields import Choice, Range
from optim.techniques.transfers.method import (
    Lesson,
    Setting,
    Teacher,
    TransferMethod,
    shared_stages,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from optim.layers.features import Place

__all__ = ["Hints", "hint_loss"]


class Hints(TransferMethod):
    """Predict the teacher's hidden features from the student's, beside soft targets.

    **Differs from the paper**: hints and answers are learned together instead of one after the
    other, and the error is relative to the size of the teacher's features.
    """

    title: ClassVar[str] = "Feature hints"
    paper: ClassVar[str] = "Romero et al., FitNets: Hints for Thin Deep Nets, 2015, arXiv:1412.6550"
    tasks: ClassVar[frozenset[str]] = frozenset({Classification.kind, Detection.kind})

    weight: Annotated[
        float,
        Range(
            low=0.0,
            high=10.0,
            step=0.5,
            label="Hint weight",
            help="Weight of the features' relative error, beside the loss on the answers.",
        ),
    ] = 1.0
    stages: Annotated[
        Literal["middle", "last", "all"],
        Choice(
            options={"middle": "Middle", "last": "Last", "all": "All"},
            label="Stages",
            help="Which features are compared: those in the middle of the network, as in the "
            "paper, the last ones, or those of every resolution.",
        ),
    ] = "middle"

    def lesson(self, student: nn.Module, teachers: Sequence[Teacher], setting: Setting) -> Lesson:
        """Return the student with one regressor a stage, and its loss."""
        import torch

        from optim.layers.features import ObservedModule, observed_graph

        teacher, pairs = shared_stages(
            self, student, teachers, setting.input_shape, with_positions=False
        )
        pairs = self._chosen(pairs)
        regressors = [_regressor(own, other) for own, other in pairs]
        learner = ObservedModule(student, [own for own, _ in pairs], regressors)
        observed = observed_graph(teacher.module, [other for _, other in pairs])

        def objective(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
            with torch.no_grad():
                answers, hints = observed(teacher.convert(inputs))
            soft = setting.loss(lambda x: answers)
            guesses = [
                regressor(features)
                for regressor, features in zip(learner.helpers, learner.take(), strict=True)
            ]
            errors = [hint_loss(g, hint) for g, hint in zip(guesses, hints, strict=True)]
            return soft(outputs, targets, inputs) + self.weight * torch.stack(errors).mean()

        return Lesson(learner, objective, inside="student.")

    def _chosen(self, pairs: list[tuple[Place, Place]]) -> list[tuple[Place, Place]]:
        if self.stages == "all":
            return pairs
        return pairs[-1:] if self.stages == "last" else [pairs[(len(pairs) - 1) // 2]]


def hint_loss(guess: Tensor, hint: Tensor) -> Tensor:
    """Return the squared error of guessed features, relative to their mean square."""
    return (guess - hint).square().mean() / hint.square().mean().clamp(min=1e-12)


def _regressor(own: Place, other: Place) -> nn.Module:
    """Return the layer that guesses the teacher's channels at each position."""
    from torch import nn

    if len(own.size) == 2:
        return nn.Conv2d(own.channels, other.channels, 1)
    if len(own.size) == 1 and own.axis == 1:
        return nn.Conv1d(own.channels, other.channels, 1)
    return nn.Linear(own.channels, other.channels)
