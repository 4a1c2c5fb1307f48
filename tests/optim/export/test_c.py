"""C for microcontrollers: compiled by a strict compiler, and equal to ONNX Runtime's integers."""

import os
import subprocess
import zipfile
from dataclasses import replace
from io import BytesIO

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from optim.data.task import Classification, Outputs
from optim.errors import ExportError, MeasurementError, MissingDependencyError
from optim.export.archive import files_of
from optim.export.c.archive import c_archive, program_of
from optim.export.c.operations import integer_program
from optim.export.c.program import Scaling
from optim.export.c.session import CompiledSession, compiler
from optim.graph.dataflow import dataflow
from optim.measure.evaluate import runner_of
from optim.measure.memory import activation_memory
from optim.models.bundle import GraphModel, ModelBundle, Provenance, TorchModel
from optim.models.input_spec import InputSpec
from optim.models.interface import Interface, Read
from optim.models.lenet5 import LeNet5
from optim.models.mobilenet import MobileNet
from optim.models.resnet import ResNet
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.runtime.deployed import deployed_graph
from optim.runtime.session import InferenceSession
from optim.subject import open_subject
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, inputs_for, tiny_bundle

try:
    compiler()
except MissingDependencyError as _missing:
    pytestmark = pytest.mark.skip(reason=str(_missing))

FAMILIES = ("resnet", "mobilenet", "ds-cnn", "lenet-5", "mlp", "cnn-1d")


def quantized(bundle, **fields):
    return Quantize(samples=32, **fields).apply(bundle, context_for(bundle)).bundle


def both(bundle, x):
    """Return what C and ONNX Runtime compute, and a step of 8 bits over the range of that."""
    program = program_of(bundle)
    session = CompiledSession.open(files_of(c_archive(bundle, "", x)), program)
    expected = InferenceSession.open(deployed_graph(bundle), 1, bundle.interface).run(x)
    return session.run(x), expected, float(expected.max() - expected.min()) / 255


