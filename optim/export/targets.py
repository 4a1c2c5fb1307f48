"""What a model can be exported as, and what will be in the file, said before it is made.

The web server lists the targets and never makes a file: torch and onnx are imported where one is
made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optim.errors import ConfigError, ExportError, OptimError

if TYPE_CHECKING:
    import numpy as np

    from optim.export.verify import Verification
    from optim.layers.table import CompressionTable
    from optim.models.bundle import ModelBundle
    from optim.models.interface import Interface
    from optim.recipe import Recipe
    from optim.runtime.session import Session

__all__ = ["TARGETS", "Order", "Target", "container_notes", "refusal", "target_of"]


@dataclass(frozen=True, eq=False)
class Order:
    """What a file is made of.

    Attributes:
        bundle: The model it holds: what :attr:`Target.deployed` returns.
        recipe: How the model was made.
        inputs: ``(n, ...)`` normalised samples; at least one.
    """

    bundle: ModelBundle
    recipe: Recipe
    inputs: np.ndarray


def _same(bundle: ModelBundle) -> ModelBundle:
    return bundle


def _without_quantization(bundle: ModelBundle) -> ModelBundle:
    from optim.layers.table import CompressionTable

    return bundle.with_table(CompressionTable(masks=bundle.table.masks))


def _four_bits(bundle: ModelBundle) -> ModelBundle:
    from optim.export.four_bits import four_bit_weights

    return four_bit_weights(bundle)


def _written_out(bundle: ModelBundle) -> ModelBundle:
    """Return the same model with each of its shared weights a number of its own."""
    if not bundle.table.codebooks:
        return bundle
    if bundle.lane != "torch":  # its weights have the values already
        return bundle.with_table(bundle.table.with_codebooks({}))
    from optim.layers.graph import as_program
    from optim.layers.quantized_graph import deployable_graph
    from optim.layers.table import CompressionTable

    books = CompressionTable(codebooks=bundle.table.codebooks)
    module = as_program(deployable_graph(bundle.module, books))
    return bundle.with_module(module, bundle.table.with_codebooks({}))


def _takes_all(bundle: ModelBundle) -> None:
    """Refuse nothing."""


def _open_onnx(order: Order, file: bytes, threads: int, interface: Interface | None) -> Session:
    from optim.runtime.session import InferenceSession

    return InferenceSession.open(file, threads, interface)


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Attributes:
        title: Name for a reader.
        about: What it is good for.
        suffix: End of the file's name.
        make: Returns the bytes that are executed.
        deployed: Returns the model the file holds, to be verified against.
        lanes: Kinds of model that can be written so, see ``ModelBundle.lane``.
        check: Raises an ``OptimError`` for a model, or on a machine, for which it cannot be made.
        open: Loads the bytes in what executes them, for so many threads.
        pack: Returns what is handed over, from what was verified, where that is more than the
            bytes that are executed.
        most: Samples it is verified on at most, where what executes it is slow.
    """

    title: str
    about: str
    suffix: str
    make: Callable[[Order], bytes]
    deployed: Callable[[ModelBundle], ModelBundle] = _same
    lanes: frozenset[str] = frozenset({"torch", "graph"})
    check: Callable[[ModelBundle], None] = _takes_all
    open: Callable[[Order, bytes, int, Interface | None], Session] = _open_onnx
    pack: Callable[[Order, bytes, Verification], bytes] | None = None
    most: int | None = None


# --- ONNX -----------------------------------------------------------------------------------------


def _onnx(order: Order) -> bytes:
    from optim.export.deploy import onnx_bytes

    return onnx_bytes(order.bundle, order.recipe.to_link())


def _onnx_half(order: Order) -> bytes:
    from optim.export.half import half_precision

    return half_precision(_onnx(order))


def _check_dense(bundle: ModelBundle) -> None:
    from optim.export.nbits import check_dense

    check_dense(bundle)


