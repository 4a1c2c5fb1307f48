"""What is emitted computes what torch computes, and what was simulated."""

import math
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from optim.data import Outputs, Samples, Unlabelled
from optim.errors import UnsupportedLayerError
from optim.export.deploy import onnx_bytes
from optim.export.four_bits import deployed_weights
from optim.layers.graph import trace
from optim.layers.table import CompressionTable
from optim.models.bundle import TorchModel
from optim.models.input_spec import InputSpec
from optim.models.onnx_file import open_onnx
from optim.models.zoo import ZOO
from optim.runtime.emit import INPUT, OUTPUT, emit_onnx
from optim.runtime.onnx_graph import OnnxGraph, container_for
from optim.runtime.session import InferenceSession
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize
from tests.helpers import (
    assert_similar,
    context_for,
    data_for,
    inputs_for,
    outputs_of,
    tiny_bundle,
)
from tests.optim.graph.graphs import kept


def emitted(module, shape):
    return emit_onnx(trace(module.eval()), CompressionTable(), shape, {})


def assert_parity(module, shape, times=20):
    """Compare torch and ONNX Runtime on a batch."""
    x = torch.randn(5, *shape)
    model = emitted(module, shape)
    onnx.checker.check_model(model, full_check=True)
    with torch.inference_mode():
        expected = module(x)
    assert_similar(InferenceSession.open(model).run(x.numpy()), expected, times=times)


# --- floating point -----------------------------------------------------------------------------


def test_every_family_computes_what_torch_computes(bundle):
    x = inputs_for(bundle)
    file = onnx_bytes(bundle)
    onnx.checker.check_model(onnx.load_from_string(file), full_check=True)
    with torch.inference_mode():
        expected = bundle.module(x)
    assert_similar(InferenceSession.open(file).run(x.numpy()), expected, times=20)


@pytest.mark.parametrize("name", [n for n in ZOO if n not in ("resnet32", "resnet44", "resnet56")])
def test_every_reference_configuration_computes_what_torch_computes(name):
    architecture = ZOO[name]
    assert_parity(architecture.build(architecture.spec.shape, 10).eval(), architecture.spec.shape)


@pytest.mark.parametrize("act", ["relu", "relu6", "gelu", "silu", "hardswish", "mish"])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("name", ["resnet8", "mobilenetv2", "cnn-1d"])
def test_every_activation_and_normalisation_is_emitted(name, act, norm):
    architecture = ZOO[name]
    fields = {"width": 4} if name != "mobilenetv2" else {"width": 0.5}
    shape = (3, 16, 16) if len(architecture.spec.shape) == 3 else (2, 128)
    module = architecture.replace(activation=act, normalisation=norm, **fields).build(shape, 4)
    assert_parity(module.eval(), shape, times=50)


LAYERS = {
    "sigmoid": (nn.Sequential(nn.Sigmoid()), (4,)),
    "tanh": (nn.Sequential(nn.Tanh()), (4,)),
    "softmax": (nn.Sequential(nn.Softmax(dim=-1)), (4,)),
    "gelu, tanh form": (nn.Sequential(nn.GELU(approximate="tanh")), (4,)),
    "average pool": (nn.Sequential(nn.AvgPool2d(2), nn.Flatten()), (2, 6, 6)),
    "average pool, padded": (nn.Sequential(nn.AvgPool2d(3, 2, 1), nn.Flatten()), (2, 7, 7)),
    "average pool, pads uncounted": (
        nn.Sequential(nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.Flatten()),
        (2, 7, 7),
    ),
    "max pool, ceil": (nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), nn.Flatten()), (2, 7, 7)),
    "max pool of a series": (nn.Sequential(nn.MaxPool1d(3, 2), nn.Flatten()), (2, 9)),
    "norm alone": (nn.Sequential(nn.BatchNorm2d(3), nn.Flatten()), (3, 4, 4)),
    "dilated": (nn.Sequential(nn.Conv2d(2, 3, 3, dilation=2, padding=2), nn.Flatten()), (2, 8, 8)),
    "grouped": (nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Flatten()), (4, 6, 6)),
    "oblong": (nn.Sequential(nn.Conv2d(1, 2, (5, 2), (2, 1), (1, 0)), nn.Flatten()), (1, 9, 6)),
    "tokens": (nn.Sequential(nn.Linear(3, 4), nn.Flatten()), (5, 3)),
    "tokens without bias": (nn.Sequential(nn.Linear(3, 4, bias=False), nn.Flatten()), (5, 3)),
    "layer norm": (nn.Sequential(nn.LayerNorm((4, 3)), nn.Flatten()), (4, 3)),
}


