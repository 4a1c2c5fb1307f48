"""Take in a file from a browser: in a process of its own, with limits, and never running it.

The web server writes the upload under a name of its own and starts ``python -m optim.intake``. The
process limits its memory, its time and the size of what it writes before it looks at the file, and
answers with one line of JSON. Whatever a hostile file does to it, the server goes on.

The name of what was taken in cannot be guessed, not even by who has the same file: it opens it for
whoever knows it, so that a link works, and belongs to its owner alone.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from optim import errors
from optim.access.names import capability
from optim.errors import AccessError, OptimError, RunError
from optim.hashing import digest, digest_bytes
from optim.processes import child_environment
from optim.storage import cache_home

__all__ = ["ENDINGS", "main", "take_data", "take_model"]

_MEMORY_BYTES = 6 * 2**30
_CPU_S = 120
_WRITE_BYTES = 2 * 2**30
_WAIT_S = 180
_AT_ONCE = threading.BoundedSemaphore(2)
"""Files opened at a time: each may take all the memory that it is allowed."""
ENDINGS = {
    "model": (".safetensors", ".onnx", ".pt", ".pth", ".th", ".ckpt", ".bin"),
    # Formats that are known by the name of the file itself come in a zip or tar.
    "data": (
        *(".zip", ".npz", ".npy", ".csv", ".tsv", ".parquet", ".idx"),
        *(".tar", ".tar.gz", ".tgz"),
    ),
}
"""How the names of uploads end."""


def take_model(
    content: bytes,
    filename: str,
    *,
    data: str,
    architecture: str = "",
    title: str = "",
    owner: str = "",
    max_bytes: int = 0,
) -> str:
    """Add an uploaded model to those pages can use, unlisted.

    Args:
        content: The file.
        filename: What the browser called it; only its ending is used.
        data: Registered data the model belongs to.
        architecture: Name in the zoo; guessed if empty.
        title: Name for a reader.
        owner: Id of who uploads it.
        max_bytes: Largest file; 0 for no limit.

    Returns:
        The model's name.

    Raises:
        AccessError: If the file is too large.
        OptimError: Naming what is wrong with the file.
    """
    _check_size(content, max_bytes)
    name = _name(owner, "model", digest_bytes(content), data, architecture)
    options = {"data": data, "architecture": architecture, "title": title}
    return _take("model", content, filename, {**options, "name": name, "owner": owner})


def take_data(
    content: bytes,
    filename: str,
    *,
    title: str = "",
    options: dict[str, Any] | None = None,
    owner: str = "",
    max_bytes: int = 0,
) -> str:
    """Add uploaded data to those pages can use, unlisted.

    Args:
        content: The file.
        filename: What the browser called it; only its ending is used.
        title: Name for a reader.
        options: Fields of :class:`optim.data.DataOptions`.
        owner: Id of who uploads it.
        max_bytes: Largest file; 0 for no limit.

    Returns:
        The data's name.

    Raises:
        AccessError: If the file is too large.
        OptimError: Naming what is wrong with the file.
    """
    _check_size(content, max_bytes)
    options = options or {}
    name = _name(owner, "data", digest_bytes(content), digest(options))
    told = {"title": title, "options": options, "name": name, "owner": owner}
    return _take("data", content, filename, told)


def _check_size(content: bytes, max_bytes: int) -> None:
    if 0 < max_bytes < len(content):
        raise AccessError(
            f"The file has {len(content) / 2**20:.1f} MB; this server takes files of at most "
            f"{max_bytes / 2**20:.0f} MB.",
            hint="Ask who runs it to raise server.maxUploadSize, or use the command line.",
        )


def _name(*parts: str) -> str:
    return f"my-{capability(*parts)[:24]}"


def _take(kind: str, content: bytes, filename: str, options: dict[str, Any]) -> str:
    longest = sorted(ENDINGS[kind], key=len, reverse=True)
    name = Path(filename).name.lower()
    # Behind a name: ".zip" alone has no ending.
    suffix = next((ending for ending in longest if name[1:].endswith(ending)), "")
    if not suffix:
        found = Path(filename).suffix.lower()
        raise errors.UnsupportedModelError(
            f"A {kind} file ends in {', '.join(ENDINGS[kind])}: got {found or 'no ending'}.",
            hint="TorchScript, .pt2 and pickled models run code when opened and are refused; save "
            "the weights as .safetensors or as a state dict, or export to ONNX."
            if kind == "model"
            else "",
        )
    home = cache_home() / "intake"
    home.mkdir(parents=True, exist_ok=True)
    with _AT_ONCE, tempfile.TemporaryDirectory(dir=home) as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)
        request = json.dumps({"kind": kind, "path": str(path), "options": options})
        try:
            process = subprocess.run(
                [sys.executable, "-m", "optim.intake"],
                input=request,
                capture_output=True,
                text=True,
                timeout=_WAIT_S,
                check=False,
                # What libraries leave behind lies in the same folder, and goes with it.
                env={**child_environment(), "TMPDIR": folder},
            )
        except subprocess.TimeoutExpired as error:
            raise RunError("Opening the file took too long and was stopped.") from error
    return _answer(process.stdout)


def _answer(output: str) -> str:
    lines = output.strip().splitlines()
    if not lines:
        raise RunError(
            "The file could not be opened within the limits of memory and time.",
            hint="Check that it is a weights file, an ONNX file, or data of a known format.",
        )
    answer: dict[str, Any] = json.loads(lines[-1])
    if "name" in answer:
        return str(answer["name"])
    kind = getattr(errors, answer["kind"], RunError)
    raise kind(answer["message"], hint=answer["hint"])


def main() -> None:
    """Read one request from standard input and answer it."""
    request = json.loads(sys.stdin.readline())
    _limit()
    options, path = request["options"], Path(request["path"])
    # Libraries may print; the last line of the output is the answer.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            answer = {"name": _add(request["kind"], path, options)}
        except OptimError as error:
            answer = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
        except MemoryError:
            answer = {"kind": "RunError", "message": "The file needs too much memory.", "hint": ""}
    sys.stdout.write(json.dumps(answer) + "\n")


def _add(kind: str, path: Path, options: dict[str, Any]) -> str:
    if kind == "model":
        from optim.library import add_model

        return add_model(path, listed=False, **options)
    from optim.data.added import add_data
    from optim.data.open import open_data
    from optim.data.options import DataOptions

    how = DataOptions(**options.pop("options"))
    data = open_data(path, options=how)
    for part in data.parts:
        data.load(part)  # decoded here, within the limits, and cached
    return add_data(path, copy=True, listed=False, options=how, **options).name


def _limit() -> None:
    """Bound what this process may use; not every system can."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_WRITE_BYTES, _WRITE_BYTES))


if __name__ == "__main__":
    main()
