"""Opening by name, by file, and by architecture and file."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from optim.data import Dataset, Samples, Unlabelled, open_data
from optim.data.task import NO_LABEL
from optim.errors import ConfigError, DataError, UnsupportedModelError
from optim.export.deploy import onnx_bytes
from optim.measure.evaluate import predict
from optim.models.checkpoint import save_checkpoint
from optim.models.input_spec import InputSpec
from optim.models.open import fresh_model, open_model
from optim.models.weights import differences, nearest_architectures
from optim.models.zoo import ZOO
from optim.step import Context
from optim.techniques.finetune import FineTune
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


def _few_of(inputs):
    """Return a data set of these inputs, without labels."""
    samples = Samples(inputs, np.full(len(inputs), NO_LABEL), np.arange(len(inputs)))
    return Dataset(
        ref="few",
        title="few",
        task=Unlabelled(),
        hash="few",
        parts={"train": len(inputs)},
        input_shape=inputs.shape[1:],
        load=lambda part: samples,
    )


@pytest.mark.parametrize("family", sorted(ZOO))
@pytest.mark.parametrize("kind", ["bytes", "unit", "standardised", "counts"])
def test_fresh_weights_take_whatever_the_data_hold_centred_and_of_a_spread_of_one(family, kind):
    """A network whose inputs are a hundred wide, or a hundredth, trains to chance."""
    rng = np.random.default_rng(0)
    shape = ZOO[family].spec.shape
    values = rng.random((300, *shape), np.float32)
    inputs = {
        "bytes": (255 * values).astype(np.uint8),
        "unit": values,
        "standardised": (values - values.mean()) / values.std(),
        "counts": 2000 * values + 300,
    }[kind]
    found = fresh_model(ZOO[family], _few_of(inputs))
    x = found.spec.normalise(inputs).numpy()
    assert abs(x.mean()) < 1.3  # published means are of darker pictures than noise
    assert 0.7 < x.std() < 1.5


def test_a_channel_that_never_changes_is_only_centred():
    inputs = np.random.default_rng(0).normal(50, 9, (64, 30)).astype(np.float32)
    inputs[:, 3] = 7
    spec = fresh_model(ZOO["mlp"], _few_of(inputs)).spec
    x = spec.normalise(inputs).numpy()
    assert np.isfinite(x).all()
    assert abs(x[:, 3]).max() < 1e-5
    assert x.std(0)[0] == pytest.approx(1, abs=1e-3)


def test_a_fresh_network_learns_pictures_of_bytes_and_of_floats():
    data = open_data("digits")
    train, validation = (data.part("train"), data.part("test"))
    for scale in (None, 255):

        def load(part, scale=scale):
            found = train if part == "train" else validation
            inputs = found.inputs if scale is None else (found.inputs / scale).astype(np.float32)
            return replace(found, inputs=inputs)

        own = replace(data, load=load, load_targets=None)
        fresh = fresh_model(ZOO["mlp"], own)
        step = FineTune(epochs=4, batch_size=32, learning_rate=0.05, shift=0)
        trained = step.apply(fresh, Context(data=own, reference=fresh)).bundle
        assert predict(trained, own.part("test")).accuracy().value > 0.6
