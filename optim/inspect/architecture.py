"""The layers of a model as a graph, and where to draw them.

Drawn are the layers with weights and whatever brings several values together. What only passes one
value on (activation functions, reshapes, quantizers) belongs to the node before it.

The layout is that of Sugiyama et al. (1981), kept simple: every node one row below the lowest of
those it reads; connections that pass rows on the way keep a place in each; places within a row are
ordered by those above and below, then moved as close to them as their distances allow. A network
of many rows is set in columns, as a newspaper is, broken where few connections are cut.

References:
    Sugiyama, Tagawa and Toda, Methods for Visual Understanding of Hierarchical System Structures,
    1981, doi:10.1109/TSMC.1981.4308636
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from optim.graph.fold import fold
from optim.graph.layers import graph_layers
from optim.layers.graph import COMPUTE, kind_of, trace
from optim.models.bundle import GraphModel, ModelBundle

__all__ = ["MOST_NODES", "Drawing", "Edge", "Node", "Operation", "drawing_of", "laid_out"]

MOST_NODES = 500
_ROWS = 18
"""Rows of a column, about."""
_LARGE_ROWS = 28
_LARGE = 120
"""From so many rows on columns are longer."""
_GAP = 1.6
"""Between two columns, in widths of a node."""
_SWEEPS = 8


@dataclass(frozen=True)
class Operation:
    """One step of a model, as its lane knows it.

    Attributes:
        name: Unique.
        kind: What it does, in the words of its lane.
        inputs: Names of the operations whose results it reads; constants are left out.
        layer: Name of the layer with weights; empty for all others.
        is_end: Whether it is an input or the output of the model.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    layer: str = ""
    is_end: bool = False


@dataclass(frozen=True)
class Node:
    """What is drawn as one mark.

    Attributes:
        name: Of the operation.
        kind: What it does.
        layer: Name of the layer with weights; empty for all others.
        behind: Kinds of what only passes its value on.
        x: To the right, in widths of a node.
        y: Down, in rows.
    """

    name: str
    kind: str
    layer: str
    behind: tuple[str, ...]
    x: float
    y: float


@dataclass(frozen=True)
class Edge:
    """A value that goes from one node to another.

    Attributes:
        source: Name of the node that makes it.
        target: Name of the node that reads it.
        path: Points ``(x, y)`` on its way, both ends included.
    """

    source: str
    target: str
    path: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Drawing:
    """A laid-out graph; empty, with the reason, where it is not drawn.

    Attributes:
        nodes: In order of execution.
        edges: Between them.
        width: Of the whole, in widths of a node.
        height: In rows.
        missing: Why it is not drawn; empty where it is.
    """

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    width: float = 0.0
    height: float = 0.0
    missing: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def drawing_of(bundle: ModelBundle) -> Drawing:
    """Return the graph of a model, laid out."""
    joined = _joined(_operations(bundle))
    if len(joined) > MOST_NODES:
        why = f"The graph has {len(joined):,} nodes; up to {MOST_NODES} are drawn."
        return Drawing(missing=why)
    return laid_out(joined)


# --- what is drawn --------------------------------------------------------------------------------


def _operations(bundle: ModelBundle) -> list[Operation]:
    if isinstance(bundle.content, GraphModel):
        return _graph_operations(bundle.content)
    return [
        Operation(
            node.name,
            kind_of(node),
            tuple(source.name for source in node.all_input_nodes if source.op != "get_attr"),
            str(node.target) if kind_of(node) in COMPUTE else "",
            node.op in ("placeholder", "output"),
        )
        for node in trace(bundle.module).graph.nodes
        if node.op != "get_attr"
    ]


def _graph_operations(content: GraphModel) -> list[Operation]:
    model = content.read() if content.is_folded else fold(content.read())
    layers = {layer.node: layer for layer in reversed(graph_layers(model))}
    constants = {tensor.name for tensor in model.graph.initializer}
    makers: dict[str, str] = {}
    found = []
    for value in model.graph.input:
        if value.name not in constants:
            makers[value.name] = value.name
            found.append(Operation(value.name, "input", (), is_end=True))
    for index, node in enumerate(model.graph.node):
        outputs = [name for name in node.output if name]
        if not outputs:
            continue
        sources = dict.fromkeys(makers[name] for name in node.input if name in makers)
        layer = layers[index].name if index in layers else ""
        found.append(Operation(outputs[0], node.op_type, tuple(sources), layer))
        makers |= dict.fromkeys(outputs, outputs[0])
    ends = dict.fromkeys(makers[v.name] for v in model.graph.output if v.name in makers)
    return [*found, Operation(" output", "output", tuple(ends), is_end=True)]


def _joined(operations: Sequence[Operation]) -> list[tuple[Operation, list[str]]]:
    """Return the operations that are drawn, and what belongs to each besides."""
    stands: dict[str, str] = {}
    found: dict[str, tuple[Operation, list[str]]] = {}
    for one in operations:
        sources = list(dict.fromkeys(stands[name] for name in one.inputs if name in stands))
        if not sources and not (one.is_end and one.kind != "output"):
            continue  # made of constants alone
        if len(sources) == 1 and not one.layer and not one.is_end:
            stands[one.name] = sources[0]
            found[sources[0]][1].append(one.kind)
            continue
        stands[one.name] = one.name
        own = Operation(one.name, one.kind, tuple(sources), one.layer, one.is_end)
        found[one.name] = (own, [])
    return list(found.values())


# --- where it is drawn ----------------------------------------------------------------------------


