"""The zoo: families of architectures, and the reference configurations that have a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optim.errors import ConfigError
from optim.models.architecture import Architecture
from optim.models.cells import Cells
from optim.models.cnn1d import CNN1D
from optim.models.detector import Detector
from optim.models.dscnn import DSCNN
from optim.models.lenet5 import LeNet5
from optim.models.lenet300 import LeNet300
from optim.models.mlp import MLP
from optim.models.mobilenet import MobileNet
from optim.models.resnet import ResNet
from optim.models.vit import ViT

__all__ = ["ARCHITECTURES", "ZOO", "architecture_from_json", "architecture_to_json"]

ARCHITECTURES: dict[str, type[Architecture]] = {
    "mlp": MLP,
    "lenet-300-100": LeNet300,
    "lenet-5": LeNet5,
    "resnet": ResNet,
    "mobilenetv2": MobileNet,
    "ds-cnn": DSCNN,
    "vit": ViT,
    "cnn-1d": CNN1D,
    "cells": Cells,
    "detector": Detector,
}
"""Families by name. A new one is one file and one line."""

ZOO: dict[str, Architecture] = {
    "mlp": MLP(),
    "lenet-300-100": LeNet300(),
    "lenet-5": LeNet5(),
    "resnet8": ResNet(depth=8),
    "resnet20": ResNet(depth=20),
    "resnet32": ResNet(depth=32),
    "resnet44": ResNet(depth=44),
    "resnet56": ResNet(depth=56),
    "mobilenetv2": MobileNet(),
    "ds-cnn": DSCNN(),
    "vit-tiny": ViT(),
    "cnn-1d": CNN1D(),
    "cells": Cells(),
    "detector": Detector(),
}
"""Reference configurations by name."""


def architecture_to_json(architecture: Architecture) -> dict[str, Any]:
    """Return ``{family: fields that differ from the defaults}``."""
    family = next(name for name, cls in ARCHITECTURES.items() if cls is type(architecture))
    return {family: architecture.changed()}


def architecture_from_json(data: Mapping[str, Any]) -> Architecture:
    """Read what :func:`architecture_to_json` wrote.

    Raises:
        ConfigError: If the family is unknown or a field is illegal.
    """
    if len(data) != 1:
        raise ConfigError(f"An architecture is {{family: fields}}: got {dict(data)!r}.")
    family, fields = next(iter(data.items()))
    if family not in ARCHITECTURES:
        raise ConfigError(
            f"family must be one of {', '.join(ARCHITECTURES)}: got {family!r}.", field="family"
        )
    return ARCHITECTURES[family](**(fields or {}))
