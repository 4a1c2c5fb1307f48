"""What a model can be exported as, and what will be in the file, said before it is made.

The web server lists the targets and never makes a file: torch and onnx are imported where one is
made.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optim.errors import ConfigError, ExportError

if TYPE_CHECKING:
    from optim.layers.table import CompressionTable
    from optim.models.bundle import ModelBundle
    from optim.recipe import Recipe

__all__ = ["TARGETS", "Target", "container_notes", "export"]


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Attributes:
        title: Name for a reader.
        about: What it is good for.
        suffix: End of the file's name.
        make: Returns the file's bytes.
        deployed: Returns the model the file holds, to be verified against.
        lanes: Kinds of model that can be written so, see ``ModelBundle.lane``.
    """

    title: str
    about: str
    suffix: str
    make: Callable[[ModelBundle, Recipe], bytes]
    deployed: Callable[[ModelBundle], ModelBundle]
    lanes: frozenset[str] = frozenset({"torch", "graph"})


def _same(bundle: ModelBundle) -> ModelBundle:
    return bundle


def _without_quantization(bundle: ModelBundle) -> ModelBundle:
    from optim.layers.table import CompressionTable

    return bundle.with_table(CompressionTable(masks=bundle.table.masks))


def _onnx(bundle: ModelBundle, recipe: Recipe) -> bytes:
    from optim.export.deploy import onnx_bytes

    return onnx_bytes(bundle, recipe.to_link())


def _onnx_float(bundle: ModelBundle, recipe: Recipe) -> bytes:
    return _onnx(_without_quantization(bundle), recipe)


def _archive(bundle: ModelBundle, recipe: Recipe) -> bytes:
    """Return a zip of the checkpoint and the recipe that made it."""
    from optim.models.checkpoint import serialise

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (
            ("model.safetensors", serialise(bundle)),
            ("recipe.yaml", recipe.to_yaml().encode()),
            ("input.json", json.dumps(bundle.spec.to_json(), indent=1).encode()),
        ):
            # A fixed date: the same model gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


TARGETS: dict[str, Target] = {
    "onnx": Target(
        "ONNX, as set",
        "Quantized as the sliders say; runs on integer kernels where both sides have at most "
        "8 bits.",
        ".onnx",
        _onnx,
        _same,
    ),
    "onnx_float": Target(
        "ONNX, float32",
        "Pruned, but not quantized; runs everywhere.",
        ".onnx",
        _onnx_float,
        _without_quantization,
    ),
    "safetensors": Target(
        "safetensors and recipe",
        "Weights, compression table and recipe, to go on with in Python.",
        ".zip",
        _archive,
        _same,
        frozenset({"torch"}),
    ),
}
"""Kinds of file by name."""


def export(bundle: ModelBundle, recipe: Recipe, target: str) -> bytes:
    """Return a model as a file of one kind.

    Raises:
        ConfigError: If there is no such kind.
        ExportError: If the model cannot be written as one.
    """
    if target not in TARGETS:
        raise ConfigError(
            f"target must be one of {', '.join(TARGETS)}: got {target!r}.", field="target"
        )
    kind = TARGETS[target]
    if bundle.lane not in kind.lanes:
        raise ExportError(
            f"{kind.title} holds layers that torch can train, and {bundle.name} is kept as an ONNX "
            "graph.",
            hint=f"Choose {TARGETS['onnx'].title}.",
        )
    return kind.make(bundle, recipe)


def container_notes(table: CompressionTable) -> dict[str, str]:
    """Say where the file's integers are wider than the grid they hold.

    Returns:
        ``{field of Quantize: sentence}``; nothing where no container is wider.
    """
    from optim.runtime.onnx_graph import container_for

    stored = {
        bits: container_for(bits)
        for bits in sorted({entry.grid.bits for entry in table.weights.values()})
    }
    held = {
        bits: 8 if bits <= 8 else 16
        for bits in sorted({edge.grid.bits for edge in table.edges.values()})
    }
    weights = [f"{b}-bit weights are stored in int{w}." for b, w in stored.items() if b != w]
    activations = [f"{b}-bit activations run as int{w}." for b, w in held.items() if b != w]
    notes = {"weight_bits": " ".join(weights), "activation_bits": " ".join(activations)}
    return {field: note for field, note in notes.items() if note}
