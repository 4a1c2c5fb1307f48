"""The bench of Deep Compression: what its table says of what was run, and of what was not."""

import importlib
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch, own_home):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("deep_compression")


def result(bench, error, size, **more):
    about = {"settings": bench.settings("lenet-5"), "bytes": size, "times_smaller": 2e6 / size}
    return {**about, "error_before": 0.008, "error_after": error, **more}


def test_what_was_not_run_says_so(bench):
    lines = bench.table({}).splitlines()[2:]
    assert len(lines) == len(bench.NETWORKS)
    assert all("0 of 5 | not run" in line for line in lines)


def test_the_table_has_mean_and_spread_of_the_seeds_that_were_run(bench):
    rival = {"rival": {"title": "", "bytes": 1, "error": 0.01}}
    results = {
        "lenet-5, seed 0": result(bench, 0.007, 5000, **rival),
        "lenet-5, seed 1": result(bench, 0.009, 6000),
        "lenet-5, seed 2": {**result(bench, 0.5, 1), "settings": "of another day"},
    }
    line = bench.table(results).splitlines()[-1]
    assert "2 of 5 | 0.80 ± 0.00 % | 0.80 ± 0.14 % | 5,500 ± 707 | 367 ± 47 | 1.00 %" in line


def test_networks_have_the_sizes_of_the_literature(bench):
    sizes = {
        name: sum(p.numel() for p in network.fresh(0).parameters())
        for name, network in bench.NETWORKS.items()
    }
    assert sizes == {"lenet-300-100": 266_610, "lenet-5": 431_080}
    weights = [bench.NETWORKS["lenet-300-100"].fresh(seed).fc1.weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
