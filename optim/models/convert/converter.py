"""From an ONNX graph to a module that can be pruned, quantized and trained."""

from __future__ import annotations

import onnx
import torch
from torch import fx

from optim.errors import OptimError, UnsupportedModelError
from optim.models.convert.builder import Builder, Traced, Value
from optim.models.convert.folding import fold
from optim.models.convert.lifting import lift
from optim.models.convert.operators import OPERATORS
from optim.models.convert.reader import GraphFile, Operation, read_graph
from optim.models.convert.rewriting import remove_unused

__all__ = ["convert"]


def convert(
    model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]] | None = None
) -> fx.GraphModule:
    """Return a module that computes what an ONNX graph computes.

    Convolutions, dense layers, normalisations, activation functions and pooling are layers of
    ``torch.nn`` with names made from those in the file; what is left are calls of functions. Half
    precision becomes float32.

    Args:
        model: A checked model.
        shapes: ``{input: sizes of one sample}`` where the file leaves them free.

    Returns:
        A module in evaluation mode. It can be traced again, copied, and trained.

    Raises:
        UnsupportedModelError: Naming the operator and the node that cannot be part of a module.
    """
    file = read_graph(model)
    to = Builder(file, shapes or {})
    with torch.no_grad():
        for op in file.operations:
            _add(to, op)
    _add_output(to, file)
    remove_unused(to.graph)
    lift(to)
    remove_unused(to.graph)
    module = fx.GraphModule(to.root, to.graph)
    return module.eval()


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


def _add_output(to: Builder, file: GraphFile) -> None:
    results = [to.values[name] for name in file.outputs]
    for name, value in zip(file.outputs, results, strict=True):
        if not isinstance(value, Traced) or value.batch_axes != (0,):
            raise UnsupportedModelError(
                f"The output {name!r} is not one result a sample.",
                hint="The file can still be measured, verified and timed as it is.",
            )
    nodes = tuple(value.node for value in results if isinstance(value, Traced))
    to.graph.output(nodes[0] if len(nodes) == 1 else nodes)
