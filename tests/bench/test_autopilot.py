"""The table of the bench of the Autopilot: what was not run says so."""

import importlib
from pathlib import Path

import pytest

from optim.quantity import Quantity

BENCH = Path(__file__).resolve().parents[2] / "bench"

CELL = {
    "seconds": 180.0,
    "cpu_seconds": 90.0,
    "candidates": 12,
    "satisfied": True,
    "hypervolume": 0.5,
    "bytes_of_original": 1000.0,
    "macs_of_original": 2000.0,
    "figures": {
        "bytes": Quantity.exact(100.0, "bytes").to_json(),
        "macs": Quantity.exact(500.0, "macs").to_json(),
        "loss": Quantity.exact(0.5, "points").to_json(),
    },
    "test_loss": Quantity.exact(0.75, "points").to_json(),
}


@pytest.fixture
def autopilot(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("autopilot")


def test_ways_that_were_not_run_say_so(autopilot):
    text = autopilot.table_text({"a model, 3 minutes, seed 0, presets": CELL})
    lines = text.splitlines()
    assert lines[0] == "a model, 3 minutes:"
    rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    assert "| 1 | 0.500 | 1 of 1 | 10.0 % | 25 % |" in rows["presets"]
    assert {way for way, line in rows.items() if "not run" in line} == {
        *(set(autopilot.WAYS) - {"presets"}),
        *autopilot.OTHERS,
    }


def test_what_found_nothing_has_a_row_of_as_many_cells(autopilot):
    nothing = {**CELL, "satisfied": False}
    del nothing["figures"]
    with_, without = autopilot.row_text("presets", [CELL]), autopilot.row_text("int8", [nothing])
    assert with_.count("|") == without.count("|")
