"""The bench of recovery: its order of work, its search for a size, its file and its table."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.step import Context
from optim.subject import Subject
from tests.helpers import data_for, tiny_bundle

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch, tmp_path, own_home):
    """The bench, with a file of its own."""
    monkeypatch.syspath_prepend(str(BENCH))
    module = importlib.import_module("recover")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "recover.json")
    return module


def result(bench, cell, right):
    """What a cell would have left that was right about these samples."""
    share = float(np.mean(right))
    return {
        "settings": cell.settings,
        "macs": 17_500_000,
        "accuracy_test": Quantity(share, "fraction", share, share, len(right)).to_json(),
        "right_on_test": bench.packed(right),
    }


def hits(n, wrong):
    right = np.ones(n, bool)
    right[list(wrong)] = False
    return right


def test_every_combination_is_one_cell_and_the_whole_network_counts_once(bench):
    found = bench.cells()
    assert len(set(found)) == len(found)
    assert len(found) == (6 * 2 + 1) * 3 * 3
    assert len({cell.settings for cell in found}) == len(found)


def test_cheap_and_telling_cells_come_first(bench):
    first, *_, last = bench.cells()
    assert (first.method, first.target, first.epochs, first.seed) == ("ours", 17.6, 1, 0)
    assert last.epochs == 10
    lengths = [cell.epochs == 10 for cell in bench.cells()]
    assert lengths == sorted(lengths)


@pytest.mark.parametrize(
    ("target", "nearest", "expected"),
    [(57, False, 50), (57, True, 60), (52, True, 50), (60, False, 60), (60, True, 60)],
)
def test_a_size_between_two_steps_is_met_from_below_or_nearest(bench, target, nearest, expected):
    def left(ratio):
        return 10 * round(10 * (1 - ratio))

    assert left(bench.ratio_for(left, target, nearest=nearest)) == expected


def test_forgotten_weights_are_new_of_the_same_shape_and_decided_by_the_seed(bench):
    bundle = tiny_bundle("resnet")
    one, same, other = (bench.forgotten(bundle, seed) for seed in (7, 7, 8))
    assert one.hash == same.hash != other.hash
    for (name, before), after in zip(
        bundle.module.named_parameters(), one.module.parameters(), strict=True
    ):
        assert before.shape == after.shape, name
        if before.ndim > 1:
            assert not torch.equal(before, after), name


def test_packed_hits_come_back(bench):
    right = np.random.default_rng(0).random(1003) < 0.8
    assert np.array_equal(bench.unpacked(bench.packed(right), len(right)), right)


def test_a_cell_of_other_settings_is_not_taken_for_this_one(bench):
    cell, *_ = bench.cells()
    results = {"original": None, "cells": {cell.key: result(bench, cell, hits(100, []))}}
    assert bench.done(cell, results)
    results["cells"][cell.key]["settings"] = "of another learning rate"
    assert bench.done(cell, results) is None
    assert "100.00" not in bench.table(results)


def test_what_was_not_run_is_said(bench):
    text = bench.table(bench.read())
    rows = [line for line in text.splitlines() if line.startswith("| ours:")]
    assert len(rows) == 2
    assert all(row.count("not run") == 3 for row in rows)


def test_one_seed_is_compared_sample_by_sample(bench):
    ours, reference = (bench.Cell(m, 17.6, 1, 0) for m in ("ours", "reference"))
    results = {
        "original": None,
        "cells": {
            ours.key: result(bench, ours, hits(1000, range(100))),
            reference.key: result(bench, reference, hits(1000, range(120))),
        },
    }
    text = bench.table(results)
    assert "90.00" in text
    assert "88.00" in text
    [gain, _] = [line for line in text.splitlines() if line.startswith("| ours minus reference")]
    # 20 samples won, none lost: far less uncertain than two shares of 1,000 samples are.
    assert "+2.00 ± 0.9" in gain


def test_several_seeds_are_averaged_with_their_interval(bench):
    made = [bench.Cell("ours", 14.3, 3, seed) for seed in (0, 1, 2)]
    wrong = (10, 20, 30)
    results = {
        "original": None,
        "cells": {
            cell.key: result(bench, cell, hits(100, range(count)))
            for cell, count in zip(made, wrong, strict=True)
        },
    }
    assert "80.00 ± 24.84 (3 seeds)" in bench.table(results)


def test_missing_cells_are_run_once_and_kept_as_they_are_done(bench, monkeypatch, tmp_path):
    ran = []

    def compute(cell, files):
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(cell)
        return result(bench, cell, hits(100, []))

    monkeypatch.setattr(bench, "compute", compute)
    monkeypatch.setattr(bench, "original", lambda: {"macs": 1, **_accuracy()})
    wanted = bench.cells(epochs=[1], seeds=[0])
    with pytest.raises(KeyboardInterrupt):
        bench.run(wanted)
    kept = json.loads((tmp_path / "recover.json").read_text())["results"]["cells"]
    assert set(kept) == {cell.key for cell in wanted[:2]}
    monkeypatch.setattr(
        bench, "compute", lambda c, files: ran.append(c) or result(bench, c, hits(100, []))
    )
    bench.run(wanted)
    assert ran == wanted
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.fixture
def tiny(bench, monkeypatch):
    """Every cell of the bench is about a tiny network; the target is half of its MACs."""
    bundle = tiny_bundle("resnet")
    subject = Subject(bundle, data_for(bundle), "validation", "unseen", 0)
    monkeypatch.setattr(bench, "opened", lambda: subject)
    return subject, round(bench.macs_of(bundle) / 2e6, 3)


def test_a_cell_is_measured_on_all_test_samples(bench, tiny, tmp_path):
    subject, target = tiny
    found = bench.compute(bench.Cell("ours", target, 1, 0), tmp_path)
    quality = Quantity.from_json(found["accuracy_test"])
    assert quality.n == subject.data.parts["test"]
    assert bench.unpacked(found["right_on_test"], quality.n).mean() == quality.value
    assert 0.7e6 * target < found["macs"] <= 1e6 * target
    assert [next(iter(s)) for s in found["recipe"]["steps"]] == [
        "prune_channels",
        "reestimate_batchnorm",
        "distill",
    ]
    assert json.loads(json.dumps(found)) == found


def test_scratch_has_the_shape_of_what_was_pruned_and_nothing_else_of_it(
    bench, tiny, tmp_path, monkeypatch
):
    _, target = tiny
    trained = {}

    def spy(step, bundle, context):
        trained[len(trained)] = bundle
        return real(step, bundle, context)

    real = bench.Distill.apply
    monkeypatch.setattr(bench.Distill, "apply", spy)
    for method in ("by importance", "scratch"):
        bench.compute(bench.Cell(method, target, 1, 0), tmp_path)
    weights = [dict(trained[i].module.named_parameters()) for i in (0, 1)]
    assert {n: w.shape for n, w in weights[0].items()} == {
        n: w.shape for n, w in weights[1].items()
    }
    assert not any(torch.equal(w, weights[1][n]) for n, w in weights[0].items() if w.ndim > 1)


def test_a_killed_cell_goes_on_from_its_last_epoch_to_the_same_result(
    bench, tiny, tmp_path, monkeypatch
):
    _, target = tiny
    cell = bench.Cell("ours", target, 3, 0)
    unbroken = bench.compute(cell, tmp_path / "unbroken")
    save, saved = bench.Checkpoint.save, []

    def save_twice(states, state):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(state["epoch"])
        save(states, state)

    monkeypatch.setattr(bench.Checkpoint, "save", save_twice)
    with pytest.raises(KeyboardInterrupt):
        bench.compute(cell, tmp_path / "broken")
    monkeypatch.setattr(bench.Checkpoint, "save", lambda s, state: saved.append(state["epoch"]))
    resumed = bench.compute(cell, tmp_path / "broken")
    assert saved == [2, 3, 4]
    same = ("macs", "validation_by_epoch", "accuracy_test", "right_on_test")
    assert {n: resumed[n] for n in same} == {n: unbroken[n] for n in same}


def test_a_cell_that_another_process_works_on_is_left_to_it(bench, monkeypatch):
    cell, *_ = bench.cells()
    monkeypatch.setattr(bench, "original", lambda: {"macs": 1, **_accuracy()})
    monkeypatch.setattr(bench, "compute", lambda c, files: pytest.fail("it was taken"))
    with bench.claimed(cell, bench.cache_home() / "bench" / "recover") as mine:
        assert mine
        bench.run([cell])
    assert bench.read()["cells"] == {}


def _accuracy():
    return {"accuracy_test": Quantity(0.5, "fraction", 0.4, 0.6, 100).to_json()}


@pytest.mark.slow
@pytest.mark.parametrize("target", [17.6, 14.3])
def test_all_ways_have_the_same_macs(bench, shared, target):
    """On the real network: the recipe of a cell, written and read again, without its training."""
    shared("weights/resnet20_cifar10_jpeg.safetensors"), shared("cifar10")
    subject = bench.opened()
    for method in ("ours", "reference"):
        recipe = bench.recipe_of(bench.Cell(method, target, 1, 0), subject)
        assert Recipe.from_yaml(recipe.to_yaml()) == recipe
        prune = recipe.active[0]
        context = Context(subject.data, subject.bundle, 0, prune.id)
        macs = bench.macs_of(prune.step.apply(subject.bundle, context).bundle)
        assert macs == pytest.approx(1e6 * target, rel=0.01)
