"""Files of several inputs and outputs are run, and what was guessed is said."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from optim.data import Classification, Outputs, Regression
from optim.errors import UnsupportedModelError
from optim.models.bundle import GraphModel, TorchModel
from optim.models.interface import MAX_NUMBERS, Feed, Interface, Read, rows_of
from optim.models.onnx_file import open_onnx
from optim.models.probing import probe
from optim.runtime.session import InferenceSession
from tests.helpers import data_for, tiny_bundle
from tests.optim.models.convert.graphs import node, values, whole


def model(nodes, inputs, outputs=("y",), *, opset=17, kind=TensorProto.FLOAT, **constants):
    """Return a model; inputs are ``{name: (type, sizes)}``, outputs of one kind."""
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(name, kind, sizes)
            for name, (kind, sizes) in inputs.items()
        ],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def probed(made, wanted=None):
    return probe(made, made.SerializeToString(), wanted)


def opened(made, path, data=None, **options):
    (path / "m.onnx").write_bytes(made.SerializeToString())
    return open_onnx(path / "m.onnx", data, **options)


def recurrent(batch="N"):
    """Steps of two numbers and a state; a result a sample and the next state."""
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        node("LSTM", "t w r _ _ h c", "_ h1 c1", hidden_size=4),
        node("Squeeze", "h1 first", "s"),
        node("MatMul", "s m"),
    ]
    nodes[1].output[0] = ""
    state = (TensorProto.FLOAT, [1, batch, 4])
    return model(
        nodes,
        {"x": (TensorProto.FLOAT, [batch, "steps", 2]), "h": state, "c": state},
        ("y", "h1", "c1"),
        w=values(1, 16, 2),
        r=values(1, 16, 4),
        first=whole(0),
        m=values(4, 1),
    )


def words():
    """Word numbers and a mask, as a language model takes them."""
    nodes = [
        node("Gather", "table input_ids", "e"),
        node("Cast", "attention_mask", "f", to=TensorProto.FLOAT),
        node("Unsqueeze", "f last", "u"),
        node("Mul", "e u", "y"),
    ]
    ids = (TensorProto.INT64, ["batch", "sequence"])
    return model(
        nodes, {"attention_mask": ids, "input_ids": ids}, table=values(11, 3), last=whole(2)
    )


def detector():
    """Boxes and scores that depend on the image, and what non-maximum suppression keeps of them."""
    nodes = [
        node("Conv", "x w", "c"),
        node("Reshape", "c four", "boxes"),
        node("Reshape", "c one", "scores"),
        node("NonMaxSuppression", "boxes scores many", "y"),
    ]
    return model(
        nodes,
        {"x": (TensorProto.FLOAT, [1, 3, 8, 8])},
        w=values(4, 3, 1, 1),
        four=whole(1, -1, 4),
        one=whole(1, 4, 64),
        many=whole(5),
        kind=TensorProto.INT64,
    )


# --- what is found ------------------------------------------------------------------------------


def test_states_are_zeros_and_samples_lie_along_any_axis():
    found = probed(recurrent())
    assert found.interface.name == "x"
    assert found.shape == (16, 2)
    assert {feed.name: feed.values for feed in found.interface.feeds} == {"h": (0.0,), "c": (0.0,)}
    assert [(read.name, read.axis) for read in found.interface.reads] == [
        ("y", 0),
        ("h1", 1),
        ("c1", 1),
    ]
    assert "'h' zeros" in " ".join(found.notes)


def test_a_mask_hides_nothing_and_words_stay_in_the_vocabulary():
    found = probed(words())
    interface = found.interface
    assert (interface.name, interface.dtype, interface.limit) == ("input_ids", "int64", 11)
    assert interface.feeds[0].values == (1.0,)
    assert interface.draw((16,), 50).max() == 10
    assert interface.batch == 0


def test_the_size_of_the_data_wins():
    assert probed(words(), (5,)).shape == (5,)


def test_what_nms_chooses_from_is_read_in_place_of_its_choice():
    found = probed(detector())
    assert set(found.outputs) == {"boxes", "scores"}
    assert all(read.is_inside for read in found.interface.reads)
    assert "compared is what they are chosen from: boxes, scores" in found.notes[-1]


def test_samples_that_meet_in_a_batch_are_run_one_by_one():
    """Along the first axis lie steps of time: a cumulative sum runs over it."""
    made = model([node("CumSum", "x axis")], {"x": (TensorProto.FLOAT, ["T", 3])}, axis=np.array(0))
    found = probed(made)
    assert found.interface.batch == 1
    assert "one by one" in found.notes[-1]


def test_an_image_without_a_batch_is_one_sample():
    nodes = [node("Unsqueeze", "x first", "u"), node("Conv", "u w")]
    made = model(nodes, {"x": (TensorProto.FLOAT, [3, 8, 8])}, w=values(2, 3, 8, 8), first=whole(0))
    found = probed(made)
    assert found.shape == (3, 8, 8)
    assert not found.interface.has_samples_axis
    session = InferenceSession.open(made, 1, found.interface)
    x = found.interface.draw(found.shape, 3)
    alone = np.concatenate([session.run(x[i : i + 1]) for i in range(3)])
    np.testing.assert_array_equal(session.run(x), alone)


def test_text_is_refused():
    made = model([node("Identity", "x")], {"x": (TensorProto.STRING, ["N", 2])})
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING
    with pytest.raises(UnsupportedModelError, match="'x' takes no tensor of numbers"):
        probed(made)


def test_what_never_runs_is_refused_with_what_was_tried():
    made = model([node("Reshape", "x s")], {"x": (TensorProto.FLOAT, ["N", "M"])}, s=whole(7, 7919))
    with pytest.raises(UnsupportedModelError, match=r"any input that was tried \(16, 128"):
        probed(made)


def test_a_further_input_that_is_too_large_is_refused():
    large = (TensorProto.FLOAT, [2**20, 2**20])
    made = model([node("Add", "x state")], {"x": (TensorProto.FLOAT, ["N", 1]), "state": large})
    with pytest.raises(UnsupportedModelError, match="'state' takes more than 16,777,216 numbers"):
        probed(made)


def test_a_size_that_is_asked_for_is_that_of_the_sample():
    made = model(
        [node("Expand", "x shape")],
        {"x": (TensorProto.FLOAT, ["N", 3]), "shape": (TensorProto.INT64, [2])},
    )
    assert probed(made).interface.feeds[0].values == (1.0, 3.0)


def test_a_file_that_is_too_old_says_what_to_do(tmp_path):
    made = model([node("Gemm", "x w b")], {"x": (TensorProto.FLOAT, [1, 3])}, opset=6)
    made.ir_version = 3
    for name, shape in (("w", (3, 2)), ("b", (2,))):
        made.graph.initializer.append(numpy_helper.from_array(values(*shape), name))
    with pytest.raises(UnsupportedModelError, match="cannot run the file: Could not find") as old:
        opened(made, tmp_path)
    assert "written in opset 6; convert it with onnx.version_converter" in old.value.hint


# --- what it is used for ------------------------------------------------------------------------


def test_batches_of_any_size_give_the_same_rows():
    made = recurrent()
    interface = probed(made).interface
    session = InferenceSession.open(made, 1, interface)
    x = interface.draw((16, 2), 5)
    rows = session.run(x)
    assert rows.shape == (5, 1 + 4 + 4)
    np.testing.assert_allclose(session.run(x[3:4])[0], rows[3], atol=1e-5)


def test_what_is_timed_has_the_outputs_of_the_file():
    made = detector()
    interface = probed(made).interface
    timed = InferenceSession.open(made, 1, interface.unread())
    assert [output.name for output in timed.session.get_outputs()] == ["y"]
    timed.timed(interface.draw((3, 8, 8), 1))()


def test_of_many_numbers_the_same_ones_are_compared():
    large = np.arange(2 * 3 * 5000, dtype=np.float32).reshape(2, 3, 5000)
    rows = rows_of([large])
    assert rows.shape == (2, MAX_NUMBERS)
    assert set(rows[0]) <= set(large[0].ravel().tolist())
    np.testing.assert_array_equal(rows, rows_of([large]))
    assert rows_of([large[0]]).shape == (3, 5000), "one row of numbers a sample stays whole"


def test_an_interface_by_hand():
    feed = Feed("positions", "int64", (-1, 3), (0.0, 1.0, 2.0), "positions")
    interface = Interface("x", "int32", limit=4, feeds=(feed,), reads=(Read("a", 1), Read("b")))
    given = interface.inputs(np.array([[0.2], [9.0]], np.float32))
    assert given["x"].tolist() == [[0], [3]]
    assert given["positions"].tolist() == [[0, 1, 2], [0, 1, 2]]
    outputs = [np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])]
    assert interface.rows(outputs, 2).tolist() == [[1.0, 3.0], [2.0, 4.0]]


# --- what outputs mean --------------------------------------------------------------------------


def flat(width, last="Identity", output="y"):
    nodes = [node("MatMul", "x w", "m"), node(last, "m", output)]
    return model(nodes, {"x": (TensorProto.FLOAT, ["N", 12])}, (output,), w=values(12, width))


def image(nodes, channels=3, outputs=("y",), **constants):
    x = {"x": (TensorProto.FLOAT, ["N", channels, 16, 16])}
    return model(nodes, x, outputs, **constants)


MEANINGS = {
    "classes": (lambda: flat(4), "classification"),
    "one number": (lambda: flat(1), "regression"),
    "one probability": (lambda: flat(1, "Sigmoid"), "other"),
    "an embedding": (lambda: flat(6, output="embedding"), "other"),
    "a map": (lambda: image([node("Conv", "x w")], w=values(2, 3, 1, 1)), "dense"),
    "boxes": (detector, "detection"),
    "words": (words, "sequence"),
    "a state": (recurrent, "sequence"),
    "classes of one place": (
        lambda: image([node("Conv", "x w")], w=values(5, 3, 16, 16)),
        "classification",
    ),
}


@pytest.mark.parametrize(("made", "meaning"), MEANINGS.values(), ids=MEANINGS)
def test_the_meaning_of_outputs_is_guessed(made, meaning, tmp_path):
    task = opened(made(), tmp_path).task
    assert (task.guess if isinstance(task, Outputs) else task.kind) == meaning


def test_the_guess_can_be_overruled(tmp_path):
    assert opened(flat(3), tmp_path, task="regression").task == Regression(
        ("output 0", "output 1", "output 2")
    )
    assert opened(flat(3), tmp_path, task="outputs").task == Outputs("other")
    assert opened(flat(6, output="embedding"), tmp_path, task="classification").task.n_classes == 6


@pytest.mark.parametrize(
    ("made", "task", "message"),
    [
        (flat(1), "classification", "not one number a class"),
        (words(), "regression", "not a row of 1 to 1,000 quantities"),
        (flat(3), "dance", "task must be one of classification, regression, outputs"),
    ],
    ids=["classes", "quantities", "unknown"],
)
def test_a_meaning_that_outputs_cannot_have_is_refused(made, task, message, tmp_path):
    with pytest.raises(UnsupportedModelError, match=message):
        opened(made, tmp_path, task=task)


def test_data_with_as_many_quantities_decide(tmp_path):
    data = data_for(tiny_bundle("mlp"))
    names = ("width", "height", "depth", "weight")
    quantities = replace(data, task=Regression(names))
    assert opened(flat(4), tmp_path, quantities).task == Regression(names)
    assert isinstance(opened(flat(4), tmp_path, data).task, Classification)


def test_a_map_can_be_trained_and_a_state_cannot(tmp_path):
    dense = opened(image([node("Conv", "x w")], w=values(2, 3, 1, 1)), tmp_path)
    assert isinstance(dense.content, TorchModel)
    states = opened(recurrent(), tmp_path)
    assert isinstance(states.content, GraphModel)
    assert "it has 3 inputs, and a module takes one" in states.provenance.note


def test_classes_of_one_place_become_a_row(tmp_path):
    made = image([node("Conv", "x w")], w=values(5, 3, 16, 16))
    bundle = opened(made, tmp_path)
    assert bundle.module(torch.zeros(2, 3, 16, 16)).shape == (2, 5)


def test_constants_of_old_files_need_not_be_inputs(tmp_path):
    made = flat(2)
    made.ir_version = 3
    assert opened(made, tmp_path).task.n_classes == 2
