"""Read weights that somebody else saved, without running any code of theirs.

Accepted are ``.safetensors`` and state dicts saved by ``torch.save``, read with torch's
weights-only unpickler. Shapes are checked against the bytes that are really there before any
tensor is copied, so that a small file cannot ask for terabytes. TorchScript and ``.pt2`` files are
programs and are refused.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from optim.errors import UnsupportedModelError
from optim.models.architecture import Architecture

__all__ = [
    "Differences",
    "check_weights_fit",
    "differences",
    "fit_to_module",
    "interface_of",
    "matching_architectures",
    "nearest_architectures",
    "read_state_dict",
]

_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.")
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights")
_MAX_WRAPPERS = 8
_LONGEST_CLASS = 1000
"""Letters. torch searches its own message for patterns, which takes the square of its length."""
_OLD_PICKLES = 5
"""How many stand one behind another in a file as torch saved it before 1.6."""
_SAFE_WAYS = "Save the weights as .safetensors, as a state dict, or export the model to ONNX."


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name, wrappers and common prefixes removed.

    Raises:
        UnsupportedModelError: If the file is missing, broken, a program, or holds no tensors.
    """
    if not path.is_file():
        raise UnsupportedModelError(
            f"There is no weights file {path.name!r}.", hint="Check the name and the folder."
        )
    if path.suffix == ".safetensors":
        state = _read_safetensors(path)
    elif path.suffix in (".pt", ".pth", ".th", ".bin", ".ckpt"):
        state = _read_torch(path)
    else:
        raise UnsupportedModelError(
            f"{path.name!r} is not a weights file; known are .safetensors, .pt, .pth, .th, .ckpt.",
            hint=_SAFE_WAYS,
        )
    return _without_prefix(state)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UnsupportedModelError(
            f"{path.name!r} is not a readable safetensors file: {error}."
        ) from error
    if not state:
        raise UnsupportedModelError(f"{path.name!r} holds no named tensors.", hint=_SAFE_WAYS)
    return state


def _read_torch(path: Path) -> dict[str, Tensor]:
    _check_archive(path)
    refused = UnsupportedModelError(
        f"{path.name!r} is not a plain state dict: it holds objects other than tensors, or is "
        "broken.",
        hint=_SAFE_WAYS,
    )
    # A file as torch saved it before 1.6 may say that a text of gigabytes follows, which would be
    # set aside before they are read. From memory no more is taken than there is.
    source = path if zipfile.is_zipfile(path) else BytesIO(path.read_bytes())
    if _longest_class(source) > _LONGEST_CLASS:
        raise refused
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        # Whatever the unpickler trips over, the file is not a plain state dict.
        raise refused from error
    return _checked_tensors(path.name, _unwrapped(content))


def _longest_class(source: Path | BytesIO) -> int:
    """Return the letters of the longest name of a class that a file asks for; nothing is loaded."""
    longest = 0
    try:
        with _pickles(source) as file:
            for _ in range(_OLD_PICKLES):
                for operation, argument, _ in pickletools.genops(file):
                    if operation.name == "GLOBAL":
                        longest = max(longest, len(argument or ""))
    except (zipfile.BadZipFile, OSError, ValueError, LookupError, NotImplementedError):
        # Shorter than the most it may be, or damaged; torch says so.
        pass
    return longest


@contextmanager
def _pickles(source: Path | BytesIO) -> Iterator[IO[bytes]]:
    """Open what of an archive, or of a file in memory, says which objects there are."""
    if isinstance(source, BytesIO):
        yield BytesIO(source.getvalue())
        return
    with zipfile.ZipFile(source) as archive:
        name = next((n for n in archive.namelist() if n.endswith("data.pkl")), "")
        with archive.open(name) as file:
            yield file


