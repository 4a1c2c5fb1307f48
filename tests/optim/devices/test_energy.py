import pytest

from optim.devices.energy import (
    CARBON_INTENSITY,
    battery_life,
    carbon,
    energy_of,
    node_factor,
    payback,
)
from optim.devices.profile import catalogue, device
from optim.devices.workload import Workload
from optim.errors import ConfigError
from optim.quantity import How, Quantity

MODEL = Workload(macs=1e7, params=1e5, activations=1e5)


def joules(value, spread=1.0):
    return Quantity(value, "j", value / spread, value * spread)


@pytest.mark.parametrize("profile", [p for p in catalogue().values() if p.process_nm])
def test_compute_and_movement_add_up(profile):
    found = energy_of(profile, profile.precisions[0], MODEL)
    assert found.total.value == pytest.approx(found.compute.value + found.movement.value)
    assert found.total.how is How.ESTIMATED
    assert found.total.low < found.total.value < found.total.high


def test_fewer_bits_cost_less_to_compute_and_to_move():
    pi = device("raspberry-pi-4")
    wide, narrow = (energy_of(pi, precision, MODEL) for precision in ("fp32", "int8"))
    assert narrow.compute.value < wide.compute.value
    assert narrow.movement.value == pytest.approx(wide.movement.value / 4)


def test_energy_grows_with_the_batch_except_for_weights():
    pi = device("raspberry-pi-4")
    weights = Workload(macs=1.0, params=1e9)
    several = Workload(macs=1.0, params=1e9, batch=8)
    one, eight = (energy_of(pi, "fp32", model).total.value for model in (weights, several))
    assert eight == pytest.approx(one)


def test_the_figures_of_the_paper_hold_at_its_node():
    """One fp32 MAC is 4.6 pJ, and a quarter of an instruction 17.5 pJ; a DRAM byte is 244 pJ."""
    pi = device("raspberry-pi-4").model_copy(update={"process_nm": 45.0})
    assert energy_of(pi, "fp32", Workload(macs=1e12)).compute.value == pytest.approx(22.1)
    moved = energy_of(pi, "fp32", Workload(macs=1e-6, params=1e9)).movement.value
    assert moved == pytest.approx(4 * 0.24375)


def test_smaller_nodes_cost_less():
    factors = [node_factor(nm) for nm in (180, 90, 45, 28, 16, 7, 4)]
    assert factors == sorted(factors, reverse=True)
    assert factors[2] == 1


def test_what_is_not_known_is_refused():
    with pytest.raises(ConfigError, match="its process is not known"):
        energy_of(device("tpu-v5e"), "int8", MODEL)
    with pytest.raises(ConfigError, match="MACs"):
        energy_of(device("h100"), "int8", Workload(params=1.0))


def test_a_battery_lasts_as_long_as_arithmetic_says():
    """1 J once a second is 1 W: 1000 mWh last an hour."""
    assert battery_life(joules(1.0), 3600, 1000).value == pytest.approx(1.0)
    assert battery_life(joules(1.0), 3600, 1000, idle_mw=1000).value == pytest.approx(0.5)
    life = battery_life(joules(1.0, spread=2), 3600, 1000)
    assert (life.low, life.high) == pytest.approx((0.5, 2.0))
    assert str(battery_life(joules(1e-6), 60, 1000)).endswith("years")


def test_carbon_is_energy_times_intensity():
    found = carbon(joules(3.6e6), CARBON_INTENSITY["France"])
    assert found.value == 55
    assert found.unit == "g_co2e"
    assert found.how is How.ESTIMATED


def test_compressing_is_paid_back_after_what_was_spent_over_what_is_saved():
    found = payback(joules(100.0), joules(2.0), joules(1.0))
    assert found.value == 100
    assert found.how is How.MEASURED
    rough = payback(joules(100.0), joules(2.0, 3), joules(1.0, 3))
    assert rough.low < 100 < rough.high
    assert payback(joules(100.0), joules(1.0), joules(1.0)) is None
    assert payback(joules(100.0), joules(1.0), joules(2.0)) is None


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_illegal_figures_are_refused(value):
    with pytest.raises(ConfigError, match="inferences_per_hour"):
        battery_life(joules(1.0), value, 1000)
    with pytest.raises(ConfigError, match="capacity_mwh"):
        battery_life(joules(1.0), 1, value)
    with pytest.raises(ConfigError, match="grams_per_kwh"):
        carbon(joules(1.0), value)


def test_only_energies_are_taken():
    with pytest.raises(ConfigError, match="above 0 J"):
        carbon(Quantity.exact(1.0, "ms"))
