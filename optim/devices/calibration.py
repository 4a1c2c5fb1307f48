"""A device that was probed: from the times of single operators to the latency of a network.

For every kind of operator a physical law is fitted first, a sum of a fixed time and of times for
multiplying and for moving bytes, with coefficients that are not negative. What the law leaves over
is a Gaussian process of the logarithms of the operator's sizes. The latency of a network is the
time of an empty inference and the sum over its operators; the networks in the probe, which no law
was fitted to, say how far off that is.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from optim.devices.operators import Operator
from optim.devices.parts import Parts
from optim.devices.probe import NETWORKS, SCHEMA, network
from optim.errors import ConfigError
from optim.hashing import digest
from optim.quantity import How, Quantity

__all__ = ["Calibration", "Case", "Estimate", "Probe", "operator_of", "read_probe"]

_LARGEST = 1_000_000
"""Bytes of a probe's file; a whole one has a twentieth."""
_FASTEST_MACS_PER_MS, _FASTEST_BYTES_PER_MS = 1e12, 1e11
"""No processor is faster: a petaMAC and 100 terabytes a second."""
_FIRST = "optim.probe/1"
"""Its chains of conversions had a negation before each pair, and counted all three as one."""
_BLOCK = 16
"""Channels that wide kernels take at once."""
_BYTES = {"float32": 4, "int8": 1}

