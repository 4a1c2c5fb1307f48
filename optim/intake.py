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
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optim.access.names import capability
from optim.data.added import options_of
from optim.errors import DataError, OptimError, RunError, UnsupportedModelError
from optim.hashing import digest, digest_bytes
from optim.models.programs import SUFFIXES, uploads_are_trusted
from optim.processes import ask_child, limit_resources, refusal
from optim.storage import cache_home

if TYPE_CHECKING:
    from optim.data.options import DataOptions

__all__ = [
    "ENDINGS",
    "Upload",
    "look_at_data",
    "look_at_model",
    "main",
    "take_data",
    "take_model",
    "take_pair",
]

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


@dataclass(frozen=True)
class Upload:
    """A file from a browser.

    Attributes:
        content: Its bytes.
        filename: What the browser called it; sentences about it say so.
        title: Name for a reader.
    """

    content: bytes
    filename: str
    title: str = ""


def take_model(
    content: bytes,
    filename: str,
    *,
    data: str,
    architecture: str = "",
    title: str = "",
    owner: str = "",
    task: str = "",
) -> str:
    """Add an uploaded model to those pages can use, unlisted.

    Args:
        content: The file.
        filename: What the browser called it.
        data: Registered data the model belongs to.
        architecture: Name in the zoo; guessed if empty.
        title: Name for a reader.
        owner: Id of who uploads it.
        task: What the outputs of an ONNX file mean; guessed if empty.

    Returns:
        The model's name.

    Raises:
        OptimError: Naming what is wrong with the file.
    """
    name = _name(owner, "model", digest_bytes(content), data, architecture, task)
    options = {"data": data, "architecture": architecture, "title": title, "task": task}
    arguments = {**options, "name": name, "owner": owner}
    return str(_ask("take model", {"model": Upload(content, filename)}, arguments))


def take_data(
    content: bytes,
    filename: str,
    *,
    title: str = "",
    options: dict[str, Any] | None = None,
    owner: str = "",
) -> str:
    """Add uploaded data to those pages can use, unlisted.

    Args:
        content: The file.
        filename: What the browser called it.
        title: Name for a reader.
        options: Fields of :class:`optim.data.DataOptions`.
        owner: Id of who uploads it.

    Returns:
        The data's name.

    Raises:
        OptimError: Naming what is wrong with the file.
    """
    options = options or {}
    name = _name(owner, "data", digest_bytes(content), digest(options))
    arguments = {"title": title, "options": options, "name": name, "owner": owner}
    return str(_ask("take data", {"data": Upload(content, filename)}, arguments))


def take_pair(
    model: Upload | str,
    data: Upload | str,
    *,
    architecture: str = "",
    task: str = "",
    options: dict[str, Any],
    owner: str = "",
    anyway: bool = False,
) -> dict[str, Any]:
    """Check a model with its data, and add both where nothing speaks against it: in one process.

    Args:
        model: A file, or the name of a registered model.
        data: A file, or the name of registered data.
        architecture: See :func:`take_model`.
        task: See :func:`take_model`.
        options: All fields of :class:`optim.data.DataOptions` that differ from their defaults. Data
            that are registered and read otherwise are added once more.
        owner: Id of who brings them.
        anyway: Whether both are added without a check.

    Returns:
        ``check``, see :mod:`optim.first_look.pair` (None without), and the names of ``model`` and
        ``data``: empty where accuracy is near chance, or higher if the data are read otherwise.

    Raises:
        OptimError: Naming what is wrong with either, or that they do not fit.
    """
    known = _known(data, options, owner)
    content = digest_bytes(model.content) if isinstance(model, Upload) else ""
    names = {"data": known, "model": _name(owner, "model", content, known, architecture, task)}
    titles = {k: v.title for k, v in (("model", model), ("data", data)) if isinstance(v, Upload)}
    about = {"architecture": architecture, "task": task, "options": options, "owner": owner}
    arguments = {**about, "names": names, "titles": titles, "anyway": anyway}
    found: dict[str, Any] = _ask("take pair", {"model": model, "data": data}, arguments)
    return found


