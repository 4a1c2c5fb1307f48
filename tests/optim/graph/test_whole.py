"""A graph that would have another file read is known, wherever in it the tensor stands."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from optim.errors import ExportError, OptimError, UnsupportedModelError
from optim.graph.whole import check_whole, external_tensors
from optim.models.onnx_file import open_onnx
from optim.models.probing import load_session, start_session
from optim.runtime.openvino import openvino_ir
from optim.runtime.session import InferenceSession
from optim.runtime.tracing import trace_operators

ROOT = Path(__file__).parents[3]
LOCATION = "secrets.toml"
SECRET = b"token = 'x'\n"


def outside(name="leak"):
    """Return a tensor whose numbers lie in the folder the program runs in."""
    tensor = TensorProto(name=name, data_type=TensorProto.UINT8, dims=[len(SECRET)])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=LOCATION)
    return tensor


def constant(**attributes):
    return helper.make_node("Constant", [], ["leak"], **attributes)


def model_of(*nodes, constants=(), **more):
    """Return a model whose output adds to its input what comes of the nodes."""
    graph = helper.make_graph(
        [
            *nodes,
            helper.make_node("Cast", ["leak"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["x", "f"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", len(SECRET)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", len(SECRET)])],
        list(constants),
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, **more)


def in_a_branch():
    shown = [helper.make_tensor_value_info("shown", TensorProto.UINT8, [len(SECRET)])]
    branches = {
        name: helper.make_graph(
            [helper.make_node("Identity", [f"in {name}"], ["shown"])],
            name,
            [],
            shown,
            [outside(f"in {name}")],
        )
        for name in ("then_branch", "else_branch")
    }
    yes = numpy_helper.from_array(np.array(True), "yes")
    return model_of(helper.make_node("If", ["yes"], ["leak"], **branches), constants=[yes])


def in_a_function():
    function = helper.make_function(
        "own", "Leak", [], ["leak"], [constant(value=outside())], [helper.make_opsetid("", 17)]
    )
    node = helper.make_node("Leak", [], ["leak"], domain="own")
    return model_of(node, functions=[function])


def in_sparse(place):
    sparse = onnx.SparseTensorProto(values=outside(), dims=[len(SECRET)])
    sparse.indices.CopyFrom(numpy_helper.from_array(np.arange(len(SECRET)), "at"))
    if place == "attribute":
        return model_of(constant(sparse_value=sparse))
    model = model_of()
    model.graph.sparse_initializer.append(sparse)
    return model


def in_attributes():
    node = constant()
    node.attribute.add(name="many", type=onnx.AttributeProto.TENSORS).tensors.append(outside())
    return model_of(node)


def in_training():
    model = model_of(constants=[numpy_helper.from_array(np.zeros(len(SECRET), np.uint8), "leak")])
    model.training_info.add().initialization.initializer.append(outside())
    return model


PLACES = {
    "weights": lambda: model_of(constants=[outside()]),
    "attribute": lambda: model_of(constant(value=outside())),
    "attribute of several": in_attributes,
    "branch": in_a_branch,
    "function": in_a_function,
    "sparse weights": lambda: in_sparse("weights"),
    "sparse attribute": lambda: in_sparse("attribute"),
    "training": in_training,
}
every_place = pytest.mark.parametrize("place", PLACES)


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    """A server's working folder with a secret in it."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / LOCATION).write_bytes(SECRET)
    monkeypatch.chdir(folder)
    return folder


@every_place
def test_a_tensor_outside_is_found_wherever_it_stands(place):
    model = PLACES[place]()
    assert {t.external_data[0].value for t in external_tensors(model)} == {LOCATION}
    with pytest.raises(UnsupportedModelError, match="in another file"):
        check_whole(model.SerializeToString())


@every_place
def test_no_runtime_sees_such_a_file(place, monkeypatch):
    file = PLACES[place]().SerializeToString()
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *a, **k: pytest.fail("was asked"))
    monkeypatch.setattr("openvino.Core", lambda: pytest.fail("was asked"))
    x = np.zeros((1, len(SECRET)), np.float32)
    with pytest.raises(ExportError, match="in another file"):
        InferenceSession.open(file)
    with pytest.raises(UnsupportedModelError, match="in another file"):
        start_session(file)
    with pytest.raises(ExportError, match="in another file"):
        trace_operators(file, x)
    with pytest.raises(OptimError, match="in another file"):
        openvino_ir(file)


@every_place
def test_what_lies_outside_the_folder_of_the_file_is_refused(place, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(PLACES[place]().SerializeToString())
    with pytest.raises(UnsupportedModelError, match=r"'secrets\.toml' does not lie beside it"):
        open_onnx(path)


@pytest.mark.parametrize("place", ["weights", "attribute", "branch"])
def test_what_lies_beside_the_file_is_read_unless_it_stands_alone(place, tmp_path):
    (tmp_path / LOCATION).write_bytes(SECRET)
    path = tmp_path / "model.onnx"
    path.write_bytes(PLACES[place]().SerializeToString())
    opened = open_onnx(path, as_graph=True)
    assert list(external_tensors(opened.content.read())) == []
    found = InferenceSession.open(opened.content.onnx, 1, opened.interface)
    assert bytes(found.run(np.zeros((1, len(SECRET)), np.float32)).astype(np.uint8)[0]) == SECRET
    with pytest.raises(UnsupportedModelError, match="only this one is read"):
        open_onnx(path, alone=True)


def test_bytes_are_never_taken_for_the_runtimes_own_format():
    model = model_of(constants=[numpy_helper.from_array(np.zeros(len(SECRET), np.uint8), "leak")])
    options = onnxruntime.SessionOptions()
    load_session(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert options.get_session_config_entry("session.load_model_format") == "ONNX"


def test_every_session_of_a_users_file_is_made_in_one_place():
    makers = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "optim").rglob("*.py")
        if "ort.InferenceSession(" in path.read_text(encoding="utf-8")
    ]
    # What a probe times was made by itself.
    assert sorted(makers) == ["optim/devices/probe.py", "optim/models/probing.py"]
