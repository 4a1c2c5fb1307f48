"""The bench of widths: which files it makes, and its table."""

import importlib
from pathlib import Path

import pytest

from optim.recipe import Recipe
from optim.subject import open_subject

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch, own_home):
    """The bench, with two ratios."""
    monkeypatch.syspath_prepend(str(BENCH))
    module = importlib.import_module("widths")
    monkeypatch.setattr(module, "RATIOS", (0.1, 0.5))
    return module


def test_files_shrink_with_the_ratio_whatever_the_multiple(bench):
    made = bench.files(open_subject(Recipe("digits-resnet8", "digits")))
    assert list(made) == ["whole", *(f"{r}, {n}" for r in (0.1, 0.5) for n in (1, 4, 8))]
    for n in bench.MULTIPLES:
        assert len(made[f"0.5, {n}"]) < len(made[f"0.1, {n}"]) <= len(made["whole"])


def test_the_table_has_a_row_a_ratio_and_a_column_a_file(bench):
    figures = {f"batch {b}": {"ms": 1.0, "of_whole": [0.75, 0.7, 0.8]} for b in bench.BATCHES}
    found = {f"{r}, {n}": figures for r in (0.1, 0.5) for n in bench.MULTIPLES}
    lines = bench.table({"A network": found}).splitlines()
    assert lines[0] == "**A network**"
    assert lines[2].startswith("| channels removed | batch 1, any width | batch 1, in 4s |")
    assert [line.partition("|")[2].partition("|")[0].strip() for line in lines[4:6]] == [
        "10%",
        "50%",
    ]
    assert lines[4].count("0.75 (0.70 to 0.80)") == 6
