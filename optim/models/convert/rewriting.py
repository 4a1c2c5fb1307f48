"""What rewrites of the graph need to know about its nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from optim.layers.functions import FUNCTIONS
from optim.models.convert.builder import Builder, Traced

__all__ = [
    "args_of",
    "constant_of",
    "factors",
    "is_call",
    "layer_at",
    "number_of",
    "only_user",
    "remove_unused",
    "replace",
    "value_of",
]


def value_of(node: fx.Node) -> Traced:
    """Return what is known about a node's result."""
    value = node.meta["value"]
    assert isinstance(value, Traced)
    return value


def args_of(node: fx.Node) -> tuple[Any, ...]:
    """Return the arguments of a node; torch's own type for them allows no questions."""
    return tuple(node.args)


def is_call(node: Any, kind: str) -> bool:
    """Whether something is a call of a function of the vocabulary."""
    return (
        isinstance(node, fx.Node) and node.op == "call_function" and node.target is FUNCTIONS[kind]
    )


def layer_at(to: Builder, node: Any, *kinds: type[nn.Module]) -> nn.Module | None:
    """Return the layer a node calls if it is of one of these types, or None."""
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    layer = to.root.get_submodule(str(node.target))
    return layer if isinstance(layer, kinds) else None


def constant_of(to: Builder, node: Any) -> Tensor | None:
    """Return the tensor a node reads from the module, or None."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    path, _, name = str(node.target).rpartition(".")
    found = getattr(to.root.get_submodule(path), name)
    assert isinstance(found, Tensor)
    return found.detach()


def number_of(argument: Any) -> float | None:
    """Return an argument that is a number, or None."""
    plain = isinstance(argument, int | float) and not isinstance(argument, bool)
    return float(argument) if plain else None


def only_user(node: fx.Node) -> fx.Node | None:
    """Return the one node that reads a node's result, once, or None."""
    users = list(node.users)
    if len(users) != 1 or users[0].all_input_nodes.count(node) != 1:
        return None
    return users[0]


def factors(node: fx.Node) -> tuple[list[fx.Node], float]:
    """Return a product as its factors and the number in front of them.

    Products inside are opened where nobody else reads them.
    """
    found: list[fx.Node] = []
    number = 1.0
    queue: list[Any] = [node]
    while queue:
        part = queue.pop()
        value = number_of(part)
        opened = isinstance(part, fx.Node) and (part is node or len(part.users) == 1)
        if value is not None:
            number *= value
        elif opened and is_call(part, "mul"):
            queue.extend(args_of(part))
        elif opened and is_call(part, "div") and number_of(args_of(part)[1]):
            number /= number_of(args_of(part)[1]) or 1.0
            queue.append(args_of(part)[0])
        else:
            found.append(part)
    return found, number


def replace(to: Builder, node: fx.Node, make: Callable[[], Traced]) -> fx.Node:
    """Put what ``make`` adds in the place of a node, and remove what only served that node."""
    with to.graph.inserting_before(node), torch.no_grad():
        made = make().node
    node.replace_all_uses_with(made)
    queue, gone = [node], {made}
    while queue:
        old = queue.pop()
        if old.users or old.op in ("placeholder", "output") or old in gone:
            continue
        gone.add(old)
        queue.extend(old.all_input_nodes)
        to.drop(old)
    return made


def remove_unused(graph: fx.Graph) -> None:
    """Remove what nobody reads; nothing here does anything but compute its result."""
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)
