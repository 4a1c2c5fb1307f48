"""Train the checkpoints that ship with the project. Seeded; each can be made again by its command.

Selection, where there is any, looks at the validation part; the test part is measured once, at the
end, and only written down.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from optim.data import Classification, Detection, open_data, trained_on
from optim.errors import ConfigError
from optim.fields import Range, controls
from optim.measure.evaluate import predict
from optim.measure.macs import layer_costs
from optim.measure.quality import quality_of
from optim.models.architecture import Architecture
from optim.models.bundle import ModelBundle, Provenance, TorchModel
from optim.models.cards import model_cards
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.models.cnn1d import CNN1D
from optim.models.detector import Detector
from optim.models.dscnn import DSCNN
from optim.models.input_spec import InputSpec
from optim.models.mlp import MLP
from optim.models.resnet import ResNet
from optim.models.zoo import architecture_to_json
from optim.presets import preset_recipe
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.storage import write_atomic
from optim.subject import open_subject
from optim.techniques.prune_channels import PruneChannels
from optim.train import Augment, Epoch, Schedule, fit, label_loss

__all__ = ["PLANS", "STUDENT_EPOCHS", "Plan", "pretrain", "pretrain_students"]


@dataclass(frozen=True)
class Plan:
    """How one shipped checkpoint is made.

    Attributes:
        title: Name for a reader.
        architecture: What is trained.
        data: Built-in data set.
        schedule: How long and how fast.
        augment: Random changes while training.
        label_smoothing: Of the targets.
        seed: Initial weights and order of the samples.
    """

    title: str
    architecture: Architecture
    data: str
    schedule: Schedule
    augment: Augment = Augment()
    label_smoothing: float = 0.05
    seed: int = 0


_SCENES = Augment(shift=3)

PLANS: dict[str, Plan] = {
    "clutter-resnet8": Plan(
        "ResNet-8, over-wide",
        ResNet(depth=8, width=24, stem_stride=2),
        "cluttered-digits",
        Schedule(epochs=40, learning_rate=0.2),
        _SCENES,
    ),
    "clutter-dscnn": Plan(
        "DS-CNN",
        DSCNN(stem="3x3", width=48),
        "cluttered-digits",
        Schedule(epochs=20, learning_rate=0.2),
        _SCENES,
    ),
    "digits-mlp": Plan(
        "MLP", MLP(width=64), "digits", Schedule(epochs=60, batch_size=64, learning_rate=0.05)
    ),
    "digits-resnet8": Plan(
        "ResNet-8",
        ResNet(depth=8, width=8),
        "digits",
        Schedule(epochs=40, batch_size=64, learning_rate=0.1),
        Augment(shift=1),
    ),
    "breast-cancer-mlp": Plan(
        "MLP",
        MLP(width=32),
        "breast-cancer",
        Schedule(epochs=40, batch_size=32, learning_rate=0.02),
    ),
    "wine-mlp": Plan(
        "MLP", MLP(width=32), "wine", Schedule(epochs=40, batch_size=16, learning_rate=0.02)
    ),
    "bearing-cnn1d": Plan("1-D CNN", CNN1D(), "bearing", Schedule(epochs=20, learning_rate=0.1)),
    "scenes-detector": Plan(
        "Single-shot detector",
        Detector(),
        "digit-scenes",
        Schedule(
            epochs=24, batch_size=64, learning_rate=0.003, weight_decay=0.05, optimizer="adamw"
        ),
    ),
}
"""Shipped checkpoints by name."""


def pretrain(
    name: str,
    folder: Path,
    *,
    on_epoch: Callable[[Epoch, int], None] = lambda epoch, epochs: None,
) -> Path:
    """Train one checkpoint and write weights and card.

    Args:
        name: A key of ``PLANS``.
        folder: Where ``<name>.safetensors`` and ``<name>.json`` go.
        on_epoch: Called after every epoch with the number of all epochs.

    Returns:
        The path of the card.

    Raises:
        ConfigError: If there is no such plan.
    """
    if name not in PLANS:
        raise ConfigError(f"name must be one of {', '.join(PLANS)}: got {name!r}.", field="name")
    plan = PLANS[name]
    start = time.perf_counter()
    bundle = _train(name, plan, on_epoch)
    seconds = time.perf_counter() - start
    weights = save_checkpoint(bundle, folder / f"{name}.safetensors")
    card = folder / f"{name}.json"
    write_atomic(card, (json.dumps(_card(name, plan, bundle, seconds), indent=1) + "\n").encode())
    assert weights.is_file()
    return card


def _train(name: str, plan: Plan, on_epoch: Callable[[Epoch, int], None]) -> ModelBundle:
    data = open_data(plan.data)
    task = data.task
    assert isinstance(task, Classification | Detection), "what ships is trained on labelled data"
    train = data.part("train")
    spec = plan.architecture.spec
    if train.inputs.dtype.kind == "f":
        spec = InputSpec(data.input_shape)
    elif len(spec.mean) in (1, data.input_shape[0]):
        spec = replace(spec, shape=data.input_shape)
    else:
        spec = InputSpec(data.input_shape, mean=(0.5,), std=(0.25,), scale=255.0)
    module = plan.architecture.build(spec.shape, task.n_outputs, plan.seed)
    fit(
        module,
        spec.normalise(train.inputs),
        torch.from_numpy(train.targets.copy()),
        label_loss(task, plan.label_smoothing),
        plan.schedule,
        generator=torch.Generator().manual_seed(plan.seed),
        augment=plan.augment,
        on_epoch=lambda epoch: on_epoch(epoch, plan.schedule.epochs),
    )
    return ModelBundle(
        name=plan.title,
        content=TorchModel(module, plan.architecture),
        spec=spec,
        task=task,
        provenance=Provenance(name, seen=trained_on(data)),
    )


def _card(name: str, plan: Plan, bundle: ModelBundle, seconds: float) -> dict[str, object]:
    data = open_data(plan.data)
    costs = layer_costs(bundle.module, bundle.spec.shape)
    judged = {
        part: quality_of(predict(bundle, data.part(part)), bundle.task)
        for part in ("validation", "test")
    }
    reached = {part: found.main.to_json() for part, found in judged.items() if found.main}
    return {
        "title": plan.title,
        "data": plan.data,
        "architecture": architecture_to_json(plan.architecture),
        "params": sum(p.numel() for p in bundle.module.parameters()),
        "macs": sum(cost.macs for cost in costs),
        judged["test"].primary: reached,
        "command": f"python -m optim pretrain {name}",
        "seed": plan.seed,
        "training": {
            "epochs": plan.schedule.epochs,
            "seconds": round(seconds, 1),
            "threads": torch.get_num_threads(),
        },
    }


STUDENT_EPOCHS = (4, 12)
"""Lengths of distillation for which students of the default model are stored."""


def pretrain_students(
    name: str, folder: Path, *, on_student: Callable[[str, Quantity], None] = lambda what, got: None
) -> Path:
    """Distil students of a shipped model for every stop of the channel slider.

    What the Lab's distillation slider shows is looked up among them. A student that is already
    there is kept, so that an interrupted run goes on where it stopped.

    Args:
        name: A shipped model.
        folder: Where ``<key>.safetensors`` and ``index.json`` go.
        on_student: Called after each with a word on its settings and its validation accuracy.

    Returns:
        The path of the index: recipe, accuracy and seconds of every student.

    Raises:
        ConfigError: If there is no such model.
    """
    card = model_cards().get(name)
    if card is None:
        raise ConfigError(
            f"name must be one of {', '.join(model_cards())}: got {name!r}.", field="name"
        )
    index_file = folder / "index.json"
    index = json.loads(index_file.read_text()) if index_file.is_file() else {}
    subject = open_subject(preset_recipe("balanced", name, card.data))
    stops = next(c.kind for c in controls(PruneChannels) if c.name == "pruning_ratio")
    assert isinstance(stops, Range)
    for ratio in stops.stops()[1:]:
        for epochs in STUDENT_EPOCHS:
            recipe = _student_recipe(name, card.data, ratio, epochs)
            key = recipe.chain(subject.bundle.hash, subject.data.hash)[-1]
            if key in index:
                continue
            start = time.perf_counter()
            student, _ = apply_recipe(recipe, subject)
            seconds = time.perf_counter() - start
            path = save_checkpoint(student, folder / f"{key}.safetensors", half=True)
            accuracy = predict(load_checkpoint(path), subject.samples()).accuracy()
            index[key] = {
                "pruning_ratio": ratio,
                "epochs": epochs,
                "accuracy": accuracy.to_json(),
                "seconds": round(seconds, 1),
                "threads": torch.get_num_threads(),
                "command": f"python -m optim pretrain {name} --students",
            }
            write_atomic(index_file, (json.dumps(index, indent=1) + "\n").encode())
            on_student(f"{ratio:.0%} of the channels removed, {epochs} epochs", accuracy)
    return index_file


def _student_recipe(model: str, data: str, ratio: float, epochs: int) -> Recipe:
    """Return the balanced preset up to and with distillation."""
    recipe = preset_recipe("balanced", model, data)
    recipe = recipe.with_fields("prune_channels", pruning_ratio=ratio)
    recipe = recipe.with_fields("distill", epochs=epochs)
    return recipe.without("quantize").without("correct_bias")
