"""The training of a supernet, and the networks that come out of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from optim.data.splits import trained_on
from optim.data.task import Classification
from optim.errors import OptimError
from optim.hashing import digest
from optim.layers.norms import measure_norms_
from optim.models.architecture import Architecture
from optim.models.bundle import ModelBundle, Provenance
from optim.search.nas.bench import SMOOTHING, Bench
from optim.search.nas.supernet.sandwich import Sandwich, Templates, stages_of
from optim.search.nas.supernet.sharing import SharedWeights
from optim.search.space import Point, Space
from optim.step import NoResume, Resume
from optim.train import Epoch, fit, label_loss

__all__ = ["Supernet", "largest_of", "smallest_of"]

_MEASURED = 512
"""Training samples that a network's statistics are taken from."""
_PASS = 512
"""Validation samples of one pass."""
_TIMED = 3


def smallest_of(space: Space, work: Callable[[Point], float]) -> Point:
    """Return the point of least work, looked for along one dimension after the other.

    Args:
        space: What may be chosen.
        work: Of a network, such as its MACs; infinite where there is none.
    """
    return _end_of(space, work, float.__lt__)


def largest_of(space: Space, work: Callable[[Point], float]) -> Point:
    """Return the point of most work, see :func:`smallest_of`."""
    return _end_of(space, work, float.__gt__)


def _end_of(
    space: Space, work: Callable[[Point], float], is_better: Callable[[float, float], bool]
) -> Point:
    point = space.clean({})
    best = work(point)
    for dimension in space:
        values = dimension.values
        for value in (values[0], values[-1]) if dimension.is_ordered else values:
            other = space.clean({**point, dimension.name: value})
            here = work(other)
            if here < float("inf") and (best == float("inf") or is_better(here, best)):
                point, best = other, here
    return point


