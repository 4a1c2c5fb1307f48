"""Models that are programs: opened only for who trusts them, and in a process of their own.

TorchScript, ``.pt2`` and ``package.module:factory`` run code when they are opened. Nobody can tell
from outside what that code does, so they are refused, unless the caller says that they are trusted:
on the command line, in the library, or by the operator of a server. A child process then opens
them and writes an ONNX file, which is opened as any other one: no code of theirs ever runs here.
The child has limits on memory and time; it is no sandbox.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optim.errors import MissingDependencyError, OptimError, UnsupportedModelError, first_line
from optim.processes import ask_child, limit_resources, refusal

if TYPE_CHECKING:
    from optim.data.dataset import Dataset
    from optim.models.bundle import ModelBundle

__all__ = [
    "SUFFIXES",
    "is_factory",
    "is_program",
    "main",
    "open_program",
    "uploads_are_trusted",
]

SUFFIXES = (".pt2", ".ptl", ".torchscript", ".ts")
"""How the names of programs end; a ``.pt`` file may be one as well."""
_TRUST_VARIABLE = "OPTIM_TRUST_PROGRAMS"
_MEMORY_BYTES = 12 * 2**30
_CPU_S = 300
_WRITE_BYTES = 2 * 2**30
_WAIT_S = 300
_HINT = (
    "Save the weights as .safetensors or as a state dict, or export to ONNX; or say that you trust "
    "it, on the command line: --trust."
)
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[\w./-]+")
_SHORT = {
    "torchvision": lambda name: _called("torchvision.models:get_model", name, weights="DEFAULT"),
    "timm": lambda name: _called("timm:create_model", name, pretrained=True),
    "transformers": lambda name: _called("transformers:AutoModel.from_pretrained", name),
}
"""Libraries whose models are known by name: ``torchvision:resnet18``."""


def uploads_are_trusted() -> bool:
    """Whether the operator of this server trusts everybody who uploads to it."""
    return os.environ.get(_TRUST_VARIABLE) == "1"


def is_program(path: Path) -> bool:
    """Whether opening a file would run its code."""
    if path.suffix.lower() in SUFFIXES:
        return True
    if path.suffix.lower() == ".onnx" or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(
                "/code/" in name or name.endswith(("constants.pkl", "models/model.json"))
                for name in archive.namelist()
            )
    except (zipfile.BadZipFile, OSError, ValueError, LookupError, NotImplementedError):
        return False  # damaged, which who opens it will say


def is_factory(ref: str) -> bool:
    """Whether a model is asked for as ``package.module:factory`` or ``library:name``."""
    return _FACTORY.fullmatch(ref) is not None


def open_program(
    ref: str | Path,
    data: Dataset | None = None,
    *,
    trust: bool = False,
    shape: tuple[int, ...] = (),
    task: str = "",
    as_graph: bool = False,
) -> ModelBundle:
    """Return a model that is a program.

    Args:
        ref: A file, ``package.module:factory`` (a callable without arguments that returns a
            module), or ``torchvision:``, ``timm:`` or ``transformers:`` and a name.
        data: What it shall take; gives the size of a sample.
        trust: Whether its code may be run. Nothing is opened otherwise.
        shape: Of one sample, where neither data nor file say it.
        task: What its outputs mean; guessed if empty.
        as_graph: Whether it stays the ONNX file that is made of it.

    Raises:
        UnsupportedModelError: If it is not trusted, cannot be opened, or cannot be exported.
        MissingDependencyError: If a package it needs is not installed.
    """
    from optim.models.onnx_file import open_onnx

    name = ref.name if isinstance(ref, Path) else ref
    if not trust:
        raise UnsupportedModelError(f"{name!r} is a program; opening it runs its code.", hint=_HINT)
    sizes = shape or (data.input_shape if data is not None else ())
    with tempfile.TemporaryDirectory(prefix="optim-") as folder:
        made = Path(folder) / f"{Path(name).stem if isinstance(ref, Path) else 'model'}.onnx"
        where = str(ref.resolve()) if isinstance(ref, Path) else ref
        is_file = isinstance(ref, Path)
        _ask({"ref": where, "is_file": is_file, "name": name, "shape": sizes, "out": str(made)})
        bundle = open_onnx(made, data, as_graph=as_graph, task=task)
    note = f"Made by running a program that was trusted. {bundle.provenance.note}".strip()
    provenance = replace(bundle.provenance, source=name, note=note)
    return replace(bundle, name=Path(name).stem, provenance=provenance)


def _ask(request: dict[str, Any]) -> None:
    """Have a child process open a program and write an ONNX file."""
    name = request["name"]
    ask_child(
        "optim.models.programs",
        request,
        wait_s=_WAIT_S,
        late=UnsupportedModelError(f"Opening {name!r} took too long and was stopped."),
        silent=UnsupportedModelError(
            f"{name!r} could not be opened within the limits of memory and time."
        ),
    )


# --- in the child -------------------------------------------------------------------------------


def main() -> None:
    """Read one request from standard input, write an ONNX file, and say what went wrong."""
    request = json.loads(sys.stdin.readline())
    limit_resources(_MEMORY_BYTES, _CPU_S, _WRITE_BYTES)
    answer: dict[str, Any] = {"answer": None}
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
        try:
            _write(request)
        except OptimError as error:
            answer = refusal(error)
        except Exception as error:
            # Anything: it is somebody else's code.
            said = f"{request['name']!r} cannot be opened: {first_line(error)}."
            answer = refusal(UnsupportedModelError(said))
    sys.stdout.write(json.dumps(answer) + "\n")


def _write(request: dict[str, Any]) -> None:
    import torch

    out, shape = request["out"], tuple(request["shape"])
    if request["is_file"] and request["ref"].lower().endswith(".pt2"):
        _needs("onnxscript")
        program = torch.export.load(request["ref"])
        torch.onnx.export(program, f=out, dynamo=True, external_data=False, verbose=False)
        return
    module = torch.jit.load(request["ref"], map_location="cpu") if request["is_file"] else None
    module = module if module is not None else _made(request["ref"])
    if not shape:
        raise UnsupportedModelError(
            f"{request['name']!r} does not say the size of its input.",
            hint="Give data it takes, or say it: model.ts?shape=3x224x224.",
        )
    module.eval()
    torch.onnx.export(
        module,
        (torch.zeros(2, *shape),),
        out,
        dynamo=False,
        input_names=["input"],
        dynamic_axes={"input": {0: "N"}},
    )


def _made(ref: str) -> Any:
    """Return the module that a factory makes."""
    import torch

    place, _, name = ref.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    made = _SHORT[place](name) if place in _SHORT else _called(ref)
    if not isinstance(made, torch.nn.Module):
        raise UnsupportedModelError(f"{ref!r} gives a {type(made).__name__}, and no torch module.")
    return made


def _called(ref: str, *arguments: Any, **named: Any) -> Any:
    """Return what ``package.module:factory`` returns when it is called."""
    import importlib

    place, _, path = ref.partition(":")
    _needs(place.partition(".")[0])
    found: Any = importlib.import_module(place)
    for name in path.split("."):
        if not hasattr(found, name):
            raise UnsupportedModelError(f"{place!r} has no {path!r}.")
        found = getattr(found, name)
    factory: Callable[..., Any] = found
    return factory(*arguments, **named)


def _needs(package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingDependencyError(
            f"{package!r} is needed and not installed.", hint=f"pip install {package}"
        )


if __name__ == "__main__":
    main()
