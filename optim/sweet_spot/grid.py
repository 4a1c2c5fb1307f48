"""Latency and throughput by runtime, threads and batch, and the best of them under a limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from optim.quantity import Comparison, Quantity
from optim.runtime.providers import GPUS, gpus_here
from optim.sweet_spot.fusion import Fusion

__all__ = ["BATCHES", "RUNTIMES", "Cell", "Grid", "Ran", "runtimes_here", "thread_counts"]

RUNTIMES = {
    "onnx": "ONNX Runtime",
    "openvino": "OpenVINO",
    "compile": "torch.compile",
    "cuda": "ONNX Runtime (CUDA)",
    "tensorrt": "ONNX Runtime (TensorRT)",
}
"""What a reader calls the runtimes; the first is the one others are compared with."""
BATCHES = (1, 2, 4, 8, 16, 32)
"""Samples in one inference."""


def runtimes_here() -> tuple[str, ...]:
    """Return the runtimes worth asking for: those on a GPU only where ONNX Runtime has them."""
    there = gpus_here()
    return tuple(name for name in RUNTIMES if name not in GPUS or name in there)


def thread_counts(cores: int) -> tuple[int, ...]:
    """Return the numbers of threads that are tried: powers of two, and all cores.

    Example:
        >>> thread_counts(6)
        (1, 2, 4, 6)
    """
    powers = [2**i for i in range(cores.bit_length()) if 2**i < cores]
    return (*powers, cores)


@dataclass(frozen=True)
class Cell:
    """One runtime with one number of threads and of samples at once.

    Attributes:
        runtime: A key of :data:`RUNTIMES`.
        threads: Threads of one inference.
        batch: Samples in one inference.
        latency: Median of one inference of all of them, in ms, over blocks.
        throughput: Samples a second, of the same blocks.
        change: The latency over that of the first runtime, block by block; None for the first
            runtime and where that was not measured.
    """

    runtime: str
    threads: int
    batch: int
    latency: Quantity
    throughput: Quantity
    change: Comparison | None = None

    def is_within(self, limit_ms: float) -> bool:
        """Whether the whole interval of the latency lies within a limit."""
        return self.latency.high <= limit_ms

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "runtime": self.runtime,
            "threads": self.threads,
            "batch": self.batch,
            "latency": self.latency.to_json(),
            "throughput": self.throughput.to_json(),
            "change": self.change.to_json() if self.change else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            data["runtime"],
            data["threads"],
            data["batch"],
            Quantity.from_json(data["latency"]),
            Quantity.from_json(data["throughput"]),
            Comparison.from_json(data["change"]) if data["change"] else None,
        )


@dataclass(frozen=True)
class Ran:
    """A runtime that was measured.

    Attributes:
        version: Its name with version.
        note: What has to be known about what it computes; may be empty.
    """

    version: str
    note: str = ""


@dataclass(frozen=True)
class Grid:
    """What was measured of one model.

    Attributes:
        ran: Runtimes that were measured, by name.
        refused: ``{name: why}`` of runtimes that were not, or no longer.
        batches: Samples at once, growing.
        threads: Threads, growing.
        cells: What was measured; a cell is missing where a smaller batch already took too long.
        device: What it was measured on.
        gpu: What was done about GPUs.
        omitted: Ids of training steps that had no stored result, and were left out.
        fusion: ONNX Runtime by level of rewriting; empty where it was not measured.
        layout: PyTorch by layout of images; empty where it was not measured.
    """

    ran: Mapping[str, Ran]
    refused: Mapping[str, str]
    batches: tuple[int, ...]
    threads: tuple[int, ...]
    cells: tuple[Cell, ...]
    device: str = ""
    gpu: str = ""
    omitted: tuple[str, ...] = ()
    fusion: Fusion = field(default_factory=Fusion)
    layout: Fusion = field(default_factory=Fusion)

    @property
    def notes(self) -> list[str]:
        """What has to be known about the figures, in sentences."""
        return [
            *(f"{RUNTIMES[name]}: {ran.note}" for name, ran in self.ran.items() if ran.note),
            *(f"Left out, because not trained yet: {step}." for step in self.omitted),
            *([self.gpu] if self.gpu else []),
        ]

    def best(self, limit_ms: float, runtime: str | None = None) -> Cell | None:
        """Return the highest throughput whose latency is within a limit.

        Args:
            limit_ms: The limit of one inference, whatever its batch.
            runtime: Looks at this one only.

        Returns:
            None if nothing is that fast.
        """
        within = [
            cell
            for cell in self.cells
            if cell.is_within(limit_ms) and runtime in (None, cell.runtime)
        ]
        return max(within, key=lambda cell: cell.throughput.value, default=None)

    def equals_of(self, best: Cell, limit_ms: float) -> list[Cell]:
        """Return other cells within a limit whose throughput the intervals do not tell apart."""
        return [
            cell
            for cell in self.cells
            if cell is not best
            and cell.is_within(limit_ms)
            and cell.throughput.high >= best.throughput.low
        ]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "ran": {name: vars(ran) for name, ran in self.ran.items()},
            "refused": dict(self.refused),
            "batches": list(self.batches),
            "threads": list(self.threads),
            "cells": [cell.to_json() for cell in self.cells],
            "device": self.device,
            "gpu": self.gpu,
            "omitted": list(self.omitted),
            "fusion": self.fusion.to_json(),
            "layout": self.layout.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            {name: Ran(**ran) for name, ran in data["ran"].items()},
            data["refused"],
            tuple(data["batches"]),
            tuple(data["threads"]),
            tuple(Cell.from_json(cell) for cell in data["cells"]),
            data["device"],
            data["gpu"],
            tuple(data["omitted"]),
            Fusion.from_json(data["fusion"]),
            Fusion.from_json(data["layout"]),
        )
