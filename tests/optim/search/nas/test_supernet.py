"""A supernet on a table of a moment: what is shared, what is learned, and what comes out."""

import json
import random

import pytest
import torch

from optim.errors import Cancelled, ConfigError
from optim.models.zoo import ARCHITECTURES
from optim.search.goals import Goals, Limit
from optim.search.nas.answer import answer_json
from optim.search.nas.asked import Asked
from optim.search.nas.bench import Bench
from optim.search.nas.families import FAMILIES
from optim.search.nas.plan import ArchitectureSearch
from optim.search.nas.supernet.planning import affordable, elastic, fitting
from optim.search.nas.supernet.ranking import Ranked, best_of, thinned
from optim.search.nas.supernet.sandwich import Sandwich, Templates, stages_of
from optim.search.nas.supernet.sharing import SharedWeights, middle
from optim.search.nas.supernet.stage import STAGE
from optim.search.nas.supernet.supernet import Supernet, largest_of, smallest_of
from optim.search.watch import Watch
from optim.step import NoResume
from optim.stored import remove_stored
from tests.optim.test_cli import obeys_schema

ONLY = {"width": [4, 8, 16], "depth": [1, 2, 3]}
SHAPES = {"mlp": (13,), "cnn-1d": (1, 256)}


def bench_of(family, data, **fields):
    return Bench(Asked(family, data, precision="float32", **fields))


@pytest.fixture(scope="module")
def bench():
    return bench_of("mlp", "wine", only=ONLY)


@pytest.fixture(scope="module")
def supernet(bench):
    found = Supernet(bench, bench.space)
    found.train(60)
    return found


# --- what is shared -------------------------------------------------------------------------------


def test_the_middle_is_taken_along_every_axis():
    full = torch.arange(20).view(4, 5)
    assert torch.equal(middle(full, (2, 3)), full[1:3, 1:4])
    assert middle(full, (4, 5)) is full


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_says_what_is_elastic_and_each_network_takes_weights(family):
    cls = ARCHITECTURES[family]
    shape = SHAPES.get(family, (1, 8, 8))
    fields = {"depth": 8} if family == "resnet" else {}
    least = {name: cls.model_fields[name].default for name in cls.elastic}
    assert {"width", "depth"} <= least.keys()
    largest = cls(**fields).build(shape, 3)
    kernel = {"kernel": 5} if "kernel" in least else {}
    wide = cls(**{**fields, **kernel}).build(shape, 3)
    shared = SharedWeights(wide, [largest])
    weights = dict(wide.named_parameters())
    taken = shared.take(largest, weights)
    assert {name: v.shape for name, v in taken.items()} == {
        name: v.shape for name, v in largest.named_parameters()
    }
    sum(value.sum() for value in taken.values()).backward()
    assert all(p.grad is not None for p in weights.values())


