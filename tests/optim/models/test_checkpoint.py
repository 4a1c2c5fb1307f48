"""Our own files: everything comes back, also channels that left and grids."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from optim.data import Outputs, Regression
from optim.errors import UnsupportedModelError
from optim.models.bundle import GraphModel, TorchModel
from optim.models.checkpoint import load_checkpoint, save_checkpoint, serialise
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from tests.helpers import assert_similar, inputs_for, outputs_of, tiny_bundle


@pytest.fixture
def compressed(bundle, context):
    """A model with fewer channels, masks, codes and grids."""
    pruned = PruneChannels(pruning_ratio=0.4, importance="random").apply(bundle, context).bundle
    sparse = PruneWeights(sparsity=0.5).apply(pruned, context).bundle
    step = Quantize(weight_bits="ternary", activation_bits=6, samples=32)
    return step.apply(sparse, context).bundle


def test_everything_comes_back(compressed, tmp_path):
    loaded = load_checkpoint(save_checkpoint(compressed, tmp_path / "m.safetensors"))
    assert loaded.hash == compressed.hash
    assert (loaded.name, loaded.spec, loaded.task) == (
        compressed.name,
        compressed.spec,
        compressed.task,
    )
    assert loaded.provenance == compressed.provenance
    assert loaded.content.architecture == compressed.content.architecture
    x = inputs_for(compressed)
    assert torch.equal(outputs_of(loaded, x), outputs_of(compressed, x))


def test_a_model_that_predicts_quantities_comes_back(tmp_path):
    bundle = replace(tiny_bundle("mlp"), task=Regression(("a", "b", "c", "d")))
    loaded = load_checkpoint(save_checkpoint(bundle, tmp_path / "m.safetensors"))
    assert (loaded.task, loaded.hash) == (bundle.task, bundle.hash)
    assert loaded.hash != tiny_bundle("mlp").hash


def test_an_architecture_needs_to_know_its_outputs(tmp_path):
    path = save_checkpoint(replace(tiny_bundle("mlp"), task=Outputs()), tmp_path / "m.safetensors")
    with pytest.raises(UnsupportedModelError, match="how many outputs"):
        load_checkpoint(path)


def test_a_loaded_model_can_be_pruned_again(compressed, context, tmp_path):
    loaded = load_checkpoint(save_checkpoint(compressed, tmp_path / "m.safetensors"))
    plain = loaded.with_table(type(loaded.table)())
    again = PruneChannels(pruning_ratio=0.5).apply(plain, context).bundle
    assert outputs_of(again, inputs_for(loaded)).isfinite().all()


def test_the_same_model_gives_the_same_bytes(compressed):
    assert serialise(compressed) == serialise(compressed)


def test_half_precision_halves_the_file_and_keeps_three_digits(bundle, tmp_path):
    whole, half = len(serialise(bundle)), len(serialise(bundle, half=True))
    assert half < 0.75 * whole
    loaded = load_checkpoint(save_checkpoint(bundle, tmp_path / "m.safetensors", half=True))
    assert all(p.dtype == torch.float32 for p in loaded.module.parameters())
    x = inputs_for(bundle)
    assert_similar(outputs_of(loaded, x), outputs_of(bundle, x), times=1000)


def test_unknown_origin_stays_unknown(bundle, tmp_path):
    unknown = replace(bundle, provenance=replace(bundle.provenance, seen=None))
    loaded = load_checkpoint(save_checkpoint(unknown, tmp_path / "m.safetensors"))
    assert loaded.provenance.seen is None
    assert loaded.having_seen(("a",)).provenance.seen is None


def test_what_was_seen_adds_up(tiny_mlp):
    once = tiny_mlp.having_seen(("a",)).having_seen(("b", "a"))
    assert once.provenance.seen == ("a", "b")
    assert tiny_mlp.provenance.seen == ()


def test_a_model_without_an_architecture_cannot_be_saved(tiny_mlp):
    foreign = replace(tiny_mlp, content=TorchModel(tiny_mlp.module))
    with pytest.raises(UnsupportedModelError, match="not built from an architecture"):
        serialise(foreign)


def test_an_onnx_model_says_what_it_cannot_do(tiny_mlp):
    graph = replace(tiny_mlp, content=GraphModel(b"x"))
    with pytest.raises(UnsupportedModelError, match="is an ONNX graph, and this needs") as caught:
        serialise(graph)
    assert "pruned and quantized" in caught.value.hint
    assert graph.hash != tiny_mlp.hash


def test_the_hash_is_that_of_the_content(tiny_mlp):
    renamed = replace(tiny_mlp, name="other", provenance=replace(tiny_mlp.provenance, note="n"))
    assert renamed.hash == tiny_mlp.hash
    other_task = replace(tiny_mlp, task=replace(tiny_mlp.task, class_names=("1", "2", "3", "4")))
    assert other_task.hash != tiny_mlp.hash
    with torch.no_grad():
        changed = tiny_mlp.with_module(type(tiny_mlp.module)(*tiny_mlp.module.children()))
    assert changed.hash != tiny_mlp.hash, "other layer names are another model"


def test_plain_weights_do_not_say_their_architecture(tiny_mlp, tmp_path):
    save_file(tiny_mlp.module.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(UnsupportedModelError, match="does not say of which architecture") as caught:
        load_checkpoint(tmp_path / "w.safetensors")
    assert "resnet20:weights.safetensors" in caught.value.hint


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("group_size", [[[0]]]),
        ("qmin", "0"),
        ("qmax", -(10**6)),
        ("symmetric", 1),
        ("granularity", {}),
    ],
)
def test_a_grid_edited_by_hand_is_refused_in_a_sentence(compressed, tmp_path, field, value):
    path = save_checkpoint(compressed, tmp_path / "model.safetensors")
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["optim"])
    next(iter(header["grids"].values()))[field] = value
    save_file(tensors, path, {"optim": json.dumps(header)})
    with pytest.raises(UnsupportedModelError, match="is a damaged checkpoint: a grid"):
        load_checkpoint(path)