def _onnx_nbits(order: Order) -> bytes:
    from optim.export.nbits import packed_products

    return packed_products(_onnx(order))


def _packed(order: Order) -> bytes:
    from optim.export.packed import packed_model

    return packed_model(order.bundle)


def _open_packed(order: Order, file: bytes, threads: int, interface: Interface | None) -> Session:
    from optim.export.packed import open_packed

    return open_packed(file, threads, interface)


# --- checkpoint and bundle ------------------------------------------------------------------------


def _checkpoint(order: Order, file: bytes, verification: Verification) -> bytes:
    """Return a zip of the checkpoint and the recipe that made it."""
    from optim.export.archive import zip_of
    from optim.models.checkpoint import serialise

    return zip_of(
        {
            "model.safetensors": serialise(order.bundle),
            "recipe.yaml": order.recipe.to_yaml(),
            "input.json": json.dumps(order.bundle.spec.to_json(), indent=1),
        }
    )


def _check_bundle(bundle: ModelBundle) -> None:
    from optim.export.bundle import check_interface

    check_interface(bundle)


def _bundle(order: Order, file: bytes, verification: Verification) -> bytes:
    from optim.export.bundle import deployment_bundle

    return deployment_bundle(order.bundle, order.recipe, order.inputs, file, verification)


# --- OpenVINO -------------------------------------------------------------------------------------


def _check_openvino(bundle: ModelBundle) -> None:
    from optim.runtime.openvino import openvino

    openvino()


def _openvino(order: Order) -> bytes:
    from optim.export.archive import zip_of
    from optim.runtime.openvino import openvino_ir

    graph, weights = openvino_ir(_onnx(order))
    recipe = order.recipe.to_yaml()
    return zip_of({"model.xml": graph, "model.bin": weights, "recipe.yaml": recipe})


def _open_openvino(order: Order, file: bytes, threads: int, interface: Interface | None) -> Session:
    from optim.export.archive import files_of
    from optim.runtime.openvino import OpenVinoSession

    files = files_of(file)
    return OpenVinoSession.open(files["model.xml"], files["model.bin"], threads, interface)


# --- QONNX ----------------------------------------------------------------------------------------


def _check_qonnx(bundle: ModelBundle) -> None:
    from optim.export.qonnx import qonnx

    qonnx()


def _qonnx(order: Order) -> bytes:
    from optim.export.deploy import properties_of
    from optim.export.qonnx import qonnx_bytes

    return qonnx_bytes(order.bundle, properties_of(order.bundle, order.recipe.to_link()))


def _open_qonnx(order: Order, file: bytes, threads: int, interface: Interface | None) -> Session:
    from optim.export.qonnx import QonnxSession

    return QonnxSession.open(file, threads)


# --- PyTorch --------------------------------------------------------------------------------------


def _torch_program(order: Order) -> bytes:
    from optim.export.torch_program import torch_program

    return torch_program(order.bundle)


def _open_torch_program(
    order: Order, file: bytes, threads: int, interface: Interface | None
) -> Session:
    from optim.export.torch_program import TorchProgramSession

    return TorchProgramSession.open(file, threads)


# --- C --------------------------------------------------------------------------------------------


def _check_c(bundle: ModelBundle) -> None:
    from optim.export.c.archive import program_of
    from optim.export.c.session import compiler

    program_of(bundle)
    compiler()


def _c(order: Order) -> bytes:
    from optim.export.c.archive import c_archive

    return c_archive(order.bundle, order.recipe.to_yaml(), order.inputs)


def _open_c(order: Order, file: bytes, threads: int, interface: Interface | None) -> Session:
    from optim.export.archive import files_of
    from optim.export.c.archive import program_of
    from optim.export.c.session import CompiledSession

    return CompiledSession.open(files_of(file), program_of(order.bundle))


_TORCH = frozenset({"torch"})