@pytest.mark.parametrize(("module", "shape"), LAYERS.values(), ids=LAYERS)
def test_single_layers_compute_what_torch_computes(module, shape):
    assert_parity(module.eval(), shape)


class Odd(nn.Module):
    """Operations that stand in forward instead of in a layer."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, x):
        left, right = torch.relu(self.a(x)), nn.functional.gelu(self.b(x))
        joined = torch.cat([left + 1.5, 0.5 * right, left * right], dim=1)
        return torch.softmax(joined.mean(dim=(2, 3)), dim=-1)


def test_operations_in_forward_are_emitted():
    assert_parity(Odd().eval(), (2, 6, 6))


UNSUPPORTED = {
    "reflection": nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
    "same": nn.Conv2d(1, 1, 3, padding="same"),
    "adaptive": nn.AdaptiveAvgPool2d(2),
    "unknown layer": nn.Softshrink(),
    "flatten across the batch": nn.Flatten(0),
    "flatten in part": nn.Flatten(1, 2),
}


@pytest.mark.parametrize("layer", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_what_has_no_form_here_is_refused_by_name(layer):
    with pytest.raises(UnsupportedLayerError, match=r"exported"):
        emitted(nn.Sequential(layer), (1, 6, 6))


def test_names_and_batch_are_as_promised(tiny_cnn):
    session = InferenceSession.open(onnx_bytes(tiny_cnn))
    assert session.input_name == INPUT
    assert session.session.get_outputs()[0].name == OUTPUT
    for count in (1, 3):
        assert session.run(np.zeros((count, 3, 16, 16), np.float32)).shape == (count, 4)


def test_emission_is_repeatable(bundle):
    assert onnx_bytes(bundle) == onnx_bytes(bundle)


# --- integers -----------------------------------------------------------------------------------

WAYS = {
    "int8": {},
    "int8 symmetric": {"activation_scheme": "symmetric"},
    "int8 affine weights": {"weight_scheme": "affine"},
    "int8 per tensor": {"granularity": "per_tensor"},
    "int4 in int8": {"weight_bits": 4},
    "int3 in int4": {"weight_bits": 3},
    "int5 in int8": {"weight_bits": 5},
    "ternary": {"weight_bits": "ternary"},
    "int2": {"weight_bits": 2},
    "weights alone, 4 bits": {"weight_bits": 4, "activation_bits": "float"},
    "weights alone, ternary": {"weight_bits": "ternary", "activation_bits": "float"},
    "weights alone, affine": {
        "weight_bits": 3,
        "weight_scheme": "affine",
        "activation_bits": "float",
    },
    "groups": {"weight_bits": 4, "granularity": "per_group", "group_size": 8},
    "groups alone, affine": {
        "weight_bits": 4,
        "granularity": "per_group",
        "group_size": 8,
        "weight_scheme": "affine",
        "activation_bits": "float",
    },
    "groups with a rest": {"weight_bits": 4, "granularity": "per_group", "group_size": 64},
    "groups with a rest, affine": {
        "weight_bits": 4,
        "granularity": "per_group",
        "group_size": 64,
        "weight_scheme": "affine",
        "activation_bits": "float",
    },
    "activations of 4 bits": {"activation_bits": 4},
    "activations of 3 bits, symmetric": {"activation_bits": 3, "activation_scheme": "symmetric"},
    "16 bits": {"weight_bits": 16, "activation_bits": 16},
    "activations alone": {"weight_bits": "float"},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_runtime_agrees_with_the_simulation(way, bundle, context):
    quantized = Quantize(samples=64, **WAYS[way]).apply(bundle, context).bundle
    x = inputs_for(bundle, 128, seed=5)
    file = onnx_bytes(quantized)
    onnx.checker.check_model(onnx.load_from_string(file))
    simulated = outputs_of(quantized, x).numpy()
    deployed = InferenceSession.open(file).run(x.numpy())
    difference = np.abs(deployed - simulated)
    if quantized.table.edges:
        # A value that lies between two steps may be rounded the other way, and moves on.
        # (An untrained model's outputs are small, so that a single step shows.)
        assert np.median(difference) <= 0.02 * simulated.std()
        assert (deployed.argmax(1) == simulated.argmax(1)).mean() > 0.93
    else:
        assert difference.max() <= 1e-4 * max(1, np.abs(simulated).max())


def stored(bundle):
    model = onnx.load_from_string(onnx_bytes(bundle))
    return {
        t.name.removesuffix(".weight_quantized"): t
        for t in model.graph.initializer
        if t.name.endswith("weight_quantized") and "shortcut" not in t.name
    }, model


@pytest.mark.parametrize(
    ("bits", "kind", "width"),
    [
        ("ternary", TensorProto.INT2, 2),
        (2, TensorProto.INT2, 2),
        (3, TensorProto.INT4, 4),
        (4, TensorProto.INT4, 4),
        (5, TensorProto.INT8, 8),
        (8, TensorProto.INT8, 8),
        (16, TensorProto.INT16, 16),
    ],
)
@pytest.mark.parametrize("activations", [8, "float"])
def test_weights_lie_in_the_smallest_container(bits, kind, width, activations, tiny_cnn):
    step = Quantize(weight_bits=bits, activation_bits=activations, samples=32)
    quantized = step.apply(tiny_cnn, context_for(tiny_cnn)).bundle
    tensors, _ = stored(quantized)
    assert set(tensors) == set(quantized.table.weights)
    for name, tensor in tensors.items():
        weight = tiny_cnn.module.get_parameter(f"{name}.weight")
        assert tensor.data_type == kind
        assert len(tensor.raw_data) == -(-weight.numel() * width // 8)


@pytest.mark.parametrize("lane", ["torch", "graph"])
@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
def test_groups_longer_than_channels_are_stored_as_small_as_channels(scheme, lane, tiny_cnn):
    bundle = tiny_cnn if lane == "torch" else kept(tiny_cnn)
    fields = {"weight_bits": 4, "activation_bits": "float", "weight_scheme": scheme}

    def file_of(**scales):
        step = Quantize(**fields, **scales)
        return onnx_bytes(step.apply(bundle, context_for(bundle)).bundle)

    whole, groups = (
        file_of(granularity="per_channel"),
        file_of(granularity="per_group", group_size=256),
    )
    assert len(groups) < 1.1 * len(whole)
    # Where a group is cut off at the end of a channel, a Pad takes less than its zeros would.
    rest = onnx.load_from_string(file_of(granularity="per_group", group_size=64))
    assert "Pad" in {node.op_type for node in rest.graph.node}
    weights = sum(
        math.prod(t.dims) for t in rest.graph.initializer if t.data_type == TensorProto.INT4
    )
    numbers = sum(w.numel() for w in deployed_weights(tiny_cnn).values())
    assert numbers <= weights < numbers + 1000


def test_a_file_of_groups_opens_as_a_module_with_their_values(tiny_cnn, tmp_path):
    step = Quantize(weight_bits=4, activation_bits="float", granularity="per_group", group_size=64)
    quantized = step.apply(tiny_cnn, context_for(tiny_cnn)).bundle
    (tmp_path / "groups.onnx").write_bytes(onnx_bytes(quantized))
    again = open_onnx(tmp_path / "groups.onnx")
    assert again.lane == "torch"
    x = inputs_for(tiny_cnn, 16)
    assert_similar(outputs_of(again, x), outputs_of(quantized, x), times=20)


@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
def test_a_convolution_stores_nothing_that_a_runtime_makes_itself(scheme, tiny_cnn):
    step = Quantize(weight_scheme=scheme, samples=32)
    quantized = step.apply(tiny_cnn, context_for(tiny_cnn)).bundle
    _, model = stored(quantized)
    numbers = {t.name: t for t in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    layers = [node for node in model.graph.node if node.name in quantized.table.weights]
    assert {node.op_type for node in layers} == {"Conv", "Gemm"}
    for node in layers:
        is_conv = node.op_type == "Conv"
        weight = makers[node.input[1]]
        assert len(weight.input) == (2 if is_conv and scheme == "symmetric" else 3)
        if is_conv:
            assert numbers[node.input[2]].data_type == TensorProto.FLOAT
        else:
            assert makers[node.input[2]].op_type == "DequantizeLinear"


@pytest.mark.parametrize("bits", [3, 4, "ternary", 8])
def test_the_grid_is_kept_whatever_the_container(bits, tiny_cnn):
    """The values in the file are the integers of the simulation, one by one."""
    step = Quantize(weight_bits=bits, samples=32)
    quantized = step.apply(tiny_cnn, context_for(tiny_cnn)).bundle
    tensors, _ = stored(quantized)
    traced = trace(tiny_cnn.module)
    for name, tensor in tensors.items():
        entry = quantized.table.weights[name]
        weight = traced.get_parameter(f"{name}.weight").detach()
        expected = entry.integers(weight).reshape(weight.shape).numpy().astype(int)
        found = onnx.numpy_helper.to_array(tensor).astype(int)
        np.testing.assert_array_equal(found, expected)
        assert len(np.unique(found)) <= entry.grid.levels


@pytest.mark.parametrize(("bits", "width"), [(2, 2), (3, 4), (4, 4), (5, 8), (8, 8), (12, 16)])
def test_containers(bits, width):
    assert container_for(bits) == width


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 33])
def test_packed_integers_come_back(bits, count):
    rng = np.random.default_rng(count)
    values = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), count)
    graph = OnnxGraph()
    tensor = graph.initializers[graph.integers("w", values.astype(np.float32), bits)]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor).astype(int), values)


def test_files_ask_for_no_newer_runtime_than_they_need(tiny_cnn):
    context = context_for(tiny_cnn)
    versions = {}
    for bits in (8, 4, 2):
        quantized = Quantize(weight_bits=bits, samples=32).apply(tiny_cnn, context).bundle
        versions[bits] = stored(quantized)[1].opset_import[0].version
    assert versions == {8: 21, 4: 21, 2: 25}
    assert onnx.load_from_string(onnx_bytes(tiny_cnn)).opset_import[0].version == 21


def test_fewer_bits_make_a_smaller_file(tiny_cnn):
    context = context_for(tiny_cnn)
    sizes = [
        len(onnx_bytes(Quantize(weight_bits=b, samples=32).apply(tiny_cnn, context).bundle))
        for b in (2, 4, 8, 16)
    ]
    assert sizes == sorted(sizes)


def test_pruned_shortcuts_are_emitted(tiny_cnn):
    context = context_for(tiny_cnn)
    x = inputs_for(tiny_cnn)
    step = PruneChannels(pruning_ratio=0.4, importance="random")
    pruned = step.apply(tiny_cnn, context).bundle
    for bundle in (pruned, Quantize(samples=32).apply(pruned, context).bundle):
        expected = outputs_of(bundle, x).numpy()
        found = InferenceSession.open(onnx_bytes(bundle)).run(x.numpy())
        assert np.median(np.abs(found - expected)) <= 0.02 * expected.std()


@pytest.mark.parametrize("act", ["relu", "relu6"])
def test_a_clip_that_the_quantizer_repeats_is_left_out_and_changes_nothing(act):
    bundle = tiny_bundle("mobilenet")
    module = bundle.content.architecture.replace(activation=act).build(bundle.spec.shape, 4).eval()
    changed = bundle.with_module(module)
    quantized = Quantize(samples=32).apply(changed, context_for(bundle)).bundle
    x = inputs_for(bundle, 64)
    model = onnx.load_from_string(onnx_bytes(quantized))
    clips = [n for n in model.graph.node if n.op_type in ("Relu", "Clip")]
    whole = onnx.load_from_string(onnx_bytes(changed)).graph.node
    assert len(clips) < len([n for n in whole if n.op_type in ("Relu", "Clip")])
    found = InferenceSession.open(model).run(x.numpy())
    expected = outputs_of(quantized, x).numpy()
    assert np.median(np.abs(found - expected)) <= 0.02 * expected.std()


@pytest.mark.parametrize("sides", [(8, 6), (7, 5)], ids=["whole factors", "others"])
def test_a_quantized_image_is_resized_in_the_runtime(sides):
    """ONNX Runtime moves layouts through a Resize: it has to load and compute all the same."""

    class Enlarge(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1)
            self.down = nn.Conv2d(4, 4, 3, stride=2, padding=1)

        def forward(self, x):
            fine = self.first(x)
            coarse = nn.functional.interpolate(self.down(fine), size=sides, mode="nearest")
            return self.last(coarse + fine)

    torch.manual_seed(0)
    tiny = tiny_bundle("resnet")
    bundle = replace(
        tiny,
        content=TorchModel(Enlarge().eval()),
        spec=InputSpec((3, *sides)),
        task=Outputs("dense"),
    )
    x = torch.rand(4, 3, *sides)
    with torch.no_grad():
        expected = bundle.module(x)
    session = InferenceSession.open(onnx_bytes(bundle))
    assert_similar(session.values(x.numpy())[0], expected, times=20)
    data = replace(data_for(tiny), input_shape=(3, *sides), load=None)
    samples = Samples(x.repeat(8, 1, 1, 1).numpy(), np.full(32, -1), np.arange(32))
    data = replace(data, parts={"all": 32}, load=lambda part: samples, task=Unlabelled())
    quantized = Quantize(samples=32).apply(bundle, context_for(bundle, data=data)).bundle
    found = InferenceSession.open(onnx_bytes(quantized)).values(x.numpy())[0]
    np.testing.assert_allclose(found, expected, atol=0.05 * float(expected.abs().max()))


def test_weights_that_two_layers_have_in_common_are_stored_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(12, 12), nn.Linear(12, 12)
            self.second.load_state_dict(self.first.state_dict())
            self.other = nn.Linear(12, 12)

        def forward(self, x):
            return self.other(torch.relu(self.second(torch.relu(self.first(x)))))

    model = emitted(Twice(), (12,))
    stored = [t for t in model.graph.initializer if list(t.dims) == [12, 12]]
    assert len(stored) == 2
    assert_parity(Twice(), (12,))
