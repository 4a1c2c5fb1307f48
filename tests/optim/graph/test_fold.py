"""The folded graph computes the same with less."""

import pytest
from onnx import helper

from optim.errors import UnsupportedModelError
from optim.graph.fold import fold
from optim.models.convert.parity import largest_difference, random_inputs, runtime_outputs
from optim.runtime.run_graph import editable
from optim.step import no_memo
from tests.helpers import assert_similar
from tests.optim.graph.graphs import bundle_of, kept, recurrent, upsampled
from tests.optim.models.convert.graphs import IR_VERSIONS, graph, node, values, whole
from tests.optim.models.convert.test_exporters import EXPORTERS

NORM = {
    "g": values(4, low=0.5),
    "h": values(4, seed=1),
    "m": values(4, seed=2),
    "v": values(4, low=0.5, seed=3),
}


def assert_folds(model, shape, operators=None, **tolerance):
    """Fold a graph, compare both in ONNX Runtime, and return the folded one."""
    before = model.SerializeToString()
    folded = fold(model)
    assert model.SerializeToString() == before
    x = random_inputs(shape)
    assert_similar(
        runtime_outputs(folded.SerializeToString(), x), runtime_outputs(before, x), times=10
    )
    assert fold(folded).SerializeToString() == folded.SerializeToString()
    if operators is not None:
        assert [n.op_type for n in folded.graph.node] == operators
    return folded


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "exporter",
    [pytest.param(n, marks=pytest.mark.slow) if n == "dynamo" else n for n in EXPORTERS],
)
def test_every_family_of_every_exporter(exporter, bundle):
    model = EXPORTERS[exporter](bundle)
    folded = assert_folds(model, bundle.spec.shape)
    assert len(folded.graph.node) <= len(model.graph.node)


@pytest.mark.parametrize("bias", [True, False])
def test_a_norm_behind_a_convolution(bias):
    nodes = [
        node("Conv", "x w b" if bias else "x w", "c", name="conv"),
        node("BatchNormalization", "c g h m v"),
    ]
    constants = {"w": values(4, 3, 3, 3)} | ({"b": values(4, seed=5)} if bias else {})
    folded = assert_folds(graph(nodes, (3, 6, 6), **constants, **NORM), (3, 6, 6), ["Conv"])
    assert {t.name for t in folded.graph.initializer} == {"w", "y.folded_bias"}


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_norm_behind_a_dense_layer(transposed):
    nodes = [
        node("Gemm", "x w", "c", transB=transposed),
        node("BatchNormalization", "c g h m v"),
    ]
    weight = values(4, 5) if transposed else values(5, 4)
    assert_folds(graph(nodes, (5,), w=weight, **NORM), (5,), ["Gemm"])


def test_a_norm_behind_a_transposed_convolution():
    operators = [n.op_type for n in upsampled().graph.node if n.op_type != "BatchNormalization"]
    assert_folds(upsampled(), (3, 8, 8), operators)


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        (
            [
                node("Conv", "x w", "c"),
                node("BatchNormalization", "c g h m v", "n"),
                node("Add", "n c"),
            ],
            "the values before it are read by somebody else",
        ),
        (
            [
                node("ConvTranspose", "x t", "c", group=2),
                node("BatchNormalization", "c g h m v"),
            ],
            "channels of groups lie elsewhere",
        ),
        (
            [node("Relu", "x", "c"), node("BatchNormalization", "c g h m v")],
            "nothing with weights precedes it",
        ),
    ],
)
def test_a_norm_that_cannot_be_folded_stays(nodes, why):
    constants = {"w": values(4, 4, 1, 1), "t": values(4, 2, 1, 1)}
    model = graph(nodes, (4, 5, 5), **constants, **NORM)
    assert_folds(model, (4, 5, 5), [n.op_type for n in nodes])


def test_a_weight_that_is_read_twice_is_folded_for_each():
    nodes = [
        node("Conv", "x w", "c"),
        node("BatchNormalization", "c g h m v", "n"),
        node("Conv", "n w", "d"),
        node("BatchNormalization", "d g h v v"),
    ]
    model = graph(nodes, (4, 5, 5), w=values(4, 4, 1, 1), **NORM)
    assert_folds(model, (4, 5, 5), ["Conv", "Conv"])


