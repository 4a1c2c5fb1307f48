"""Files from anybody: refused with a message, never run, never believed about their sizes."""

import json
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from optim.errors import ExportError, OptimError, UnsupportedModelError
from optim.models.checkpoint import VERSION, load_checkpoint, save_checkpoint
from optim.models.mlp import MLP
from optim.models.onnx_file import open_onnx
from optim.models.open import open_model
from optim.models.weights import read_state_dict
from optim.models.zoo import ZOO
from optim.runtime.session import InferenceSession
from tests.helpers import tiny_bundle


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def trap(tmp_path):
    """A payload and the file that shows that it ran."""
    return Payload(tmp_path / "it-ran"), tmp_path / "it-ran"


SUFFIXES = [".pt", ".pth", ".th", ".bin", ".ckpt"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("form", ["plain pickle", "new", "legacy", "beside tensors"])
def test_a_pickle_that_runs_something_is_refused_and_does_not_run(trap, tmp_path, suffix, form):
    payload, proof = trap
    path = tmp_path / f"model{suffix}"
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(payload))
    elif form == "beside tensors":
        torch.save({"weight": torch.ones(2), "hook": payload}, path)
    else:
        torch.save(payload, path, _use_new_zipfile_serialization=form == "new")
    with pytest.raises(UnsupportedModelError, match="not a plain state dict") as caught:
        open_model(str(path))
    assert "safetensors" in caught.value.hint
    assert not proof.exists()


def test_the_payload_would_have_run(trap):
    """Otherwise the tests above would show nothing."""
    payload, proof = trap
    pickle.loads(pickle.dumps(payload))
    assert proof.exists()


def test_a_text_said_to_have_a_gigabyte_sets_none_aside(tmp_path):
    path = tmp_path / "model.th"
    path.write_bytes(pickle.PROTO + b"\x02" + pickle.BINUNICODE + struct.pack("<I", 2**30) + b"abc")
    tracemalloc.start()
    try:
        with pytest.raises(UnsupportedModelError, match="not a plain state dict"):
            read_state_dict(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("is_archive", [False, True])
def test_a_class_with_an_endless_name_reaches_no_pattern_of_torch(
    tmp_path, monkeypatch, is_archive
):
    asked = b"\x80\x02c" + b"torch\n" + b"F" * 400_000 + b"\n."
    path = tmp_path / "model.pt"
    if is_archive:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", asked)
    else:
        path.write_bytes(pickle.dumps(1, 2) * 3 + asked)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch was asked"))
    with pytest.raises(UnsupportedModelError, match="not a plain state dict"):
        open_model(str(path))


def test_a_whole_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(UnsupportedModelError, match="objects other than tensors"):
        open_model(str(tmp_path / "model.pt"))


@pytest.mark.parametrize(
    "member",
    ["model/code/__torch__.py", "archive/constants.pkl", "archive/models/model.json"],
)
def test_a_program_is_refused(tmp_path, member):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, b"")
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(UnsupportedModelError, match="program; opening one runs its code"):
        read_state_dict(path)


@pytest.mark.parametrize("suffix", [".pt2", ".ptl", ".torchscript"])
def test_endings_of_programs_are_refused(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"whatever")
    with pytest.raises(UnsupportedModelError, match="is a program"):
        open_model(str(path))


def test_an_archive_that_unpacks_to_far_more_than_it_weighs_is_not_opened(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(20_000_000))
    assert path.stat().st_size < 100_000
    with pytest.raises(UnsupportedModelError, match="unpacks to far more than its size"):
        read_state_dict(path)


def test_a_tensor_larger_than_the_file_is_refused(tmp_path):
    """A view with stride 0 turns four bytes into terabytes once it is copied."""
    path = tmp_path / "wide.pt"
    torch.save({"weight": torch.zeros(1).expand(10**6, 10**6)}, path)
    with pytest.raises(UnsupportedModelError, match="more than the file holds"):
        read_state_dict(path)


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("form", ["to_sparse", "to_sparse_csr"])
def test_tensors_that_are_no_arrays_are_refused(tmp_path, form):
    torch.save({"weight": getattr(torch.eye(3), form)()}, tmp_path / "odd.pt")
    with pytest.raises(UnsupportedModelError, match="not a plain"):
        read_state_dict(tmp_path / "odd.pt")


