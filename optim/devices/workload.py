"""What is to be predicted: a model on a device, and the numbers that a law of latency reads of it.

Nothing depends on a model's name: parameters, MACs, activations, task and input shape are all that
is known of it, and each of them may be missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optim.errors import ConfigError

__all__ = [
    "BYTES",
    "TASKS",
    "UNKNOWN",
    "Numbers",
    "Workload",
    "family_of",
    "numbers_of",
    "pixels_of",
    "precision_of",
    "task_of",
]

BYTES = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "w8a16": 1.0, "w4": 1.0}
"""Bytes of an activation, by precision."""

TASKS = ("classification", "dense", "detection", "other")
"""Kinds of tasks that differ in what follows the backbone."""

UNKNOWN = "other"
"""Family of a runtime that shares no law with others."""

_FAMILIES = ("pytorch", "ncnn-vulkan", "ncnn-cpu", "qaihm")
_DENSE = ("segmentation", "super resolution", "editing", "depth")
_LARGEST = 1e18


@dataclass(frozen=True, slots=True)
class Workload:
    """A model on a device.

    Attributes:
        device: Name of the device in the published measurements.
        device_class: Its class; stands in for a device that was never measured.
        runtime: What runs the model.
        precision: As published: ``fp32``, ``fp16``, ``int8``, ``w8a16``, ...
        macs: Multiply-accumulates of one sample.
        params: Parameters.
        activations: Elements of all activations of one sample.
        batch: Samples of one inference.
        threads: Threads that are asked for; None for what the runtime chooses.
        task: For example ``"classification"``.
        input_shape: As in ``"1x3x224x224"``.

    Raises:
        ConfigError: If a number is not positive and finite.
    """

    device: str = ""
    device_class: str = ""
    runtime: str = ""
    precision: str = ""
    macs: float | None = None
    params: float | None = None
    activations: float | None = None
    batch: float = 1
    threads: float | None = None
    task: str = ""
    input_shape: str = ""

    def __post_init__(self) -> None:
        for name in ("macs", "params", "activations", "batch", "threads"):
            value = getattr(self, name)
            if value is not None and not 0 < value < _LARGEST:
                raise ConfigError(
                    f"{name} must be a positive number below {_LARGEST:g}, or left out: "
                    f"got {value!r}.",
                    field=name,
                )


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a law reads: arrays of one length, logarithms where named so; NaN is unknown.

    Attributes:
        log_macs: Of one sample.
        log_params: Of the model.
        log_activations: Of one sample.
        log_pixels: Of the input.
        batch: Samples of one inference.
        task: Index into ``TASKS``.
    """

    log_macs: np.ndarray
    log_params: np.ndarray
    log_activations: np.ndarray
    log_pixels: np.ndarray
    batch: np.ndarray
    task: np.ndarray


def numbers_of(rows: Sequence[Workload]) -> Numbers:
    """Return the numbers of rows as arrays."""

    def logs(name: str) -> np.ndarray:
        values = [getattr(row, name) for row in rows]
        return np.log(np.array([math.nan if v is None else float(v) for v in values]))

    return Numbers(
        logs("macs"),
        logs("params"),
        logs("activations"),
        np.log(np.array([pixels_of(row.input_shape) for row in rows])),
        np.array([row.batch for row in rows], dtype=float),
        np.array([task_of(row.task) for row in rows]),
    )


def pixels_of(shape: str) -> float:
    """Return height times width of ``"1x3x224x224"``; NaN where that is not stated."""
    sides = shape.lower().split("x")[-2:]
    if shape.count("x") < 2 or not all(side.strip().isdecimal() for side in sides):
        return math.nan
    return float(max(1, min(int(sides[0]) * int(sides[1]), 10**12)))


def task_of(task: str) -> int:
    """Return the index into ``TASKS``."""
    task = task.lower()
    if any(word in task for word in _DENSE):
        return 1
    if ("detection" in task and "anomaly" not in task) or "pose" in task:
        return 2
    return 0 if "classification" in task else 3


def precision_of(label: str) -> str:
    """Return the precision that a published label means; an unknown one is taken as fp32.

    Example:
        >>> precision_of("fp16(ncnn auto)"), precision_of("w8a8"), precision_of("")
        ('fp16', 'int8', 'fp32')
    """
    label = label.lower()
    if label in BYTES:
        return label
    if "bf16" in label:
        return "bf16"
    if "fp16" in label:
        return "fp16"
    if "w4" in label:
        return "w4"
    if "a16" in label:
        return "w8a16"
    return "int8" if "8" in label else "fp32"


def family_of(runtime: str) -> str:
    """Return which runtimes share a law: those of one maker on one kind of processor."""
    return next((name for name in _FAMILIES if runtime.startswith(name)), UNKNOWN)
