"""What several tests need: tiny models of every family, data that fits them, comparisons."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper

from optim.data import Dataset, Detection, Samples, open_data, trained_on
from optim.hashing import digest
from optim.layers.rewrite import norm_layers
from optim.models.architecture import Architecture
from optim.models.bundle import ModelBundle, Provenance, TorchModel, named_tensors
from optim.models.cells import Cells
from optim.models.cnn1d import CNN1D
from optim.models.detector import Detector
from optim.models.dscnn import DSCNN
from optim.models.input_spec import InputSpec
from optim.models.lenet5 import LeNet5
from optim.models.mlp import MLP
from optim.models.mobilenet import MobileNet
from optim.models.resnet import ResNet
from optim.models.vit import ViT
from optim.step import Context

TINY: dict[str, tuple[Architecture, tuple[int, ...]]] = {
    "resnet": (ResNet(depth=8, width=8, stem_stride=2), (3, 16, 16)),
    "mobilenet": (MobileNet(width=0.5, expansion=2), (3, 16, 16)),
    "ds-cnn": (DSCNN(stem="3x3", width=16, depth=2), (1, 16, 16)),
    "lenet-5": (LeNet5(width=0.4, kernel=3), (1, 16, 16)),
    "vit": (ViT(width=16, depth=1, heads=2), (3, 16, 16)),
    "mlp": (MLP(width=16, normalisation="batch"), (12,)),
    "cnn-1d": (CNN1D(width=8, depth=2, stem_kernel=16), (1, 128)),
    "cells": (Cells(width=8, depth=1, edge_13="average"), (3, 16, 16)),
    "detector": (Detector(width=8, depth=1), (3, 16, 16)),
}
"""A tiny configuration of every family and the shape of its input."""

CLASSES = ("ash", "birch", "cedar", "date")

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12, torch.float16: 2e-3}
"""Largest relative difference that rounding explains, by type."""


def assert_similar(found, expected, *, times=1.0):
    """Compare arrays or tensors of one shape up to rounding, relative to the largest value."""
    found, expected = torch.as_tensor(found), torch.as_tensor(expected)
    assert found.shape == expected.shape
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    tolerance = TOLERANCE[expected.dtype] * scale * times
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


@cache
def _tiny_module(family):
    architecture, shape = TINY[family]
    module = architecture.build(shape, architecture.task(shape, CLASSES).n_outputs, seed=1).eval()
    # Fresh norms are identities and fresh biases zero: neither would show a mistake in folding.
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for layer in norm_layers(module).values():
            layer.weight.uniform_(0.5, 1.5, generator=generator)
            layer.bias.normal_(0, 0.2, generator=generator)
            layer.running_mean.normal_(0, 0.3, generator=generator)
            layer.running_var.uniform_(0.5, 2.0, generator=generator)
        for name, parameter in module.named_parameters():
            if name.endswith("bias") and not parameter.any():
                parameter.normal_(0, 0.1, generator=generator)
    return module


def tiny_bundle(family: str) -> ModelBundle:
    """Return a tiny model of a family with lived-in norms and biases, a copy for each caller."""
    architecture, shape = TINY[family]
    spec = InputSpec(shape) if len(shape) < 3 else InputSpec(shape, (0.5,), (0.25,), 255.0)
    return ModelBundle(
        name=f"tiny {family}",
        content=TorchModel(copy.deepcopy(_tiny_module(family)), architecture),
        spec=spec,
        task=architecture.task(shape, CLASSES),
        provenance=Provenance(f"tiny-{family}", seen=()),
    )


def data_for(bundle: ModelBundle, *, train=96, validation=64, test=48, seed=0) -> Dataset:
    """Return data of four classes that a model can learn: a pattern a class, and noise.

    A detector's are objects in the middle of each image.
    """
    shape, classes = bundle.spec.shape, bundle.task.n_classes
    rng = np.random.default_rng(seed)
    patterns = rng.standard_normal((classes, *shape))
    images = len(shape) == 3

    def load(part):
        start = {"train": 0, "validation": 10_000, "test": 20_000}[part]
        own = np.random.default_rng([seed, start])
        targets = np.arange(sizes[part]) % classes
        values = patterns[targets] + 0.7 * own.standard_normal((sizes[part], *shape))
        inputs = (
            np.clip(127 + 50 * values, 0, 255).astype(np.uint8)
            if images
            else values.astype(np.float32)
        )
        if isinstance(bundle.task, Detection):
            box = np.full((sizes[part], 1, 4), (shape[1] // 4, shape[2] // 4) * 2)
            box[..., 2:] *= 3
            targets = np.concatenate([box, targets[:, None, None]], axis=2)
        return Samples(inputs, targets.astype(np.int64), np.arange(sizes[part]) + start)

    sizes = {"train": train, "validation": validation, "test": test}
    identity = digest("tiny", shape, classes, sizes, seed)
    return Dataset("tiny", "Tiny", bundle.task, identity, sizes, shape, load)


def context_for(bundle: ModelBundle, **fields) -> Context:
    """Return the context of a step on a tiny model: data that fits it, the model as reference."""
    data = fields.pop("data", None) or data_for(bundle)
    return Context(data=data, reference=bundle, step_id="step", **fields)


def inputs_for(bundle: ModelBundle, count=16, seed=3) -> torch.Tensor:
    """Return ``(count, ...)`` normalised inputs of a model."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *bundle.spec.shape, generator=generator)


