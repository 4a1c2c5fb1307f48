"""Files that ONNX Runtime quantized can be trained; what lies on which grid is not forgotten."""

from functools import cache

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import nn

from optim.errors import UnsupportedModelError
from optim.export.deploy import onnx_bytes
from optim.export.verify import verify_file
from optim.layers.rewrite import weights_of
from optim.models.bundle import GraphModel
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.models.convert.converter import convert
from optim.models.convert.parity import runtime_outputs
from optim.models.onnx_file import open_onnx
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.subject import Subject
from optim.techniques import TECHNIQUES
from tests.helpers import data_for, inputs_for, tiny_bundle
from tests.optim.models.convert.graphs import graph, node, values, whole
from tests.optim.models.convert.test_exporters import by_torchscript

WAYS = {
    "per tensor": {},
    "per channel": {"per_channel": True},
    "unsigned": {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QUInt8},
    "signed and symmetric": {
        "activation_type": QuantType.QInt8,
        "extra_options": {"ActivationSymmetric": True},
    },
    "16-bit activations": {"activation_type": QuantType.QInt16},
    "weights quantized when loaded": {"extra_options": {"AddQDQPairToWeight": True}},
    "a pair for each reader": {"extra_options": {"DedicatedQDQPair": True}},
    "layers only": {"op_types_to_quantize": ["Conv", "Gemm"]},
}


class Samples(CalibrationDataReader):
    """Gives ONNX Runtime one batch to calibrate on."""

    def __init__(self, x):
        self.batches = iter([{"input": x.numpy()}])

    def get_next(self):
        return next(self.batches, None)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    """Return a file that ONNX Runtime quantized: of a family, in one of the ways."""
    folder = tmp_path_factory.mktemp("quantized")

    @cache
    def make(family, way):
        bundle = tiny_bundle(family)
        source, result = folder / f"{family}.onnx", folder / f"{family}-{way}.onnx"
        model = by_torchscript(bundle)
        for one in model.graph.node:
            one.input[:] = ["input" if n == model.graph.input[0].name else n for n in one.input]
        model.graph.input[0].name = "input"
        source.write_bytes(model.SerializeToString())
        x = inputs_for(bundle, 32)
        quantize_static(source, result, Samples(x), quant_format=QuantFormat.QDQ, **WAYS[way])
        return result

    return make


def opened(path, family):
    return open_onnx(path, data_for(tiny_bundle(family)))


@pytest.mark.parametrize("way", WAYS)
def test_the_simulation_computes_what_the_file_computes(quantized, way):
    path = quantized("lenet-5", way)
    bundle = opened(path, "lenet-5")
    assert bundle.lane == "torch", bundle.provenance.note
    x = inputs_for(bundle, 64)
    defined = torch.from_numpy(runtime_outputs(path.read_bytes(), x, optimised=False))
    with torch.no_grad():
        found = bundle.simulated()(x)
    # One value in a thousand may lie between two steps, where the last digit decides.
    assert (found - defined).abs().mean() < 1e-3 * defined.abs().max()


@pytest.mark.parametrize("way", WAYS)
def test_the_integers_of_the_file_are_kept(quantized, way):
    path = quantized("lenet-5", way)
    bundle = opened(path, "lenet-5")
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    assert set(bundle.table.weights) == set(weights_of(tiny_bundle("lenet-5").module))
    for name, entry in bundle.table.weights.items():
        weight = bundle.module.get_parameter(f"{name}.weight").detach()
        integers = entry.integers(weight).numpy().reshape(weight.shape)
        file = stored.get(f"{name}.weight_quantized")
        if file is None:  # the file has floats, which are rounded when it is loaded
            assert torch.equal(entry.apply(weight), weight)
            continue
        middle = 128 if file.dtype == np.uint8 else 0
        assert np.array_equal(integers, file.astype(np.int32) - middle)
        assert entry.grid.bits == 8
        assert torch.equal(
            entry.scale, torch.from_numpy(stored[f"{name}.weight_scale"]).reshape(-1)
        )


def test_a_relu_that_was_left_out_is_put_back(quantized):
    """A grid that begins at zero does its work; without the grid the network would be linear."""
    path = quantized("resnet", "per channel")
    assert "Relu" not in {n.op_type for n in onnx.load(path).graph.node}
    bundle, own = opened(path, "resnet"), tiny_bundle("resnet")
    count = [sum(isinstance(m, nn.ReLU) for m in b.module.modules()) for b in (bundle, own)]
    assert count[0] >= 1
    x = inputs_for(bundle, 64)
    with torch.no_grad():
        floats, original = bundle.module(x), own.module(x)
    assert (floats - original).abs().mean() < 0.05 * original.abs().max()


