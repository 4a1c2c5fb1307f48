"""Probed devices that are kept: for their owner only, whole or not at all."""

import json

import pytest

from optim.devices import own
from optim.errors import ConfigError
from tests.optim.devices.test_calibration import made


@pytest.fixture(scope="module")
def data() -> bytes:
    return json.dumps(made()).encode()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTIM_HOME", str(tmp_path))
    own._calibrated.cache_clear()


def test_a_probe_is_its_owners_and_nobody_elses(data):
    kept = own.keep_probe(data, "anna")
    assert [probe.id for probe in own.probes_of("anna")] == [kept.id]
    assert own.probes_of("ben") == []
    assert own.owners_of_probes() == ["anna"]
    assert own.calibration_of(kept.id, "anna").probe == kept
    with pytest.raises(ConfigError, match="removed, or belongs to somebody else"):
        own.calibration_of(kept.id, "ben")


def test_the_same_probe_is_kept_once_and_can_be_removed(data):
    kept = own.keep_probe(data, "anna")
    own.keep_probe(data, "anna")
    assert len(own.probes_of("anna")) == 1
    assert own.calibration_of(kept.id, "anna") is own.calibration_of(kept.id, "anna")
    own.remove_probe(kept.id, "anna")
    own.remove_probe(kept.id, "anna")
    assert own.probes_of("anna") == []
    with pytest.raises(ConfigError, match="was removed"):
        own.calibration_of(kept.id, "anna")


def test_this_machine_is_answered_for_by_its_present_probe(data):
    first = own.keep_here(data)
    assert own.calibration_of(first.id).probe == first
    again = own.keep_here(json.dumps({**json.loads(data), "threads": 2}).encode())
    assert own.calibration_of(again.id).probe == again
    with pytest.raises(ConfigError, match="was removed"):
        own.calibration_of(first.id)


def test_a_file_that_is_no_probe_is_not_kept():
    with pytest.raises(ConfigError):
        own.keep_probe(b"{}", "anna")
    assert own.probes_of("anna") == []


def test_nobody_keeps_more_than_is_listed(data, monkeypatch):
    monkeypatch.setattr(own, "_MOST", 1)
    own.keep_probe(data, "anna")
    other = {**json.loads(data), "threads": 2}
    with pytest.raises(ConfigError, match="1 probed devices are kept"):
        own.keep_probe(json.dumps(other).encode(), "anna")


def test_a_damaged_file_in_the_folder_is_left_out(data):
    kept = own.keep_probe(data, "anna")
    (own.probe_files_of("anna")[0].parent / "broken.json").write_text("{")
    assert [probe.id for probe in own.probes_of("anna")] == [kept.id]


@pytest.mark.parametrize("name", ["../x", "a/b", ".."])
def test_names_lead_nowhere_else(name):
    with pytest.raises(ConfigError):
        own.remove_probe(name, "anna")


def test_this_machine_is_known_once_it_was_probed(data):
    assert own.probe_here() is None
    kept = own.keep_here(data)
    assert own.probe_here() == kept
    assert own.calibration_of(kept.id).probe == kept
