"""What a data sheet promises: operations over peak rate, and bytes over bandwidth."""

from __future__ import annotations

from optim.devices.profile import DeviceProfile
from optim.devices.workload import BYTES, Workload

__all__ = ["hardware_ms"]


def hardware_ms(profile: DeviceProfile, precision: str, row: Workload) -> float | None:
    """Return milliseconds of a batch at peak rates; no model reaches them.

    Without a rate for the precision, the device's highest counts. Without a bandwidth, memory is
    taken to be no limit.

    Returns:
        None if no rate of the device, or the model's MACs, are known.
    """
    if row.macs is None or not profile.peak_tops:
        return None
    rates = dict(profile.peak_tops)
    tops = rates.get(precision) or max(rates.values())  # type: ignore[call-overload]
    ms = 1e3 * row.batch * row.macs / (tops * 1e12 / 2)
    if profile.bandwidth_gb_s:
        elements = row.batch * (row.activations or 0) + (row.params or 0)
        ms += elements * BYTES[precision] / (profile.bandwidth_gb_s * 1e6)
    return float(ms)