def laid_out(joined: Sequence[tuple[Operation, list[str]]]) -> Drawing:
    """Return a graph with a place for every node.

    Args:
        joined: Operations in order of execution, each with what belongs to it besides.
    """
    if not joined:
        return Drawing(missing="The graph has no operation.")
    rank: dict[str, int] = {}
    for one, _ in joined:
        rank[one.name] = max((rank[name] + 1 for name in one.inputs), default=0)
    chains = {
        (name, one.name): [name, *_stops(name, one.name, rank), one.name]
        for one, _ in joined
        for name in one.inputs
    }
    for chain in chains.values():
        rank |= {stop: rank[chain[0]] + i for i, stop in enumerate(chain)}
    rows: list[list[str]] = [[] for _ in range(1 + max(rank.values()))]
    for name in [*(one.name for one, _ in joined), *(s for c in chains.values() for s in c[1:-1])]:
        rows[rank[name]].append(name)
    above: dict[str, list[str]] = {name: [] for name in rank}
    below: dict[str, list[str]] = {name: [] for name in rank}
    for chain in chains.values():
        for upper, lower in pairwise(chain):
            above[lower].append(upper)
            below[upper].append(lower)
    across = _placed(rows, above, below)
    places, lefts, width, height = _in_columns(rows, across, _crossing(chains, rank))
    return Drawing(
        tuple(
            Node(o.name, o.kind, o.layer, tuple(behind), *places[o.name]) for o, behind in joined
        ),
        tuple(
            Edge(source, target, _path([places[stop] for stop in chain], lefts, height))
            for (source, target), chain in chains.items()
        ),
        width,
        height,
    )


def _stops(source: str, target: str, rank: Mapping[str, int]) -> list[str]:
    """Return a place to keep for a connection in each row that it passes."""
    return [f"{source}\0{target}\0{row}" for row in range(rank[source] + 1, rank[target])]


def _placed(
    rows: list[list[str]], above: Mapping[str, list[str]], below: Mapping[str, list[str]]
) -> dict[str, float]:
    """Order the places of every row, in place, and return how far to the right each is."""
    across = {name: i - (len(row) - 1) / 2 for row in rows for i, name in enumerate(row)}

    def wish(name: str, towards: Mapping[str, list[str]]) -> float:
        near = [across[other] for other in towards[name]]
        return sum(near) / len(near) if near else across[name]

    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        towards = above if down else below
        for row in rows if down else reversed(rows):
            row.sort(key=lambda name: wish(name, towards))
            across.update({name: i - (len(row) - 1) / 2 for i, name in enumerate(row)})
    both = {name: [*above[name], *below[name]] for name in across}
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            across.update(zip(row, _apart([wish(name, both) for name in row]), strict=True))
    return across


def _apart(wishes: Sequence[float]) -> list[float]:
    """Return places at least one apart, in order, with the least squared distance to wishes.

    Example:
        >>> _apart([0.0, 0.0, 5.0])
        [-0.5, 0.5, 5.0]
    """
    blocks: list[tuple[float, int]] = []  # mean and length of what moves together
    for i, wish in enumerate(wishes):
        mean, length = wish - i, 1
        while blocks and blocks[-1][0] > mean:
            other, count = blocks.pop()
            mean = (mean * length + other * count) / (length + count)
            length += count
        blocks.append((mean, length))
    means = [mean for mean, length in blocks for _ in range(length)]
    return [mean + i for i, mean in enumerate(means)]


def _path(
    points: Sequence[tuple[float, float]], lefts: Sequence[float], height: float
) -> tuple[tuple[float, float], ...]:
    """Return the points of a connection; to the next column it goes below this one and up."""
    found = [points[0]]
    for (x, y), (on, down) in pairwise(points):
        if down <= y:
            gutter = max(left for left in lefts if left <= on) - (1 + _GAP) / 2
            low, top = height - 0.4, -0.6
            found += [(x, low), (gutter, low), (gutter, top), (on, top)]
        found.append((on, down))
    return tuple(found)


def _crossing(
    chains: Mapping[tuple[str, str], Sequence[str]], rank: Mapping[str, int]
) -> list[int]:
    """Return how many values go on from each row to the next."""
    values: list[set[str]] = [set() for _ in range(1 + max(rank.values()))]
    for source, target in chains:
        for row in range(rank[source], rank[target]):
            values[row].add(source)
    return [len(row) for row in values]


def _in_columns(
    rows: list[list[str]], across: Mapping[str, float], crossing: Sequence[int]
) -> tuple[dict[str, tuple[float, float]], list[float], float, float]:
    """Return a place for every name, where columns begin, and width and height of the whole."""
    places: dict[str, tuple[float, float]] = {}
    left, height = 0.0, 0
    lefts = []
    for start, end in _columns(crossing):
        names = [name for row in rows[start:end] for name in row]
        low = min(across[name] for name in names)
        high = max(across[name] for name in names)
        for y, row in enumerate(rows[start:end]):
            places |= {name: (left + across[name] - low, float(y)) for name in row}
        lefts.append(left)
        left += high - low + 1 + _GAP
        height = max(height, end - start)
    return places, lefts, left - _GAP, float(height)


def _columns(crossing: Sequence[int]) -> list[tuple[int, int]]:
    """Return first and last row of each column, broken where few connections are cut.

    Args:
        crossing: Values that go on from each row to the next.
    """
    total = len(crossing)
    longest = _LARGE_ROWS if total > _LARGE else _ROWS
    count = max(1, round(total / longest))
    breaks, slack = [0], longest // 4
    for i in range(1, count):
        ideal = round(i * total / count)
        near = range(max(breaks[-1] + 1, ideal - slack), min(total - 1, ideal + slack) + 1)
        breaks.append(min(near, key=lambda row: (crossing[row - 1], abs(row - ideal))))
    return list(zip(breaks, [*breaks[1:], total], strict=True))
