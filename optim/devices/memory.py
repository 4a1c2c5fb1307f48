"""Peak memory of a model on a device, with an interval that holds four times in five.

Two accounts, for two kinds of question:

* :class:`MemoryLaw` reads parameters, MACs, activations and input size, and was fitted to the peaks
  that were published (mostly of NPUs). What a runtime reserves differs more between settings than
  what models need, so that every setting has its own intercept and slopes, drawn towards those of
  the device, the class and the runtime.
* :func:`runtime_memory` reads a deployed model's operators, weights and arena, and adds what an
  interpreter keeps beside them: of ONNX Runtime as ``bench/memory.py`` measures it, of TensorFlow
  Lite Micro as its authors do.

References:
    David et al., TensorFlow Lite Micro, 2021, arXiv:2010.08678 (memory of an interpreter).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from optim.devices.law import Imputation, Origin
from optim.devices.profile import DeviceProfile
from optim.devices.workload import BYTES, TASKS, Numbers, Workload, numbers_of, precision_of
from optim.quantity import How, Quantity
from optim.storage import write_atomic

__all__ = [
    "MEMORY_CONSTANTS",
    "N_SIZES",
    "Interpreter",
    "MemoryEstimate",
    "MemoryLaw",
    "columns_of",
    "is_interpreted",
    "levels_of",
    "memory_interval_names",
    "predict_memory",
    "runtime_memory",
    "shipped_memory_law",
    "tells_peak",
]

MEMORY_CONSTANTS = Path(__file__).resolve().parent / "memory.npz"
"""The constants that ship; ``bench/devices.py`` makes them."""

Interpreter = Literal["onnxruntime", "other", "micro"]

_TERMS: Mapping[Interpreter, tuple[float, float, float, float]] = {
    "onnxruntime": (4.86e5, 8.9e3, 2.44, 1.87),
    "other": (4.86e5, 8.9e3, 2.44, 1.87),
    "micro": (1.0e3, 850.0, 1.0, 1.0),
}
"""Bytes of a session and of every operator, and multiples of weights and of the arena.

