"""Techniques on ONNX graphs that stay graphs: as on modules, and refused where they cannot."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from optim.errors import ConfigError
from optim.export.deploy import onnx_bytes
from optim.graph.layers import graph_layers, read_weights
from optim.measure.evaluate import how_of, runner_of
from optim.models.weighted import NO_WEIGHTS
from optim.quantity import How
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.runtime.session import InferenceSession
from optim.step import refusal
from optim.subject import Subject
from optim.techniques import TECHNIQUES
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from optim.techniques.share_weights import ShareWeights
from tests.helpers import (
    assert_similar,
    context_for,
    data_for,
    inputs_for,
    kernels_of,
    outputs_of,
    tiny_bundle,
)
from tests.optim.graph.graphs import (
    NOTE,
    bundle_of,
    embedded,
    kept,
    quantized,
    recurrent,
    upsampled,
)
from tests.optim.models.convert.graphs import graph, node

GRAPH_LANE = {name: t for name, t in TECHNIQUES.items() if "graph" in t.lanes}
SETTINGS = {"prune_weights": {"sparsity": 0.5}, "quantize": {"samples": 32}}
OWN = {
    "recurrent": (recurrent(), (6, 5)),
    "gated": (recurrent("GRU", gates=3), (6, 5)),
    "embedded": (embedded(), (7,)),
    "upsampled": (upsampled(), (3, 8, 8)),
    "quantized": (quantized(), (5,)),
}


@pytest.fixture(params=OWN)
def own(request):
    """Graphs that no module holds, or that hold what the trainable lane does not quantize."""
    return bundle_of(*OWN[request.param])


@pytest.fixture(params=GRAPH_LANE)
def step(request):
    return GRAPH_LANE[request.param](**SETTINGS.get(request.param, {}))


def given_to(bundle, count=64):
    """Return inputs that a graph takes: whole numbers from 0 to 11 where it reads words."""
    x = inputs_for(bundle, count)
    is_text = any(layer.kind == "embedding" for layer in graph_layers(bundle.graph()))
    return (4 * x.abs()).floor().clamp(max=11) if is_text else x


def context_of(bundle):
    """Return the context of a step on a graph: data of inputs that it takes."""
    data = data_for(bundle)
    if len(bundle.spec.shape) == 3:
        return context_for(bundle, data=data)

    def load(part):
        samples = data.part(part)
        return replace(samples, inputs=given_to(bundle, len(samples)).numpy())

    return context_for(bundle, data=replace(data, load=load))


def deployed(bundle, x, *, as_defined=False):
    return runner_of(bundle, as_defined=as_defined)(x)


def assert_agrees(found, expected):
    """Compare outputs: kernels may round a value that lies between two steps the other way."""
    assert np.abs(found - expected).mean() <= 0.01 * expected.std()


# --- every technique, every graph -----------------------------------------------------------------


def test_it_returns_another_graph_and_accounts_for_every_layer(step, own):
    before = own.content.onnx
    applied = step.apply(own, context_of(own))
    assert own.content.onnx == before
    assert applied.bundle.hash != own.hash
    assert (applied.bundle.spec, applied.bundle.task) == (own.spec, own.task)
    reported = [layer.layer for layer in applied.report.layers]
    assert sorted(reported) == sorted(layer.name for layer in graph_layers(own.graph()))
    assert all(layer.detail for layer in applied.report.layers)


def test_the_same_seed_gives_the_same_graph(step, own):
    first, second = (step.apply(own, context_of(own)) for _ in range(2))
    assert first.report == second.report
    assert onnx_bytes(first.bundle) == onnx_bytes(second.bundle)


def test_the_file_is_legal_and_does_what_its_operators_say(step, own):
    result = step.apply(own, context_of(own)).bundle
    file = onnx_bytes(result, "recipe")
    onnx.checker.check_model(onnx.load_from_string(file), full_check=True)
    x = given_to(own)
    assert_agrees(InferenceSession.open(file).run(x.numpy()), deployed(result, x, as_defined=True))
    assert how_of(result) is How.MEASURED


def test_every_family_is_quantized_as_its_module(bundle):
    """Both lanes give the same network up to the rounding of its values."""
    step, x, graph = Quantize(samples=32), inputs_for(bundle, 64), kept(bundle)
    module = step.apply(bundle, context_for(bundle)).bundle
    result = step.apply(graph, context_for(graph)).bundle
    expected, found = outputs_of(module, x).numpy(), deployed(result, x)
    assert_agrees(found, expected)


@pytest.mark.parametrize(
    "fields", [{"sparsity": 0.6}, {"sparsity": 0.6, "scope": "local"}], ids=str
)
def test_a_graph_is_pruned_as_its_module(fields):
    """Of a network without batch norms, which exporters fold into the weights they write."""
    bundle, step = tiny_bundle("vit"), PruneWeights(**fields)
    graph = kept(bundle)
    module = step.apply(bundle, context_for(bundle)).bundle
    result = step.apply(graph, context_for(graph)).bundle
    x = inputs_for(bundle, 64)
    assert_similar(deployed(result, x), outputs_of(module, x), times=10)


# --- quantization ---------------------------------------------------------------------------------

GRIDS = [
    {"weight_bits": 8},
    {"weight_bits": 4},
    {"weight_bits": 2, "activation_bits": "float"},
    {"weight_bits": "ternary", "activation_bits": 4},
    {"weight_bits": 3, "granularity": "per_group", "group_size": 8},
    {"weight_bits": 3, "granularity": "per_group", "group_size": 24, "weight_scheme": "affine"},
    {"weight_bits": 5, "granularity": "per_tensor", "weight_scheme": "affine"},
    {"weight_bits": 16, "activation_bits": 16},
    {"weight_bits": "float", "activation_bits": 8},
    {"activation_scheme": "symmetric", "calibration": "minmax"},
]


@pytest.mark.parametrize("fields", GRIDS, ids=str)
@pytest.mark.parametrize("name", OWN)
def test_every_grid_is_what_the_file_computes(fields, name):
    """Kernels of the runtime agree with the operators, and weights are those of the grid."""
    own = bundle_of(*OWN[name])
    result = Quantize(samples=32, **fields).apply(own, context_of(own)).bundle
    x = given_to(own)
    assert_agrees(deployed(result, x), deployed(result, x, as_defined=True))
    for layer, weight in read_weights(result.graph()).items():
        if layer in result.table.weights:
            grid = result.table.weights[layer].grid
            on_grid = result.table.weights[layer].apply(weight)
            rows = (
                on_grid.flatten(1) if grid.granularity != "per_tensor" else on_grid.reshape(1, -1)
            )
            if grid.granularity != "per_group":
                assert max(len(row.unique()) for row in rows) <= grid.levels


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_shared_weights_are_looked_up_in_a_few_values(bits, own):
    """The file holds ranks instead of weights, and computes what the graph of values does."""
    result = ShareWeights(bits=bits).apply(own, context_of(own)).bundle
    file = onnx.load_from_string(onnx_bytes(result))
    onnx.checker.check_model(file)
    stored = {t.name for t in file.graph.initializer}
    books = result.table.codebooks
    assert books
    assert stored.isdisjoint(x.weight for x in graph_layers(result.graph()) if x.name in books)
    plain = result.with_table(result.table.with_codebooks({}))
    x = given_to(own)
    np.testing.assert_allclose(deployed(result, x), deployed(plain, x), atol=1e-5)


FLOATS = [
    {"weight_bits": 16, "activation_bits": 16},
    {"weight_bits": 4, "granularity": "per_group", "group_size": 8},
    {"weight_bits": "float", "activation_bits": 8},
]
"""Grids for which there are no integer kernels."""


@pytest.mark.parametrize("bits", [8, 4, "ternary"])
@pytest.mark.parametrize("lane", ["torch", "graph"])
@pytest.mark.parametrize("family", ["resnet", "cells"])  # activation behind a layer, and before
def test_integer_kernels_compute_what_they_can(family, lane, bits, tmp_path):
    bundle = tiny_bundle(family) if lane == "torch" else kept(tiny_bundle(family))
    result = Quantize(samples=32, weight_bits=bits).apply(bundle, context_for(bundle)).bundle
    found = kernels_of(onnx_bytes(result), tmp_path)
    assert {"QLinearConv", "QLinearAdd", "QLinearGlobalAveragePool"} <= set(found)
    assert {"Conv", "FusedConv", "Add", "Sum", "Gemm", "MatMul"}.isdisjoint(found)


@pytest.mark.parametrize("fields", FLOATS, ids=str)
@pytest.mark.parametrize("lane", ["torch", "graph"])
def test_no_runtime_rounds_weights_that_floats_compute_with(lane, fields, tmp_path):
    bundle = tiny_bundle("mobilenet") if lane == "torch" else kept(tiny_bundle("mobilenet"))
    result = Quantize(samples=32, **fields).apply(bundle, context_for(bundle)).bundle
    file = onnx_bytes(result)
    assert not [k for k in kernels_of(file, tmp_path) if k in ("QLinearConv", "QGemm")]
    x = inputs_for(bundle, 64).numpy()
    plain = InferenceSession.open(file, level="off").run(x)
    assert np.abs(InferenceSession.open(file).run(x) - plain).mean() <= 1e-3 * plain.std()


def test_fewer_bits_make_a_smaller_file(tiny_cnn):
    bundle = kept(tiny_cnn)
    context = replace(context_for(tiny_cnn), reference=bundle)
    sizes = [
        len(
            onnx_bytes(
                Quantize(weight_bits=b, activation_bits="float").apply(bundle, context).bundle
            )
        )
        for b in (16, 8, 4, 2)
    ]
    assert [len(bundle.content.onnx), *sizes] == sorted([len(bundle.content.onnx), *sizes])[::-1]
    numbers = sum(w.numel() for w in read_weights(bundle.graph()).values())
    assert sizes[1] - sizes[2] == pytest.approx(numbers / 2, rel=0.05)


def test_weights_of_a_recurrent_layer_are_stored_small_and_computed_in_floats():
    own = bundle_of(*OWN["recurrent"])
    result = Quantize(samples=32).apply(own, context_of(own)).bundle
    stored = {t.name: t for t in onnx.load_from_string(onnx_bytes(result)).graph.initializer}
    assert {"w.grid_quantized", "r.grid_quantized"} <= stored.keys()
    assert not {"w", "r"} & stored.keys()
    assert list(result.table.edges) == ["m"]


def test_a_layer_kept_in_floats_keeps_its_weights_between_quantized_ones():
    """Runtimes that see quantizers on both sides of a layer would round its weights themselves."""
    own = bundle_of(*OWN["upsampled"])
    step = Quantize(samples=32, weight_bits="float", activation_bits=8)
    result = step.apply(own, context_of(own)).bundle
    x = given_to(own)
    assert_similar(deployed(result, x), deployed(result, x, as_defined=True), times=100)
    one = Quantize(samples=32, layers={"out": "float"}).apply(own, context_of(own))
    assert "kept in floating point by choice" in {x.detail for x in one.report.layers}


@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
@pytest.mark.parametrize("batch", [2, "N"])
def test_products_of_tokens_and_what_is_added_to_them_are_loaded(scheme, batch):
    """ONNX Runtime makes one layer of both where it knows all sizes."""
    draw = np.random.default_rng(0)
    model = graph(
        [
            node("MatMul", "x w", "a"),
            node("Add", "b a", "c"),
            node("Relu", "c", "d"),
            node("MatMul", "d v", "e"),
            node("Add", "e b", "f"),
            node("ReduceMean", "f", "g", axes=[1], keepdims=0),
            node("Gemm", "g out", "y"),
        ],
        (5, 8),
        batch=batch,
        w=draw.normal(size=(8, 8)).astype(np.float32),
        v=draw.normal(size=(8, 8)).astype(np.float32),
        b=draw.normal(size=8).astype(np.float32),
        out=draw.normal(size=(8, 4)).astype(np.float32),
    )
    own = bundle_of(model, (5, 8))
    step = Quantize(samples=32, activation_scheme=scheme)
    result = step.apply(own, context_of(own)).bundle
    x = given_to(own)
    assert_similar(deployed(result, x), deployed(result, x, as_defined=True), times=1000)


def test_a_weight_stored_as_integers_is_left_alone_and_may_not_be_set():
    own = bundle_of(*OWN["quantized"])
    report = Quantize(samples=32).apply(own, context_of(own)).report
    reasons = {layer.layer: layer.detail for layer in report.layers if not layer.touched}
    assert reasons == {"first": "the file stores its weights as integers already"}
    with pytest.raises(ConfigError, match="'first' cannot be set: the file stores"):
        Quantize(layers={"first": 4}).apply(own, context_of(own))


@pytest.mark.parametrize("step", [Quantize(layers={"heed": 4}), PruneWeights(layers={"heed": 0.5})])
def test_a_layer_that_does_not_exist_is_refused_with_its_neighbours(step):
    own = bundle_of(*OWN["recurrent"])
    with pytest.raises(ConfigError, match=r"no layer 'heed'.*head"):
        step.apply(own, context_of(own))


def test_statistics_are_remembered_and_folding_too():
    own, asked = bundle_of(*OWN["upsampled"]), []

    def memo(key, compute):
        asked.append(key.split(":")[0])
        return compute()

    context = replace(context_of(own), memo=memo)
    Quantize(samples=32).apply(own, context)
    assert [key for key in asked if key in ("folded", "statistics")] == ["folded", "statistics"]


# --- pruning --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OWN)
def test_the_share_of_zeros_is_the_one_asked_for(name):
    own = bundle_of(*OWN[name])
    applied = PruneWeights(sparsity=0.75).apply(own, context_of(own))
    weights = read_weights(applied.bundle.graph()).values()
    total = sum(w.numel() for w in weights)
    assert sum(int((w == 0).sum()) for w in weights) == round(0.75 * total)
    assert applied.bundle.sparsity == pytest.approx(0.75, abs=0.5 / total)


def test_patterns_run_along_the_inputs():
    own = bundle_of(*OWN["recurrent"])
    applied = PruneWeights(pattern="2:4").apply(own, context_of(own))
    kept_apart = {x.layer: x.detail for x in applied.report.layers if not x.touched}
    assert kept_apart == {"rnn.W": "5 inputs are not a multiple of 4"}
    recurrence = read_weights(applied.bundle.graph())["rnn.R"]
    assert bool(((recurrence.reshape(-1, 4) != 0).sum(1) == 2).all())


def test_pruned_weights_stay_zero_once_quantized():
    own = bundle_of(*OWN["upsampled"])
    pruned = PruneWeights(sparsity=0.5).apply(own, context_of(own)).bundle
    result = Quantize(samples=32).apply(pruned, context_of(own)).bundle
    for name, weight in read_weights(result.graph()).items():
        assert not result.table.weights[name].apply(weight)[~pruned.table.masks[name]].any()


@pytest.mark.parametrize("step", [PruneWeights(), Quantize(samples=32)])
def test_a_graph_without_layers_says_so(step):
    model = graph([node("Relu", "x", "r"), node("Softmax", "r", axis=1)], (4,))
    own = bundle_of(model, (4,))
    report = step.apply(own, context_of(own)).report
    assert report.layers == ()
    assert report.notes == (NO_WEIGHTS,)


# --- what graphs cannot be given ------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in TECHNIQUES if n not in GRAPH_LANE])
def test_everything_else_is_refused_at_its_step_with_the_reason(name):
    own = bundle_of(*OWN["recurrent"])
    recipe = Recipe("graph", "data")
    if "quantized" in TECHNIQUES[name].requires:
        recipe = recipe.with_step(Quantize())
    settings = {"prune_channels": {"pruning_ratio": 0.5}}.get(name, {})
    recipe = recipe.with_step(TECHNIQUES[name](**settings))
    subject = Subject(own, data_for(own), "validation", "unknown", 0)
    with pytest.raises(ConfigError, match="is recurrent") as caught:
        apply_recipe(recipe, subject)
    assert caught.value.field == name
    assert TECHNIQUES[name].title in caught.value.message
    assert "Quantize" in caught.value.hint


def test_what_works_on_both_lanes_is_never_refused():
    for technique in TECHNIQUES.values():
        assert refusal(technique, "torch", "") == ""
    assert refusal(Quantize, "graph", NOTE) == ""


def test_the_page_on_formats_says_what_works_in_which_lane():
    text = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")
    for technique in TECHNIQUES.values():
        graph = "yes" if "graph" in technique.lanes else "no"
        assert f"| {technique.title} | yes | {graph} |" in text