class Supernet:
    """The largest network of a space, and every other one in it.

    Args:
        bench: Data, and how networks of the family are trained.
        space: What shares weights.

    Raises:
        OptimError: If the largest network cannot be built.
    """

    def __init__(self, bench: Bench, space: Space) -> None:
        self._bench = bench
        self.space = space
        self.templates = Templates(bench.architecture, bench.outline)
        self.largest = largest_of(space, bench.work)
        self._module = bench.fresh(bench.architecture(self.largest)).module
        self._shared = SharedWeights(self._module, self._variants())
        self.epochs, self.seconds = 0, 0.0

    @property
    def architecture(self) -> Architecture:
        """The largest network."""
        return self._bench.architecture(self.largest)

    def key(self, epochs: int) -> str:
        """Return the identity of what so many epochs make of it."""
        schedule = vars(self._bench.schedule(epochs))
        return digest(
            "supernet", self.space.key, self._bench.key(self.architecture, epochs), schedule
        )

    # --- training ---------------------------------------------------------------------------

    def seconds_per_epoch(self) -> float:
        """Return how long an epoch takes when everything is elastic, by a few steps unseen."""
        inputs, targets = self._bench.part("train")
        batch = self._bench.schedule(1).batch_size
        generator = torch.Generator().manual_seed(0)
        module, shared = deepcopy(self._module), deepcopy(self._shared)
        loss = self._sandwich(module, shared, generator, 1)
        loss.step.fill_(1)  # at the end of all steps
        module.train()
        times = []
        for _ in range(_TIMED):
            began = time.perf_counter()
            rows = inputs[:batch]
            loss(module(rows), targets[:batch], rows).backward()
            times.append(time.perf_counter() - began)
        return min(times) * max(1, len(inputs) // batch)

    def train(
        self,
        epochs: int,
        *,
        resume: Resume | None = None,
        on_epoch: Callable[[Epoch], None] = lambda epoch: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Train it.

        Args:
            epochs: How long.
            resume: Where states are kept.
            on_epoch: Called after every epoch.
            check: Called between steps; raises to stop.
        """
        bench = self._bench
        inputs, targets = bench.part("train")
        schedule = bench.schedule(epochs)
        steps = epochs * max(1, len(inputs) // min(schedule.batch_size, len(inputs)))
        generator = torch.Generator().manual_seed(bench.asked.seed)
        done = fit(
            self._module,
            inputs,
            targets,
            self._sandwich(self._module, self._shared, generator, steps),
            schedule,
            generator=generator,
            augment=bench.augment,
            resume=resume or NoResume(),
            on_epoch=on_epoch,
            check=check,
        )
        self._shared.cpu().eval()
        self.epochs, self.seconds = epochs, sum(epoch.seconds for epoch in done)

    # --- its networks -----------------------------------------------------------------------

    @torch.no_grad()
    def network(self, architecture: Architecture) -> ModelBundle:
        """Return a network of the space with the weights that are shared.

        What batch norm believes is measured anew for each: it is another one in every network.
        """
        fresh = self._bench.fresh(architecture)
        module = fresh.module
        taken = self._shared.take(module, dict(self._module.named_parameters()))
        for name, parameter in module.named_parameters():
            parameter.copy_(taken[name])
        inputs, _ = self._bench.part("train")
        measure_norms_(module.eval(), inputs[:_MEASURED].split(_MEASURED // 2))
        provenance = Provenance(
            architecture.title,
            seen=trained_on(self._bench.subject.data),
            note="Its weights are shared with other networks of its space.",
        )
        return replace(fresh, provenance=provenance, name=architecture.title)

    @torch.no_grad()
    def accuracy(self, point: Point) -> float:
        """Return the share of validation samples that a network gets right; nothing is built.

        Raises:
            OptimError: If there is no such network.
        """
        template, statistics = self.templates(point)
        taken = self._shared.take(template, dict(self._module.named_parameters()))
        inputs, _ = self._bench.part("train")
        norms = _MeasuringNorms(template)
        state = {**taken, **statistics}
        template.eval()
        with norms:
            functional_call(template, state, (inputs[:_MEASURED],))
        inputs, targets = self._bench.part("validation")
        right = sum(
            int((functional_call(template, state, (x,)).argmax(1) == wanted).sum())
            for x, wanted in zip(inputs.split(_PASS), targets.split(_PASS), strict=True)
        )
        return right / len(targets)

    # --- inside -----------------------------------------------------------------------------

    def _variants(self) -> list[nn.Module]:
        """Return networks that differ from the largest in one field and in the size of a filter."""
        own = {name: value.shape for name, value in self._module.named_parameters()}
        found = []
        for dimension in self.space:
            for value in dimension.values:
                point = self.space.clean({**self.largest, dimension.name: value})
                try:
                    template, _ = self.templates(point)
                except OptimError:
                    continue
                if any(p.shape[2:] != own[name][2:] for name, p in template.named_parameters()):
                    found.append(self._bench.fresh(self._bench.architecture(point)).module)
        return found

    def _sandwich(
        self, module: nn.Module, shared: SharedWeights, generator: torch.Generator, steps: int
    ) -> Sandwich:
        bench = self._bench
        task = bench.subject.bundle.task
        assert isinstance(task, Classification)
        family = bench.asked.space
        fields = [f"{family}.{name}" for name in bench.family.elastic]
        return Sandwich(
            module,
            shared,
            self.templates,
            stages_of(self.space, self.largest, fields),
            lambda stage: smallest_of(stage, bench.work),
            label_loss(task, SMOOTHING),
            generator,
            steps,
        )


class _MeasuringNorms:
    """While it is open, batch norms keep the statistics of the last pass and nothing else."""

    def __init__(self, module: nn.Module) -> None:
        kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
        self._norms = [layer for layer in module.modules() if isinstance(layer, kinds)]
        self._before: list[Any] = []

    def __enter__(self) -> None:
        self._before = [norm.momentum for norm in self._norms]
        for norm in self._norms:
            norm.momentum = 1.0
            norm.train()

    def __exit__(self, *_: object) -> None:
        for norm, momentum in zip(self._norms, self._before, strict=True):
            norm.momentum = momentum
            norm.eval()
