"""Predicted against measured: kept for the probe it belongs to, and honest about the interval."""

import json

import pytest

from optim.devices.calibration import Calibration, read_probe
from optim.devices.checked import Checked, checks_here
from optim.devices.own import keep_check
from optim.ladder import checking
from optim.ladder.checking import measure_checks
from optim.models.zoo import ZOO
from optim.quantity import How, Quantity
from tests.optim.devices.test_calibration import made


@pytest.fixture(scope="module")
def calibration():
    return Calibration(read_probe(json.dumps(made()).encode()))


def row(predicted, measured):
    return Checked(
        "net",
        Quantity(predicted, "ms", 0.8 * predicted, 1.2 * predicted, 6, How.ESTIMATED),
        Quantity.exact(measured, "ms"),
    )


def test_errors_and_intervals_are_of_what_was_measured():
    assert row(1.1, 1.0).error == pytest.approx(0.1)
    assert row(1.1, 1.0).is_inside
    assert not row(2.0, 1.0).is_inside


def test_what_was_kept_holds_for_its_probe_only(calibration, tmp_path, monkeypatch):
    monkeypatch.setenv("OPTIM_HOME", str(tmp_path))
    assert checks_here(calibration) == []
    rows = [row(1.0, 1.0)]
    keep_check(
        json.dumps({"probe": calibration.probe.id, "rows": [r.to_json() for r in rows]}).encode()
    )
    assert checks_here(calibration) == rows
    keep_check(json.dumps({"probe": "another", "rows": []}).encode())
    assert checks_here(calibration) == []


def test_every_network_of_the_zoo_is_measured(calibration, monkeypatch):
    monkeypatch.setattr(checking, "latency_of", lambda *_, **__: Quantity.exact(1.0, "ms"))
    monkeypatch.setattr(checking, "model_cards", dict)
    shares = []
    found = measure_checks(calibration, shares.append)
    assert len(found) == len(ZOO)
    assert all(r.predicted.value > 0 for r in found)
    assert shares == sorted(shares)
