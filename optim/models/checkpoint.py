"""Our own checkpoint: one safetensors file from which a bundle is rebuilt without any class.

The tensors are the module's state and the compression table; the header holds, as JSON,
architecture, input, task, origin, and the sizes of layers that lost channels. In place of an
architecture, a model converted from ONNX has its program: layers and calls. A file that says
something inconsistent is refused before any large tensor is made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from optim.data.task import Classification, ModelTask, Outputs, task_from_json, task_to_json
from optim.errors import UnsupportedModelError
from optim.layers.grid import Grid
from optim.layers.shortcut import ChannelPadShortcut
from optim.layers.slicing import resized_layer
from optim.layers.table import CompressionTable, QuantizedEdge, QuantizedWeight, SharedWeight
from optim.models.architecture import Architecture
from optim.models.bundle import ModelBundle, Provenance, TorchModel
from optim.models.convert.program import build, describe
from optim.models.file_facts import FileFacts
from optim.models.input_spec import InputSpec
from optim.models.zoo import architecture_from_json, architecture_to_json
from optim.storage import write_atomic

__all__ = ["VERSION", "load_checkpoint", "save_checkpoint", "serialise"]

VERSION = 4
"""Of checkpoints with shared weights. Of others, those whose outputs are no classes have version 3;
of classifiers, those with a program have version 2 and those of an architecture version 1."""
_TABLE = "table/"
_MAX_PARAMETERS = 200_000_000


def save_checkpoint(bundle: ModelBundle, path: Path, *, half: bool = False) -> Path:
    """Write a bundle to a file; see :func:`serialise`."""
    return write_atomic(path, serialise(bundle, half=half))


def serialise(bundle: ModelBundle, *, half: bool = False) -> bytes:
    """Return a bundle as the bytes of a safetensors file.

    Args:
        bundle: A torch model.
        half: Store weights as float16: half the bytes, 3 significant digits.
    """
    from safetensors.torch import save

    module = bundle.module
    tensors = {
        name: (t.half() if half and t.is_floating_point() else t).contiguous()
        for name, t in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    for name, tensor in bundle.table.tensors().items():
        tensors[_TABLE + name] = tensor.contiguous()
    return save(tensors, {"optim": json.dumps(_header(bundle), sort_keys=True)})


def _header(bundle: ModelBundle) -> dict[str, Any]:
    content = bundle.content
    assert isinstance(content, TorchModel)
    table = bundle.table
    return {
        **_origin(bundle.name, content),
        "name": bundle.name,
        **_task_header(bundle.task),
        **({"version": VERSION} if table.codebooks else {}),
        "spec": bundle.spec.to_json(),
        "provenance": _provenance_header(bundle.provenance),
        "grids": {name: asdict(entry.grid) for name, entry in table.weights.items()},
        "edges": {name: asdict(edge) for name, edge in table.edges.items()},
        "shortcuts": {
            name: {"in_channels": layer.in_channels, "source": layer.source.tolist()}
            for name, layer in content.module.named_modules()
            if isinstance(layer, ChannelPadShortcut)
        },
    }


def _provenance_header(provenance: Provenance) -> dict[str, Any]:
    known: dict[str, Any] = {"source": provenance.source, "seen": provenance.seen}
    file = {"file": provenance.file.to_json()} if provenance.file else {}
    return {**known, "note": provenance.note, **file}


def _task_header(task: ModelTask) -> dict[str, Any]:
    if isinstance(task, Classification):
        return {"n_outputs": task.n_classes, "class_names": list(task.class_names)}
    return {"version": 3, "task": task_to_json(task)}


def _origin(name: str, content: TorchModel) -> dict[str, Any]:
    """Return what the module is built from."""
    if content.architecture is not None:
        return {"version": 1, "architecture": architecture_to_json(content.architecture)}
    if isinstance(content.module, fx.GraphModule):
        return {"version": 2, "program": describe(content.module)}
    raise UnsupportedModelError(
        f"{name} was not built from an architecture of the zoo and cannot be saved "
        "as a checkpoint.",
        hint="Export it to ONNX instead.",
    )


def load_checkpoint(path: Path) -> ModelBundle:
    """Rebuild a bundle from a file written by :func:`save_checkpoint`.

    Raises:
        UnsupportedModelError: If the file is not such a checkpoint, or of a newer version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UnsupportedModelError(f"{path.name!r} cannot be read: {error}.") from error
    if "optim" not in metadata:
        raise UnsupportedModelError(
            f"{path.name!r} holds weights but does not say of which architecture.",
            hint="Name it, as in resnet20:weights.safetensors.",
        )
    try:
        return _rebuild(json.loads(metadata["optim"]), tensors)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        # Whatever a wrong header leads to, torch's complaints about shapes included.
        raise UnsupportedModelError(
            f"{path.name!r} is a damaged checkpoint: {error}.", hint="Save it again."
        ) from error