@pytest.mark.parametrize("fields", [{}, {"weight_bits": 4, "activation_bits": 6}], ids=["8", "4/6"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_agrees_within_one_quantum(family, fields):
    bundle = quantized(tiny_bundle(family), **fields)
    found, expected, quantum = both(bundle, inputs_for(bundle, 64).numpy())
    difference = np.abs(found - expected)
    # A value next to the middle of two steps tips over; layers behind it may carry that further.
    assert (difference <= quantum).mean() > 0.99
    assert difference.max() <= 2 * quantum


def test_values_on_two_grids_and_means_at_the_border_agree_as_kernels_do_among_themselves():
    """A sum reads one grid, the layer behind an activation another; means of nine tip over."""
    bundle, x = quantized(tiny_bundle("cells")), inputs_for(tiny_bundle("cells"), 64)
    found, expected, quantum = both(bundle, x.numpy())
    defined = runner_of(bundle, as_defined=True)(x)
    assert (np.abs(found - expected) <= quantum).mean() > 0.95
    assert np.abs(found - expected).mean() <= 1.5 * np.abs(defined - expected).mean()


@pytest.mark.parametrize(
    "fields",
    [
        {"weight_scheme": "affine"},
        {"granularity": "per_tensor"},
        {"activation_scheme": "symmetric"},
        {"weight_bits": "ternary"},
    ],
    ids=lambda fields: next(iter(fields)),
)
@pytest.mark.parametrize("family", ["mobilenet", "lenet-5"])
def test_every_grid_agrees_within_one_quantum(family, fields):
    bundle = quantized(tiny_bundle(family), **fields)
    found, expected, quantum = both(bundle, inputs_for(bundle, 32).numpy())
    assert np.abs(found - expected).max() <= quantum


def test_pruned_shortcuts_agree():
    bundle = tiny_bundle("resnet")
    pruned = PruneChannels(pruning_ratio=0.4).apply(bundle, context_for(bundle)).bundle
    small = quantized(pruned)
    assert "select" in {op.kind for op in program_of(small).operations}
    found, expected, quantum = both(small, inputs_for(small, 32).numpy())
    assert np.abs(found - expected).max() <= quantum


@pytest.mark.parametrize("fields", [{}, {"weight_bits": 4, "activation_bits": 6}], ids=["8", "4/6"])
def test_hard_swish_agrees_behind_convolutions_sums_and_dense_layers(fields):
    torch.manual_seed(0)
    bundle = quantized(tiny_bundle("lenet-5").with_module(HardSwishNet().eval()), **fields)
    curved = [op for op in program_of(bundle).operations if op.numbers.get("curve")]
    assert [op.kind for op in curved] == ["conv", "conv", "add", "linear"]
    found, expected, quantum = both(bundle, inputs_for(bundle, 64).numpy())
    assert np.abs(found - expected).max() <= quantum


class HardSwishNet(torch.nn.Module):
    """What a MobileNetV3 has, without squeeze and excitation."""

    def __init__(self):
        super().__init__()
        nn = torch.nn
        self.stem, self.bn = nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8)
        self.depthwise, self.point = nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Conv2d(8, 8, 1)
        self.pool, self.flat = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.dense, self.out = nn.Linear(8, 16), nn.Linear(16, 4)
        self.acts = nn.ModuleList(nn.Hardswish() for _ in range(4))

    def forward(self, x):
        x = self.acts[0](self.bn(self.stem(x)))
        y = self.point(self.acts[1](self.depthwise(x)))
        x = self.flat(self.pool(self.acts[2](x + y)))
        return self.out(self.acts[3](self.dense(x)))


def gated(function, gate=(4, 1, 1), **attributes):
    """Return a graph that multiplies (4, 3, 3) by a function of something else."""
    node = helper.make_node
    scales = {"s": 0.05, "s2": 1 / 127, "s3": 0.03}
    constants = {name: np.float32(value) for name, value in scales.items()} | {"z": np.int8(3)}
    graph = helper.make_graph(
        [
            node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            node("GlobalAveragePool" if gate == (4, 1, 1) else "Relu", ["d"], ["a"]),
            node("QuantizeLinear", ["a", "s", "z"], ["q1"]),
            node("DequantizeLinear", ["q1", "s", "z"], ["d1"]),
            node(function, ["d1"], ["f"], **attributes),
            node("QuantizeLinear", ["f", "s2", "z"], ["q2"]),
            node("DequantizeLinear", ["q2", "s2", "z"], ["d2"]),
            node("Mul", ["d2", "d"], ["m"]),
            node("QuantizeLinear", ["m", "s3", "z"], ["q3"]),
            node("DequantizeLinear", ["q3", "s3", "z"], ["d3"]),
            node("Add", ["d3", "d3"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 3, 3])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return graph_bundle(model, (4, 3, 3))


@pytest.mark.parametrize(
    ("function", "gate", "attributes"),
    [
        ("HardSigmoid", (4, 1, 1), {"alpha": 1 / 6, "beta": 0.5}),
        ("HardSigmoid", (4, 1, 1), {}),
        ("HardSigmoid", (4, 3, 3), {"alpha": 2.0, "beta": -0.25}),
        ("HardSwish", (4, 3, 3), {}),
    ],
)
def test_gates_of_channels_and_of_all_numbers_agree(function, gate, attributes):
    bundle = gated(function, gate, **attributes)
    kinds = [op.kind for op in program_of(bundle).operations]
    assert "mul" in kinds
    x = 4 * np.random.default_rng(0).standard_normal((32, 4, 3, 3)).astype(np.float32)
    found, expected, _ = both(bundle, x)
    # One step of the product, twice: the graph ends in a sum of it with itself.
    assert np.abs(found - expected).max() <= 2 * 0.03 + 1e-6
    assert (np.abs(found - expected) < 1e-6).mean() > 0.99
    assert np.unique(expected).size > 10


def test_a_falling_sigmoid_is_refused():
    with pytest.raises(ExportError, match="needs a rising HardSigmoid"):
        program_of(gated("HardSigmoid", alpha=-1.0))


@pytest.mark.parametrize(
    ("model", "data"),
    [
        pytest.param("clutter-resnet8", "cluttered-digits", marks=pytest.mark.slow),
        ("digits-mlp", "digits"),
        ("bearing-cnn1d", "bearing"),
    ],
)
def test_models_that_ship_agree_on_real_samples(model, data):
    recipe = Recipe(model, data).with_step(Quantize())
    subject = open_subject(recipe)
    bundle, _ = apply_recipe(recipe, subject)
    x = bundle.spec.normalise(subject.samples().inputs[:40]).numpy()
    found, expected, quantum = both(bundle, x)
    assert np.abs(found - expected).max() <= quantum
    assert np.array_equal(found.argmax(1), expected.argmax(1))


def test_resnet20_agrees_on_pictures(shared):
    recipe = Recipe(
        f"resnet20:{shared('weights/resnet20.th')}", str(shared("cifar10/test.zip"))
    ).with_step(Quantize())
    subject = open_subject(recipe)
    bundle, _ = apply_recipe(recipe, subject)
    x = bundle.spec.normalise(subject.samples().inputs[:10]).numpy()
    found, expected, quantum = both(bundle, x)
    assert np.abs(found - expected).max() <= quantum


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [(LeNet5(), (1, 28, 28)), (MobileNet(), (3, 32, 32)), (ResNet(depth=20), (3, 32, 32))],
    ids=["lenet-5", "mobilenetv2", "resnet20"],
)
def test_reference_models_agree_at_their_full_size(architecture, shape):
    module = architecture.build(shape, 10, seed=1).eval()
    bundle = ModelBundle(
        "m",
        TorchModel(module, architecture),
        InputSpec(shape),
        Classification(tuple("0123456789")),
        Provenance("t", seen=()),
    )
    bundle = quantized(bundle)
    found, expected, quantum = both(bundle, inputs_for(bundle, 4).numpy())
    assert np.abs(found - expected).max() <= quantum


def test_the_archive_compiles_strictly_and_checks_itself(tmp_path):
    bundle = quantized(tiny_bundle("resnet"))
    data = c_archive(bundle, "recipe", inputs_for(bundle, 4).numpy())
    with zipfile.ZipFile(BytesIO(data)) as archive:
        archive.extractall(tmp_path)
    made = subprocess.run(
        ["make", "--no-print-directory", "test", f"CC={compiler()}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.endswith("as expected\n")
    assert "-std=c99 -Wall -Wextra -Werror -pedantic" in made.stdout


def test_a_sample_that_comes_out_otherwise_is_noticed(tmp_path):
    bundle = quantized(tiny_bundle("mlp"))
    files = files_of(c_archive(bundle, "", inputs_for(bundle, 4).numpy()))
    (tmp_path / "Makefile").write_bytes(files["Makefile"])
    for name in ("main.c", "model.c", "model.h", "runner.c", "runner.h"):
        (tmp_path / name).write_bytes(files[name])
    other = c_archive(bundle, "", inputs_for(bundle, 4, seed=9).numpy())
    first, second = files["sample.h"].decode(), files_of(other)["sample.h"].decode()
    split = "static const double sample_output"
    (tmp_path / "sample.h").write_text(first.split(split)[0] + split + second.split(split)[1])
    made = subprocess.run(["make", "test"], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode != 0
    assert "differ by more than a quantum" in made.stdout


def test_the_runner_never_leaves_its_arena(tmp_path):
    bundle = quantized(tiny_bundle("mobilenet"))
    files = files_of(c_archive(bundle, "", inputs_for(bundle, 4).numpy()))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover", "-std=c99", "-o", "model"]
    sources = ["main.c", "model.c", "runner.c"]
    made = subprocess.run([compiler(), *flags, *sources], cwd=tmp_path, capture_output=True)
    if made.returncode:
        pytest.skip("the compiler has no sanitizers")
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(
        ["./model"], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_the_arena_is_that_of_the_schedule():
    bundle = quantized(tiny_bundle("resnet"))
    program = program_of(bundle)
    assert program.arena == activation_memory(bundle).arena.value
    header = files_of(c_archive(bundle, "", inputs_for(bundle, 2).numpy()))["model.h"].decode()
    assert f"#define MODEL_ARENA_BYTES {program.arena}\n" in header


def test_a_name_from_anybody_ends_no_comment():
    bundle = replace(quantized(tiny_bundle("mlp")), name='evil */ int x; /* "\n')
    header = files_of(c_archive(bundle, "", inputs_for(bundle, 2).numpy()))["model.h"].decode()
    assert header.startswith("/* evil __ int x_ __ __, by optim")


# --- fixed point ----------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.7, 1e-3, 0.999999999, 1e-9, 1e-20])
def test_a_factor_is_met_to_31_bits(factor):
    scaling = Scaling.of(np.array([factor]))
    found = float(scaling.multipliers[0]) / 2.0 ** float(scaling.shifts[0])
    assert found == pytest.approx(factor, rel=2.0**-30, abs=2.0**-62)
    assert scaling.shifts[0] <= 62


def test_factors_of_a_sum_share_a_shift():
    factors = np.array([0.3, 1.7])
    scaling = Scaling.joint(factors)
    assert len(set(scaling.shifts.tolist())) == 1
    np.testing.assert_allclose(scaling.multipliers / 2.0**scaling.shifts, factors, rtol=1e-8)


def test_a_middle_goes_to_the_even_integer_as_in_onnx():
    scale = numpy_helper.from_array(np.float32(1), "s")
    double = numpy_helper.from_array(np.float32(2), "s2")
    zero = numpy_helper.from_array(np.int8(0), "z")
    node = helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            node("Relu", ["d"], ["r"]),
            node("QuantizeLinear", ["d", "s2", "z"], ["q2"]),
            node("DequantizeLinear", ["q2", "s2", "z"], ["d2"]),
            node("QuantizeLinear", ["r", "s2", "z"], ["q3"]),
            node("DequantizeLinear", ["q3", "s2", "z"], ["d3"]),
            node("Add", ["d2", "d3"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 9])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 9])],
        [scale, double, zero],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    bundle = graph_bundle(model, (9,))
    x = np.arange(-4, 5, dtype=np.float32)[None]
    found, expected, _ = both(bundle, x)
    np.testing.assert_array_equal(found, expected)
    assert expected[0].tolist() == [-4, -4, -2, 0, 0, 0, 4, 8, 8]


def test_channels_that_are_copied_onto_a_border_agree():
    node = helper.make_node
    weight = np.eye(2, dtype=np.int8).reshape(2, 2, 1, 1)
    constants = {"s": np.float32(0.05), "z": np.int8(0), "one": np.float32(1), "w": weight}
    graph = helper.make_graph(
        [
            node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            node("DequantizeLinear", ["w", "one", "z"], ["v"]),
            node("Conv", ["d", "v"], ["c"], pads=[1, 1, 1, 1]),
            node("QuantizeLinear", ["c", "s", "z"], ["q2"]),
            node("DequantizeLinear", ["q2", "s", "z"], ["d2"]),
            node("Add", ["d2", "d2"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2, 5, 5])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    x = np.random.default_rng(0).standard_normal((4, 2, 3, 3)).astype(np.float32)
    found, expected, quantum = both(graph_bundle(model, (2, 3, 3)), x)
    assert np.abs(found - expected).max() <= quantum


def graph_bundle(model, shape):
    content = GraphModel(model.SerializeToString(), interface=Interface("x", reads=(Read("y"),)))
    spec = InputSpec(shape)
    return ModelBundle("graph", content, spec, Outputs(), Provenance("test", seen=()))


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "fields", "reason"),
    [
        ("lenet-5", None, "input is not quantized"),
        ("lenet-5", {"activation_bits": 16}, "input is quantized to 16 bits"),
        ("lenet-5", {"weight_bits": 16}, "'conv1' has more bits or scales for groups"),
        ("lenet-5", {"granularity": "per_group"}, "'conv1' has more bits or scales"),
        ("lenet-5", {"activation_bits": "float"}, "input is not quantized"),
        ("vit", {}, "followed by floating point"),
    ],
)
def test_what_the_runner_lacks_is_refused_before(family, fields, reason):
    bundle = tiny_bundle(family)
    bundle = bundle if fields is None else quantized(bundle, **fields)
    with pytest.raises(ExportError, match=reason) as caught:
        program_of(bundle)
    assert caught.value.hint


def test_an_operation_is_refused_by_its_name():
    node = helper.make_node("Softmax", ["x"], ["y"], "chances", axis=1)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    flow = dataflow(model)
    given = replace(flow.values["x"], width=1, grid=_grid())
    flow = replace(flow, values={**flow.values, "x": given})
    with pytest.raises(ExportError, match=r"has no Softmax \('chances'\); it has Add, AveragePool"):
        integer_program(model, flow)


def _grid():
    from optim.graph.dataflow import StoredGrid

    return StoredGrid(0.1, 0, -128, 127, True)


def test_an_activation_function_is_refused_by_its_name():
    bundle = tiny_bundle("lenet-5")
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Linear(784, 4)
    )
    with pytest.raises(ExportError, match="has no Gelu"):
        program_of(quantized(bundle.with_module(module)))


def test_a_layer_without_an_integer_form_is_named_before_anything_else():
    """Not the layer before it, whose result it reads: no quantization would mend that."""
    bundle = tiny_bundle("lenet-5")
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.ReLU(),
        torch.nn.ConvTranspose2d(4, 2, 2, 2),
        torch.nn.Flatten(),
        torch.nn.Linear(1568, 4),
    )
    with pytest.raises(ExportError, match=r"has no ConvTranspose \('2'\)") as refused:
        program_of(quantized(bundle.with_module(module)))
    assert "Choose an ONNX file" in refused.value.hint


def test_a_program_that_ends_is_noticed():
    bundle = quantized(tiny_bundle("mlp"))
    x = inputs_for(bundle, 2).numpy()
    session = CompiledSession.open(files_of(c_archive(bundle, "", x)), program_of(bundle))
    session.process.kill()
    session.process.wait()
    with pytest.raises(MeasurementError, match="compiled model ended"):
        session.run(x)


def test_sources_that_do_not_compile_are_refused():
    bundle = quantized(tiny_bundle("mlp"))
    files = files_of(c_archive(bundle, "", inputs_for(bundle, 2).numpy()))
    with pytest.raises(ExportError, match="do not compile"):
        CompiledSession.open({**files, "model.c": b"int x"}, program_of(bundle))
