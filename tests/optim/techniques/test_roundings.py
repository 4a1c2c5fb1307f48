"""What every rounding must do, on every family of models, and that each beats the nearest."""

from dataclasses import replace

import numpy as np
import pytest

from optim.errors import Cancelled, ConfigError
from optim.export.deploy import onnx_bytes
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.runtime.session import InferenceSession
from optim.techniques.finetune_quantized import FineTuneQuantized
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from optim.techniques.roundings import ROUNDINGS
from tests.helpers import (
    TINY,
    assert_unchanged,
    context_for,
    frozen,
    inputs_for,
    outputs_of,
    tiny_bundle,
)
from tests.optim.graph.graphs import kept
from tests.optim.techniques.test_graph_lane import context_of, deployed

QUICK = {
    "adaround": {"adaround": {"iterations": 100}},
    "block": {"block": {"iterations": 50, "batch_size": 8}},
}
CHOOSING = [name for name in ROUNDINGS if name != "nearest"]


def step_of(method, **fields):
    fields = {"weight_bits": 3, "samples": 32, **fields}
    return Quantize(rounding=QUICK.get(method, method), **fields)


@pytest.mark.parametrize(
    ("family", "method"),
    [
        *((family, "gptq") for family in TINY),
        *((family, "adaround") for family in ("ds-cnn", "mlp")),
        *((family, "block") for family in ("resnet", "vit", "detector")),
    ],
)
def test_a_rounding_keeps_what_the_family_of_steps_promises(method, bundle, context, tmp_path):
    before = frozen(bundle)
    applied = step_of(method).apply(bundle, context)
    result, x = applied.bundle, inputs_for(bundle, 64)
    assert_unchanged(bundle, before)
    assert result.hash == step_of(method).apply(bundle, context).bundle.hash
    assert ROUNDINGS[method].title in applied.report.notes[-1]

    simulated = outputs_of(result, x).numpy()
    loaded = load_checkpoint(save_checkpoint(result, tmp_path / "result.safetensors"))
    assert np.array_equal(outputs_of(loaded, x).numpy(), simulated)
    found = InferenceSession.open(onnx_bytes(result)).run(x.numpy())
    assert np.abs(found - simulated).mean() <= 0.01 * simulated.std()


@pytest.mark.parametrize("method", CHOOSING)
def test_pruned_weights_stay_zero_and_training_goes_on_from_there(method, tiny_cnn):
    context = context_for(tiny_cnn)
    sparse = PruneWeights(sparsity=0.6).apply(tiny_cnn, context).bundle
    rounded = step_of(method).apply(sparse, context).bundle
    trained = FineTuneQuantized(epochs=1, batch_size=32).apply(rounded, context).bundle
    for result in (rounded, trained):
        simulated = result.simulated()
        for name, mask in sparse.table.masks.items():
            assert not simulated.get_parameter(f"{name}.weight")[~mask].any()


@pytest.mark.parametrize("method", CHOOSING)
def test_it_tells_how_far_it_is_and_can_be_stopped(method, tiny_cnn):
    context, told = context_for(tiny_cnn), []
    step_of(method).apply(
        tiny_cnn, replace(context, progress=lambda share, what: told.append((share, what)))
    )
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert 0 == shares[0] < shares[-1] < 1
    assert {what for _, what in told} <= {name for name, _ in tiny_cnn.module.named_modules()}

    def stop(share, what):
        raise Cancelled

    with pytest.raises(Cancelled):
        step_of(method).apply(tiny_cnn, replace(context, progress=stop))


@pytest.mark.parametrize("method", CHOOSING)
def test_a_draft_is_rounded_to_nearest_and_says_so(method, tiny_cnn):
    context = replace(context_for(tiny_cnn), sample_limit=16)
    draft = step_of(method).apply(tiny_cnn, context)
    assert draft.bundle.hash == Quantize(weight_bits=3).apply(tiny_cnn, context).bundle.hash
    assert "draft" in draft.report.notes[-1]


