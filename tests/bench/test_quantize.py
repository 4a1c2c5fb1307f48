"""The bench of quantization: what is judged on what, and what its table says."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from optim.subject import Subject
from tests.helpers import data_for, tiny_bundle

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch, tmp_path, own_home):
    """The bench, with a file of its own."""
    monkeypatch.syspath_prepend(str(BENCH))
    module = importlib.import_module("quantize")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "quantize.json")
    return module


@pytest.fixture
def tiny(bench, monkeypatch):
    """Every cell of the bench is about a tiny network."""
    bundle = tiny_bundle("resnet")
    subject = Subject(bundle, data_for(bundle), "validation", "unseen", 0)
    monkeypatch.setattr(bench, "opened", lambda: subject)
    return subject


def test_all_draws_are_judged_on_the_same_images(bench, tiny, monkeypatch):
    judged = []

    def spy(bundle, samples):
        judged.append(samples.ids)
        return real(bundle, samples)

    real = bench.predict
    monkeypatch.setattr(bench, "predict", spy)
    bench.run(["W8A8"], ["nearest"], [0, 1])
    assert len(judged) == 3  # the original and two draws
    assert all(np.array_equal(ids, judged[0]) for ids in judged)


def test_another_draw_is_another_seed(bench, tiny, monkeypatch):
    seeds = []

    def spy(recipe, subject):
        seeds.append(recipe.seed)
        return real(recipe, subject)

    real = bench.apply_recipe
    monkeypatch.setattr(bench, "apply_recipe", spy)
    bench.run(["W8A8"], ["nearest"], [0, 1])
    assert seeds == [0, 1]


def test_what_is_there_is_not_computed_again(bench, tiny, monkeypatch):
    bench.run(["W8A8"], ["nearest"], [0])
    monkeypatch.setattr(bench, "apply_recipe", lambda *_: pytest.fail("it was computed again"))
    bench.run(["W8A8"], ["nearest"], [0])


def test_the_table_has_the_mean_over_draws_and_says_what_was_not_run(bench):
    n = 1000
    before = np.ones(n, bool)
    results = {"original": {"n": n, "right": bench.packed(before)}, "cells": {}}
    for draw, wrong in ((0, 10), (1, 30)):
        right = before.copy()
        right[:wrong] = False
        key = bench.key_of("W4A8", "gptq", draw)
        results["cells"][key] = {"right": bench.packed(right)}
    assert bench.changes(results, "W4A8", "gptq").startswith("-2.00 (")
    assert bench.changes(results, "W4A8", "gptq").endswith("), 2")
    assert "not run" in bench.table(results)