def _rebuild(header: Mapping[str, Any], tensors: dict[str, Tensor]) -> ModelBundle:
    if header["version"] > VERSION:
        raise UnsupportedModelError(
            f"The checkpoint has version {header['version']}; this program reads up to {VERSION}.",
            hint="Update Optim Studio.",
        )
    spec = InputSpec.from_json(header["spec"])
    task = _task(header)
    _check_finite(tensors, header.get("program", {}).get("constants", {}))
    table = {k.removeprefix(_TABLE): v for k, v in tensors.items() if k.startswith(_TABLE)}
    state = {
        k: v.float() if v.is_floating_point() else v
        for k, v in tensors.items()
        if not k.startswith(_TABLE)
    }
    architecture: Architecture | None = None
    module: nn.Module
    if "program" in header:
        module = build(header["program"], max_parameters=_MAX_PARAMETERS)
    else:
        architecture = architecture_from_json(header["architecture"])
        if isinstance(task, Outputs):
            raise ValueError("it does not say how many outputs its architecture has")
        _check_sizes(architecture, spec.shape, task.n_outputs, tensors)
        module = architecture.build(spec.shape, task.n_outputs)
        _resize_(module, state, header["shortcuts"])
    module.load_state_dict(state, strict=False)
    missing = {n for n in module.state_dict() if not n.endswith("num_batches_tracked")} - set(state)
    if missing:
        raise UnsupportedModelError(f"The checkpoint lacks {', '.join(sorted(missing)[:3])}.")
    return ModelBundle(
        name=_text(header["name"]),
        content=TorchModel(module.eval(), architecture),
        spec=spec,
        task=task,
        provenance=_provenance(header["provenance"]),
        table=_table(header, table),
    )


def _task(header: Mapping[str, Any]) -> ModelTask:
    if "task" in header:
        return task_from_json(header["task"])
    names = tuple(str(name) for name in header["class_names"])
    if header["n_outputs"] != len(names) or not names:
        raise ValueError(f"it has {header['n_outputs']} outputs and {len(names)} class names")
    return Classification(names)


def _check_finite(tensors: Mapping[str, Tensor], constants: Mapping[str, Any]) -> None:
    """Refuse values that are not finite; a mask that is part of the program may hold them."""
    for name, tensor in tensors.items():
        if name in constants and not constants[name]["learned"]:
            continue
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} holds values that are not finite")


def _provenance(data: Mapping[str, Any]) -> Provenance:
    seen = data["seen"]
    return Provenance(
        source=_text(data["source"]),
        seen=None if seen is None else tuple(map(_text, seen)),
        note=_text(data.get("note", "")),
        file=FileFacts.from_json(data["file"]) if data.get("file") else None,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"it has {type(value).__name__} in place of text")
    return value