def test_what_is_exported_again_does_the_same_and_survives_a_checkpoint(quantized, tmp_path):
    bundle = opened(quantized("resnet", "per channel"), "resnet")
    file = onnx_bytes(bundle)
    samples = data_for(bundle).part("validation")
    assert verify_file(file, bundle, samples).problem == ""
    loaded = load_checkpoint(save_checkpoint(bundle, tmp_path / "s.safetensors"))
    assert loaded.hash == bundle.hash
    assert onnx_bytes(loaded) == file
    (tmp_path / "again.onnx").write_bytes(file)
    again = opened(tmp_path / "again.onnx", "resnet")
    x = inputs_for(bundle)
    with torch.no_grad():
        assert torch.equal(again.simulated()(x), bundle.simulated()(x))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("prune_channels", {"pruning_ratio": 0.5}),
        ("prune_weights", {"sparsity": 0.5}),
        ("finetune", {"epochs": 1}),
        ("quantize", {"weight_bits": 4, "samples": 32}),
    ],
)
def test_a_step_that_needs_floats_takes_them_and_says_that_the_grids_are_gone(
    quantized, name, fields
):
    bundle = opened(quantized("lenet-5", "per channel"), "lenet-5")
    recipe = Recipe("m", "d").with_step(TECHNIQUES[name](**fields))
    subject = Subject(bundle, data_for(bundle), "validation", "unseen", 0)
    changed, reports = apply_recipe(recipe, subject)
    (report,) = reports.values()
    assert any("came quantized" in note for note in report.notes)
    assert changed.table.is_quantized == (name == "quantize")
    assert all(e.grid.bits == 4 for e in changed.table.weights.values())
    assert bundle.table.is_quantized, "the model that was given is unchanged"
    assert torch.isfinite(changed.simulated()(inputs_for(changed))).all()


def scales(count, seed=0):
    return np.asarray(values(count, seed=seed, low=0.5) * 0.01, np.float32)


def codes(*shape):
    return np.random.default_rng(1).integers(-127, 128, shape).astype(np.int8)


NODES = {
    "q": node("QuantizeLinear", "x s z", "xq"),
    "dq": node("DequantizeLinear", "xq s z", "xd"),
    "w": node("DequantizeLinear", "k ks kz", "w", axis=0),
}
GRID = {"s": np.array(0.05, np.float32), "z": np.array(3, np.int8)}
WEIGHT = {"k": codes(4, 3, 3, 3), "ks": scales(4), "kz": np.zeros(4, np.int8)}


def test_grids_stand_behind_the_node_whose_result_is_on_them():
    model = graph([*NODES.values(), node("Conv", "xd w", "y")], (3, 6, 6), **GRID, **WEIGHT)
    made = convert(model)
    (weight,) = made.table.weights.values()
    assert weight.grid.granularity == "per_channel"
    assert {n: (e.scale, e.zero_point) for n, e in made.table.edges.items()} == {
        "x": (pytest.approx(0.05), 3)
    }


def lost(what):
    """Return a graph whose grids no table can say, and why."""
    conv = node("Conv", "xd w", "c", name="c")
    read_twice = [*NODES.values(), conv, node("Conv", "x w", "d", name="d")]
    norm = node("BatchNormalization", "c a b b a", "y")
    by_block = node("DequantizeLinear", "k ks kz", "w", axis=1, block_size=3)
    other = node("DequantizeLinear", "xq s2 z", "xd")
    return {
        "off the grid": ([*read_twice, node("Add", "c d")], "is read on its grid and off it"),
        "a batch norm": ([*NODES.values(), conv, norm], "takes over the batch norm"),
        "another grid": ([NODES["q"], other, NODES["w"], conv], "by another grid"),
        "blocks": ([NODES["q"], NODES["dq"], by_block, conv], "a scale for each block"),
        "many scales": ([node("QuantizeLinear", "x ks kz", "xq"), NODES["dq"]], "each channel"),
        "a transposed convolution": (
            [*NODES.values(), node("ConvTranspose", "xd w", name="t")],
            "only those of convolutions and dense layers",
        ),
    }[what]


@pytest.mark.parametrize(
    "what",
    [
        "off the grid",
        "a batch norm",
        "another grid",
        "blocks",
        "many scales",
        "a transposed convolution",
    ],
)
def test_what_no_table_can_say_is_refused(what):
    nodes, why = lost(what)
    channels = 4 if what in ("many scales", "a transposed convolution") else 3
    output = nodes[-1].output[0]
    more = {"s2": np.array(0.1, np.float32), "a": values(4, low=0.5), "b": values(4)}
    model = graph(nodes, (channels, 6, 6), opset=21, output=output, **GRID, **WEIGHT, **more)
    with pytest.raises(UnsupportedModelError, match=why):
        convert(model)


def test_a_refused_file_stays_a_graph_with_the_reason(tmp_path):
    nodes, _ = lost("a batch norm")
    tail = [node("GlobalAveragePool", "y", "p"), node("Flatten", "p", "f")]
    more = {"a": values(4, low=0.5), "b": values(4), "n": whole(0)}
    model = graph([*nodes, *tail], (3, 6, 6), output="f", **GRID, **WEIGHT, **more)
    shape = model.graph.output[0].type.tensor_type.shape
    shape.dim.add(dim_param="N")
    shape.dim.add(dim_value=4)
    (tmp_path / "b.onnx").write_bytes(model.SerializeToString())
    bundle = open_onnx(tmp_path / "b.onnx")
    assert isinstance(bundle.content, GraphModel)
    assert "takes over the batch norm" in bundle.provenance.note
