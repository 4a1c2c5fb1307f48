"""Models that are added: stored as our own checkpoint, under safe names, and found again."""

import json

import numpy as np
import onnx
import pytest
import torch

from optim.data import open_data
from optim.errors import ConfigError, DataError, UnsupportedModelError
from optim.export.deploy import onnx_bytes
from optim.library import add_model
from optim.measure.evaluate import predict
from optim.models.bundle import ModelBundle, Provenance, TorchModel
from optim.models.cards import model_cards
from optim.models.checkpoint import save_checkpoint
from optim.models.input_spec import InputSpec
from optim.models.open import open_model, open_registered_model
from optim.models.zoo import ZOO
from optim.techniques.quantize import Quantize
from tests.helpers import (
    as_a_graph,
    assert_similar,
    context_for,
    inputs_for,
    outputs_of,
    tiny_bundle,
)


@pytest.fixture(autouse=True)
def _own(own_home):
    return own_home


@pytest.fixture
def weights(tmp_path):
    """A state dict of a fresh MLP for wine."""
    module = ZOO["mlp"].build((13,), 3, seed=5)
    torch.save(module.state_dict(), tmp_path / "wine.pt")
    return tmp_path / "wine.pt"


def test_weights_become_a_registered_model(weights):
    name = add_model(weights, data="wine", architecture="mlp", title="My wine")
    bundle = open_registered_model(name)
    expected = ZOO["mlp"].build((13,), 3, seed=5).fc1.weight
    assert torch.equal(bundle.module.fc1.weight, expected)
    card = model_cards()[name]
    assert (card.title, card.data, card.params) == ("My wine", "wine", 5_251)
    assert bundle.task.class_names == ("cultivar 1", "cultivar 2", "cultivar 3")
    assert bundle.provenance.seen is None, "nobody knows what it was trained on"


def test_the_architecture_is_found_where_only_one_fits(tmp_path):
    torch.save(ZOO["ds-cnn"].build((1, 8, 8), 10).state_dict(), tmp_path / "d.pt")
    name = add_model(tmp_path / "d.pt", data="digits")
    assert model_cards()[name].architecture == {"ds-cnn": {}}


