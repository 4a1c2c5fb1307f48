"""Single layers are tried as they say: coupled ones together, none taken for robust by mistake."""

import pytest

from optim.errors import ConfigError, UnsupportedModelError
from optim.fields import PerLayer, controls
from optim.layers.residual import find_blocks
from optim.measure.evaluate import predict
from optim.measure.quality import quality
from optim.recipe import Recipe
from optim.sensitivity.analysis import analyse, weight_bytes
from optim.sensitivity.profile import Profile
from optim.sensitivity.trials import everywhere, on_layers, techniques
from optim.step import Context
from optim.subject import open_subject, subject_of
from optim.techniques import TECHNIQUES
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm
from tests.helpers import context_for, data_for, tiny_bundle
from tests.optim.graph.graphs import bundle_of, recurrent


def subject(family):
    bundle = tiny_bundle(family)
    return subject_of(bundle, data_for(bundle))


def graph_subject():
    graph = bundle_of(recurrent(), (6, 5))
    return subject_of(graph, data_for(graph))


@pytest.fixture(scope="module")
def resnet():
    *_, last = analyse(subject("resnet"), samples=64)
    return last


def test_every_technique_with_single_layers_can_be_tried_or_trains():
    for name, cls in TECHNIQUES.items():
        has_layers = any(isinstance(c.kind, PerLayer) for c in controls(cls))
        assert (name in techniques()) == (has_layers and cls.cost != "training"), name


@pytest.mark.parametrize("name", sorted(techniques()))
def test_alone_means_that_nothing_else_changes(name):
    step = techniques()[name]()
    assert on_layers(step, {}).is_neutral
    kinds = [c.kind for c in controls(type(step)) if isinstance(c.kind, PerLayer)]
    for level in kinds[0].tried:
        assert not everywhere(step, level).is_neutral


def test_coupled_layers_are_one_row_named_by_one_of_them(resnet):
    rows = {row.layer: row for row in resnet.rows_of("prune_channels")}
    stream = rows["conv1"]
    assert "layer1.0.conv2" in stream.layers
    assert "layer1.0.conv2" not in rows
    assert stream.title == f"conv1 + {len(stream.layers) - 1} coupled"
    everyone = [layer for row in rows.values() for layer in row.layers]
    assert len(everyone) == len(set(everyone))


def test_harms_are_those_of_the_strongest_level_and_coupled_layers_share_one(resnet):
    harms = resnet.harms("prune_channels")
    assert harms["layer1.0.conv2"] == harms["conv1"]
    (last,) = [c for c in resnet.cells_of("prune_channels") if c.layer == "conv1"][-1:]
    assert harms["conv1"] == last.harm
    assert "linear" not in harms


def test_what_cannot_be_changed_says_why_and_has_no_cell(resnet):
    assert "outputs" in resnet.left_out["prune_channels"]["linear"]
    assert all(cell.layer != "linear" for cell in resnet.cells_of("prune_channels"))


def test_every_block_is_tried_though_one_of_them_has_to_stay():
    one = subject("resnet")
    blocks = find_blocks(one.bundle.module, one.bundle.spec.shape)
    *_, found = analyse(one, ["drop_blocks"], samples=16)
    assert [row.layer for row in found.rows] == [block.layers[0] for block in blocks]
    assert all("no residual block" in why for why in found.left_out["drop_blocks"].values())


def test_cells_are_what_the_step_alone_gives_measured_as_a_whole(resnet):
    one = subject("resnet")
    looked_at = one.samples().take(slice(0, 64))
    before = predict(one.bundle, looked_at)
    step = PruneWeights(sparsity=0, layers={"layer2.0.conv1": 0.9})
    pruned = step.apply(one.bundle, context_for(one.bundle)).bundle
    expected = quality(predict(pruned, looked_at), before, one.bundle.task)
    (cell,) = (
        c for c in resnet.cells_of("prune_weights") if (c.layer, c.level) == ("layer2.0.conv1", 0.9)
    )
    assert cell.quality == expected.main
    assert cell.change == expected.change
    assert cell.harm.value == pytest.approx(expected.figures["divergence"].value, rel=1e-4)
    assert cell.bytes == weight_bytes(pruned)


def test_figures_come_after_few_samples_and_get_surer():
    sizes = [profile.n for profile in analyse(subject("mlp"), ["prune_weights"], samples=400)]
    assert sizes == sorted(set(sizes))
    assert sizes[0] <= 128
    assert sizes[-1] == min(400, len(subject("mlp").samples()))


def test_chunks_computed_side_by_side_give_the_same(resnet):
    *_, other = analyse(subject("resnet"), samples=64, workers=2)
    assert [(c.layer, c.level, c.quality) for c in other.cells] == [
        (c.layer, c.level, c.quality) for c in resnet.cells
    ]


def test_only_samples_that_may_select_are_looked_at(resnet):
    assert resnet.part == "validation"


def test_a_profile_survives_being_written(resnet):
    assert Profile.from_json(resnet.to_json()) == resnet


def test_graphs_are_tried_by_what_can_treat_them():
    one = graph_subject()
    *_, found = analyse(one, samples=16)
    able = {name for name, cls in techniques().items() if "graph" in cls.lanes}
    assert {row.technique for row in found.rows} == able
    assert "prune_channels" in found.refused


def test_an_unknown_technique_is_named():
    with pytest.raises(ConfigError, match=r"must be one of .*prune_weights.*: got 'magic'"):
        next(analyse(subject("mlp"), ["magic"]))


def test_a_model_nothing_can_treat_is_refused_with_the_reason():
    one = graph_subject()
    with pytest.raises(UnsupportedModelError, match=r"No layer of .* can be tried"):
        next(analyse(one, ["prune_channels"]))


def test_data_without_labels_are_judged_by_agreement():
    *_, found = analyse(
        open_subject(Recipe("breast-cancer-mlp", "generated?samples=64")), ["quantize"]
    )
    assert found.metric == "agreement"
    assert found.original is None
    assert all(cell.change is None for cell in found.cells)


def test_what_becomes_smaller_is_judged_with_its_own_norm_statistics(monkeypatch):
    one = subject("resnet")
    *_, found = analyse(one, ["prune_channels"], samples=64)
    row = next(r for r in found.rows if r.layer == "layer2.0.conv1")
    context = Context(one.data, one.bundle, one.seed, "prune_channels")
    step = PruneChannels(pruning_ratio=0, layers={row.layer: 0.75})
    pruned = step.apply(one.bundle, context).bundle
    looked_at = one.samples().take(slice(0, 64))
    before = predict(one.bundle, looked_at)

    def harm(bundle):
        return quality(predict(bundle, looked_at), before, one.bundle.task).figures["divergence"]

    measured = ReestimateBatchNorm(samples=256).apply(pruned, context).bundle
    (cell,) = (
        c for c in found.cells_of("prune_channels") if (c.layer, c.level) == (row.layer, 0.75)
    )
    assert cell.harm.value == pytest.approx(harm(measured).value, rel=0.3)
    assert abs(cell.harm.value - harm(measured).value) < abs(cell.harm.value - harm(pruned).value)
    # Norms before the layer keep the original's, so that nothing before it is computed again.
    assert found.computed < 0.9
