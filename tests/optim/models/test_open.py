"""Opening by name, by file, and by architecture and file."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from optim.data import open_data
from optim.errors import ConfigError, DataError, UnsupportedModelError
from optim.export.deploy import onnx_bytes
from optim.models.checkpoint import save_checkpoint
from optim.models.input_spec import InputSpec
from optim.models.open import open_model
from optim.models.weights import differences, nearest_architectures
from optim.models.zoo import ZOO
from tests.helpers import inputs_for, outputs_of, tiny_bundle


@pytest.fixture
def wine_weights(tmp_path):
    module = ZOO["mlp"].build((13,), 3, seed=5)
    torch.save(module.state_dict(), tmp_path / "wine.pt")
    return tmp_path


@pytest.mark.parametrize("name", ZOO)
def test_a_name_of_the_zoo_gives_fresh_weights(name):
    bundle = open_model(name)
    assert bundle.spec == ZOO[name].spec
    assert bundle.provenance.seen == ()
    assert not bundle.module.training


def test_data_decide_size_and_classes():
    bundle = open_model("resnet8", data=open_data("cluttered-digits"))
    assert bundle.task.class_names == tuple("0123456789")
    assert open_model("mlp", data=open_data("wine")).spec.shape == (13,)


def test_a_seed_decides_fresh_weights():
    first, second = open_model("mlp", seed=1), open_model("mlp", seed=2)
    assert first.hash != second.hash
    assert open_model("mlp", seed=1).hash == first.hash


def test_architecture_and_file(wine_weights):
    bundle = open_model("mlp:wine.pt", base=wine_weights, data=open_data("wine"))
    assert bundle.task.class_names[0] == "cultivar 1"
    assert bundle.provenance.seen is None
    assert bundle.provenance.source == "mlp:wine.pt", "no folder of this machine"


def test_sizes_are_read_from_the_weights(wine_weights):
    bundle = open_model("mlp:wine.pt", base=wine_weights)
    assert bundle.spec.shape == (13,)
    assert bundle.task.class_names == ("0", "1", "2")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".safetensors"])
def test_a_weights_file_is_recognised_where_one_architecture_fits(tmp_path, suffix):
    state = ZOO["lenet-5"].build((1, 28, 28), 10, seed=1).state_dict()
    path = tmp_path / f"w{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    bundle = open_model(str(path))
    assert bundle.content.architecture == ZOO["lenet-5"]
    assert torch.equal(bundle.module.conv1.weight, state["conv1.weight"])


def test_a_checkpoint_and_an_onnx_file_are_opened_as_what_they_are(tmp_path):
    bundle = tiny_bundle("resnet")
    save_checkpoint(bundle, tmp_path / "c.safetensors")
    (tmp_path / "m.onnx").write_bytes(onnx_bytes(bundle))
    x = inputs_for(bundle)
    loaded = open_model("c.safetensors", base=tmp_path)
    assert torch.equal(outputs_of(loaded, x), outputs_of(bundle, x))
    graph = open_model("m.onnx", base=tmp_path)
    assert graph.spec == bundle.spec
    assert graph.task == bundle.task


def test_a_name_that_is_nearly_right_gets_a_hint():
    with pytest.raises(UnsupportedModelError, match="no model or file 'resnet21'") as caught:
        open_model("resnet21")
    assert "resnet20" in caught.value.hint


def test_weights_of_another_architecture_are_refused_with_what_differs(wine_weights):
    with pytest.raises(UnsupportedModelError, match=r"do not fit|no output layer"):
        open_model("lenet-5:wine.pt", base=wine_weights)
    state = ZOO["mlp"].build((13,), 3).state_dict()
    state["extra"] = state.pop("fc2.bias")
    torch.save(state, wine_weights / "odd.pt")
    with pytest.raises(UnsupportedModelError) as caught:
        open_model("mlp:odd.pt", base=wine_weights)
    assert "1 missing (fc2.bias)" in caught.value.message
    assert "1 unexpected (extra)" in caught.value.message


def test_one_channel_of_mean_serves_data_of_other_channels():
    bundle = open_model("resnet8", data=open_data("digits"))
    assert bundle.spec.shape == (1, 8, 8)
    assert bundle.spec.mean == (pytest.approx((0.485 + 0.456 + 0.406) / 3),)


# --- input --------------------------------------------------------------------------------------


def test_normalisation_by_hand():
    spec = InputSpec((2, 1, 1), (0.5, 0.25), (0.5, 0.25), 255.0)
    x = spec.normalise(np.array([[[[255]], [[0]]]], dtype=np.uint8))
    assert x.flatten().tolist() == [1.0, -1.0]


def test_samples_are_copied_and_not_changed():
    raw = np.ones((2, 3), dtype=np.float32)
    raw.setflags(write=False)
    x = InputSpec((3,), (1.0,), (2.0,)).normalise(raw)
    x += 5
    assert (raw == 1).all()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (((),), "shape"),
        (((3, 0),), "shape"),
        (((3, -1),), "shape"),
        (((2.5,),), "shape"),
        (((3, 8, 8), (0.5,), ()), "mean"),
        (((3, 8, 8), (0.5, 0.5), (1.0, 1.0)), "mean"),
        (((3, 8, 8), (0.5,), (0.0,)), "std"),
        (((3, 8, 8), (0.5,), (float("nan"),)), "std"),
        (((3,), (), (), 0.0), "std"),
        (((3,), (), (), float("inf")), "std"),
    ],
)
def test_an_input_that_makes_no_sense_is_refused(arguments, field):
    with pytest.raises(ConfigError) as caught:
        InputSpec(*arguments)
    assert caught.value.field == field


def test_samples_of_another_shape_are_refused():
    with pytest.raises(DataError, match=r"takes inputs of shape \(3,\): the samples have \(4,\)"):
        InputSpec((3,)).normalise(np.zeros((2, 4)))


def test_an_input_comes_back_from_json():
    spec = ZOO["resnet20"].spec
    assert InputSpec.from_json(spec.to_json()) == spec


# --- weights and architectures, name by name ------------------------------------------------------


def test_weights_of_their_own_architecture_differ_in_nothing():
    state = ZOO["mlp"].build((13,), 3).state_dict()
    found = differences(state, ZOO["mlp"], (13,), 3)
    assert found.count == 0
    assert found.fitting == len([name for name in state if "num_batches" not in name])


def test_each_difference_is_named_once():
    state = dict(ZOO["mlp"].build((13,), 3).state_dict())
    first, second, *_ = state
    state["extra"] = state.pop(first)
    state[second] = torch.zeros(7)
    found = differences(state, ZOO["mlp"], (13,), 3)
    assert found.missing == (first,)
    assert found.unexpected == ("extra",)
    ((name, given, wanted),) = found.misshapen
    assert (name, given) == (second, (7,))
    assert wanted == tuple(ZOO["mlp"].build((13,), 3).state_dict()[second].shape)


def test_the_nearest_architecture_comes_first_also_without_its_last_layer():
    state = dict(ZOO["resnet20"].build((3, 32, 32), 10).state_dict())
    found = nearest_architectures(state, ZOO)
    assert next(iter(found)) == "resnet20"
    assert found["resnet20"].count == 0
    for name in list(state)[-2:]:
        del state[name]
    headless = nearest_architectures(state, ZOO)
    assert next(iter(headless)) == "resnet20"
    assert headless["resnet20"].count == 2


def test_weights_of_something_else_come_near_nothing():
    found = nearest_architectures({"a.b": torch.zeros(3)}, ZOO, count=2)
    assert len(found) == 2
    assert all(differ.fitting == 0 and differ.unexpected == ("a.b",) for differ in found.values())