def test_slow_methods_are_known_to_be_slow():
    work = {name: step_of(name).calibration_passes for name in ("nearest", *CHOOSING)}
    assert work["nearest"] == 32
    assert all(work[name] > 1000 for name in CHOOSING)


@pytest.mark.parametrize("method", CHOOSING)
@pytest.mark.parametrize("bits", [(3, 8), (2, 4)], ids=str)
def test_outputs_are_nearer_to_the_original_than_rounded_to_nearest(method, bits, trained):
    """On samples that nothing was calibrated on."""
    bundle, data = trained
    context = context_for(bundle, data=data)
    x = bundle.spec.normalise(data.part("validation").inputs)
    exact = outputs_of(bundle, x)
    fields = {"weight_bits": bits[0], "activation_bits": bits[1], "samples": 256}

    def error(rounding):
        result = Quantize(rounding=rounding, **fields).apply(bundle, context).bundle
        return float((outputs_of(result, x) - exact).square().mean())

    own = {"block": {"block": {"iterations": 100}}, "adaround": QUICK["adaround"]}
    assert error(own.get(method, method)) < 0.7 * error("nearest")


# --- graphs that stay as they are ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "method"), [*((family, "gptq") for family in TINY), ("cnn-1d", "adaround")]
)
def test_outputs_of_a_graph_are_nearer_to_the_original(method, bundle):
    graph = kept(bundle)
    context = context_of(graph)
    x = bundle.spec.normalise(context.data.part("validation").inputs)
    exact = deployed(graph, x)

    def error(rounding):
        step = Quantize(weight_bits=3, activation_bits=8, samples=96, rounding=rounding)
        return float((deployed(step.apply(graph, context).bundle, x) - exact).std())

    assert error(QUICK.get(method, method)) < error("nearest")


def test_blocks_of_a_graph_are_refused_with_what_works():
    graph = kept(tiny_bundle("mlp"))
    with pytest.raises(ConfigError, match="torch can train") as caught:
        step_of("block").apply(graph, context_of(graph))
    assert "GPTQ" in caught.value.hint
    assert caught.value.field == "rounding"


# --- both ends ----------------------------------------------------------------------------------


def test_both_ends_can_have_eight_bits(tiny_cnn):
    step = Quantize(weight_bits=3, activation_bits=4, samples=32, ends="eight")
    table = step.apply(tiny_cnn, context_for(tiny_cnn)).bundle.table
    wide = {name for name, entry in table.weights.items() if entry.grid.bits == 8}
    assert wide == {"conv1", "linear"}
    assert sum(edge.grid.bits == 8 for edge in table.edges.values()) == 2
    assert {edge.grid.bits for edge in table.edges.values()} == {4, 8}


@pytest.mark.parametrize("bits", [16, "float"])
def test_ends_that_have_more_keep_it(bits, tiny_cnn):
    context = context_for(tiny_cnn)
    same, eight = (
        Quantize(weight_bits=bits, activation_bits=16, samples=32, ends=ends)
        .apply(tiny_cnn, context)
        .bundle.hash
        for ends in ("same", "eight")
    )
    assert same == eight


def test_a_layer_of_its_own_goes_before_the_ends(tiny_cnn):
    step = Quantize(weight_bits=4, activation_bits="float", ends="eight", layers={"conv1": 2})
    table = step.apply(tiny_cnn, context_for(tiny_cnn)).bundle.table
    assert table.weights["conv1"].grid.bits == 2
    assert table.weights["linear"].grid.bits == 8


def test_ends_of_a_graph_have_eight_bits():
    graph = kept(tiny_bundle("lenet-5"))
    step = Quantize(weight_bits=4, activation_bits=4, samples=32, ends="eight")
    table = step.apply(graph, context_of(graph)).bundle.table
    assert [entry.grid.bits for entry in table.weights.values()] == [8, 4, 4, 8]
    assert sorted(edge.grid.bits for edge in table.edges.values())[-2:] == [8, 8]
