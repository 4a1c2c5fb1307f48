"""Bits spread over layers: what is measured, what it costs, and that it beats one width."""

from dataclasses import replace

import pytest

from optim.measure.macs import layer_costs
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, outputs_of, tiny_bundle
from tests.optim.graph.graphs import kept

QUICK = {"knapsack": {"samples": 32}}


def bits_of(result):
    return {name: entry.grid.bits for name, entry in result.bundle.table.weights.items()}


def size_of(bundle, bits):
    return sum(bundle.module.get_parameter(f"{n}.weight").numel() * b for n, b in bits.items())


@pytest.mark.parametrize("family", ["resnet", "vit", "detector"])
@pytest.mark.parametrize("bits", [3, 8])
def test_no_byte_more_than_the_same_everywhere(bits, bundle, context):
    applied = Quantize(weight_bits=bits, samples=32, budget=QUICK).apply(bundle, context)
    found = bits_of(applied)
    assert size_of(bundle, found) <= size_of(bundle, dict.fromkeys(found, bits))
    assert len(set(found.values())) > 1 or bits == 8
    assert "changes of outputs add up to" in applied.report.notes[-1]
    for entry in applied.report.layers:
        assert f"{found[entry.layer]}-bit" in entry.detail
        assert "alone it changes outputs by" in entry.detail


@pytest.mark.parametrize("lane", ["torch", "graph"])
@pytest.mark.parametrize("limit", ["operations", "energy"])
def test_no_more_operations_or_energy_than_the_same_everywhere(limit, lane):
    bundle = tiny_bundle("lenet-5")
    given = bundle if lane == "torch" else kept(bundle)
    budget = {"knapsack": {"samples": 32, "limit": limit}}
    step = Quantize(weight_bits=4, activation_bits="float", budget=budget)
    applied = step.apply(given, context_for(given))
    found = list(bits_of(applied).values())
    layers = [
        (cost.macs, bundle.module.get_parameter(f"{cost.name}.weight").numel())
        for cost in layer_costs(bundle.module, bundle.spec.shape)
    ]

    def spent(widths):
        if limit == "operations":
            return sum(macs * bits for (macs, _), bits in zip(layers, widths, strict=True))
        return sum(
            macs * (0.1 + 0.025 * bits) + 243.75 * size * bits / 8
            for (macs, size), bits in zip(layers, widths, strict=True)
        )

    assert 0.9 * spent([4] * len(found)) < spent(found) <= spent([4] * len(found))
    assert len(set(found)) > 1
    assert {"operations": "bit operations", "energy": "energy"}[limit] in applied.report.notes[-1]


def test_layers_that_are_set_are_left_out(tiny_cnn):
    context = context_for(tiny_cnn)
    fields = {"layers": {"layer1.0.conv1": 6, "layer2.0.conv1": "float"}, "ends": "eight"}
    step = Quantize(weight_bits=3, activation_bits="float", budget=QUICK, **fields)
    found = bits_of(step.apply(tiny_cnn, context))
    assert found["layer1.0.conv1"] == 6
    assert found["conv1"] == found["linear"] == 8
    assert "layer2.0.conv1" not in found


@pytest.mark.parametrize("bits", ["ternary", 16])
def test_widths_that_are_not_spread_say_so(bits, tiny_cnn):
    step = Quantize(weight_bits=bits, activation_bits="float", budget=QUICK)
    applied = step.apply(tiny_cnn, context_for(tiny_cnn))
    assert len(set(bits_of(applied).values())) == 1
    assert str(bits) in applied.report.notes[-1]


def test_a_draft_has_the_same_bits_everywhere(tiny_cnn):
    context = replace(context_for(tiny_cnn), sample_limit=16)
    applied = Quantize(weight_bits=3, samples=32, budget=QUICK).apply(tiny_cnn, context)
    assert set(bits_of(applied).values()) == {3}
    assert "draft" in applied.report.notes[-1]


def test_what_was_measured_serves_every_width(tiny_cnn):
    known, asked = {}, []

    def memo(key, compute):
        asked.append(key)
        if key not in known:
            known[key] = compute()
        return known[key]

    context = replace(context_for(tiny_cnn), memo=memo)
    for bits in (3, 5):
        Quantize(weight_bits=bits, samples=32, budget=QUICK).apply(tiny_cnn, context)
    harms = [key for key in asked if key.startswith("harms:")]
    assert len(harms) == 2
    assert len(set(harms)) == 1


def test_a_graph_is_spread_over_as_its_module():
    bundle = tiny_bundle("mlp")
    graph = kept(bundle)
    step = Quantize(weight_bits=3, activation_bits="float", budget=QUICK)
    module, found = (step.apply(each, context_for(each)) for each in (bundle, graph))
    assert list(bits_of(found).values()) == list(bits_of(module).values())


@pytest.mark.parametrize("bits", [3, 4, 5])
def test_outputs_are_nearer_than_with_the_same_bits_everywhere(bits, trained):
    """On samples that nothing was measured on, and with no more bytes."""
    bundle, data = trained
    context = context_for(bundle, data=data)
    x = bundle.spec.normalise(data.part("validation").inputs)
    exact = outputs_of(bundle, x)

    def result(budget):
        step = Quantize(weight_bits=bits, activation_bits="float", budget=budget)
        return step.apply(bundle, context)

    def harm(applied):
        return float((outputs_of(applied.bundle, x) - exact).square().mean())

    spread, same = result("knapsack"), result("uniform")
    assert size_of(bundle, bits_of(spread)) <= size_of(bundle, bits_of(same))
    assert harm(spread) < 0.9 * harm(same)
