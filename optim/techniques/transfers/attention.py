"""Learn where the teacher looks. Any widths; only for networks with feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.data.task import Classification, Detection
from optim.fields import Range
from optim.techniques.transfers.method import (
    Lesson,
    Setting,
    Teacher,
    TransferMethod,
    shared_stages,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Attention", "attention_loss"]


class Attention(TransferMethod):
    """Match the maps of how active each position is, at every resolution, beside soft targets."""

    title: ClassVar[str] = "Attention transfer"
    paper: ClassVar[str] = (
        "Zagoruyko and Komodakis, Paying More Attention to Attention, 2017, arXiv:1612.03928"
    )
    tasks: ClassVar[frozenset[str]] = frozenset({Classification.kind, Detection.kind})

    weight: Annotated[
        float,
        Range(
            low=0.0,
            high=50.0,
            step=1.0,
            label="Attention weight",
            help="Weight of the distance between attention maps, beside the loss on the answers.",
        ),
    ] = 5.0

    def lesson(self, student: nn.Module, teachers: Sequence[Teacher], setting: Setting) -> Lesson:
        """Return the student and its loss."""
        import torch

        from optim.layers.features import ObservedModule, observed_graph

        teacher, pairs = shared_stages(
            self, student, teachers, setting.input_shape, with_positions=True
        )
        learner = ObservedModule(student, [own for own, _ in pairs], [])
        observed = observed_graph(teacher.module, [other for _, other in pairs])

        def objective(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
            with torch.no_grad():
                answers, maps = observed(teacher.convert(inputs))
            soft = setting.loss(lambda x: answers)
            distances = [
                attention_loss(own, other, pair[0].axis)
                for own, other, pair in zip(learner.take(), maps, pairs, strict=True)
            ]
            return soft(outputs, targets, inputs) + self.weight * torch.stack(distances).mean()

        return Lesson(learner, objective, inside="student.")


def attention_loss(own: Tensor, other: Tensor, axis: int = 1) -> Tensor:
    """Return the mean squared distance, from 0 to 2, between two batches of attention maps.

    The map of a sample is the mean square over its channels, of length 1: neither the number of
    channels nor the size of their values matters.

    Args:
        own: Features ``(B, C, ...)``, or ``(B, ..., C)`` with ``axis=-1``.
        other: Features of the same positions.
        axis: Dimension of the channels in both.
    """
    from torch.nn import functional

    first, second = (
        functional.normalize(f.square().mean(dim=axis).flatten(1), dim=1) for f in (own, other)
    )
    return (first - second).square().sum(dim=1).mean()
