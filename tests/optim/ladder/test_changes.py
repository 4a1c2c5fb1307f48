"""The cheapest change that makes a model fit: tried in order, the first one told."""

from optim.devices.profile import Runtime
from optim.ladder.changes import changes, cheapest_change, reduced_range
from optim.recipe import Recipe
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize
from tests.optim.ladder.made import conv, device, footprint

RECIPE = Recipe("digits-mlp", "digits")


def sized(recipe):
    """Weights of 100 kB, a quarter of that at 8 bits, less by the channels that are left."""
    steps = {type(e.step): e.step for e in recipe.active}
    ratio = steps[PruneChannels].pruning_ratio if PruneChannels in steps else 0.0
    width = 4 if Quantize not in steps else 1
    held = round(width * 25_000 * (1 - ratio))
    layer = conv("a", 53, round(53 * (1 - ratio)))
    return footprint(layer, weight_bytes=held, stored_bytes=held)


def test_eight_bits_come_first_then_ever_fewer_channels():
    texts = [change.text for change in changes(RECIPE, "torch")]
    assert texts[0] == "8-bit weights and activations"
    assert texts[1:3] == [
        "8 bits and 10 % of the channels removed",
        "8 bits and 20 % of the channels removed",
    ]
    assert len(texts) == 10


def test_a_graph_loses_no_channels():
    assert len(list(changes(RECIPE, "graph"))) == 1


def test_what_is_there_already_is_not_proposed():
    recipe = RECIPE.with_step(PruneChannels(pruning_ratio=0.5)).with_step(Quantize())
    texts = [change.text for change in changes(recipe, "torch")]
    assert texts[:2] == [
        "Weights and activations left in floating point",
        "60 % of the channels removed",
    ]
    last = list(changes(recipe, "torch"))[-1].recipe
    assert [type(e.step) for e in last.active] == [PruneChannels, Quantize]
    assert last.active[0].step.pruning_ratio == 0.9


def test_a_runtime_without_integer_kernels_wants_no_quantization():
    floats = Runtime(name="Floats", precisions=("fp16",))
    recipe = RECIPE.with_step(Quantize())

    def asked(changed):
        dtype = "int8" if changed.active else "float32"
        return footprint(conv("a", 8, 8, dtype=dtype))

    found = cheapest_change(recipe, "torch", device(runtimes=(floats,)), asked)
    assert found.text == "Weights and activations left in floating point"


def test_the_mildest_that_fits_is_told():
    assert cheapest_change(RECIPE, "torch", device(flash=30_000), sized).text.startswith("8-bit")
    found = cheapest_change(RECIPE, "torch", device(flash=16_000), sized)
    assert found.text == "8 bits and 40 % of the channels removed"


def test_nothing_is_told_where_nothing_helps():
    assert cheapest_change(RECIPE, "torch", device(flash=100), sized) is None


def test_changes_that_cannot_be_applied_are_passed_over():
    def only_pruned(recipe):
        return sized(recipe) if len(recipe.active) == 2 else None

    found = cheapest_change(RECIPE, "torch", device(flash=30_000), only_pruned)
    assert found.text == "8 bits and 10 % of the channels removed"


def test_reduced_range_is_proposed_where_both_sides_have_eight_bits():
    recipe = RECIPE.with_step(Quantize(weight_bits=4, layers={"fc1": 8}))
    step = reduced_range(recipe).recipe.active[0].step
    assert step == recipe.active[0].step.replace(reduce_range=True)
    for fields in ({"weight_bits": 7}, {"activation_bits": 7}, {"reduce_range": True}):
        assert reduced_range(RECIPE.with_step(Quantize(**fields))) is None
    assert reduced_range(RECIPE) is None
