"""From an ONNX graph to a module that can be pruned, quantized and trained."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import torch
from torch import fx

from optim.errors import OptimError, UnsupportedModelError
from optim.layers.table import CompressionTable
from optim.models.convert.builder import Builder, Traced, Value
from optim.models.convert.folding import fold
from optim.models.convert.grids import table_of, take_quantizers
from optim.models.convert.layout import settle_layout, take_channels_first
from optim.models.convert.lifting import lift
from optim.models.convert.operators import OPERATORS
from optim.models.convert.reader import GraphFile, Operation, read_graph
from optim.models.convert.rewriting import remove_unused

__all__ = ["Converted", "convert", "takes_channels_last"]


_CHANNELS = (1, 3, 4)


def takes_channels_last(model: onnx.ModelProto) -> bool:
    """Whether a file takes one image with channels last and transposes it first of all."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        return False
    sizes = [d.dim_value for d in inputs[0].type.tensor_type.shape.dim]
    if len(sizes) != 4 or sizes[3] not in _CHANNELS or sizes[1] in _CHANNELS:
        return False
    readers = [node for node in model.graph.node if inputs[0].name in node.input]
    return bool(readers) and all(
        node.op_type == "Transpose" and [list(a.ints) for a in node.attribute] == [[0, 3, 1, 2]]
        for node in readers
    )


@dataclass(frozen=True, eq=False)
class Converted:
    """What an ONNX graph became.

    Attributes:
        module: In evaluation mode. It can be traced again, copied, and trained.
        table: The grids of the file's weights and activations.
    """

    module: fx.GraphModule
    table: CompressionTable


def convert(
    model: onnx.ModelProto,
    shapes: dict[str, tuple[int, ...]] | None = None,
    *,
    channels_first: bool = False,
    flat: bool = False,
) -> Converted:
    """Return a module that computes what an ONNX graph computes, and the grids it is on.

    Convolutions, dense layers, normalisations, activation functions and pooling are layers of
    ``torch.nn`` with names made from those in the file; what is left are calls of functions. Half
    precision becomes float32. A weight that several nodes read becomes one of each. Weights that
    are stored as integers become the floats they stand for.

    Args:
        model: A checked model.
        shapes: ``{input: sizes of one sample}`` where the file leaves them free.
        channels_first: Whether the module takes channels first although the file takes them last;
            only where :func:`takes_channels_last`.
        flat: Whether the module gives ``(N, numbers)`` although the file gives ``(N, C, 1, 1)``.

    Raises:
        UnsupportedModelError: Naming the operator and the node that cannot be part of a module, or
            what is on a grid that a compression table cannot say.
    """
    file = read_graph(model)
    to = Builder(file, shapes or {})
    with torch.no_grad():
        for op in file.operations:
            _add(to, op)
    _add_output(to, file, flat)
    remove_unused(to.graph)
    if channels_first:
        take_channels_first(to)
    settle_layout(to)
    lift(to)
    edges = take_quantizers(to)
    remove_unused(to.graph)
    module = fx.GraphModule(to.root, to.graph).eval()
    return Converted(module, table_of(to, module, edges))


def _add(to: Builder, op: Operation) -> None:
    """Add one operation to the graph, or compute it at once."""
    results: tuple[Value, ...] | None = fold(to, op)
    if results is None:
        handler = OPERATORS.get(op.op_type)
        if handler is None:
            raise op.refuse("is an operator that cannot be part of a module yet")
        try:
            made = handler(to, op)
        except OptimError:
            raise
        except (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError) as error:
            # Sizes that contradict each other, or attributes that are missing or of another kind.
            text = str(error).strip().splitlines()
            raise op.refuse(f"makes no sense here: {text[0] if text else error!r}") from error
        results = made if isinstance(made, tuple) else (made,)
    assert results is not None
    for name, value in zip(op.outputs, results, strict=False):
        to.values[name] = value


def _add_output(to: Builder, file: GraphFile, flat: bool) -> None:
    results = [to.values[name] for name in file.outputs]
    for name, value in zip(file.outputs, results, strict=True):
        if not isinstance(value, Traced) or value.batch_axes != (0,):
            raise UnsupportedModelError(
                f"The output {name!r} is not one result a sample.",
                hint="The file can still be measured, verified and timed as it is.",
            )
    nodes = tuple(value.node for value in results if isinstance(value, Traced))
    if flat:
        nodes = tuple(to.graph.call_function(torch.flatten, (node, 1)) for node in nodes)
    to.graph.output(nodes[0] if len(nodes) == 1 else nodes)