def outputs_of(bundle: ModelBundle, x: torch.Tensor) -> torch.Tensor:
    """Return what a model computes as it would be deployed."""
    with torch.inference_mode():
        return bundle.simulated()(x).clone()


def frozen(bundle: ModelBundle) -> dict:
    """Return everything about a model that a step must leave as it was."""
    module = bundle.module
    return {
        "tensors": {name: t.clone() for name, t in named_tensors(module).items()},
        "modes": {name: layer.training for name, layer in module.named_modules()},
        "devices": {name: t.device for name, t in named_tensors(module).items()},
        "gradients": {
            name: (p.requires_grad, p.grad is None) for name, p in module.named_parameters()
        },
        "table": {name: t.clone() for name, t in bundle.table.tensors().items()},
        "hash": replace(bundle).hash,
    }


def assert_unchanged(bundle: ModelBundle, before: dict) -> None:
    """Compare a model with what :func:`frozen` returned."""
    now = frozen(bundle)
    for name in ("tensors", "table"):
        assert now[name].keys() == before[name].keys()
        for key, tensor in now[name].items():
            assert torch.equal(tensor, before[name][key]), key
    for name in ("modes", "devices", "gradients", "hash"):
        assert now[name] == before[name]


@cache
def train_on_digits(seed: int = 0) -> tuple[ModelBundle, Dataset]:
    """Return a small residual network that knows the plain digits, and its data."""
    from optim.train import Schedule, classification_loss, fit

    data = open_data("digits")
    architecture = ResNet(depth=8, width=8)
    spec = InputSpec((1, 8, 8), (0.5,), (0.25,), 255.0)
    module = architecture.build(spec.shape, 10)
    train = data.part("train")
    fit(
        module,
        spec.normalise(train.inputs),
        torch.from_numpy(train.targets.copy()),
        classification_loss(),
        Schedule(epochs=6, batch_size=64, learning_rate=0.2),
        generator=torch.Generator().manual_seed(seed),
    )
    bundle = ModelBundle(
        name="trained",
        content=TorchModel(module, architecture),
        spec=spec,
        task=data.task,
        provenance=Provenance("trained", seen=trained_on(data)),
    )
    return bundle, data


def as_a_graph(file: bytes) -> bytes:
    """Return an ONNX file that no module can stand for: outputs are rounded to a grid of their own.

    The grid is chosen at run time, for all samples at once.
    """
    model = onnx.load_from_string(file)
    (output,) = (value.name for value in model.graph.output)
    for node in model.graph.node:
        node.output[:] = ["exact" if name == output else name for name in node.output]
    model.graph.node.extend(
        [
            helper.make_node(
                "DynamicQuantizeLinear", ["exact"], ["whole", "step", "zero"], name="rounded"
            ),
            helper.make_node("DequantizeLinear", ["whole", "step", "zero"], [output]),
        ]
    )
    return model.SerializeToString()


def kernels_of(file: bytes, folder: Path) -> list[str]:
    """Return the operators that ONNX Runtime executes once it has rewritten a file for itself."""
    import onnx
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node]
