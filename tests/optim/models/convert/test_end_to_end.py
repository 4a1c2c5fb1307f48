"""A network that came as an ONNX file goes the whole way a network of the zoo goes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import fx

from optim.export.deploy import onnx_bytes
from optim.export.verify import verify_file
from optim.layers.rewrite import weights_of
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.models.onnx_file import open_onnx
from optim.runner import measure_model
from optim.techniques import TECHNIQUES
from tests.helpers import assert_unchanged, context_for, data_for, frozen, inputs_for, outputs_of
from tests.optim.models.convert.test_exporters import by_torchscript


@pytest.fixture
def exported(tiny_cnn, tmp_path):
    """A residual network with parameter-free shortcuts, written by torch's exporter."""
    path = tmp_path / "r.onnx"
    path.write_bytes(by_torchscript(tiny_cnn).SerializeToString())
    return path


@pytest.fixture
def opened(tiny_cnn, exported):
    bundle = open_onnx(exported, data_for(tiny_cnn))
    return replace(bundle, spec=tiny_cnn.spec)


def test_prune_train_quantize_export_save(opened, tmp_path):
    context = context_for(opened)
    before = frozen(opened)
    bundle = opened
    for name, fields in (
        ("prune_channels", {"pruning_ratio": 0.5}),
        ("prune_weights", {"sparsity": 0.3}),
        ("finetune", {"epochs": 1}),
        ("quantize", {"weight_bits": 8}),
        ("finetune_quantized", {"epochs": 1}),
    ):
        applied = TECHNIQUES[name](**fields).apply(bundle, context)
        assert applied.bundle.hash != bundle.hash
        bundle = applied.bundle
    assert_unchanged(opened, before)
    assert isinstance(bundle.module, fx.GraphModule)
    sizes = [sum(w.numel() for w in weights_of(b.module).values()) for b in (bundle, opened)]
    assert sizes[0] < 0.5 * sizes[1]
    file = onnx_bytes(bundle)
    samples = context.data.part("validation")
    assert verify_file(file, bundle, samples).problem == ""
    loaded = load_checkpoint(save_checkpoint(bundle, tmp_path / "s.safetensors"))
    assert loaded.hash == bundle.hash
    x = inputs_for(bundle)
    assert torch.equal(outputs_of(loaded, x), outputs_of(bundle, x))
    assert onnx_bytes(loaded) == file


def test_a_model_may_be_distilled_from_itself(opened):
    """Whatever places transfers look at are found in a converted network as well."""
    context = context_for(opened)
    pruned = TECHNIQUES["prune_channels"](pruning_ratio=0.5).apply(opened, context).bundle
    taught = TECHNIQUES["distill"](epochs=1).apply(pruned, context).bundle
    assert taught.hash != pruned.hash


def test_what_this_program_wrote_comes_back_as_it_is(opened, tmp_path):
    """Both can be changed further; the integers of a quantized one are not lost."""
    context = context_for(opened)
    (tmp_path / "f.onnx").write_bytes(onnx_bytes(opened))
    again = open_onnx(tmp_path / "f.onnx")
    x = inputs_for(opened)
    torch.testing.assert_close(outputs_of(again, x), outputs_of(opened, x), rtol=0, atol=1e-5)
    assert again.spec == opened.spec
    quantized = TECHNIQUES["quantize"]().apply(opened, context).bundle
    (tmp_path / "q.onnx").write_bytes(onnx_bytes(quantized))
    kept = open_onnx(tmp_path / "q.onnx")
    assert "It came quantized" in kept.provenance.note
    # And more: shortcuts are written as convolutions, so that kernels find integers on all sides.
    assert kept.table.weights.keys() >= quantized.table.weights.keys()
    with torch.no_grad():
        torch.testing.assert_close(kept.simulated()(x), quantized.simulated()(x), rtol=0, atol=1e-5)


def test_a_file_is_measured_as_it_is(exported, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("ash", "birch", "cedar", "date"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    measured = measure_model(str(exported), str(tmp_path / "images"))
    assert measured.file == exported.read_bytes()
    told = json.loads(json.dumps(measured.to_json()))
    assert told["macs"]["value"] > 0
    assert told["latency"]["value"] > 0


def test_a_file_for_one_image_is_measured_on_all(tiny_cnn, tmp_path):
    fixed, free = tmp_path / "fixed.onnx", tmp_path / "free.onnx"
    model = by_torchscript(tiny_cnn)
    free.write_bytes(model.SerializeToString())
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].Clear()
        value.type.tensor_type.shape.dim[0].dim_value = 1
    fixed.write_bytes(model.SerializeToString())
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "d"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    one, many = (measure_model(str(path), str(tmp_path / "images")) for path in (fixed, free))
    np.testing.assert_allclose(one.predictions.outputs, many.predictions.outputs, atol=1e-5)