def test_constants_are_computed_wherever_they_hide():
    nodes = [
        helper.make_node("Constant", [], ["shape"], value_ints=[5, 4]),
        node("Reshape", "flat shape", "r"),
        node("Identity", "r", "i"),
        node("Transpose", "i", "w", perm=[1, 0]),
        node("Gemm", "x w", transB=1),
    ]
    folded = assert_folds(graph(nodes, (5,), flat=values(20)), (5,), ["Gemm"])
    assert [t.name for t in folded.graph.initializer] == ["w"]


def test_weights_repeated_among_the_inputs_are_no_inputs():
    model = graph(node("MatMul", "x w"), (5,), opset=8, as_inputs=True, w=values(5, 3))
    assert model.ir_version == IR_VERSIONS[8] == 3
    folded = assert_folds(model, (5,))
    assert [value.name for value in folded.graph.input] == ["x"]
    assert folded.ir_version == 4


def test_what_nobody_reads_is_left_out():
    nodes = [node("Gemm", "x w", "y"), node("Gemm", "x u", "unread")]
    model = graph(nodes, (5,), w=values(5, 3), u=values(5, 3), alone=values(9))
    folded = assert_folds(model, (5,), ["Gemm"])
    assert [t.name for t in folded.graph.initializer] == ["w"]


def test_what_inner_graphs_read_stays():
    body = helper.make_graph(
        [node("Gemm", "x w", "r")],
        "then",
        [],
        [helper.make_tensor_value_info("r", 1, None)],
    )
    nodes = [
        node("ReduceSum", "x", "s", keepdims=0),
        node("Cast", "s", "c", to=9),
        node("If", "c", "y", then_branch=body, else_branch=body),
    ]
    folded = assert_folds(graph(nodes, (5,), w=values(5, 3)), (5,), ["ReduceSum", "Cast", "If"])
    assert [t.name for t in folded.graph.initializer] == ["w"]


def test_functions_are_unfolded():
    twice = helper.make_function(
        "own", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], [helper.make_opsetid("", 17)]
    )
    model = graph(helper.make_node("Twice", ["x"], ["y"], domain="own"), (5,))
    model.functions.append(twice)
    model.opset_import.append(helper.make_opsetid("own", 1))
    assert_folds(model, (5,), ["Add"])


def test_a_constant_that_cannot_be_computed_is_refused():
    nodes = [node("Reshape", "w sizes", "r"), node("Gemm", "x r", name="g")]
    model = graph(nodes, (5,), w=values(7), sizes=whole(5, 3))
    with pytest.raises(UnsupportedModelError, match="Reshape 'r' cannot be computed"):
        fold(model)


def test_a_graph_that_computes_something_else_is_not_taken(monkeypatch):
    def wrong(model, kept):
        folded = fold(model, kept)
        for tensor in folded.graph.initializer:
            if tensor.name == "k":
                tensor.raw_data = (values(16, 4, seed=3) * 1.1).tobytes()
        return folded

    monkeypatch.setattr("optim.runtime.run_graph.fold", wrong)
    with pytest.raises(UnsupportedModelError, match="computes something else"):
        editable(bundle_of(recurrent(), (6, 5)), no_memo)


def test_a_graph_is_folded_once(tiny_cnn):
    folded = editable(kept(tiny_cnn), no_memo)
    assert editable(folded, no_memo) is folded
    assert editable(tiny_cnn, no_memo) is tiny_cnn
    x = random_inputs(tiny_cnn.spec.shape)
    expected = runtime_outputs(folded.content.onnx, x)
    assert largest_difference(tiny_cnn.module, x, expected) < 1e-5


def test_a_value_that_is_read_inside_is_computed_as_before():
    nodes = [
        node("Conv", "x w", "inside"),
        node("BatchNormalization", "inside g h m v"),
        node("Relu", "inside", "unread"),
    ]
    model = graph(nodes, (3, 6, 6), w=values(4, 3, 3, 3), **NORM)
    assert [n.op_type for n in fold(model, ["inside"]).graph.node] == ["Conv", "BatchNormalization"]
    assert [n.op_type for n in fold(model, ["unread"]).graph.node] == [n.op_type for n in nodes]
