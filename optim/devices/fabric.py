"""How many MACs programmable logic does a cycle at any bit-width: DSP slices and lookup tables.

A slice of AMD's families (DSP48) multiplies one pair of up to 18 bits a cycle, two pairs of 8 bits
that share a factor, four of 4 bits. Narrower ones gain nothing more there; they are cheap in lookup
tables instead, which are counted as FINN counts them: for W and A bits, partial products of
``(2 ceil((W + A) / 6) - 1) (W + A)`` tables and ``2 (W + A)`` of the adder tree, a tenth more for
what is around.

It is a ceiling, as data sheets state peak rates: all slices and all tables multiply in every cycle.
What share of it designs reach is left to :func:`optim.devices.predict.peak_share`. Nothing measured
at these widths was there to check it against.

References:
    Fu et al., Deep Learning with INT8 Optimization on Xilinx Devices, WP486, 2016 (two a slice).
    Han et al., Convolutional Neural Network with INT4 Optimization on Xilinx Devices, WP521, 2020
    (four a slice).
    Blott et al., FINN-R: An End-to-End Deep-Learning Framework for Fast Exploration of Quantized
    Neural Networks, 2018, arXiv:1809.04570, and its ``lut_estimation`` (lookup tables).
"""

from __future__ import annotations

import math

from optim.devices.profile import DeviceProfile

__all__ = ["luts_of_mac", "macs_of_slice", "macs_per_s"]

_PACKED = ((4, 4), (8, 2), (18, 1))
"""``(most bits of both factors, MACs of a slice a cycle)``."""
_AROUND = 1.1


def macs_of_slice(weight_bits: int, activation_bits: int) -> float:
    """Return the MACs that one DSP slice does a cycle; a wide one takes several slices.

    Example:
        >>> macs_of_slice(8, 8), macs_of_slice(4, 4), macs_of_slice(2, 8)
        (2, 4, 2)
    """
    widest = max(weight_bits, activation_bits)
    for bits, macs in _PACKED:
        if widest <= bits:
            return macs
    return 1 / math.ceil(widest / 18) ** 2


def luts_of_mac(weight_bits: int, activation_bits: int) -> float:
    """Return the lookup tables that multiply and add one pair a cycle.

    Example:
        >>> round(luts_of_mac(8, 8)), round(luts_of_mac(4, 4)), round(luts_of_mac(2, 2))
        (123, 44, 13)
    """
    both = weight_bits + activation_bits
    return _AROUND * both * (2 * math.ceil(both / 6) - 1 + 2)


def macs_per_s(profile: DeviceProfile, weight_bits: int, activation_bits: int) -> float | None:
    """Return the highest rate of multiply-accumulates that a device's logic can be made into.

    Args:
        profile: Its clock, slices and lookup tables are read.
        weight_bits: Of the weights.
        activation_bits: Of what they are multiplied with.

    Returns:
        None if the clock, or what the device is made of, is not known.
    """
    if not (profile.clock_mhz and profile.has_fabric):
        return None
    slices = (profile.dsp_slices or 0) * macs_of_slice(weight_bits, activation_bits)
    tables = (profile.luts or 0) / luts_of_mac(weight_bits, activation_bits)
    return 1e6 * profile.clock_mhz * (slices + tables)