TARGETS: dict[str, Target] = {
    "onnx": Target(
        "ONNX, as set",
        "Quantized as the sliders say; runs on integer kernels where both sides have at most "
        "8 bits.",
        ".onnx",
        _onnx,
    ),
    "onnx_float": Target(
        "ONNX, float32",
        "Pruned, but not quantized; runs everywhere.",
        ".onnx",
        _onnx,
        _without_quantization,
    ),
    "onnx_float16": Target(
        "ONNX, float16",
        "Pruned, weights and activations in half precision; for GPUs and NPUs. CPUs compute it in "
        "float32.",
        ".onnx",
        _onnx_half,
        _without_quantization,
    ),
    "onnx_int4": Target(
        "ONNX, int4 weights",
        "Weights rounded to 4 bits in groups of 32, activations in floating point: small, at the "
        "speed of float32.",
        ".onnx",
        _onnx,
        _four_bits,
    ),
    "onnx_nbits": Target(
        "ONNX, int4 products",
        "Weights in 4 bits, and dense layers that multiply them packed (MatMulNBits): for models "
        "that are mostly dense, in ONNX Runtime alone.",
        ".onnx",
        _onnx_nbits,
        _four_bits,
        check=_check_dense,
    ),
    "packed": Target(
        "Packed file",
        "ONNX as set, zeros and weights coded in as many bits as they carry information; "
        "python -m optim unpack gives the ONNX file back.",
        ".opack",
        _packed,
        open=_open_packed,
    ),
    "openvino": Target(
        "OpenVINO IR",
        "Quantized as the sliders say, for Intel's CPUs, GPUs and NPUs.",
        ".zip",
        _openvino,
        _written_out,
        check=_check_openvino,
        open=_open_openvino,
    ),
    "qonnx": Target(
        "QONNX",
        "Every bit-width kept as it is set, for FPGA tools; the time of its executor says nothing "
        "about an FPGA.",
        ".onnx",
        _qonnx,
        _written_out,
        lanes=_TORCH,
        check=_check_qonnx,
        open=_open_qonnx,
        most=500,
    ),
    "pt2": Target(
        "PyTorch program",
        "The simulation as torch.export keeps it: weights and activations on their grids, in "
        "float32.",
        ".pt2",
        _torch_program,
        lanes=_TORCH,
        open=_open_torch_program,
    ),
    "c": Target(
        "C for microcontrollers",
        "Integer arrays and a runner in C99, without allocation; every layer in at most 8 bits.",
        ".zip",
        _c,
        check=_check_c,
        open=_open_c,
        most=500,
    ),
    "bundle": Target(
        "Deployment bundle",
        "ONNX as set, predict.py, sample inputs and outputs, model card and a test, to be unpacked "
        "and run anywhere.",
        ".zip",
        _onnx,
        check=_check_bundle,
        pack=_bundle,
    ),
    "safetensors": Target(
        "safetensors and recipe",
        "Weights, compression table and recipe, to go on with in Python.",
        ".zip",
        _onnx,
        lanes=_TORCH,
        pack=_checkpoint,
    ),
}
"""Kinds of file by name."""


def target_of(name: str) -> Target:
    """Return a kind of file.

    Raises:
        ConfigError: If there is no such kind.
    """
    if name not in TARGETS:
        raise ConfigError(
            f"target must be one of {', '.join(TARGETS)}: got {name!r}.", field="target"
        )
    return TARGETS[name]


def refusal(bundle: ModelBundle, target: Target) -> OptimError | None:
    """Return why a model cannot be written as a kind of file; None if it can."""
    if bundle.lane not in target.lanes:
        return ExportError(
            f"{target.title} holds layers that torch can train, and {bundle.name} is kept as an "
            "ONNX graph.",
            hint=f"Choose {TARGETS['onnx'].title}.",
        )
    try:
        target.check(target.deployed(bundle))
    except OptimError as error:
        return error
    return None


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
