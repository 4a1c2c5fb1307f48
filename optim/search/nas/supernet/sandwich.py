"""What a supernet learns in a step: the largest network from labels, smaller ones from it.

The sandwich rule (Yu and Huang, Universally Slimmable Networks, 2019, arXiv:1903.05134; Yu et al.,
BigNAS, 2020, arXiv:2003.11142): the largest network, the smallest, and some in between, which
imitate what the largest has just answered. What is smallest shrinks while training goes on, one
field after the other (progressive shrinking: Cai et al., Once-for-All, 2019, arXiv:1908.09791).

**Differs from the papers**: one schedule for all of it, so that the learning rate falls once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from optim.errors import OptimError
from optim.models.architecture import Architecture
from optim.search.nas.supernet.sharing import SharedWeights
from optim.search.space import Point, Space
from optim.train import Objective

__all__ = ["BETWEEN", "Sandwich", "Templates", "stages_of"]

BETWEEN = 2
"""Networks between the largest and the smallest that learn in each step."""
_FIRST_SHARE, _LAST_SHARE = 0.15, 0.5
"""Of the steps: before smaller networks learn at all, and until everything is elastic."""
_MOST_DRAWN = 20
_MOST_TEMPLATES = 512


class Templates:
    """Networks of a space without weights: names, shapes, and what is called when.

    Args:
        architecture: Returns the architecture of a point; raises where there is none.
        outline: Returns a network without values.
    """

    def __init__(
        self,
        architecture: Callable[[Point], Architecture],
        outline: Callable[[Architecture], nn.Module],
    ) -> None:
        self._architecture, self._outline = architecture, outline
        self._known: dict[Architecture, tuple[nn.Module, dict[str, Tensor]]] = {}

    def __call__(self, point: Point) -> tuple[nn.Module, dict[str, Tensor]]:
        """Return a network that has no values, and values of the statistics it keeps.

        Raises:
            OptimError: If there is no such network.
        """
        architecture = self._architecture(point)
        if architecture not in self._known:
            if len(self._known) >= _MOST_TEMPLATES:
                self._known.clear()
            module = self._outline(architecture)
            statistics = {
                name: torch.zeros(buffer.shape)
                for name, buffer in module.named_buffers()
                if name.endswith(("running_mean", "running_var"))
            }
            self._known[architecture] = module, statistics
        return self._known[architecture]


def stages_of(space: Space, largest: Point, fields: Sequence[str]) -> list[Space]:
    """Return what is elastic, stage by stage: first nothing, at last the space.

    Args:
        space: All networks.
        largest: The largest of them.
        fields: Dimensions in the order in which they become elastic.

    Example:
        >>> from optim.search.nas.families import space_of
        >>> space = space_of("mlp", (13,), only={"width": (4, 8), "depth": (1, 2, 3)})
        >>> largest = {"mlp.width": 8, "mlp.depth": 3}
        >>> [s.count() for s in stages_of(space, largest, ["mlp.depth", "mlp.width"])]
        [1, 3, 6]
    """
    found = [space.narrowed({name: (value,) for name, value in largest.items()})]
    elastic: set[str] = set()
    for name in fields:
        if name not in space or len(space[name].values) < 2:
            continue
        elastic.add(name)
        fixed = {n: (value,) for n, value in largest.items() if n not in elastic}
        found.append(space.narrowed(fixed))
    return found


class Sandwich(nn.Module):
    """The loss of a step. Matrices and filters that networks do not share are trained along.

    Args:
        largest: The network that is trained; not a part of this module.
        shared: What smaller ones need besides.
        templates: Networks without weights.
        stages: What is elastic, stage by stage.
        smallest: Returns the point of least work of a stage.
        hard: The loss of the largest network.
        generator: Decides which networks learn.
        steps: Of the whole training.
    """

    step: Tensor

    def __init__(
        self,
        largest: nn.Module,
        shared: SharedWeights,
        templates: Templates,
        stages: Sequence[Space],
        smallest: Callable[[Space], Point],
        hard: Objective,
        generator: torch.Generator,
        steps: int,
    ) -> None:
        super().__init__()
        self.shared = shared
        # What it counts is saved and restored with what is trained.
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self._largest = (largest,)
        self._templates = templates
        self._stages = list(stages)
        self._smallest = [smallest(stage) for stage in stages]
        self._hard = hard
        self._generator = generator
        self._steps = steps

    def forward(self, outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
        """Return the loss of the largest network plus the mean loss of the smaller ones.

        Args:
            outputs: ``(B, classes)`` of the largest network.
            targets: ``(B,)`` classes.
            inputs: ``(B, ...)`` what it was given.
        """
        hard, losses = self._hard(outputs, targets, inputs), []
        stage = self.stage(int(self.step))
        self.step += 1
        if stage:
            answers = functional.log_softmax(outputs.detach(), dim=1)
            weights = dict(self._largest[0].named_parameters())
            points = [self._smallest[stage], *self._drawn(stage)]
            for point in points:
                found = functional.log_softmax(self.outputs(point, weights, inputs), dim=1)
                losses.append(
                    functional.kl_div(found, answers, reduction="batchmean", log_target=True)
                )
        return hard + torch.stack(losses).mean() if losses else hard

    def outputs(self, point: Point, weights: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """Return what a network answers in training mode."""
        template, statistics = self._templates(point)
        template.train()
        taken = self.shared.take(template, weights)
        state = {name: value.to(inputs.device) for name, value in statistics.items()}
        answers: Tensor = functional_call(template, {**taken, **state}, (inputs,))
        return answers

    def stage(self, step: int) -> int:
        """Return how many fields are elastic in a step."""
        last = len(self._stages) - 1
        share = step / max(1, self._steps)
        if share < _FIRST_SHARE or not last:
            return 0
        opened = 1 + int(last * (share - _FIRST_SHARE) / (_LAST_SHARE - _FIRST_SHARE))
        return min(last, opened)

    def _drawn(self, stage: int) -> list[dict[str, bool | int | float | str]]:
        seed = int(torch.randint(2**31, (), generator=self._generator))
        chance = random.Random(seed)
        found: list[dict[str, bool | int | float | str]] = []
        for _ in range(_MOST_DRAWN):
            if len(found) == BETWEEN:
                break
            point = self._stages[stage].drawn(chance)
            try:
                self._templates(point)
            except OptimError:
                continue
            found.append(point)
        return found
