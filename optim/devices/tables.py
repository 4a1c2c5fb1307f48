"""Rows of models on devices in CSV files, and what is predicted for them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optim.devices.memory import MemoryEstimate
from optim.devices.predict import LatencyEstimate
from optim.devices.workload import Workload
from optim.errors import ConfigError
from optim.storage import write_atomic

__all__ = ["COLUMNS", "read_workloads", "workload_from", "write_estimates"]

_WORDS = ("device", "device_class", "runtime", "precision", "task", "input_shape")
_FIGURES = ("macs", "params", "activations", "batch", "threads")
COLUMNS = (*_WORDS, *_FIGURES)
"""What is read of a row; other columns are passed over, and any may be missing or blank."""

_LATENCY = ("latency_ms", "low_ms", "high_ms", "origin", "extrapolated", "validated")
_MEMORY = ("peak_memory_mb", "memory_low_mb", "memory_high_mb")
_MAX_BYTES = 256 * 2**20
_MAX_ROWS = 1_000_000
_MAX_TEXT = 300


def read_workloads(path: Path) -> list[Workload]:
    """Read a CSV file with a header, one row a model on a device.

    Raises:
        ConfigError: If it cannot be read, has none of ``COLUMNS``, or a figure is no positive
            number; the message names line and column.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path.name!r} may have {_MAX_BYTES:,} bytes and has more.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path.name!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name!r} cannot be read: it is not UTF-8.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    rows: list[Workload] = []
    try:
        if not set(reader.fieldnames or ()) & set(COLUMNS):
            raise ConfigError(
                f"{path.name!r} has none of the columns {', '.join(COLUMNS)}.",
                hint="Its first line must name them.",
            )
        for record in reader:
            if len(rows) == _MAX_ROWS:
                raise ConfigError(f"{path.name!r} may have {_MAX_ROWS:,} rows and has more.")
            rows.append(workload_from(record, f"{path.name!r}, line {reader.line_num}"))
    except csv.Error as error:
        raise ConfigError(
            f"{path.name!r} cannot be read as CSV: line {reader.line_num}, {error}."
        ) from error
    return rows


def workload_from(record: Mapping[str, str | None], where: str = "The row") -> Workload:
    """Return what a row of text asks for.

    Args:
        record: Text by name of the column.
        where: How the row is called in messages.

    Raises:
        ConfigError: If a figure is no positive number.
    """
    asked: dict[str, Any] = {name: (record.get(name) or "").strip()[:_MAX_TEXT] for name in _WORDS}
    for name in _FIGURES:
        if (value := _figure(record.get(name), name, where)) is not None:
            asked[name] = value
    try:
        return Workload(**asked)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", field=error.field) from error


def write_estimates(
    path: Path,
    estimates: Sequence[LatencyEstimate],
    memories: Sequence[MemoryEstimate | None],
) -> None:
    """Write one row a question, in their order.

    Args:
        path: Where to.
        estimates: Latencies.
        memories: Peaks of memory, written in 1e6 bytes; blank where they cannot be told.

    Raises:
        OSError: If the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_LATENCY, *_MEMORY])
    for one, memory in zip(estimates, memories, strict=True):
        ends = (one.latency.value, one.latency.low, one.latency.high)
        told = (one.origin, int(one.extrapolated), int(one.validated))
        writer.writerow([*(f"{value:.6g}" for value in ends), *told, *_megabytes(memory)])
    write_atomic(path, text.getvalue().encode())


def _megabytes(estimate: MemoryEstimate | None) -> tuple[str, ...]:
    if estimate is None:
        return ("",) * len(_MEMORY)
    peak = estimate.memory
    return tuple(f"{1e-6 * end:.6g}" for end in (peak.value, peak.low, peak.high))


def _figure(text: str | None, name: str, where: str) -> float | None:
    text = (text or "").strip()
    if not text or text.lower() == "nan":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise ConfigError(
            f"{where}: {name} must be a number or blank: got {text[:40]!r}.", field=name
        )
    return value
