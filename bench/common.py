"""What every bench shares: the machine it ran on, and where its figures go."""

from __future__ import annotations

import base64
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # benches run from a source tree that need not be installed

DOCS = ROOT / "docs" / "benchmarks.md"
PACKAGES = ("torch", "onnxruntime", "streamlit", "plotly", "numpy")


def machine() -> dict[str, Any]:
    """Describe the machine and the versions that matter."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def record(name: str, results: dict[str, Any], *, shown: bool = True) -> None:
    """Write ``bench/<name>.json``, and print the results if they are to be shown."""
    data = {
        "command": f"python bench/{Path(sys.argv[0]).name}",
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "results": results,
    }
    path = ROOT / "bench" / f"{name}.json"
    path.write_text(json.dumps(data, indent=1, default=float) + "\n", encoding="utf-8")
    if shown:
        print(json.dumps(results, indent=1, default=float))


def documented(name: str, text: str) -> str:
    """Return docs/benchmarks.md with a bench's table between its two marks."""
    start, end = f"<!-- results: python bench/{name}.py -->", f"<!-- end of {name} -->"
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n\n{text}\n\n{end}{after}"


def packed(right: np.ndarray) -> str:
    """Return ``(N,)`` bool as text of a sixth of as many letters."""
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def unpacked(text: str, n: int) -> np.ndarray:
    """Return what :func:`packed` was given."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=n).astype(bool)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def commit() -> str:
    """Return the commit that is checked out."""
    try:
        return subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