def test_a_graph_whose_outputs_are_not_finite_is_refused(tmp_path):
    model = onnx.load_from_string(onnx_bytes(open_model("mlp", data=open_data("wine"))))
    name = model.graph.output[0].name
    model.graph.node[-1].output[0] = "finite"
    model.graph.node.append(onnx.helper.make_node("Log", ["least"], ["none"]))
    model.graph.node.append(onnx.helper.make_node("Add", ["finite", "none"], [name]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32([-1]), "least"))
    (tmp_path / "w.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedModelError, match="its outputs are not finite"):
        add_model(tmp_path / "w.onnx", data="wine")


def test_images_too_small_for_an_architecture_are_refused(tmp_path):
    torch.save(ZOO["lenet-5"].build((1, 28, 28), 10).state_dict(), tmp_path / "l.pt")
    with pytest.raises(UnsupportedModelError, match="at least 16x16 pixels: got 8x8"):
        add_model(tmp_path / "l.pt", data="digits")


def test_a_name_made_from_the_content_is_the_same_for_the_same_file(weights):
    first = add_model(weights, data="wine", architecture="mlp")
    assert add_model(weights, data="wine", architecture="mlp") == first
    assert first.startswith("my-")
    assert len(first) > 15


@pytest.mark.parametrize("name", ["..", "../x", "a/b", ".x", "a b", "x" * 99, "/etc/passwd"])
def test_names_that_lead_elsewhere_are_refused(weights, name, own_home):
    with pytest.raises(ConfigError, match="name must consist of"):
        add_model(weights, data="wine", architecture="mlp", name=name)
    assert not list(own_home.rglob("*.safetensors"))


def test_a_hidden_model_is_found_by_name_and_not_listed(weights):
    name = add_model(weights, data="wine", architecture="mlp", listed=False)
    assert model_cards()[name].listed is False


def test_what_ships_cannot_be_replaced(weights):
    shipped = next(iter(model_cards()))
    before = open_registered_model(shipped).hash
    with pytest.raises(ConfigError, match="already"):
        add_model(weights, data="wine", architecture="mlp", name=shipped)
    assert open_registered_model(shipped).hash == before


def test_weights_that_fit_nothing_are_refused(tmp_path):
    torch.save({"weight": torch.ones(3, 3)}, tmp_path / "w.pt")
    with pytest.raises(UnsupportedModelError, match="no architecture of the zoo fits"):
        add_model(tmp_path / "w.pt", data="wine")
    with pytest.raises(UnsupportedModelError):
        add_model(tmp_path / "w.pt", data="wine", architecture="mlp")


@pytest.fixture
def wine_bundle():
    """A fresh MLP for wine."""
    return ModelBundle(
        "w",
        TorchModel(ZOO["mlp"].build((13,), 3, seed=5).eval(), ZOO["mlp"]),
        InputSpec((13,)),
        open_data("wine").task,
        Provenance("w"),
    )


def test_an_onnx_file_is_stored_as_a_model_that_can_be_changed(tmp_path, wine_bundle, own_home):
    (tmp_path / "m.onnx").write_bytes(onnx_bytes(wine_bundle))
    name = add_model(tmp_path / "m.onnx", data="wine", title="Brought")
    card = model_cards()[name]
    assert card.is_trainable
    assert card.architecture == {}
    assert card.note.startswith("Converted from ONNX (opset 21")
    assert card.macs == 13 * 64 + 64 * 64 + 64 * 3
    loaded = open_registered_model(name)
    x = inputs_for(wine_bundle)
    assert_similar(outputs_of(loaded, x), outputs_of(wine_bundle, x))
    assert not (own_home / "store" / "models" / f"{name}.onnx").exists()


def test_an_onnx_file_that_cannot_be_converted_is_stored_as_it_is(tmp_path, wine_bundle):
    data = open_data("wine")
    (tmp_path / "m.onnx").write_bytes(as_a_graph(onnx_bytes(wine_bundle)))
    name = add_model(tmp_path / "m.onnx", data="wine")
    card = model_cards()[name]
    assert not card.is_trainable
    assert "stores integers" in card.note
    loaded = open_registered_model(name)
    assert loaded.provenance.note == card.note
    assert loaded.task == data.task
    assert predict(loaded, data.part("train")).accuracy().value > 0
    with pytest.raises(UnsupportedModelError, match="stores integers"):
        _ = loaded.module


def test_a_quantized_onnx_file_comes_back_with_its_grids(tmp_path, wine_bundle):
    data = open_data("wine")
    quantized = Quantize(samples=32).apply(wine_bundle, context_for(wine_bundle, data=data)).bundle
    (tmp_path / "m.onnx").write_bytes(onnx_bytes(quantized))
    loaded = open_registered_model(add_model(tmp_path / "m.onnx", data="wine"))
    assert loaded.lane == "torch"
    assert loaded.table.weights.keys() == quantized.table.weights.keys()
    x = inputs_for(wine_bundle)
    with torch.no_grad():
        assert_similar(loaded.simulated()(x), quantized.simulated()(x))


def test_a_name_given_anew_leads_to_the_new_file(tmp_path, wine_bundle, weights):
    (tmp_path / "m.onnx").write_bytes(as_a_graph(onnx_bytes(wine_bundle)))
    for path, trainable in ((weights, True), (tmp_path / "m.onnx", False), (weights, True)):
        add_model(path, data="wine", architecture="mlp", name="mine")
        assert model_cards()["mine"].is_trainable is trainable
        assert open_registered_model("mine").provenance.source == "mine"


def test_an_onnx_file_for_other_data_is_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(onnx_bytes(tiny_bundle("mlp")))
    with pytest.raises(DataError, match="takes inputs of shape"):
        add_model(tmp_path / "m.onnx", data="wine")


def test_only_registered_data_may_be_named(weights, tmp_path):
    with pytest.raises(DataError, match="no registered data"):
        add_model(weights, data=str(tmp_path), architecture="mlp")


def test_a_checkpoint_whose_table_makes_no_sense_is_refused(tmp_path, wine_bundle):
    """It would load, and fail at the first look."""
    data = open_data("wine")
    quantized = Quantize(samples=32).apply(wine_bundle, context_for(wine_bundle, data=data)).bundle
    entry = quantized.table.weights["fc1"]
    broken = type(entry)(entry.grid, entry.scale[:5], entry.zero_point[:5])
    table = quantized.table.with_quantization({"fc1": broken}, quantized.table.edges)
    path = save_checkpoint(quantized.with_table(table), tmp_path / "c.safetensors")
    with pytest.raises(UnsupportedModelError, match="cannot be run"):
        add_model(path, data="wine")
    good = save_checkpoint(quantized, tmp_path / "good.safetensors")
    name = add_model(good, data="wine")
    assert open_registered_model(name).table.is_quantized


def test_cards_need_their_weights_beside_them(own_home, weights):
    name = add_model(weights, data="wine", architecture="mlp")
    folder = own_home / "store" / "models"
    assert json.loads((folder / f"{name}.json").read_text())["data"] == "wine"
    (folder / f"{name}.safetensors").unlink()
    assert name not in model_cards()