def _known(data: Upload | str, options: dict[str, Any], owner: str) -> str:
    """Return the name of data as they are read."""
    if isinstance(data, Upload):
        return _name(owner, "data", digest_bytes(data.content), digest(options))
    return data if options == options_of(data) else _name(owner, "data", data, digest(options))


def look_at_model(model: Upload | str, *, architecture: str = "", task: str = "") -> dict[str, Any]:
    """Return what an uploaded or registered model is; see :mod:`optim.first_look`.

    Raises:
        OptimError: Naming what is wrong with the file.
    """
    arguments = {"architecture": architecture, "task": task}
    found: dict[str, Any] = _ask("look at model", {"model": model}, arguments)
    return found


def look_at_data(
    data: Upload | str, *, expected: dict[str, Any] | None, options: dict[str, Any]
) -> dict[str, Any]:
    """Return samples of uploaded or registered data; see :mod:`optim.first_look`.

    Raises:
        OptimError: Naming what is wrong with the file, or with an option.
    """
    arguments = {"expected": expected, "options": options}
    found: dict[str, Any] = _ask("look at data", {"data": data}, arguments)
    return found


def _name(*parts: str) -> str:
    return f"my-{capability(*parts)[:24]}"


def _ending(kind: str, filename: str) -> str:
    """Return how a file's name ends.

    Raises:
        UnsupportedModelError: If nothing of that kind ends so.
    """
    known = (*ENDINGS[kind], *(SUFFIXES if kind == "model" and uploads_are_trusted() else ()))
    longest = sorted(known, key=len, reverse=True)
    name = Path(filename).name.lower()
    # Behind a name: ".zip" alone has no ending.
    suffix = next((ending for ending in longest if name[1:].endswith(ending)), "")
    if not suffix:
        found = Path(filename).suffix.lower()
        raise UnsupportedModelError(
            f"A {kind} file ends in {', '.join(known)}: got {found or 'no ending'}.",
            hint="TorchScript, .pt2 and pickled models run code when opened and are refused; save "
            "the weights as .safetensors or as a state dict, or export to ONNX."
            if kind == "model"
            else "",
        )
    return suffix


def _stem(filename: str) -> str:
    """Return a file's name without its ending, as it may stand in a folder and in a sentence."""
    stem = Path(filename.replace("\\", "/")).name.split(".")[0]
    return "".join(c if c.isalnum() or c in "-_ " else "_" for c in stem)[:_LONGEST_STEM] or "file"


_LONGEST_STEM = 60


def _ask(question: str, about: Mapping[str, Upload | str], arguments: dict[str, Any]) -> Any:
    """Ask a process of its own about uploads, or about what is registered under a name."""
    uploads = {kind: one for kind, one in about.items() if isinstance(one, Upload)}
    endings = {kind: _ending(kind, one.filename) for kind, one in uploads.items()}
    for one in uploads.values():
        if not one.content:
            name = f"{_stem(one.filename)}{Path(one.filename).suffix}"
            raise DataError(f"{name!r} is empty: it has 0 bytes.", hint="Choose the file again.")
    home = cache_home() / "intake"
    home.mkdir(parents=True, exist_ok=True)
    with _AT_ONCE, tempfile.TemporaryDirectory(dir=home) as folder:
        empty = Path(folder) / "empty"
        empty.mkdir()
        subjects: dict[str, dict[str, str]] = {}
        for kind, subject in about.items():
            if isinstance(subject, str):
                subjects[kind] = {"name": subject}
                continue
            place = Path(folder) / kind / f"{_stem(subject.filename)}{endings[kind]}"
            place.parent.mkdir()
            place.write_bytes(subject.content)
            subjects[kind] = {"path": str(place.absolute())}
        request = {"question": question, "about": subjects, "arguments": arguments}
        return ask_child(
            "optim.intake",
            request,
            wait_s=_WAIT_S,
            late=RunError("Opening the file took too long and was stopped."),
            silent=RunError(
                "The file could not be opened within the limits of memory and time.",
                hint="Check that it is a weights file, an ONNX file, or data of a known format.",
            ),
            # What libraries leave behind lies in the same folder, and goes with it.
            environment={"TMPDIR": str(Path(folder).absolute())},
            folder=empty,
        )


