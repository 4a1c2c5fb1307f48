"""What ONNX Runtime ran in one inference, operator by operator: it is asked for its own trace."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optim.errors import ExportError, first_line
from optim.models.interface import Interface
from optim.models.probing import load_session

__all__ = ["Traced", "owner_of", "trace_operators"]

_WARM_UP = 5
_END = re.compile(r"_kernel_time$")
_RUNTIME_SUFFIX = re.compile(r"(_nchwc|_token_\d+)+$")


@dataclass(frozen=True)
class Traced:
    """One operator of one inference.

    Attributes:
        name: As the runtime calls it.
        op: Kind of operator, such as ``QLinearConv``.
        ms: How long it took, in whole microseconds.
        outputs: ``(type, sizes)`` of the values it wrote.
    """

    name: str
    op: str
    ms: float
    outputs: tuple[tuple[str, tuple[int, ...]], ...]


def trace_operators(
    file: bytes,
    inputs: np.ndarray,
    *,
    runs: int = 30,
    interface: Interface | None = None,
    rewritten: Path | None = None,
) -> list[Traced]:
    """Run a file and return every operator of every inference, on one thread, in order.

    Args:
        file: An ONNX file.
        inputs: ``(batch, ...)`` float32; no more than the file takes at once, and where those are
            fewer they are repeated.
        runs: Inferences that are traced, after some to warm up.
        interface: How the file is run; it has one input if None.
        rewritten: Where the runtime writes the graph it has made of the file. It then fuses
            operators, and does not lay out values for the processor at hand.

    Raises:
        ExportError: If the runtime refuses the file.
    """
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        if rewritten is not None:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
            options.optimized_model_filepath = str(rewritten)
        try:
            session = load_session(file, options, providers=["CPUExecutionProvider"])
            interface = interface or Interface(session.get_inputs()[0].name)
            fed = interface.inputs(interface.pieces(inputs)[0])
            for _ in range(runs + _WARM_UP):
                session.run(None, fed)
        except Exception as error:
            # onnxruntime raises classes of its own that share no base but Exception.
            raise ExportError(f"ONNX Runtime cannot run the file: {first_line(error)}.") from error
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    starts = sorted(e["ts"] for e in events if e.get("name") == "model_run")
    first = starts[_WARM_UP] if len(starts) > _WARM_UP else 0
    return [
        Traced(
            _END.sub("", event["name"]),
            event["args"]["op_name"],
            event["dur"] / 1e3,
            _outputs(event["args"]),
        )
        for event in events
        if event.get("cat") == "Node" and _END.search(event["name"]) and event["ts"] >= first
    ]


def _outputs(told: Mapping[str, Any]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    values: list[dict[str, list[int]]] = told.get("output_type_shape", [])
    return tuple(
        (name, tuple(sizes)) for value in values for name, sizes in (value or {"": []}).items()
    )


def owner_of(kernel: str, owners: Mapping[str, str]) -> str | None:
    """Return the layer a kernel belongs to, whatever the runtime has added to its name.

    Args:
        kernel: Name in the trace.
        owners: ``{kernel name: layer}``, see :func:`optim.runtime.deployed.deployed_owners`.
    """
    return owners.get(_RUNTIME_SUFFIX.sub("", kernel))
