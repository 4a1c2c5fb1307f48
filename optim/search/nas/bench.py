"""What a network costs before it is trained, and what it reaches after.

Costs are those of the file it would be deployed as: with 8-bit integers where that is asked for,
outlined without a sample. What is trained is kept under the key of all that led to it, see
:mod:`optim.stored`: whoever needs the network again, a resumed search or its end, finds it there.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optim.data.added import open_registered_data
from optim.data.splits import trained_on
from optim.data.task import Classification
from optim.device import compute_device
from optim.errors import CalibrationError, OptimError
from optim.export.deploy import onnx_bytes
from optim.hashing import digest
from optim.measure.chance import chance_of
from optim.measure.evaluate import predict
from optim.measure.macs import layer_costs
from optim.models.architecture import Architecture
from optim.models.bundle import ModelBundle, Provenance
from optim.models.checkpoint import load_checkpoint
from optim.models.open import fresh_model
from optim.models.zoo import ARCHITECTURES, architecture_from_json, architecture_to_json
from optim.quantity import How, Quantity
from optim.recipe import Recipe
from optim.search.costs import cheap_figures, device_figures
from optim.search.goals import Goals
from optim.search.nas.asked import Asked
from optim.search.nas.families import architecture_at, space_of
from optim.search.nas.proxies import PROXIES, Probe, scores_of
from optim.search.space import Point, Space
from optim.step import Context, NoResume, Resume
from optim.stored import load_stored, store_result, stored_file
from optim.subject import Subject, open_any_data, subject_of
from optim.techniques.quantize import Quantize
from optim.train import Augment, Epoch, Schedule, fit, label_loss

__all__ = ["SMOOTHING", "Bench", "Judged"]

SMOOTHING = 0.05
"""Share of each label that is spread over all classes."""

_LOG = logging.getLogger(__name__)
_PROBED = 64
"""Training samples that proxies look at."""
_TIMED = 3
_FEW = 5000
"""Training samples below which batches are small."""


@dataclass(frozen=True)
class Judged:
    """What a trained network reaches.

    Attributes:
        accuracy: Of the network as it is deployed.
        error: The same as a figure of a search.
    """

    accuracy: Quantity
    error: Quantity


class Bench:
    """Data, a space, and what is done to the networks of it.

    Args:
        asked: What is asked for.
        folder: Where relative files are looked up.
        registered_only: Whether only registered data are opened.

    Raises:
        OptimError: If the data cannot be opened, or no network of the space takes them.
    """

    def __init__(
        self, asked: Asked, *, folder: Path = Path(), registered_only: bool = False
    ) -> None:
        self.asked = asked
        data = (
            open_registered_data(asked.data)
            if registered_only
            else open_any_data(asked.data, folder)
        )
        if not isinstance(data.task, Classification) or not data.is_split:
            what = "have no training part" if not data.is_split else "have no classes"
            raise CalibrationError(
                f"An architecture is searched by training classifiers, and {data.title} {what}.",
                hint="Use data with classes and with train and test parts.",
            )
        self.family = ARCHITECTURES[asked.space]
        self.space: Space = space_of(
            asked.space, data.input_shape, also=asked.also, only=asked.only
        )
        reference = fresh_model(self._some(data.input_shape), data, asked.seed)
        self.subject: Subject = subject_of(reference, data, seed=asked.seed)
        self._costs: dict[str, dict[str, Quantity]] = {}
        self._work: dict[str, tuple[float, int]] = {}
        self._parts: dict[str, tuple[Tensor, Tensor]] = {}
        self._trained: dict[str, ModelBundle] = {}

    # --- architectures ----------------------------------------------------------------------

    def architecture(self, point: Point) -> Architecture:
        """Return the architecture that a point is.

        Raises:
            OptimError: If there is none, or it does not take the data.
        """
        found = architecture_at(self.asked.space, point)
        found.check(self.subject.data.input_shape)
        return found

    def fresh(self, architecture: Architecture, seed: int | None = None) -> ModelBundle:
        """Return a network with fresh weights, for these data."""
        own = self.asked.seed if seed is None else seed
        found = fresh_model(architecture, self.subject.data, own)
        return replace(found, spec=self.subject.bundle.spec)

    def layers(self, architecture: Architecture) -> list[dict[str, Any]]:
        """Return the layers that multiply, as plain data, in order of execution."""
        bundle = self.fresh(architecture)
        return [
            {
                "name": cost.name,
                "kind": cost.kind,
                "shape": list(cost.shape),
                "params": cost.params,
                "macs": cost.macs,
                "activations": cost.activations,
            }
            for cost in layer_costs(bundle.module, bundle.spec.shape)
        ]

    def outline(self, architecture: Architecture) -> torch.nn.Module:
        """Return a network without values: names, shapes, and what is called when."""
        task = self.subject.bundle.task
        assert isinstance(task, Classification)
        with torch.device("meta"):
            return architecture.build(self._shape, task.n_classes)

    def work(self, point: Point) -> float:
        """Return the MACs of one inference; infinite where there is no such network."""
        return self._outlined(point)[0]

    def layer_count(self, point: Point) -> int:
        """Return how many layers with weights a network has; 0 where there is none."""
        return self._outlined(point)[1]

    def _outlined(self, point: Point) -> tuple[float, int]:
        key = digest(dict(point))
        if key not in self._work:
            try:
                costs = layer_costs(self.outline(self.architecture(point)), self._shape)
                self._work[key] = float(sum(cost.macs for cost in costs)), len(costs)
            except OptimError:
                self._work[key] = float("inf"), 0
        return self._work[key]

    @property
    def about_training(self) -> dict[str, Any]:
        """What of a search tells how a network is trained, plain data: another bench's asked."""
        own = self.asked
        return Asked(own.space, own.data, seed=own.seed).to_json()

    # --- before training --------------------------------------------------------------------

    def costs(self, architecture: Architecture, goals: Goals) -> dict[str, Quantity]:
        """Return what a network costs where it is deployed, as far as goals ask for it.

        Raises:
            OptimError: If it cannot be built or deployed.
        """
        key = digest(architecture_to_json(architecture), goals.device, goals.bytes_of)
        if key not in self._costs:
            self._costs[key] = self._costs_of(self.fresh(architecture), architecture, goals)
        return self._costs[key]

    def scores(
        self, architecture: Architecture, names: Collection[str] = tuple(PROXIES)
    ) -> dict[str, float]:
        """Return what proxies say of a network."""
        bundle = self.fresh(architecture)
        inputs, targets = self._probed
        loss = torch.nn.functional.cross_entropy
        costs = layer_costs(bundle.module, bundle.spec.shape)
        probe = Probe(
            inputs,
            targets,
            lambda outputs, wanted: loss(outputs, wanted),
            sum(p.numel() for p in bundle.module.parameters()),
            sum(cost.macs for cost in costs),
        )
        return scores_of(bundle.module, probe, names)

    # --- training ---------------------------------------------------------------------------

    def train(
        self,
        architecture: Architecture,
        epochs: int,
        *,
        seed: int | None = None,
        resume: Resume | None = None,
        on_epoch: Callable[[Epoch], None] = lambda epoch: None,
        check: Callable[[], None] = lambda: None,
        trained: Callable[[str], None] = lambda key: None,
    ) -> tuple[ModelBundle, float]:
        """Train a network from fresh weights; return it with the seconds of its epochs.

        Args:
            architecture: What is trained.
            epochs: How long.
            seed: Of initial weights and order of samples; what was asked for if None. What another
                one gives is not kept.
            resume: Where states are kept.
            on_epoch: Called after every epoch.
            check: Called between steps; raises to stop.
            trained: Called with the key under which the result was stored.
        """
        own = self.asked.seed if seed is None else seed
        bundle = self.fresh(architecture, own)
        task = bundle.task
        assert isinstance(task, Classification)
        inputs, targets = self.part("train")
        done = fit(
            bundle.module,
            inputs,
            targets,
            label_loss(task, SMOOTHING),
            self.schedule(epochs),
            generator=torch.Generator().manual_seed(own),
            augment=self.augment,
            resume=resume or NoResume(),
            on_epoch=on_epoch,
            check=check,
        )
        found = self._as_trained(bundle, architecture)
        if own != self.asked.seed:
            return found, sum(epoch.seconds for epoch in done)
        if key := self.remember(found, {"architecture": architecture, "epochs": epochs}):
            trained(key)
        return found, sum(epoch.seconds for epoch in done)

    def remember(self, bundle: ModelBundle, made: Mapping[str, Any]) -> str:
        """Keep a trained network; return its key, or an empty text if it could not be stored.

        Args:
            bundle: The network.
            made: What made it; see :meth:`trained`.
        """
        key = self.key_of(made)
        self._trained[key] = bundle
        try:
            store_result(key, bundle)
        except OSError as error:
            _LOG.warning("a trained network could not be stored: %s", error)
            return ""
        return key

    def warm_up(self, check: Callable[[], None] = lambda: None) -> None:
        """Train a moment unseen: the first training pays for what all others find ready."""
        inputs, targets = self._probed
        module = self.fresh(self._some(self.subject.data.input_shape)).module
        task = self.subject.data.task
        assert isinstance(task, Classification)
        generator = torch.Generator().manual_seed(self.asked.seed)
        with contextlib.suppress(CalibrationError):  # so few samples may be of one class
            fit(
                module,
                inputs,
                targets,
                label_loss(task, SMOOTHING),
                Schedule(epochs=1),
                generator=generator,
                check=check,
            )

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return max(1, self.subject.data.parts["train"] // self.schedule(1).batch_size)

    def seconds_per_step(self, architecture: Architecture) -> float:
        """Return how long a step of training takes, by a few of them on a network unseen.

        The first is not counted, which prepares the others. A computer that does other things makes
        some of them longer, as it does in a training: so their mean is what tells.
        """
        device, size = compute_device(), self.schedule(1).batch_size
        inputs, targets = (one[:size].to(device) for one in self.part("train"))
        module = self.fresh(architecture).module.to(device).train()

        def step() -> None:
            torch.nn.functional.cross_entropy(module(inputs), targets).backward()
            if device.type != "cpu":
                torch.accelerator.synchronize(device)

        step()
        began = time.perf_counter()
        for _ in range(_TIMED):
            step()
        return (time.perf_counter() - began) / _TIMED

    def schedule(self, epochs: int) -> Schedule:
        """Return how networks of the family are trained."""
        batch = 64 if self.subject.data.parts["train"] < _FEW else 128
        if self.asked.space == "vit":
            return Schedule(
                epochs, batch, learning_rate=0.003, weight_decay=0.05, optimizer="adamw"
            )
        return Schedule(epochs, batch, learning_rate=0.05 if self.asked.space == "mlp" else 0.1)

    @property
    def augment(self) -> Augment:
        """Random changes to the samples that networks of the family learn from."""
        shape = self.subject.data.input_shape
        if len(shape) != 3 or self.asked.space == "mlp":
            return Augment()
        return Augment(shift=max(1, min(shape[1:]) // 10))

    def part(self, name: str) -> tuple[Tensor, Tensor]:
        """Return normalised inputs and classes of a part of the data."""
        if name not in self._parts:
            samples = self.subject.data.part(name)
            inputs = self.subject.bundle.spec.normalise(samples.inputs)
            self._parts[name] = inputs, torch.from_numpy(samples.targets.copy())
        return self._parts[name]

    def key(self, architecture: Architecture, epochs: int) -> str:
        """Return the identity of a training: equal keys have equal results."""
        schedule = vars(self.schedule(epochs))
        augment = vars(self.augment)
        made = architecture_to_json(architecture)
        return digest("nas", made, self.subject.data.hash, schedule, augment, self.asked.seed)

    def key_of(self, made: Mapping[str, Any]) -> str:
        """Return the identity of a network by what made it: equal keys have equal weights."""
        architecture = made["architecture"]
        if not isinstance(architecture, Architecture):
            architecture = architecture_from_json(architecture)
        if shared := made.get("supernet"):
            key = self.key(architecture, int(shared["epochs"]))
            return digest("shared", key, {name: list(v) for name, v in shared["values"].items()})
        return self.key(architecture, int(made["epochs"]))

    def trained(
        self,
        made: Mapping[str, Any],
        again: Callable[[Architecture], ModelBundle],
    ) -> ModelBundle:
        """Return a network that was trained before; made again if its file is gone.

        Args:
            made: What made it, of a candidate: ``{"architecture": ..., "epochs": ...}``, and
                ``"supernet"`` where its weights were shared.
            again: Makes it again.
        """
        key = self.key_of(made)
        if key not in self._trained:
            architecture = architecture_from_json(made["architecture"])
            kept = self._stored(key, architecture)
            self._trained[key] = kept if kept is not None else again(architecture)
        return self._trained[key]

    def deployed(self, bundle: ModelBundle) -> ModelBundle:
        """Return a trained network as it is deployed."""
        if self.asked.precision != "int8":
            return bundle
        context = Context(self.subject.data, bundle, self.asked.seed, "quantize")
        return Quantize().apply(bundle, context).bundle

    def recipe(self, model: str) -> Recipe:
        """Return the recipe that makes the deployed network of the trained one."""
        recipe = Recipe(model, self.asked.data, seed=self.asked.seed)
        return recipe.with_step(Quantize()) if self.asked.precision == "int8" else recipe

    def judge(
        self, bundle: ModelBundle, part: str, check: Callable[[], None] = lambda: None
    ) -> Judged:
        """Return what a deployed network reaches on a part of the data."""
        accuracy = predict(bundle, self.subject.samples(part), check=check).accuracy()
        value, low, high = (100 * (1 - x) for x in (accuracy.value, accuracy.high, accuracy.low))
        error = Quantity(
            value, "points", min(low, value), max(high, value), accuracy.n, accuracy.how
        )
        return Judged(accuracy, error)

    @cached_property
    def chance(self) -> float:
        """Accuracy of naming the most common class of the validation samples every time."""
        return chance_of(self.subject.samples(self.subject.part).targets)

    # --- inside -----------------------------------------------------------------------------

    def _as_trained(self, bundle: ModelBundle, architecture: Architecture) -> ModelBundle:
        """Return a network that says what it is and what it has learned from."""
        provenance = Provenance(architecture.title, seen=trained_on(self.subject.data))
        return replace(bundle, provenance=provenance, name=architecture.title)

    def _some(self, shape: tuple[int, ...]) -> Architecture:
        """Return any architecture of the space that takes the data."""
        found = architecture_at(self.asked.space, self.space.clean({}))
        for dimension in self.space:
            for value in dimension.values:
                with contextlib.suppress(OptimError):
                    found.check(shape)
                    return found
                point = self.space.clean({dimension.name: value})
                found = architecture_at(self.asked.space, point)
        return found

    def _costs_of(
        self, bundle: ModelBundle, architecture: Architecture, goals: Goals
    ) -> dict[str, Quantity]:
        how = How.MEASURED
        # The file tells what its network has learned from, and names its recipe.
        bundle = self._as_trained(bundle, architecture)
        if self.asked.precision == "int8":
            how = How.ESTIMATED
            context = Context(self.subject.data, bundle, self.asked.seed, "quantize")
            bundle = Quantize().outline(bundle, context)
        link = self.recipe(f"nas-{digest(architecture_to_json(architecture))[:16]}").to_link()
        file = onnx_bytes(bundle, link)
        found = cheap_figures(bundle, goals, lambda: file, how)
        return {**found, **device_figures(bundle, goals, file, self._one)}

    @property
    def _shape(self) -> tuple[int, ...]:
        return self.subject.bundle.spec.shape

    @cached_property
    def _one(self) -> np.ndarray:
        """``(1, ...)`` float32: one sample as the network takes it."""
        sample = self.subject.data.part("train").inputs[:1]
        one: np.ndarray = self.subject.bundle.spec.normalise(sample).numpy()
        return one

    @cached_property
    def _probed(self) -> tuple[Tensor, Tensor]:
        samples = self.subject.samples("train")
        few = samples.take(np.arange(min(_PROBED, len(samples))))
        inputs = self.subject.bundle.spec.normalise(few.inputs)
        return inputs, torch.from_numpy(few.targets.copy())

    def _stored(self, key: str, architecture: Architecture) -> ModelBundle | None:
        path = stored_file(key)
        if path is None:
            return None
        try:
            found = load_checkpoint(path)
            return load_stored(key, replace(found, name=architecture.title))
        except OptimError as error:
            _LOG.warning("a stored network cannot be used: %s", error)
            return None
