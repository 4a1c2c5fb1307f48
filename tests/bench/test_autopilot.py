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


@pytest.fixture
def rows(autopilot):
    def rows(results):
        lines = autopilot.table_text(results).splitlines()
        assert lines[0] == "a model, 3 minutes:"
        return {
            columns[1].strip(): [column.strip() for column in columns[2:-1]]
            for line in lines
            if line.startswith("| ")
            for columns in [line.split("|")]
        }

    return rows


def test_ways_that_were_not_run_say_so(autopilot, rows):
    found = rows({"a model, 3 minutes, seed 0, presets": CELL})
    assert found["presets"][:6] == ["1", "0.500", "", "1 of 1", "10.0 %", "25.0 %"]
    assert {way for way, columns in found.items() if "not run" in columns} == {
        *(set(autopilot.WAYS) - {"presets"}),
        *autopilot.OTHERS,
    }


def test_all_rows_have_as_many_columns(rows):
    nothing = {**CELL, "satisfied": False}
    del nothing["figures"]
    found = rows(
        {"a model, 3 minutes, seed 0, presets": CELL, "a model, 3 minutes, seed 0, int8": nothing}
    )
    assert len({len(columns) for columns in found.values()}) == 1
    assert found["int8"][3] == "0 of 1"


def test_fronts_are_compared_seed_by_seed(rows):
    larger = {"0": 0.6, "1": 0.8, "2": 0.7}
    results = {
        f"a model, 3 minutes, seed {seed}, autopilot": {**CELL, "hypervolume": volume}
        for seed, volume in larger.items()
    }
    results |= {
        f"a model, 3 minutes, seed {seed}, presets": {**CELL, "hypervolume": larger[seed] - 0.25}
        for seed in ("0", "2")
    }
    found = rows(results)
    assert found["autopilot"][2] == ""
    assert found["presets"][2] == "+0.250 ± 0.000"