@pytest.mark.parametrize("content", [{}, [], 3, {"epoch": 3}, {"state_dict": {}}])
def test_a_file_without_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "empty.pt")
    with pytest.raises(UnsupportedModelError, match="holds no named tensors"):
        read_state_dict(tmp_path / "empty.pt")


def test_a_header_longer_than_the_file_is_refused(tmp_path):
    path = tmp_path / "long.safetensors"
    for length in (2**63 - 1, 10**9, 100):
        path.write_bytes(struct.pack("<Q", length) + b'{"a":')
        with pytest.raises(UnsupportedModelError):
            open_model(str(path))


def test_tensors_that_reach_beyond_the_file_are_refused(tmp_path):
    header = json.dumps(
        {"w": {"dtype": "F32", "shape": [2**20, 2**20], "data_offsets": [0, 2**42]}}
    ).encode()
    path = tmp_path / "beyond.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    with pytest.raises(UnsupportedModelError):
        open_model(str(path))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 200])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".onnx"])
def test_noise_is_refused_whatever_its_name(tmp_path, size, suffix):
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(bytes(range(256))[:size])
    with pytest.raises(UnsupportedModelError):
        open_model(str(path))


# --- our own checkpoints ------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path):
    return save_checkpoint(tiny_bundle("resnet"), tmp_path / "model.safetensors")


