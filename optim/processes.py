"""Start Python children that find this very package, and talk with them: a question, an answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optim import errors
from optim.errors import OptimError

__all__ = ["ask_child", "available_cores", "child_environment", "limit_resources", "refusal"]


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def child_environment() -> dict[str, str]:
    """Return the environment of a child process in which ``import optim`` gives this package.

    It finds the same files wherever it runs.
    """
    root = str(Path(__file__).resolve().parents[1])
    others = os.environ.get("PYTHONPATH", "")
    own = {"PYTHONPATH": f"{root}{os.pathsep}{others}" if others else root}
    if home := os.environ.get("OPTIM_HOME"):
        own["OPTIM_HOME"] = str(Path(home).expanduser().absolute())
    return {**os.environ, **own}


def ask_child(
    module: str,
    request: Mapping[str, Any],
    *,
    wait_s: float,
    late: OptimError,
    silent: OptimError,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Any:
    """Start ``python -m module``, give it one line of JSON, and return what it answers.

    Args:
        module: Its ``main`` reads the request and writes, as the last line, ``{"answer": ...}`` or
            a :func:`refusal`.
        request: The question.
        wait_s: Seconds after which it is stopped.
        late: Raised then.
        silent: Raised where it ends without an answer.
        environment: More variables for the child.
        folder: Where it runs; what a file asks for by a relative name is looked for there. The
            caller's own by default.

    Raises:
        OptimError: ``late``, ``silent``, or what the child refused with.
    """
    try:
        process = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=wait_s,
            check=False,
            env={**child_environment(), **(environment or {})},
            cwd=folder,
        )
    except subprocess.TimeoutExpired as error:
        raise late from error
    lines = process.stdout.strip().splitlines()
    if not lines:
        raise silent
    answer: dict[str, Any] = json.loads(lines[-1])
    if "answer" in answer:
        return answer["answer"]
    raise getattr(errors, answer["kind"], type(silent))(answer["message"], hint=answer["hint"])


def refusal(error: OptimError) -> dict[str, str]:
    """Return an error as a child answers it."""
    return {"kind": type(error).__name__, "message": error.message, "hint": error.hint}


def limit_resources(memory_bytes: int, cpu_s: int, write_bytes: int) -> None:
    """Bound what this process may use; not every system can.

    Args:
        memory_bytes: Address space.
        cpu_s: Seconds of computing.
        write_bytes: Of any one file.
    """
    try:
        import resource
    except ImportError:
        return
    wanted = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: write_bytes,
    }
    for kind, most in wanted.items():
        _, hard = resource.getrlimit(kind)  # what the parent was given cannot be exceeded
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))