def _check_archive(path: Path) -> None:
    """Refuse archives that are programs, or that unpack to more than they weigh."""
    try:
        if not zipfile.is_zipfile(path):
            return  # how torch saved before 1.6
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, LookupError, NotImplementedError) as error:
        raise UnsupportedModelError(f"{path.name!r} is damaged and was not opened.") from error
    names = [member.filename for member in members]
    if any(
        "/code/" in name or name.endswith(("constants.pkl", "models/model.json")) for name in names
    ):
        raise UnsupportedModelError(
            f"{path.name!r} is a TorchScript or .pt2 program; opening one runs its code.",
            hint=_SAFE_WAYS,
        )
    if sum(member.file_size for member in members) > 2 * path.stat().st_size + 1_000_000:
        raise UnsupportedModelError(
            f"{path.name!r} unpacks to far more than its size and was not opened."
        )


def _unwrapped(content: Any) -> Any:
    # A dictionary may hold itself.
    for _ in range(_MAX_WRAPPERS):
        if not isinstance(content, Mapping):
            break
        inner = next((k for k in _WRAPPERS if isinstance(content.get(k), Mapping)), None)
        if inner is None:
            break
        content = content[inner]
    return content


def _checked_tensors(name: str, content: Any) -> dict[str, Tensor]:
    tensors = (
        {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise UnsupportedModelError(f"{name!r} holds no named tensors.", hint=_SAFE_WAYS)
    for key, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.device.type == "meta":
            raise UnsupportedModelError(f"The tensor {key!r} of {name!r} is not a plain array.")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise UnsupportedModelError(
                f"The tensor {key!r} of {name!r} declares the shape {tuple(tensor.shape)}, "
                "more than the file holds."
            )
    return tensors


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    while True:
        shared = next((p for p in _PREFIXES if all(k.startswith(p) for k in state)), None)
        if shared is None:
            return state
        state = {key.removeprefix(shared): value for key, value in state.items()}


def check_weights_fit(
    state: Mapping[str, Tensor],
    architecture: Architecture,
    input_shape: tuple[int, ...],
    n_outputs: int,
) -> None:
    """Refuse weights that do not fit an architecture exactly, before it is built.

    A tensor without values may still say that it has millions of rows.

    Raises:
        UnsupportedModelError: With the missing, unexpected and misshapen names.
    """
    found = differences(state, architecture, input_shape, n_outputs)
    problems = [
        _listed("missing", list(found.missing)),
        _listed("unexpected", list(found.unexpected)),
        _listed(
            "of another shape",
            [f"{name} {given} instead of {wanted}" for name, given, wanted in found.misshapen],
        ),
    ]
    if any(problems):
        raise UnsupportedModelError(
            f"The weights do not fit {architecture.title}: {'; '.join(p for p in problems if p)}.",
            hint="Choose the architecture they were trained with.",
        )


@dataclass(frozen=True)
class Differences:
    """Where weights and an architecture differ.

    Attributes:
        fitting: How many tensors have the name and the shape that is wanted.
        missing: Names that only the architecture has.
        unexpected: Names that only the weights have.
        misshapen: ``(name, shape given, shape wanted)`` of what both have.
    """

    fitting: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def count(self) -> int:
        """How many names do not fit."""
        return len(self.missing) + len(self.unexpected) + len(self.misshapen)


def differences(
    state: Mapping[str, Tensor],
    architecture: Architecture,
    input_shape: tuple[int, ...],
    n_outputs: int,
) -> Differences:
    """Hold weights against an architecture, name by name; nothing is allocated."""
    wanted = _shapes(architecture, input_shape, n_outputs)
    given = {k: tuple(v.shape) for k, v in state.items() if not _is_counter(k)}
    return Differences(
        fitting=sum(given.get(name) == shape for name, shape in wanted.items()),
        missing=tuple(name for name in wanted if name not in given),
        unexpected=tuple(name for name in given if name not in wanted),
        misshapen=tuple(
            (name, given[name], shape)
            for name, shape in wanted.items()
            if name in given and given[name] != shape
        ),
    )


def fit_to_module(state: Mapping[str, Tensor], module: nn.Module) -> None:
    """Load weights into a module, in place.

    Args:
        state: Tensors by name, which :func:`check_weights_fit` has let pass.
        module: Fresh module of the architecture.

    Raises:
        UnsupportedModelError: If they are not finite.
    """
    wanted = {k: v for k, v in module.state_dict().items() if not _is_counter(k)}
    values = {k: state[k].to(kind.dtype) for k, kind in wanted.items()}
    if any(not torch.isfinite(v).all() for v in values.values() if v.is_floating_point()):
        raise UnsupportedModelError("The weights contain values that are not finite.")
    module.load_state_dict(values, strict=False)


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{len(names)} {what} ({shown})"


def interface_of(
    state: Mapping[str, Tensor], architecture: Architecture
) -> tuple[tuple[int, ...], int]:
    """Return the input shape and number of outputs that weights have under an architecture.

    Found by building the architecture twice, with one more output and with one more channel, and
    looking which tensors grow.

    Raises:
        UnsupportedModelError: If the weights lack the first or the last layer.
    """
    shape = architecture.spec.shape
    base = _shapes(architecture, shape, 2)
    n_outputs = _size_of(state, base, _shapes(architecture, shape, 3), architecture)
    wider = (shape[0] + 1, *shape[1:])
    grown = _shapes(architecture, wider, 2)
    step = {
        name: (axis, grown[name][axis] - base[name][axis])
        for name in base
        for axis in range(len(base[name]))
        if grown[name][axis] != base[name][axis]
    }
    channels = shape[0]
    for name, (axis, features) in step.items():
        if name in state and state[name].ndim > axis:
            channels = max(1, state[name].shape[axis] // features)
    return (channels, *shape[1:]), n_outputs


def _size_of(
    state: Mapping[str, Tensor],
    base: dict[str, tuple[int, ...]],
    grown: dict[str, tuple[int, ...]],
    architecture: Architecture,
) -> int:
    for name in base:
        if base[name] != grown[name] and name in state and state[name].ndim:
            return state[name].shape[0]
    raise UnsupportedModelError(
        f"The weights have no output layer of {architecture.title}.",
        hint="Choose the architecture they were trained with.",
    )


def _shapes(
    architecture: Architecture, input_shape: tuple[int, ...], n_outputs: int
) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        module = architecture.compose(input_shape, n_outputs)
    state = module.state_dict()
    return {name: tuple(t.shape) for name, t in state.items() if not _is_counter(name)}


def matching_architectures(
    state: Mapping[str, Tensor], zoo: Mapping[str, Architecture]
) -> list[str]:
    """Return the names of the zoo's architectures that weights fit exactly."""
    found = []
    given = {k: tuple(v.shape) for k, v in state.items() if not _is_counter(k)}
    for name, architecture in zoo.items():
        try:
            input_shape, n_outputs = interface_of(state, architecture)
            wanted = _shapes(architecture, input_shape, n_outputs)
        except UnsupportedModelError:
            continue
        if given == wanted:
            found.append(name)
    return found


def nearest_architectures(
    state: Mapping[str, Tensor], zoo: Mapping[str, Architecture], count: int = 3
) -> dict[str, Differences]:
    """Return the architectures that weights come closest to, with what differs; closest first.

    Args:
        state: Tensors by name.
        zoo: Architectures by name.
        count: How many at most.
    """
    found = {}
    for name, architecture in zoo.items():
        try:
            input_shape, n_outputs = interface_of(state, architecture)
        except UnsupportedModelError:
            # Without its last layer nobody knows how many outputs there are.
            input_shape, n_outputs = architecture.spec.shape, 2
        found[name] = differences(state, architecture, input_shape, n_outputs)
    closest = sorted(found, key=lambda name: found[name].count - found[name].fitting)
    return {name: found[name] for name in closest[:count]}