_Ms = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
_Times = Annotated[list[_Ms], Field(min_length=1, max_length=100)]
_Size = Annotated[int, Field(ge=1, le=1_000_000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Case(_Part):
    """One chain of one operator, and how long an inference took; see ``optim.devices.probe``."""

    kind: str
    dtype: Literal["float32", "int8"]
    inputs: _Size
    outputs: _Size
    height: _Size
    width: _Size
    kernel: Annotated[int, Field(ge=1, le=99)]
    stride: Annotated[int, Field(ge=1, le=99)]
    count: Annotated[int, Field(ge=1, le=99)]
    ms: _Times

    @model_validator(mode="after")
    def _is_possible(self) -> Case:
        operator = operator_of(self)
        fastest = max(
            operator.macs / _FASTEST_MACS_PER_MS, operator.moved_bytes / _FASTEST_BYTES_PER_MS
        )
        if min(self.ms) < self.count * fastest:
            raise ValueError(
                f"{min(self.ms)} ms is less than any processor needs for {self.count} times "
                f"{operator.macs:,} MACs"
            )
        return self


class _Network(_Part):
    name: str
    dtype: str
    ms: _Times


class _Device(_Part):
    name: Annotated[str, Field(min_length=1, max_length=80)]
    machine: Annotated[str, Field(max_length=40)] = ""
    system: Annotated[str, Field(max_length=40)] = ""
    cores: Annotated[int, Field(ge=1, le=4096)] | None = None
    memory_bytes: Annotated[int, Field(ge=1, le=2**50)] | None = None


class _Runtime(_Part):
    name: Annotated[str, Field(max_length=40)]
    version: Annotated[str, Field(max_length=40)]


class Probe(_Part):
    """What the probe wrote; fields of later versions are left alone.

    Attributes:
        device: What the system says of itself.
        runtime: Name and version of the runtime.
        threads: Threads of one inference.
        overhead_ms: Times of an inference that does nothing.
        form: Version of what the probe measured.
        operators: Chains of one operator each.
        networks: Small networks, to check the sum with.
        date: Day it was measured, ``YYYY-MM-DD``.
    """

    device: _Device
    runtime: _Runtime
    threads: Annotated[int, Field(ge=1, le=4096)]
    form: Annotated[str, Field(alias="schema", exclude=True)] = SCHEMA
    overhead_ms: _Times
    operators: Annotated[list[Case], Field(min_length=1, max_length=2000)]
    networks: Annotated[list[_Network], Field(max_length=100)] = []
    date: Annotated[str, Field(max_length=10, pattern=r"^\d{4}-\d\d-\d\d$")] = "1970-01-01"

    @property
    def id(self) -> str:
        """Identity of its content."""
        return digest(self.model_dump_json())[:16]

    def count_of(self, case: Case) -> int:
        """Return how many operators a chain has."""
        return 3 * case.count if self.form == _FIRST and case.kind == "convert" else case.count


def read_probe(data: bytes) -> Probe:
    """Read the file that the probe wrote.

    Raises:
        ConfigError: If it is no such file, from another version, or holds a value that cannot be;
            the message names it.
    """
    hint = "Run the probe again on the device, and upload what it writes unchanged."
    if len(data) > _LARGEST:
        raise ConfigError(
            f"A probe's file has a megabyte at most: this one has {len(data) / 1e6:.1f}.", hint=hint
        )
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError("The file is no JSON, or it is cut short.", hint=hint) from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema not in (SCHEMA, _FIRST):
        raise ConfigError(
            f"schema must be {SCHEMA}: got {str(schema)[:40]!r}.",
            hint="Download the probe again from this version, and run it on the device."
            if isinstance(schema, str) and schema.startswith("optim.probe/")
            else "Upload the JSON file that the probe wrote.",
        )
    try:
        return Probe.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        got = "" if isinstance(first["input"], dict | list) else f": got {str(first['input'])[:40]}"
        raise ConfigError(
            f"{where or 'The file'}: {first['msg'].removeprefix('Value error, ')}{got}.",
            hint=hint,
            field=where,
        ) from error


def operator_of(case: Case | Mapping[str, Any]) -> Operator:
    """Return one operator of a chain with the sizes that the probe gave it."""
    if not isinstance(case, Case):
        case = Case.model_construct(**case)
    e, rows = _BYTES[case.dtype], case.height * case.width
    window = case.kernel if case.height == 1 < case.width else case.kernel**2
    inputs, outputs, groups, macs, weight = case.inputs, case.outputs, 1, 0, 0
    read, written = inputs * rows * case.stride**2 * e, outputs * rows * e
    kernel = 1
    if case.kind in ("conv", "depthwise"):
        groups, kernel = inputs if case.kind == "depthwise" else 1, window
        macs = rows * outputs * (inputs // groups) * window
        weight = outputs * (inputs // groups) * window * e
    elif case.kind in ("gemm", "matmul"):
        macs, weight = rows * inputs * outputs, inputs * outputs * e
    elif case.kind == "attention":
        rows, inputs, outputs = case.inputs * case.height, case.width, case.height
        macs = rows * inputs * outputs
        read, written = 2 * rows * inputs * e, rows * outputs * e
    elif case.kind == "add":
        read *= 2
    elif case.kind == "concat":
        inputs, read = outputs, written
    elif case.kind == "max_pool":
        kernel = window
    elif case.kind == "convert":
        written = outputs * rows * _BYTES["int8"]  # or the other way round
    elif case.kind == "global_pool":
        rows, written = 1, outputs * e
    return Operator(
        case.kind, case.kind, case.dtype, "", inputs, outputs, rows, kernel, groups, macs, read,
        written, weight,
    )  # fmt: skip


def _undisturbed(times: Sequence[float]) -> float:
    """Return the lower quartile: what it takes while the machine does nothing else."""
    return float(np.quantile(times, 0.25))


# --- laws ---------------------------------------------------------------------------------------


def _terms(operator: Operator) -> list[float]:
    """Return what the time of an operator is a sum of, up to factors that are not negative."""
    # Kernels for whole windows copy each window first.
    copies = operator.macs and operator.groups == 1
    copied = operator.rows * operator.inputs * operator.kernel if copies else 0
    macs = operator.macs / 1e6
    return [1.0, operator.moved_bytes / 1e6, copied / 1e6, macs, macs * _filling(operator)]


def _filling(operator: Operator) -> float:
    """Return by how much the MACs grow when channels fill whole blocks."""
    filled = _padding(operator.outputs)
    return filled * _padding(operator.inputs) if operator.groups == 1 else filled


def _padding(channels: int) -> float:
    return -(-channels // _BLOCK) * _BLOCK / channels


def _place(operator: Operator) -> list[float]:
    """Return where an operator lies among others of its kind: near ones take alike."""
    sizes = (operator.inputs, operator.outputs, operator.rows, operator.kernel)
    channels = (operator.inputs, operator.outputs)
    return [
        *(math.log(size) for size in sizes),
        *(2.0 * (n % _BLOCK > 0) for n in channels),
        *(1.0 * (n % 4 > 0) for n in channels),
    ]


class _Law:
    """Time of one operator of one kind, in milliseconds."""

    _LENGTH, _NOISE, _LEAST_MS = 2.0, 0.05, 1e-5

    def __init__(self, operators: Sequence[Operator], ms: np.ndarray) -> None:
        from scipy.optimize import nnls

        self.multiplies = any(o.macs for o in operators)
        terms = np.array([_terms(o) for o in operators])
        # Relative errors count, not those of the longest operators.
        self._factors, _ = nnls(terms / ms[:, None], np.ones(len(ms)))
        rest = np.log(ms / np.maximum(terms @ self._factors, self._LEAST_MS))
        self._places = np.array([_place(o) for o in operators])
        self._spread = max(float(rest.std()), self._NOISE)
        kernel = self._likeness(self._places) + self._NOISE**2 * np.eye(len(rest))
        self._weights = np.linalg.solve(kernel, rest)

    def _likeness(self, places: np.ndarray) -> np.ndarray:
        squared = ((places[:, None] - self._places[None]) ** 2).sum(-1)
        return np.asarray(self._spread**2 * np.exp(-squared / (2 * self._LENGTH**2)))

    def split(self, operator: Operator) -> Parts:
        """Return the parts of an operator's time, as the law's terms share it."""
        terms = (np.array(_terms(operator)) * self._factors).tolist()
        base = max(sum(terms), self._LEAST_MS)
        rest = float((self._likeness(np.array([_place(operator)])) @ self._weights)[0])
        start, moving, copying, plain, padded = terms
        filled = _filling(operator)
        useful = plain + padded / filled
        parts = Parts(start, useful, padded - padded / filled, moving + copying)
        scale = base * math.exp(rest) / parts.total if parts.total else 0.0
        return parts.scaled(scale) if scale else Parts(overhead=base * math.exp(rest))


_NEAREST: dict[str, tuple[str, ...]] = {
    "depthwise": ("conv",),
    "gemm": ("matmul",),
    "matmul": ("gemm",),
    "recurrent": ("gemm", "matmul"),
    "attention": ("matmul",),
    "relu": ("add",),
    "gelu": ("relu", "add"),
    "softmax": ("gelu", "relu"),
    "layer_norm": ("gelu", "relu"),
    "max_pool": ("gelu",),
    "global_pool": ("relu", "add"),
    "concat": ("add", "relu"),
    "pad": ("concat", "relu"),
    "transpose": ("pad", "concat"),
    "convert": ("relu", "add"),
    "other": ("gelu", "relu"),
}
"""What stands in for a kind that was not probed, or for one that has no name."""


@dataclass(frozen=True)
class Estimate:
    """Latency of a network on a probed device.

    Attributes:
        latency: Milliseconds of an inference with one sample.
        operators: Milliseconds of every operator, in order; what another one does counts 0.
        substituted: Names of operators that were estimated by another kind.
    """

    latency: Quantity
    operators: tuple[float, ...]
    substituted: tuple[str, ...]


class Calibration:
    """Predicts latency on a device that was probed.

    Attributes:
        probe: What it was fitted to.
        error: Root mean square of the logarithm of predicted over measured, over the networks of
            the probe; of the wider of that and a tenth.
        checked: How many networks that is.

    Raises:
        ConfigError: If too little was measured.
    """

    _FEWEST = 3
    """Cases that a law needs."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        times = [_undisturbed(case.ms) for case in probe.operators]
        # An empty inference that was disturbed would make short operators free.
        self._overhead = min(_undisturbed(probe.overhead_ms), 0.9 * min(times))
        chains: dict[tuple[str, str], list[tuple[Operator, float]]] = {}
        for case, ms in zip(probe.operators, times, strict=True):
            each = (ms - self._overhead) / probe.count_of(case)
            chains.setdefault((case.kind, case.dtype), []).append((operator_of(case), each))
        self._laws = {
            key: _Law([o for o, _ in found], np.array([ms for _, ms in found]))
            for key, found in chains.items()
            if len(found) >= self._FEWEST
        }
        # A law of what only moves bytes would make multiplying free.
        self._multiplying = {key: law for key, law in self._laws.items() if law.multiplies}
        if not self._multiplying:
            raise ConfigError(
                f"operators: no kind of operator that multiplies was measured {self._FEWEST} "
                "times.",
                hint="Let the probe run to its end.",
                field="operators",
            )
        errors = [
            math.log(self._sum(operators) / _undisturbed(checked.ms))
            for checked in probe.networks
            if (operators := _operators_of(checked.name, checked.dtype))
        ]
        self.checked = len(errors)
        found = math.sqrt(statistics.fmean(e * e for e in errors)) if errors else _UNCHECKED
        self.error = max(found, 0.1)

    def estimate(self, operators: Sequence[Operator]) -> Estimate:
        """Return the latency of a network from its operators, with a 95 % interval."""
        times = tuple(self.split(operator).total for operator in operators)
        total = self._overhead + sum(times)
        working = [(o, ms) for o, ms in zip(operators, times, strict=True) if not o.is_free]
        substituted = [(o.name, ms) for o, ms in working if self._law(o)[1]]
        doubtful = sum(ms for _, ms in substituted)
        error = self.error * self._quantile() + _UNCHECKED * doubtful / total
        latency = Quantity(
            total, "ms", total * math.exp(-error), total * math.exp(error), self.checked or None,
            How.ESTIMATED,
        )  # fmt: skip
        return Estimate(latency, times, tuple(name for name, _ in substituted))

    @property
    def overhead_ms(self) -> float:
        """Time of an empty inference."""
        return self._overhead

    def split(self, operator: Operator) -> Parts:
        """Return the parts of an operator's time; what another operator does takes nothing."""
        return Parts() if operator.is_free else self._law(operator)[0].split(operator)

    def _quantile(self) -> float:
        from scipy.stats import t

        return float(t.ppf(0.975, self.checked)) if self.checked else 1.0

    def _sum(self, operators: Sequence[Operator]) -> float:
        return self._overhead + sum(self.split(operator).total for operator in operators)

    def _law(self, operator: Operator) -> tuple[_Law, bool]:
        """Return the law for an operator, and whether it is that of another kind."""
        laws = self._multiplying if operator.macs else self._laws
        for kind in (operator.kind, *_NEAREST.get(operator.kind, ())):
            for dtype in (operator.dtype, "float32"):
                if (kind, dtype) in laws:
                    return laws[kind, dtype], kind != operator.kind
        return next(iter(laws.values())), True


_UNCHECKED = math.log(2)
"""Spread of what no network of the probe speaks for: off by a factor of two."""


@cache
def _operators_of(name: str, dtype: str) -> tuple[Operator, ...]:
    """Return the operators of a network of the probe; none of one that it does not have."""
    if (name, dtype) not in NETWORKS:
        return ()
    return tuple(map(operator_of, network(name, dtype)[2]))
