"""The bench of structured pruning: its order of work, torch-pruning's choice, and its table."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from optim.measure.intervals import wilson
from optim.quantity import Quantity
from optim.step import Context
from tests.helpers import data_for, tiny_bundle

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch, tmp_path, own_home):
    """The bench, with a file of its own."""
    monkeypatch.syspath_prepend(str(BENCH))
    module = importlib.import_module("structured")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "structured.json")
    return module


@pytest.fixture(scope="module")
def original():
    return tiny_bundle("resnet")


def result(bench, cell, right):
    share = float(np.mean(right))
    return {
        "settings": cell.settings,
        "macs": 13_000_000,
        "accuracy_test": Quantity(share, "fraction", share, share, len(right)).to_json(),
        "right_on_test": bench.recover.packed(right),
    }


def test_short_cells_come_first_and_each_is_there_once(bench):
    found = bench.cells()
    assert len({cell.settings for cell in found}) == len(found) == 6 * 3 * 4 * 3
    assert [cell.epochs for cell in found] == sorted(cell.epochs for cell in found)


@pytest.mark.parametrize("method", ["group norm", "taylor", "hessian"])
def test_torch_pruning_chooses_channels_until_the_target_is_met(bench, original, method):
    context = Context(data_for(original), original, 0, "prune_channels")
    whole = bench.macs_of(original)
    found = bench.with_torch_pruning(original, context, whole / 2, method)
    assert whole / 4 < bench.macs_of(found) <= whole / 2


def test_ours_meets_the_same_target_with_and_without_refitting(bench, original):
    context = Context(data_for(original), original, 0, "prune_channels")
    whole = bench.macs_of(original)
    plain, refitted = (
        bench.with_ours(original, context, whole / 2, bench.by_importance, refit=refit)
        for refit in (False, True)
    )
    assert bench.macs_of(plain) == bench.macs_of(refitted) <= whole / 2
    assert plain.hash != refitted.hash
    by_macs = bench.with_ours(original, context, whole / 2, bench.by_macs)
    assert whole / 4 < bench.macs_of(by_macs) <= whole / 2


def test_the_table_tells_what_is_missing_and_compares_what_is_there(bench):
    right = np.ones(200, bool)
    right[:20] = False
    cells = [bench.Cell(method, 3, 1, 0) for method in ("ours", "taylor")]
    worse = right.copy()
    worse[20:40] = False
    middle, (low, high) = 0.9, wilson(180, 200)
    results = {
        "original": {
            "macs": 40_000_000,
            "accuracy_test": Quantity(middle, "fraction", low, high, 200).to_json(),
        },
        "cells": {
            cells[0].key: result(bench, cells[0], right),
            cells[1].key: result(bench, cells[1], worse),
        },
    }
    text = bench.table(results)
    assert "ours minus torch-pruning, Taylor, points | | not run | +10.00" in text
    assert f"| torch-pruning, Hessian |  |{' not run |' * 4}" in text