def main() -> None:
    """Read one request from standard input and answer it."""
    request = json.loads(sys.stdin.readline())
    limit_resources(_MEMORY_BYTES, _CPU_S, _WRITE_BYTES)
    # Libraries may print; the last line of the output is the answer.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            answer = {"answer": _answered(**request)}
        except OptimError as error:
            answer = refusal(error)
        except MemoryError:
            answer = refusal(RunError("The file needs too much memory."))
    sys.stdout.write(json.dumps(answer) + "\n")


def _answered(question: str, about: dict[str, Any], arguments: dict[str, Any]) -> Any:
    subjects = {k: Path(v["path"]) if "path" in v else v["name"] for k, v in about.items()}
    return _QUESTIONS[question](*subjects.values(), **arguments)


def _look_at_model(model: Path | str, **arguments: Any) -> dict[str, Any]:
    from optim.first_look.model import look_at_model

    return look_at_model(model, **arguments)


def _look_at_data(data: Path | str, **arguments: Any) -> dict[str, Any]:
    from optim.first_look.data import look_at_data

    return look_at_data(data, **arguments)


def _take_pair(
    model: Path | str,
    data: Path | str,
    *,
    names: dict[str, str],
    titles: dict[str, str],
    options: dict[str, Any],
    owner: str,
    anyway: bool,
    **about: str,
) -> dict[str, Any]:
    from optim.first_look.pair import check_pair, open_pair

    pair = open_pair(model, data, options=options, **about)
    check = None if anyway else check_pair(pair)
    if check and (check["is_near_chance"] or check["suggestions"]):
        return {"check": check, "model": "", "data": ""}
    if isinstance(data, Path):
        given = {"title": titles["data"], "name": names["data"]}
        _add("data", data, {**given, "options": options, "owner": owner})
    elif data != names["data"]:
        _vary(data, options, as_name=names["data"], owner=owner)
    if isinstance(model, Path):
        given = {"title": titles["model"], "name": names["model"], "data": names["data"]}
        _add("model", model, {**about, **given, "owner": owner, "opened": pair.bundle})
    else:
        names["model"] = model
    return {"check": check, **names}


def _add(kind: str, path: Path, options: dict[str, Any]) -> str:
    if kind == "model":
        from optim.library import add_model

        return add_model(path, listed=False, trust=uploads_are_trusted(), **options)
    from optim.data.added import add_data
    from optim.data.options import DataOptions

    how = DataOptions(**options.pop("options"))
    _decode(path, how)
    return add_data(path, copy=True, listed=False, options=how, **options).name


def _vary(name: str, options: dict[str, Any], **whose: str) -> str:
    from optim.data.added import vary_data
    from optim.data.options import DataOptions

    how = DataOptions(**options)
    card = vary_data(name, how, **whose)
    _decode(Path(card.path), how)
    return card.name


def _decode(path: Path, how: DataOptions) -> None:
    """Read all samples: here, within the limits; they are cached."""
    from optim.data.open import open_data

    data = open_data(path, options=how)
    for part in data.parts:
        data.load(part)


_QUESTIONS: dict[str, Callable[..., Any]] = {
    "take model": lambda path, **options: _add("model", path, options),
    "take data": lambda path, **options: _add("data", path, options),
    "look at model": _look_at_model,
    "look at data": _look_at_data,
    "take pair": _take_pair,
}


if __name__ == "__main__":
    main()
