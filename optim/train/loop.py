"""The training loop itself.

Data are in memory, so batches are sliced tensors and augmentation is one tensor operation a batch;
loader processes would only add start-up time. The result depends on the seed and the number of
threads alone, also if training was stopped and resumed in between.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from optim.device import compute_device
from optim.errors import ConfigError, RunError
from optim.hashing import digest, digest_arrays
from optim.layers.graph import attribute_of
from optim.train.augment import Augment, Mix, resized
from optim.train.averaging import Average
from optim.train.checks import check_samples, check_targets
from optim.train.compute import Compute, compiled
from optim.train.epoch import Epoch, Stopping
from optim.train.losses import Objective
from optim.train.masking import Masks
from optim.train.schedule import Schedule
from optim.train.state import (
    States,
    copied,
    is_finite,
    overwrite_,
    random_state,
    restore_random,
    tensors_of,
)

__all__ = ["fit"]

_STATE_VERSION = 1
_EVALUATED = 512
"""Samples of one pass in validation."""
_LOOKED_AT = 32
"""Steps after which losses are looked at; every look waits for the processor."""
_HASHED = 64
"""Samples by which data are told from others, evenly spaced; to hash all would take seconds."""
_TOLD_S = 2.0
"""Seconds between two words on progress within an epoch."""


def fit(
    module: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    objective: Objective,
    schedule: Schedule,
    *,
    generator: torch.Generator,
    augment: Augment | None = None,
    mix: Mix | None = None,
    masks: Masks | Mapping[str, Tensor] | None = None,
    validation: tuple[Tensor, Tensor] | None = None,
    stopping: Stopping | None = None,
    average: float = 0.0,
    compute: Compute | None = None,
    frozen: Collection[str] = (),
    resume: States | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    progress: Callable[[float, str], None] = lambda share, what: None,
    note: Callable[[str], None] = lambda sentence: None,
    check: Callable[[], None] = lambda: None,
) -> list[Epoch]:
    """Train a module in place and leave it in evaluation mode on the CPU.

    Args:
        module: What to train.
        inputs: ``(N, ...)`` normalised.
        targets: ``(N,)`` class indices, or ``(N, objects, 5)`` boxes as the objective takes them.
        objective: The loss.
        schedule: How long and how fast.
        generator: Decides the order of the samples and the augmentation.
        augment: Random changes to the inputs.
        mix: Mixtures of two samples, of class indices only.
        masks: ``{layer: mask}`` of weights that must stay zero, or masks that change.
        validation: Inputs and class indices on which accuracy is measured after every epoch.
        stopping: Which epoch's model is kept; one before masks are final never is.
        average: Decay of a moving average of the weights, which is then the result; 0 is off.
        compute: Precision, layout, compilation.
        frozen: Layers, norms among them, and parameters that stay exactly as they are.
        resume: Where states are kept: after every epoch, and in mid-epoch when one is due.
        on_epoch: Called after every epoch; after a resumption first with those before it.
        progress: Called with a share in 0..1 and what is being done.
        note: Called with sentences a reader of the result must know.
        check: Called between steps; raises to stop.

    Returns:
        One entry an epoch.

    Raises:
        CalibrationError: If there are too few samples, of one class only, or with targets the
            model has no output for.
        ConfigError: If settings do not fit the model or the data.
        RunError: If the loss is no longer finite: the module is then what it was at the last good
            moment. Or if a saved state does not belong to this training.
    """
    training = _Training(
        module=module,
        inputs=inputs,
        targets=targets,
        objective=objective,
        schedule=schedule,
        generator=generator,
        augment=augment or Augment(),
        mix=mix or Mix(),
        masks=masks if isinstance(masks, Masks) else Masks(masks or {}),
        validation=validation,
        stopping=stopping or Stopping(),
        decay=average,
        compute=compute or Compute(),
        frozen=frozen,
        resume=resume,
        on_epoch=on_epoch,
        progress=progress,
        note=note,
        check=check,
    )
    return training.run()


@dataclass(eq=False, kw_only=True)
class _Training:
    """One call of :func:`fit`: its arguments, and where it stands."""

    module: nn.Module
    inputs: Tensor
    targets: Tensor
    objective: Objective
    schedule: Schedule
    generator: torch.Generator
    augment: Augment
    mix: Mix
    masks: Masks
    validation: tuple[Tensor, Tensor] | None
    stopping: Stopping
    decay: float
    compute: Compute
    frozen: Collection[str]
    resume: States | None
    on_epoch: Callable[[Epoch], None]
    progress: Callable[[float, str], None]
    note: Callable[[str], None]
    check: Callable[[], None]

    def run(self) -> list[Epoch]:
        """Train to the end."""
        self._check_data()
        self.device = compute_device()
        trained = {name: p.requires_grad for name, p in self.module.named_parameters()}
        try:
            self._prepare()
            self._load()
            with _deterministic(self.device):
                while self.number <= self.schedule.epochs and not self._is_exhausted():
                    self._run_epoch()
            self._finish()
        finally:
            for name, parameter in self.module.named_parameters():
                parameter.requires_grad_(trained[name])
            self.compute.place_module(self.module, torch.device("cpu"), images=False)
            self.masks.detach()
            self.module.eval()
        return self.history

    # --- before the first step ------------------------------------------------------------------

    def _check_data(self) -> None:
        """Refuse what cannot be trained on, before any time is spent."""
        check_samples(self.targets, self.validation)
        if self.stopping.selects and self.validation is None:
            raise ConfigError(
                "The best epoch is chosen on validation samples, and there are none.",
                hint="Keep the last epoch, or use data with a validation part.",
                field="keep",
            )
        if self.schedule.batch_size > len(self.inputs):
            self.note(
                f"A batch of {self.schedule.batch_size:,} is more than the {len(self.inputs):,} "
                "training samples; all of them are one batch."
            )

    def _prepare(self) -> None:
        """Move everything to the device and start from the beginning."""
        images = self.inputs.ndim == 4
        self.compute.place_module(self.module, self.device, images)
        self.inputs, self.targets = self.inputs.to(self.device), self.targets.to(self.device)
        if self.validation is not None:
            x, targets = self.validation
            self.validation = x.to(self.device), targets.to(self.device)
        self.batch = min(self.schedule.batch_size, len(self.inputs))
        self.steps = len(self.inputs) // self.batch
        self.all_steps = self.steps * self.schedule.epochs
        self.classes = self._count_outputs()
        self.mixes = self.mix.applies_to(self.inputs)
        self.counts_hits = self.targets.ndim == 1 and not self.mixes
        for name in self.frozen:
            attribute_of(self.module, name).requires_grad_(False)
        modules = [self.module]
        self.own_objective = self.objective if isinstance(self.objective, nn.Module) else None
        if self.own_objective is not None:
            modules.append(self.own_objective.to(self.device))
        self.parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
        if not self.parameters:
            raise ConfigError(
                "Every layer is frozen; there is nothing to train.",
                hint="Freeze fewer layers.",
                field="freeze",
            )
        self.masks.attach(self.module, self.device)
        self.optimizer = self.schedule.build(*modules)
        self.average = Average(self.module, self.decay) if self.decay else None
        self.forward: Callable[[Tensor], Tensor] = self.module
        if self.compute.compile:
            self._set_modes()
            x, targets = self.compute.place(self.inputs[: self.batch]), self.targets[: self.batch]
            self.forward = compiled(
                self.module,
                lambda forward: self._loss(forward, x, targets)[0],
                self.all_steps,
                self.note,
            )
        self.number, self.position = 1, 0
        self.order: Tensor | None = None
        self.history: list[Epoch] = []
        self.best: dict[str, Any] | None = None
        self.good = copied(tensors_of(self.module))
        self.fingerprint = "" if self.resume is None else self._fingerprint()
        self._clear_sums()

    def _count_outputs(self) -> int:
        """Return the number of classes the model tells apart; refuse targets beyond it."""
        self.module.eval()
        one = self.compute.place(self.inputs[:1])
        with torch.no_grad():
            classes = self.module(one).shape[1]
        check_targets(self.targets, int(classes))
        if self.validation is not None:
            check_targets(self.validation[1], int(classes))
        if self.inputs.ndim == 4 and self.schedule.resolution(1) < 1:
            try:
                with torch.no_grad():
                    self.module(resized(one, self.schedule.resolution(1)))
            except RuntimeError as error:
                raise ConfigError(
                    "This model takes images of one size only, so they cannot start smaller.",
                    hint="Start at the full resolution, or use a model that ends in a pooling.",
                    field="start_resolution",
                ) from error
        return int(classes)

    def _clear_sums(self) -> None:
        """Forget what was summed up over an epoch."""
        self.losses: list[Tensor] = []
        self.hits: list[Tensor] = []
        self.loss_sum, self.hit_sum, self.seconds = 0.0, 0, 0.0

    # --- an epoch -------------------------------------------------------------------------------

    def _run_epoch(self) -> None:
        """Train one epoch, from its start or from where it was stopped."""
        self._set_modes()
        if self.order is None:
            self.order = torch.randperm(len(self.inputs), generator=self.generator)
        order = self.order.to(self.device)
        self.since = told = time.perf_counter()
        while self.position < self.steps:
            first = self.position * self.batch
            self._step(order[first : first + self.batch])
            self.position += 1
            if self.position % _LOOKED_AT == 0:
                self._add_up()
            if self.position < self.steps:
                if time.perf_counter() - told >= _TOLD_S:
                    told = time.perf_counter()
                    self._tell(f"step {self.position:,} of {self.steps:,}")
                if self.resume is not None and self.resume.due():
                    self._save()
        self._add_up()
        self._end_epoch()

    def _set_modes(self) -> None:
        """Put all layers but the frozen ones into training mode."""
        self.module.train()
        for name in self.frozen:
            if isinstance(layer := attribute_of(self.module, name), nn.Module):
                layer.eval()

    def _step(self, rows: Tensor) -> None:
        """Learn from the samples at ``rows``."""
        self.check()
        step = (self.number - 1) * self.steps + self.position
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(step, self.all_steps)
        x, targets = self.augment(self.inputs[rows], self.generator), self.targets[rows]
        if x.ndim == 4 and (share := self.schedule.resolution(self.number)) < 1:
            x = resized(x, share)
        goal = targets
        if self.mixes:
            mixed = self.mix(x, targets, self.generator)
            x, goal = mixed.x, mixed.shares(self.classes)
        loss, outputs = self._loss(self.forward, self.compute.place(x), goal)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.schedule.l1:
            _add_l1_(self.module, self.schedule.l1)
        changed = self.masks.update(step, self.all_steps)
        for layer in changed:
            self._forget_momentum(layer)
        self.masks.zero_gradients_()
        if self.schedule.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.schedule.clip)
        self.optimizer.step()
        self.masks.zero_weights_()
        if self.average is not None:
            self.average.update(self.module)
            if changed:
                self.average.mask(self.masks.current)
        self.losses.append(loss.detach())
        if self.counts_hits:
            self.hits.append((outputs.argmax(1) == targets).sum())

    def _loss(
        self, forward: Callable[[Tensor], Tensor], x: Tensor, goal: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the loss and the outputs."""
        with self.compute.autocast(self.device):
            outputs = forward(x)
            if outputs.dtype is torch.bfloat16:
                outputs = outputs.float()
            return self.objective(outputs, goal, x), outputs.detach()

    @torch.no_grad()
    def _forget_momentum(self, layer: str) -> None:
        """Let weights that are missing, or come back later, have no momentum."""
        weight, mask = self.module.get_parameter(f"{layer}.weight"), self.masks.current[layer]
        for value in self.optimizer.state.get(weight, {}).values():
            if isinstance(value, Tensor) and value.shape == mask.shape:
                value.mul_(mask)

    def _add_up(self) -> None:
        """Read the losses of the last steps; stop if one is no number."""
        for loss in torch.stack(self.losses).tolist() if self.losses else ():
            if not math.isfinite(loss):
                self._diverge(f"The loss became {loss} in epoch {self.number}.")
            self.loss_sum += loss
        self.hit_sum += int(sum(self.hits))
        self.losses, self.hits = [], []

    def _diverge(self, message: str) -> NoReturn:
        """Give the module back what it was when all was well, and stop."""
        overwrite_(self.module, self.good)
        raise RunError(
            message,
            hint="Lower the learning rate, or check the data for extreme values.",
        )

    def _end_epoch(self) -> None:
        """Measure, tell and save what an epoch gave."""
        if not is_finite(self.module):
            self._diverge(f"The weights are no longer finite after epoch {self.number}.")
        self.seconds += time.perf_counter() - self.since
        epoch = Epoch(
            self.number,
            self.loss_sum / self.steps,
            self.schedule.rate(self.number * self.steps - 1, self.all_steps),
            self._accuracy(),
            self.hit_sum / (self.steps * self.batch) if self.counts_hits else None,
            self.seconds,
        )
        self.history.append(epoch)
        self._compare(epoch)
        self.number, self.position, self.order = self.number + 1, 0, None
        self._clear_sums()
        self.good = copied(tensors_of(self.module))
        self._save()
        self.on_epoch(epoch)
        self._tell_epoch(epoch)

    @torch.no_grad()
    def _accuracy(self) -> float | None:
        """Return the accuracy on validation samples of the model as it would be kept."""
        if self.validation is None:
            return None
        with nullcontext() if self.average is None else self.average.applied(self.module):
            self.module.eval()
            right = 0
            for x, targets in zip(
                *(part.split(_EVALUATED) for part in self.validation), strict=True
            ):
                self.check()
                right += int((self.module(self.compute.place(x)).argmax(1) == targets).sum())
        return right / len(self.validation[0])

    def _compare(self, epoch: Epoch) -> None:
        """Keep the model if no epoch before was as good; one with unfinished masks never is."""
        if not self.stopping.selects or epoch.accuracy is None:
            return
        if not self.masks.is_final(epoch.number * self.steps, self.all_steps):
            return
        if self.best is None or epoch.accuracy > self.best["accuracy"]:
            values = tensors_of(self.module) if self.average is None else self.average.values
            self.best = {
                "epoch": epoch.number,
                "accuracy": epoch.accuracy,
                "values": copied(values),
            }

    def _is_exhausted(self) -> bool:
        """Whether no better epoch came for longer than patience lasts."""
        if not self.stopping.patience or self.best is None:
            return False
        return len(self.history) - int(self.best["epoch"]) >= self.stopping.patience

    def _finish(self) -> None:
        """Give the module the weights that are kept, and say which they are."""
        last = len(self.history)
        if last < self.schedule.epochs:
            self.note(
                f"Stopped after epoch {last} of {self.schedule.epochs}: none was better in the "
                f"last {self.stopping.patience}."
            )
        if self.stopping.keep == "best" and self.best is not None:
            overwrite_(self.module, self.best["values"])
            self.note(
                f"Kept epoch {self.best['epoch']} of {last}, the best on validation samples "
                f"({self.best['accuracy']:.1%})."
            )
        elif self.average is not None:
            overwrite_(self.module, self.average.values)

    def _tell(self, what: str) -> None:
        share = ((self.number - 1) * self.steps + self.position) / self.all_steps
        self.progress(share, f"epoch {self.number} of {self.schedule.epochs}, {what}")

    def _tell_epoch(self, epoch: Epoch) -> None:
        epochs = self.schedule.epochs
        accuracy = "" if epoch.accuracy is None else f", accuracy {epoch.accuracy:.1%}"
        self.progress(
            epoch.number / epochs,
            f"epoch {epoch.number} of {epochs}, loss {epoch.loss:.3f}{accuracy}",
        )

    # --- stopped and resumed --------------------------------------------------------------------

    def _fingerprint(self) -> str:
        """Return the identity of all settings and data that decide the result."""
        every = max(1, len(self.inputs) // _HASHED)
        data = {"inputs": self.inputs[::every], "targets": self.targets}
        return digest(
            [
                asdict(s)
                for s in (self.schedule, self.augment, self.mix, self.stopping, self.compute)
            ],
            self.decay,
            sorted(self.frozen),
            self.masks.key,
            self.generator.initial_seed(),
            digest_arrays({name: part.cpu().numpy() for name, part in data.items()}),
            [list(self.inputs.shape), self.validation is None],
            {name: list(t.shape) for name, t in tensors_of(self.module).items()},
        )

    def _save(self) -> None:
        """Keep everything that decides what comes next."""
        if self.resume is None:
            return
        self._add_up()
        if not is_finite(self.module):
            self._diverge(f"The weights are no longer finite in epoch {self.number}.")
        running = time.perf_counter() - self.since if self.position else 0.0
        own = None if self.own_objective is None else tensors_of(self.own_objective)
        state = {
            "version": _STATE_VERSION,
            "settings": self.fingerprint,
            "threads": torch.get_num_threads(),
            "epoch": self.number,
            "position": self.position,
            "order": self.order,
            "module": tensors_of(self.module),
            "objective": own,
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state(),
            "masks": self.masks.current,
            "movement": self.masks.movement,
            "best": self.best,
            "history": [epoch.to_json() for epoch in self.history],
            "loss_sum": self.loss_sum,
            "hit_sum": self.hit_sum,
            "seconds": self.seconds + running,
            "random": random_state(self.generator, self.device),
        }
        self.resume.save(copied(state, torch.device("cpu")))

    def _load(self) -> None:
        """Go on from the state that was saved last, if there is one."""
        state = None if self.resume is None else self.resume.load()
        if state is None:
            return
        try:
            if (state["version"], state["settings"]) != (_STATE_VERSION, self.fingerprint):
                raise RunError(
                    "The saved state belongs to a training with other settings or data.",
                    hint="Start this one anew.",
                )
            self._restore(copied(state))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            overwrite_(self.module, self.good)
            raise RunError(
                f"The saved state of this training cannot be used: {error}.",
                hint="Start it anew.",
            ) from error
        if state["threads"] != torch.get_num_threads():
            self.note(
                f"Resumed with {torch.get_num_threads()} threads after {state['threads']}: the "
                "result may differ in its last digits from an unbroken training."
            )
        for epoch in self.history:
            self.on_epoch(epoch)

    def _restore(self, state: dict[str, Any]) -> None:
        self.number, self.position = int(state["epoch"]), int(state["position"])
        self.order = state["order"]
        overwrite_(self.module, state["module"])
        if self.own_objective is not None:
            overwrite_(self.own_objective, state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load(state["average"])
        self.masks.load(state["masks"], state["movement"])
        self.best = state["best"]
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.loss_sum, self.hit_sum = float(state["loss_sum"]), int(state["hit_sum"])
        self.seconds = float(state["seconds"])
        restore_random(state["random"], self.generator, self.device)
        self.good = copied(tensors_of(self.module))


@torch.no_grad()
def _add_l1_(module: nn.Module, weight: float) -> None:
    """Add the gradient of the weighted sum of absolute weights."""
    for parameter in module.parameters():
        if parameter.ndim > 1 and parameter.grad is not None:
            parameter.grad.add_(parameter.sign(), alpha=weight)


def _deterministic(device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which a GPU's convolutions give the same result every time."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
