import sys
from types import ModuleType, SimpleNamespace

import pytest

from optim.measure import energy
from optim.measure.energy import EnergyMeter
from optim.quantity import How


@pytest.fixture
def zeus(monkeypatch):
    """Return a stand-in for the library, whose reading and faults a test may set."""
    state = SimpleNamespace(reading=reading(), broken="")

    class Monitor:
        def __init__(self):
            if state.broken == "open":
                raise RuntimeError("no permission to read the counter")

        def begin_window(self, key, sync_execution=True):
            state.window = key

        def end_window(self, key, sync_execution=True):
            assert key == state.window
            if state.broken == "read":
                raise RuntimeError("the GPU is lost")
            return state.reading

    module = ModuleType("zeus.monitor")
    module.ZeusMonitor = Monitor
    monkeypatch.setitem(sys.modules, "zeus", ModuleType("zeus"))
    monkeypatch.setitem(sys.modules, "zeus.monitor", module)
    monkeypatch.setattr(energy, "find_spec", lambda name: object())
    return state


def reading(gpu=None, cpu=None, dram=None):
    return SimpleNamespace(gpu_energy=gpu or {}, cpu_energy=cpu, dram_energy=dram)


def test_all_meters_are_added_up(zeus):
    zeus.reading = reading(gpu={0: 10.0, 1: 5.0}, cpu={0: 2.5}, dram={0: 0.5})
    found = EnergyMeter.start().stop()
    assert (found.value, found.unit, found.how) == (18.0, "j", How.MEASURED)


def test_without_a_meter_nothing_is_measured(zeus):
    assert EnergyMeter.start().stop() is None


def test_without_the_library_there_is_no_meter(monkeypatch):
    monkeypatch.setattr(energy, "find_spec", lambda name: None)
    assert EnergyMeter.start() is None


def test_a_meter_that_fails_stops_nothing(zeus):
    zeus.broken = "open"
    assert EnergyMeter.start() is None
    zeus.broken = "read"
    assert EnergyMeter.start().stop() is None