Weights are held twice while ONNX Runtime packs them. Those of TensorFlow Lite Micro follow from
what its authors report of three networks: 1 to 26 kB that persist beside the arena.
"""

_SPREAD: Mapping[Interpreter, tuple[float, float]] = {
    "onnxruntime": (0.54, 1.74),
    "other": (0.3, 3.0),
    "micro": (0.7, 1.5),
}
"""Ends of the interval, as multiples: of networks kept aside on one machine for ONNX Runtime; of a
runtime that was not measured, a guess."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """An estimated peak of memory.

    Attributes:
        memory: In bytes; the interval holds for four of five models that were kept aside.
        origin: Whose constants were used, as of a latency.
    """

    memory: Quantity
    origin: Origin


@dataclass(frozen=True)
class MemoryLaw:
    """All constants.

    Attributes:
        imputation: For missing numbers.
        ends: Lowest and highest of the columns that were measured, ``(2, N_SIZES)``; what lies
            outside counts as the end.
        factors: Coefficients of :func:`columns_of` by name of :func:`levels_of`; their sum counts.
        intervals: Logarithms of the 10 % and 90 % points of measured over predicted.
    """

    imputation: Imputation
    ends: np.ndarray
    factors: Mapping[str, np.ndarray]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __call__(self, rows: Sequence[Workload]) -> tuple[np.ndarray, list[Origin | None]]:
        """Return logarithms of bytes, and whose constants they come from; None where from none."""
        numbers, _ = self.imputation(numbers_of(rows))
        columns = columns_of(numbers, rows)
        columns[:, :N_SIZES] = np.clip(columns[:, :N_SIZES], *self.ends)
        log_bytes = np.array(
            [
                sum(column @ self.factors[name] for name in levels_of(row) if name in self.factors)
                for row, column in zip(rows, columns, strict=True)
            ]
        )
        return log_bytes, [self._origin(row) for row in rows]

    def _origin(self, row: Workload) -> Origin | None:
        _, _, of_class, _, device, _, setting = levels_of(row)
        if setting in self.factors:
            return "measured"
        if row.device and device in self.factors:
            return "related"
        return "class" if of_class in self.factors else None

    def save(self, path: Path) -> None:
        """Write all constants into one file."""
        names = {"factors": list(self.factors), "intervals": dict(self.intervals)}
        write_atomic(
            path,
            lambda file: np.savez_compressed(
                file,
                allow_pickle=False,
                medians=self.imputation.medians,
                macs=self.imputation.macs,
                activations=self.imputation.activations,
                ends=self.ends,
                factors=np.array(list(self.factors.values()), dtype=np.float32),
                names=np.frombuffer(json.dumps(names).encode(), dtype=np.uint8),
            ),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        names: dict[str, Any] = json.loads(arrays["names"].tobytes())
        return cls(
            Imputation(arrays["medians"], arrays["macs"], arrays["activations"]),
            arrays["ends"],
            dict(zip(names["factors"], arrays["factors"].astype(float), strict=True)),
            {name: (low, high) for name, (low, high) in names["intervals"].items()},
        )


N_SIZES = 4
"""Columns of :func:`columns_of` that are sizes; they come first."""


def columns_of(numbers: Numbers, rows: Sequence[Workload]) -> np.ndarray:
    """Return what memory depends on, in size about one: ``(rows, columns)``."""
    width = np.log([BYTES[precision_of(row.precision)] for row in rows])
    batch = np.log(numbers.batch)
    sizes = [
        (numbers.log_macs - 20) / 2,
        (numbers.log_activations + batch - 15.5) / 1.5,
        (numbers.log_params - 16) / 1.5,
        (numbers.log_pixels - 10.8) / 1.5,
    ]
    kinds = [0.5 * (numbers.task == index) for index in range(len(TASKS))]
    return np.column_stack([*sizes, np.ones_like(width), width, *kinds])


def levels_of(row: Workload) -> tuple[str, ...]:
    """Return the names under which what a row shares with others is kept, the widest first."""
    device, runtime = row.device.replace("|", "/"), row.runtime.replace("|", "/")
    setting = f"{device}|{runtime}"
    return (
        "",
        f"runtime:{runtime}",
        f"class:{row.device_class}",
        f"class:{row.device_class}|{runtime}",
        f"device:{device}",
        f"device:{setting}",
        f"device:{setting}|{precision_of(row.precision)}",
    )


def memory_interval_names(row: Workload, origin: Origin) -> tuple[str, str]:
    """Return the kinds of rows whose errors a row may share, the most similar first."""
    known = "class" if origin == "class" else "device"
    return f"{known}|{row.device_class}", known


@cache
def shipped_memory_law() -> MemoryLaw:
    """Return the law whose constants ship."""
    return MemoryLaw.load(MEMORY_CONSTANTS)


def predict_memory(
    rows: Sequence[Workload], law: MemoryLaw | None = None
) -> list[MemoryEstimate | None]:
    """Estimate peaks of memory; None where nothing was published of that class of devices.

    Args:
        rows: What is asked for; anything may be missing in them.
        law: The constants; those that ship without it.
    """
    if not rows:
        return []
    law = law or shipped_memory_law()
    log_bytes, origins = law(rows)
    return [
        None if origin is None else MemoryEstimate(_peak(row, float(middle), origin, law), origin)
        for row, middle, origin in zip(rows, log_bytes, origins, strict=True)
    ]


def is_interpreted(device_class: str) -> bool:
    """Whether peaks of a class of devices follow from what an interpreter keeps.

    Those are microcontrollers and processors; of others only what was published tells.

    Example:
        >>> is_interpreted("mcu"), is_interpreted("laptop_cpu"), is_interpreted("cloud_gpu")
        (True, True, False)
    """
    return device_class.startswith("mcu") or device_class == "sbc" or device_class.endswith("_cpu")


def tells_peak(profile: DeviceProfile) -> bool:
    """Whether the peak of memory on a device is told of any network at all."""
    if is_interpreted(profile.device_class):
        return True
    asked = Workload(device=profile.measured_as or "", device_class=profile.device_class, macs=1e6)
    (found,) = predict_memory([asked])
    return found is not None


def runtime_memory(
    operators: int, weight_bytes: int, arena_bytes: int, interpreter: Interpreter
) -> Quantity:
    """Return the peak that an interpreter takes for one network, beyond its own code.

    Args:
        operators: Kernels that it runs.
        weight_bytes: Weights that it holds in RAM; 0 where they stay in flash.
        arena_bytes: See :class:`optim.measure.memory.ActivationMemory`.
        interpreter: Whose constants; those of ONNX Runtime with a wider interval stand in for
            ``other`` ones.
    """
    session, each, weights, arena = _TERMS[interpreter]
    peak = session + each * operators + weights * weight_bytes + arena * arena_bytes
    low, high = _SPREAD[interpreter]
    return Quantity(peak, "bytes", peak * low, peak * high, how=How.ESTIMATED)


def _peak(row: Workload, log_bytes: float, origin: Origin, law: MemoryLaw) -> Quantity:
    name = next(n for n in memory_interval_names(row, origin) if n in law.intervals)
    low, high = law.intervals[name]
    value, least, most = np.exp(log_bytes + np.array([0.0, min(low, 0.0), max(high, 0.0)]))
    return Quantity(float(value), "bytes", float(least), float(most), how=How.ESTIMATED)