def rewritten(path, change):
    """Change the header of a checkpoint in place and return the path."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    ours = json.loads(header["__metadata__"]["optim"])
    change(ours)
    header["__metadata__"]["optim"] = json.dumps(ours)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return path


def grow_outputs(header):
    header["n_outputs"] = 10**12


def grow_classes(header):
    header["n_outputs"] = 10**12
    header["class_names"] = ["a"] * 4


def grow_input(header):
    header["architecture"] = {"mlp": {"width": 1024}}
    header["spec"]["shape"] = [2**24]


HEADERS = {
    "outputs": grow_outputs,
    "classes": grow_classes,
    "input": grow_input,
    "negative input": lambda h: h["spec"].update(shape=[3, -16, 16]),
    "no input": lambda h: h["spec"].update(shape=[]),
    "text as input": lambda h: h["spec"].update(shape="abc"),
    "zero outputs": lambda h: h.update(n_outputs=0),
    "text as outputs": lambda h: h.update(n_outputs="many"),
    "fewer names": lambda h: h.update(class_names=["a"]),
    "architecture": lambda h: h.update(architecture={"gpt": {}}),
    "field": lambda h: h.update(architecture={"resnet": {"depth": 10**6}}),
    "another family": lambda h: h.update(architecture={"vit": {}}),
    "shortcut": lambda h: h["shortcuts"].update(
        {"layer2.0.shortcut": {"in_channels": 8, "source": [99] * 16}}
    ),
    "shortcut of another size": lambda h: h["shortcuts"].update(
        {"layer2.0.shortcut": {"in_channels": 10**12, "source": [0] * 16}}
    ),
    "grid without scales": lambda h: h.update(
        grids={"conv1": {"qmin": -8, "qmax": 7, "symmetric": True}}
    ),
    "grid of nothing": lambda h: h.update(grids={"conv1": {"qmin": "a"}}),
    "edge": lambda h: h.update(edges={"x": {"grid": {}, "scale": 0, "zero_point": 0}}),
    "missing key": lambda h: h.pop("spec"),
    "newer": lambda h: h.update(version=VERSION + 1),
    "name": lambda h: h.update(name=[1]),
    "note": lambda h: h["provenance"].update(note=5),
    "source": lambda h: h["provenance"].update(source=None),
    "seen": lambda h: h["provenance"].update(seen=[1]),
    "text as version": lambda h: h.update(version="x"),
    "provenance": lambda h: h.update(provenance={"source": 3, "seen": 5, "extra": 1}),
}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
def test_a_checkpoint_that_says_something_wrong_is_refused(checkpoint, change):
    with pytest.raises(UnsupportedModelError):
        load_checkpoint(rewritten(checkpoint, change))


def test_a_newer_checkpoint_says_what_to_do(checkpoint):
    with pytest.raises(UnsupportedModelError, match=f"has version {VERSION + 1}; this") as caught:
        load_checkpoint(rewritten(checkpoint, HEADERS["newer"]))
    assert caught.value.hint == "Update Optim Studio."


def test_weights_larger_than_their_architecture_are_refused(checkpoint):
    """Layers lose channels and never gain any."""

    def shrink(header):
        header["architecture"] = {"resnet": {"depth": 8, "width": 4, "stem_stride": 2}}

    with pytest.raises(UnsupportedModelError, match=r"has shape \(.*\), at most \(.*\) fits"):
        load_checkpoint(rewritten(checkpoint, shrink))


def test_an_architecture_too_large_to_build_is_refused_before_it_is_built(checkpoint, monkeypatch):
    monkeypatch.setattr(MLP, "build", lambda *a, **k: pytest.fail("took memory"))
    with pytest.raises(UnsupportedModelError, match="more than 200,000,000 parameters"):
        load_checkpoint(rewritten(checkpoint, grow_input))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    bundle = tiny_bundle("mlp")
    with torch.no_grad():
        bundle.module.fc1.weight[0, 0] = float("nan")
    path = save_checkpoint(bundle, tmp_path / "nan.safetensors")
    with pytest.raises(UnsupportedModelError, match="not finite"):
        load_checkpoint(path)
    torch.save(bundle.module.state_dict(), tmp_path / "nan.pt")
    with pytest.raises(OptimError):
        open_model(str(tmp_path / "nan.pt"))


def test_a_cut_checkpoint_is_refused(checkpoint):
    data = checkpoint.read_bytes()
    for end in range(0, len(data), len(data) // 40):
        checkpoint.write_bytes(data[:end])
        with pytest.raises(UnsupportedModelError):
            load_checkpoint(checkpoint)


def test_a_state_dict_whose_archive_is_damaged_is_refused(tmp_path):
    """The end says that it is a zip, and what the end points to does not."""
    path = tmp_path / "weights.pt"
    torch.save({"w": torch.ones(3)}, path)
    data = path.read_bytes()
    disks = data.rfind(b"PK\x06\x07") + 16
    for damaged in (
        data.replace(b"PK\x01\x02", b"PK\x00\x02"),
        data[:disks] + b"\x09" + data[disks + 1 :],
    ):
        path.write_bytes(damaged)
        with pytest.raises(UnsupportedModelError, match=r"'weights\.pt' is damaged"):
            read_state_dict(path)


def test_a_safetensors_file_without_tensors_is_refused(tmp_path):
    """All of no names begin with any prefix, for ever."""
    from safetensors.torch import save_file

    save_file({}, tmp_path / "none.safetensors")
    with pytest.raises(UnsupportedModelError, match="holds no named tensors"):
        read_state_dict(tmp_path / "none.safetensors")


def test_a_dictionary_that_holds_itself_is_refused(tmp_path):
    content = {}
    content["model"] = content
    torch.save(content, tmp_path / "round.pt")
    with pytest.raises(UnsupportedModelError, match="holds no named tensors"):
        read_state_dict(tmp_path / "round.pt")


@pytest.mark.parametrize("rows", [3, 10**12])
def test_rows_without_values_are_refused_before_a_layer_is_made_for_them(
    tmp_path, monkeypatch, rows
):
    state = ZOO["mlp"].build((13,), 3).state_dict()
    state["head.weight"] = torch.empty(rows, 0)
    torch.save(state, tmp_path / "rows.pt")
    monkeypatch.setattr(MLP, "build", lambda *a, **k: pytest.fail("took memory"))
    with pytest.raises(UnsupportedModelError, match=r"head\.weight \(\d+, 0\) instead of"):
        open_model(f"mlp:{tmp_path / 'rows.pt'}")


# --- ONNX ---------------------------------------------------------------------------------------


def tiny_onnx(**changes):
    """Return a file of one matrix product, with changes to its parts."""
    weight = changes.get("weight") or helper.make_tensor("w", TensorProto.FLOAT, [3, 2], [0.0] * 6)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *changes.get("shape", [3])])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, changes.get("output", ["N", 2]))],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    for key, value in changes.get("properties", {}).items():
        helper.set_model_props(model, {key: value})
    return model.SerializeToString()


@pytest.fixture
def onnx_path(tmp_path):
    def write(**changes):
        path = tmp_path / "model.onnx"
        path.write_bytes(tiny_onnx(**changes))
        return path

    return write


def test_a_plain_file_opens(onnx_path):
    bundle = open_onnx(onnx_path())
    assert bundle.spec.shape == (3,)
    assert bundle.task.class_names == ("0", "1")
    assert bundle.provenance.seen is None


def test_names_that_are_not_utf8_are_refused(onnx_path):
    path = onnx_path(shape=["size"])
    content = path.read_bytes()
    assert content.count(b"size") == 1
    path.write_bytes(content.replace(b"size", b"s\xff\xfee"))
    with pytest.raises(UnsupportedModelError, match="holds names that are not UTF-8"):
        open_onnx(path)


def external(location, **entries):
    weight = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 2])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=str(value))
    return weight


def test_weights_in_a_file_beside_it_are_read(onnx_path, tmp_path):
    (tmp_path / "weights.bin").write_bytes(bytes(4) + np.arange(6, dtype=np.float32).tobytes())
    bundle = open_onnx(onnx_path(weight=external("weights.bin", offset=4, length=24)))
    (weight,) = [p for p in bundle.module.parameters() if p.ndim == 2]
    assert weight.T.flatten().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    "location",
    ["missing.bin", "../../../../etc/passwd", "/etc/passwd", "link.bin", "door/weights.bin", ""],
)
def test_weights_outside_the_folder_are_refused_and_not_read(onnx_path, tmp_path, location):
    outside = tmp_path.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "weights.bin").write_bytes(bytes(24))
    (tmp_path / "link.bin").symlink_to(outside / "weights.bin")
    (tmp_path / "door").symlink_to(outside)
    with pytest.raises(UnsupportedModelError, match="keeps its weights in other files") as caught:
        open_onnx(onnx_path(weight=external(location)))
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    "entries",
    [{"offset": 8}, {"length": 2**60}, {"offset": -4}, {"offset": "x"}, {"length": 20}],
    ids=str,
)
def test_weights_that_are_not_all_there_are_refused(onnx_path, tmp_path, entries):
    (tmp_path / "weights.bin").write_bytes(bytes(24))
    with pytest.raises(UnsupportedModelError):
        open_onnx(onnx_path(weight=external("weights.bin", **entries)))


def test_the_runtime_does_not_read_other_files_either(tmp_path):
    weight = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 2])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(ExportError, match="cannot load the model"):
        InferenceSession.open(tiny_onnx(weight=weight))


PROPERTIES = {
    "no JSON": "{",
    "a list": "[]",
    "text": '"x"',
    "a number": "7",
    "spec of text": '{"spec": "x"}',
    "unknown spec": '{"spec": {"shape": [3], "colour": 1}}',
    "negative": '{"spec": {"shape": [-3]}}',
    "zero scale": '{"spec": {"shape": [3], "scale": 0}}',
    "names": '{"class_names": 5}',
    "another shape": '{"spec": {"shape": [4]}}',
    "another rank": '{"spec": {"shape": [3, 1, 1]}}',
    "samples without end": '{"spec": {"shape": [1000000, 1000000]}}',
    "too few names": '{"class_names": ["a"]}',
    "seen": '{"seen": 5}',
}


@pytest.mark.parametrize("text", PROPERTIES.values(), ids=PROPERTIES)
def test_properties_that_make_no_sense_are_refused(onnx_path, text):
    with pytest.raises(UnsupportedModelError):
        open_onnx(onnx_path(properties={"optim": text}))


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": ["M"]},
        {"shape": []},
        {"output": ["N", 2, 2]},
        {"output": ["N", 1]},
        {"output": ["N", "K"]},
        {"output": ["N", 2**40]},
    ],
    ids=str,
)
def test_what_the_file_does_counts_and_not_what_it_declares(onnx_path, changes):
    bundle = open_onnx(onnx_path(**changes))
    assert bundle.spec.shape == (3,)
    if "output" in changes:
        assert bundle.task.class_names == ("0", "1")


@pytest.mark.parametrize("shape", [[10**6, 10**6], [13] * 50, [4]], ids=str)
def test_an_input_that_cannot_be_run_is_refused(onnx_path, shape):
    with pytest.raises(UnsupportedModelError):
        open_onnx(onnx_path(shape=shape))


def test_a_file_name_with_a_folder_is_kept_out_of_messages(tmp_path):
    with pytest.raises(UnsupportedModelError) as caught:
        read_state_dict(tmp_path / "secret" / "model.pt")
    assert "secret" not in str(caught.value)


def test_wrappers_and_common_prefixes_are_taken_off(tmp_path):
    state = {"module.weight": torch.ones(2), "module.bias": torch.zeros(2)}
    torch.save({"state_dict": {"model": state}, "epoch": 3}, tmp_path / "w.pt")
    assert set(read_state_dict(tmp_path / "w.pt")) == {"weight", "bias"}