def _check_sizes(
    architecture: Architecture,
    input_shape: tuple[int, ...],
    n_outputs: int,
    tensors: Mapping[str, Tensor],
) -> None:
    """Refuse what is too large to build, or larger than its architecture.

    Layers lose channels and never gain any, so that the architecture bounds every size.
    """
    architecture.check(input_shape)
    with torch.device("meta"):
        whole = architecture.compose(input_shape, n_outputs).state_dict()
    if sum(t.numel() for t in whole.values()) > _MAX_PARAMETERS:
        raise ValueError(f"its architecture has more than {_MAX_PARAMETERS:,} parameters")
    for name, tensor in tensors.items():
        if name in whole:
            limit, size = whole[name].shape, tensor.shape
            if len(size) != len(limit) or any(a > b for a, b in zip(size, limit, strict=True)):
                raise ValueError(f"{name} has shape {tuple(size)}, at most {tuple(limit)} fits")


def _grid(fields: Mapping[str, Any]) -> Grid:
    """Read a grid; a header comes from anybody, and its values may be of any kind."""
    grid = Grid(**fields)
    numbers = (grid.qmin, grid.qmax, grid.group_size)
    if not all(type(number) is int and abs(number) < 2**31 for number in numbers):
        raise TypeError("a grid's numbers must be whole")
    if grid.qmin > grid.qmax or grid.group_size < 0 or type(grid.symmetric) is not bool:
        raise ValueError("a grid must have levels")
    if grid.granularity not in ("per_tensor", "per_channel", "per_group"):
        raise ValueError("a grid has one of three granularities")
    return grid


def _table(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> CompressionTable:
    weights = {
        name: QuantizedWeight(
            _grid(grid),
            tensors[f"scale:{name}"],
            tensors[f"zero_point:{name}"],
            tensors.get(f"codes:{name}"),
        )
        for name, grid in header["grids"].items()
    }
    edges = {
        name: QuantizedEdge(_grid(edge["grid"]), edge["scale"], edge["zero_point"])
        for name, edge in header["edges"].items()
    }
    masks = {k[5:]: v for k, v in tensors.items() if k.startswith("mask:")}
    books = {k[5:]: _shared(tensors, k[5:]) for k in tensors if k.startswith("book:")}
    return CompressionTable(masks, weights, edges, books)


def _shared(tensors: Mapping[str, Tensor], name: str) -> SharedWeight:
    """Read a shared weight whose ranks all stand for a value."""
    pairs = [(tensors[f"book:{name}"], tensors[f"ranks:{name}"])]
    if f"bias_book:{name}" in tensors:
        pairs.append((tensors[f"bias_book:{name}"], tensors[f"bias_ranks:{name}"]))
    for book, ranks in pairs:
        if book.ndim != 1 or not book.is_floating_point() or not len(book):
            raise ValueError(f"the codebook of {name!r} is no list of values")
        if ranks.dtype not in (torch.int8, torch.int16) or not ranks.numel():
            raise ValueError(f"the ranks of {name!r} are no whole numbers")
        if not -len(book) <= int(ranks.min()) <= int(ranks.max()) < len(book):
            raise ValueError(f"a weight of {name!r} is none of its codebook")
    weight, *bias = [SharedWeight(book, ranks) for book, ranks in pairs]
    return replace(weight, bias=bias[0] if bias else None)


def _resize_(module: nn.Module, state: Mapping[str, Tensor], shortcuts: Mapping[str, Any]) -> None:
    """Give the layers of a fresh module the sizes their weights have, in place."""
    for name, layer in list(module.named_modules()):
        weight = state.get(f"{name}.weight")
        if name in shortcuts and isinstance(layer, ChannelPadShortcut):
            source = torch.tensor(shortcuts[name]["source"], dtype=torch.int64)
            in_channels = int(shortcuts[name]["in_channels"])
            legal = bool(((source >= -1) & (source < in_channels)).all())
            if not legal or in_channels > layer.in_channels or len(source) > layer.out_channels:
                raise ValueError(f"the shortcut {name!r} copies channels it does not have")
            resized: nn.Module = ChannelPadShortcut.from_source(source, in_channels, layer.stride)
        elif weight is not None:
            resized = resized_layer(layer, weight, state.get(f"{name}.bias"))
        else:
            continue
        module.set_submodule(name, resized)
