"""Rates of programmable logic, by hand."""

import pytest

from optim.devices.fabric import luts_of_mac, macs_of_slice, macs_per_s
from optim.devices.profile import DeviceProfile, Runtime, catalogue


def logic(**fields):
    given = {"clock_mhz": 100.0, "dsp_slices": 10, "luts": 4400, "arbitrary_bits": True} | fields
    sourced = tuple(name for name in given if name != "arbitrary_bits" and given[name])
    runtime = Runtime(name="Made", precisions=("int8",), arbitrary_bits=True)
    return DeviceProfile(
        name="d", title="D", device_class="fpga", chip="C", runtimes=(runtime,),
        sources={"made up": sourced}, **given,
    )  # fmt: skip


def test_slices_and_tables_multiply_at_the_clock():
    # 10 slices with four pairs each, 4400 tables at 44 a pair
    assert macs_per_s(logic(), 4, 4) == pytest.approx(1e8 * (40 + 100))
    assert macs_per_s(logic(luts=None), 8, 8) == pytest.approx(1e8 * 20)


def test_fewer_bits_are_never_slower():
    for device in (d for d in catalogue().values() if d.has_fabric):
        rates = [macs_per_s(device, bits, bits) for bits in range(8, 0, -1)]
        assert rates == sorted(rates)
        assert rates[-1] > 4 * rates[0]


def test_the_wider_of_both_decides_what_a_slice_holds():
    assert macs_of_slice(2, 8) == macs_of_slice(8, 2) == 2
    assert macs_of_slice(16, 16) == 1
    assert macs_of_slice(32, 32) == pytest.approx(1 / 4)
    assert luts_of_mac(2, 8) == luts_of_mac(5, 5)


@pytest.mark.parametrize("missing", [{"clock_mhz": None}, {"dsp_slices": None, "luts": None}])
def test_without_clock_or_logic_there_is_no_rate(missing):
    assert macs_per_s(logic(**missing), 8, 8) is None
    assert not logic(**missing).has_rate


def test_the_ceiling_lies_above_what_the_vendor_ships():
    device = catalogue()["kria-kv260"]
    ceiling = macs_per_s(device, 8, 8)
    assert 1 < ceiling / device.macs_per_s("int8") < 2
