"""A graph is drawn once, in order, without two nodes at one place."""

import numpy as np
import pytest

from optim.inspect.architecture import MOST_NODES, Operation, drawing_of, laid_out
from optim.layers.graph import kind_of, trace
from optim.models.zoo import ZOO
from tests.helpers import tiny_bundle
from tests.optim.graph.graphs import bundle_of, kept, recurrent, upsampled


def chain(length, skips=()):
    """Return operations in a row, some of which also read one far above."""
    found = [Operation("in", "input", (), is_end=True)]
    for i in range(length):
        sources = (found[-1].name, *(f"op{a}" for a, b in skips if b == i))
        found.append(Operation(f"op{i}", "conv", sources, f"layer{i}"))
    return [(one, []) for one in found]


def places(drawing):
    return {node.name: (node.x, node.y) for node in drawing.nodes}


def test_every_layer_is_one_node_and_activation_functions_belong_to_it(bundle):
    drawing = drawing_of(bundle)
    layers = [str(n.target) for n in trace(bundle.module).graph.nodes if kind_of(n) == "conv"]
    drawn = [node.layer for node in drawing.nodes if node.layer]
    assert set(layers) <= set(drawn)
    assert len(drawn) == len(set(drawn))
    assert {"relu", "flatten", "identity"}.isdisjoint(node.kind for node in drawing.nodes)


def test_no_two_nodes_share_a_place_and_edges_join_their_nodes(bundle):
    drawing = drawing_of(bundle)
    at = places(drawing)
    points = np.array(list(at.values()))
    apart = np.abs(points[:, None] - points[None]).max(axis=2) + np.eye(len(points))
    assert apart.min() > 0.99
    for edge in drawing.edges:
        assert edge.path[0] == at[edge.source]
        assert edge.path[-1] == at[edge.target]


def test_edges_lead_down_and_from_the_input_to_the_output():
    drawing = drawing_of(tiny_bundle("resnet"))
    at = places(drawing)
    assert all(at[edge.target][1] > at[edge.source][1] for edge in drawing.edges)
    ends = {edge.target for edge in drawing.edges}
    starts = {edge.source for edge in drawing.edges}
    assert [n.kind for n in drawing.nodes if n.name not in ends] == ["placeholder"]
    assert [n.kind for n in drawing.nodes if n.name not in starts] == ["output"]


def test_an_edge_that_passes_rows_goes_round_what_stands_there():
    drawing = laid_out(chain(6, skips=[(0, 4)]))
    at = places(drawing)
    (skip,) = [edge for edge in drawing.edges if (edge.source, edge.target) == ("op0", "op4")]
    assert len(skip.path) == 5
    for x, y in skip.path[1:-1]:
        (beside,) = [place for place in at.values() if place[1] == y]
        assert abs(beside[0] - x) >= 1 - 1e-9


def test_long_networks_are_set_in_columns_broken_where_one_value_is_cut():
    skips = [(i, i + 2) for i in range(1, 115, 3)]
    drawing = laid_out(chain(118, skips=skips))
    assert drawing.height < 40
    at = places(drawing)
    cut = {e.source for e in drawing.edges if at[e.target][1] < at[e.source][1]}
    assert len(cut) == 6, "seven columns, and one value goes on from each to the next"
    assert drawing.width > max(x for x, _ in at.values())


def test_five_hundred_nodes_are_drawn_and_more_are_refused(monkeypatch):
    drawing = laid_out(chain(MOST_NODES - 1, skips=[(i, i + 3) for i in range(0, 480, 4)]))
    assert len(drawing.nodes) == MOST_NODES
    assert drawing.height <= 45
    monkeypatch.setattr("optim.inspect.architecture.MOST_NODES", 3)
    refused = drawing_of(tiny_bundle("mlp"))
    assert refused.nodes == ()
    assert "up to 3 are drawn" in refused.missing


def test_crossings_that_can_be_avoided_are():
    joined = [
        (Operation("in", "input", (), is_end=True), []),
        (Operation("a", "conv", ("in",), "a"), []),
        (Operation("b", "conv", ("in",), "b"), []),
        (Operation("under b", "conv", ("b",), "u"), []),
        (Operation("under a", "conv", ("a",), "v"), []),
        (Operation("end", "add", ("under a", "under b")), []),
    ]
    at = places(laid_out(joined))
    assert (at["a"][0] < at["b"][0]) == (at["under a"][0] < at["under b"][0])


@pytest.mark.parametrize(
    ("model", "shape", "layers"),
    [(upsampled(), (3, 8, 8), {"down", "up", "out"}), (recurrent(), (6, 5), {"rnn.W", "head"})],
    ids=["upsampled", "recurrent"],
)
def test_graphs_of_files_are_drawn_by_the_names_of_their_layers(model, shape, layers):
    drawing = drawing_of(bundle_of(model, shape))
    assert {node.layer for node in drawing.nodes} - {""} == layers
    assert drawing.nodes[-1].kind == "output"


def test_a_file_and_the_module_it_was_made_of_have_the_same_shape():
    bundle = tiny_bundle("lenet-5")
    module, file = drawing_of(bundle), drawing_of(kept(bundle))
    assert [(n.x, n.y) for n in module.nodes] == [(n.x, n.y) for n in file.nodes]


def test_resnet20_stands_in_two_columns():
    architecture = ZOO["resnet20"]
    bundle = tiny_bundle("resnet")
    module = architecture.build((3, 32, 32), 10, seed=0).eval()
    drawing = drawing_of(bundle.with_module(module))
    assert len(drawing.nodes) == 31
    assert drawing.height <= 18
    assert len({round(node.x) for node in drawing.nodes}) >= 2