def test_a_smaller_residual_network_adds_the_channels_that_the_larger_one_adds():
    from optim.models.resnet import ResNet

    large = ResNet(depth=8, width=8).build((1, 8, 8), 3)
    small = ResNet(depth=8, width=4).build((1, 8, 8), 3)
    for name in ("layer2.0.shortcut", "layer3.0.shortcut"):
        wide = large.get_submodule(name).in_channels
        given = torch.zeros(1, wide, 1, 1)
        given[:, wide // 4 : -wide // 4] = torch.arange(1.0, wide // 2 + 1).view(1, -1, 1, 1)
        added = middle(large.get_submodule(name)(given), (1, wide, 1, 1))
        narrow = middle(given, (1, wide // 2, 1, 1))
        assert torch.equal(small.get_submodule(name)(narrow), added)


def test_a_filter_without_a_middle_and_a_smaller_one_have_parameters_of_their_own():
    from optim.models.dscnn import DSCNN

    large = DSCNN(width=8, depth=1, kernel=5).build((1, 8, 8), 3)
    variants = [
        DSCNN(width=8, depth=1, kernel=3).build((1, 8, 8), 3),
        DSCNN(width=8, depth=1, kernel=5, stem="3x3").build((1, 8, 8), 3),
    ]
    shared = SharedWeights(large, variants)
    assert list(shared.changes) == ["depthwise1/weight@3x3"]
    assert list(shared.filters) == ["stem/weight@3x3"]
    weights = dict(large.named_parameters())
    before = shared.take(variants[0], weights)["depthwise1.weight"]
    assert torch.equal(before, weights["depthwise1.weight"][:, :, 1:4, 1:4])
    with torch.no_grad():
        shared.changes["depthwise1/weight@3x3"].fill_diagonal_(1.0)
    assert torch.equal(shared.take(variants[0], weights)["depthwise1.weight"], 2 * before)


# --- what is learned ------------------------------------------------------------------------------


def test_more_becomes_elastic_while_training_goes_on(bench):
    smallest = smallest_of(bench.space, bench.work)
    largest = largest_of(bench.space, bench.work)
    assert (smallest["mlp.width"], smallest["mlp.depth"]) == (4, 1)
    assert (largest["mlp.width"], largest["mlp.depth"]) == (16, 3)
    stages = stages_of(bench.space, largest, ["mlp.depth", "mlp.width"])
    assert [stage.count() for stage in stages] == [1, 3, 9]
    loss = Sandwich(
        torch.nn.Identity(), None, None, stages, lambda s: s.clean({}), None, None, steps=100
    )
    assert [loss.stage(step) for step in (0, 14, 20, 40, 99)] == [0, 0, 1, 2, 2]


def test_smaller_networks_imitate_what_the_largest_answers(bench):
    largest = largest_of(bench.space, bench.work)
    module = bench.fresh(bench.architecture(largest)).module.train()
    shared = SharedWeights(module, [])
    templates = Templates(bench.architecture, bench.outline)
    stages = stages_of(bench.space, largest, ["mlp.depth", "mlp.width"])
    inputs, targets = bench.part("train")
    loss = Sandwich(
        module,
        shared,
        templates,
        stages,
        lambda stage: smallest_of(stage, bench.work),
        lambda outputs, targets, inputs: outputs.sum() * 0,
        torch.Generator().manual_seed(0),
        steps=1,
    )
    loss.step.fill_(1)
    value = loss(module(inputs), targets, inputs)
    value.backward()
    assert value > 0
    # Labels weigh nothing here: what moves are the weights of smaller networks.
    grown = module.get_parameter("fc3.weight").grad
    assert grown is not None
    assert loss.step == 2


def test_training_is_the_same_again_and_networks_are_those_that_are_told(bench, supernet):
    again = Supernet(bench, bench.space)
    again.train(60)
    for point in list(bench.space.points())[::4]:
        assert again.accuracy(point) == supernet.accuracy(point)
        network = supernet.network(bench.architecture(point))
        assert bench.judge(network, "validation").accuracy.value == pytest.approx(
            supernet.accuracy(point)
        )
    assert supernet.accuracy(supernet.largest) > 0.6


def test_norms_are_measured_anew_for_each_network():
    bench = bench_of("ds-cnn", "digits", only={"width": [8, 16], "depth": [1, 2], "stem": ["3x3"]})
    supernet = Supernet(bench, bench.space)
    point = bench.space.clean({"ds-cnn.width": 8, "ds-cnn.depth": 1})
    network = supernet.network(bench.architecture(point))
    inputs, _ = bench.part("train")
    stem = network.module.get_submodule("stem")(inputs[:512])
    norm = network.module.get_submodule("stem_norm")
    assert torch.allclose(norm.running_mean, stem.mean((0, 2, 3)), atol=1e-4)
    # In one pass the deviation is that of all, in two the mean of both.
    assert bench.judge(network, "validation").accuracy.value == pytest.approx(
        supernet.accuracy(point), abs=0.02
    )


# --- what fits ------------------------------------------------------------------------------------


def test_values_that_miss_a_limit_whatever_else_is_chosen_are_left_out(bench):
    goals = Goals(("error", "bytes", "macs"), (Limit("params", 200.0),))
    smallest = smallest_of(bench.space, bench.work)
    space, fixed = elastic(bench)
    found = fitting(bench, space, smallest, goals, lambda: None)
    assert not fixed
    # 13 features, 3 classes: one layer of 8 has 139 parameters, one of 16 has 275.
    assert found["mlp.width"].values == (4, 8)
    assert found["mlp.depth"].values == (1, 2, 3)


def test_what_cannot_share_weights_is_fixed():
    bench = bench_of("vit", "digits", only={"width": [16], "depth": [1], "expansion": [1]})
    space, fixed = elastic(bench)
    assert [d.name for d in fixed] == ["vit.patch", "vit.heads"]
    assert space.count() == 1


def test_a_supernet_shrinks_until_it_can_be_trained_in_time(bench, monkeypatch):
    monkeypatch.setattr(Bench, "seconds_per_step", lambda self, a: bench.work(_point(a)) / 1e3)
    monkeypatch.setattr(Supernet, "seconds_per_epoch", lambda self: bench.work(self.largest) / 1e2)
    supernet, epochs = affordable(bench, bench.space, 1e9, 24, lambda: None)
    assert (supernet.space.count(), epochs) == (9, 24)
    smaller, epochs = affordable(bench, bench.space, 60.0, 24, lambda: None)
    assert smaller.space.count() < 9
    assert 12 <= epochs <= 24
    assert affordable(bench, bench.space, 1e-3, 24, lambda: None) is None


def _point(architecture):
    return {"mlp.width": architecture.width, "mlp.depth": architecture.depth}


def test_the_best_are_spread_over_the_front_within_limits():
    goals = Goals(("error", "bytes", "macs"), (Limit("bytes", 90.0),))
    ranked = [
        Ranked({"n": n}, 50.0 - 5 * n, {"bytes": 10.0 * n, "macs": 1.0 * n}) for n in range(1, 11)
    ]
    random.Random(0).shuffle(ranked)
    found = best_of(ranked, goals, 3)
    assert [one.point["n"] for one in found] == [9, 5, 1]
    assert Ranked.from_json(found[0].to_json()) == found[0]


def test_large_spaces_thin_out_and_keep_their_ends(bench):
    space = thinned(bench.space, 4)
    assert space["mlp.width"].values == (4, 16)
    assert space["mlp.depth"].values == (1, 3)


# --- in a search ----------------------------------------------------------------------------------


class Kept(NoResume):
    """States that outlive an attempt."""

    def __init__(self, kept, name):
        self._kept, self._name = kept, name

    def load(self):
        return self._kept.get(self._name)

    def save(self, state):
        self._kept[self._name] = state


@pytest.fixture
def search(tmp_path):
    def search(watch=None):
        only = {"width": [4, 8], "depth": [1, 2]}
        asked = Asked(
            "mlp",
            "wine",
            method="supernet",
            study="s",
            only=only,
            epochs=2,
            precision="float32",
        )
        return ArchitectureSearch(asked, watch, url=f"sqlite:///{tmp_path / 'studies.db'}")

    return search


def test_a_search_begins_with_what_a_supernet_thinks_most_of(search, monkeypatch):
    def accuracy(supernet, point):
        return (point["mlp.width"] + point["mlp.depth"]) / 10

    # In so few steps it learns nothing.
    monkeypatch.setattr(Supernet, "accuracy", accuracy)
    found = search()
    answer = found.run()
    session = found.session
    state = answer_json(answer, session.asked, session.state())
    assert obeys_schema(json.loads(json.dumps(state)))
    assert state["method"] == "supernet"
    learned = state["supernet"]
    assert (learned["epochs"], len(learned["rows"])) == (4, 4)
    assert learned["columns"][:3] == ["mlp.depth", "mlp.width", "error"]
    shared = [row for row in state["candidates"] if row["stage"] == STAGE]
    assert shared
    assert all(row["epochs"] == 0 and row["layers"] for row in shared)
    trained = [r for r in state["candidates"] if "supernet" in r["scores"]]
    # What it thinks most of is trained first, right after the smallest.
    assert trained[0]["point"] == {"mlp.depth": 2, "mlp.width": 8}
    assert trained[0]["scores"]["supernet"] == 1.0
    # Weights that are gone are made again.
    candidate = next(c for c in session.candidates if c.stage == STAGE)
    before = session.trained(candidate)
    assert remove_stored(session.bench.key_of(candidate.made)) > 0
    session.bench._trained.clear()
    assert session.trained(candidate).hash == before.hash


def test_a_supernet_that_was_stopped_goes_on_and_is_ranked_once(search, monkeypatch):
    kept, epochs = {}, []

    def record(name, figures):
        if name != "supernet":
            return
        epochs.append(figures["epoch"])
        if len(epochs) == 3:
            raise Cancelled

    def enough():
        return len(epochs) > 6

    watch = Watch(states=lambda name: Kept(kept, name), record=record, is_enough=enough)
    with pytest.raises(Cancelled):
        search(watch).run()
    again = search(watch)
    again.run()
    assert again.session.was_resumed
    assert epochs == [1, 2, 3, 1, 2, 3, 4]
    rows = again.session.learned["rows"]
    third = search(watch)
    third.run()
    assert third.session.learned["rows"] == rows
    points = [str(c.point) for c in third.session.candidates if c.stage == STAGE]
    assert len(points) == len(set(points)) > 0


def test_an_unknown_method_is_refused():
    with pytest.raises(ConfigError, match="method must be one of trainings, supernet"):
        Asked("mlp", "wine", method="magic")
