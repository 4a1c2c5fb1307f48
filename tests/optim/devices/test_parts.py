"""What the time of an operator consists of: closed forms of the roofline."""

import pytest

from optim.devices.operators import Operator
from optim.devices.parts import Parts, Roofline, precision_of
from optim.devices.profile import DeviceProfile, Runtime

RUNTIME = Runtime(name="Engine", precisions=("fp32", "int8"), channel_multiple=8)


def profile(**fields):
    given = {
        "peak_tops": {"fp32": 0.002, "int8": 0.008},  # 1e9 and 4e9 MACs a second
        "bandwidth_gb_s": 1.0,
        "overhead_us": 10.0,
    } | fields
    names = tuple(name for name in given if given[name])
    return DeviceProfile(
        name="d", title="D", device_class="sbc", chip="C", runtimes=(RUNTIME,),
        sources={"made up": names}, **given,
    )  # fmt: skip


def conv(inputs, outputs, rows=100, dtype="float32", **more):
    macs = inputs * outputs * rows * 9
    return Operator("c", "conv", dtype, "c", inputs, outputs, rows, 9, macs=macs, **more)


def test_an_operator_that_multiplies_takes_its_macs_over_the_peak_rate():
    parts = Roofline(profile(), RUNTIME).split(conv(8, 8))
    assert parts == Parts(overhead=0.01, compute=pytest.approx(57_600 / 1e6))


def test_precisions_without_a_rate_are_named():
    roofline = Roofline(profile(peak_tops={"fp32": 0.002}), RUNTIME)
    assert roofline.unknown_rates([conv(8, 8)]) == ()
    assert roofline.unknown_rates([conv(8, 8), conv(8, 8, dtype="int8")]) == ("int8",)


def test_sparse_units_multiply_half_of_the_weights_and_take_no_fp32():
    sparse = Runtime(name="S", precisions=("int8", "fp32"), sparsity="2:4")

    def compute(runtime, **more):
        return Roofline(profile(), runtime).split(conv(8, 8, **more)).compute

    dense = compute(sparse, dtype="int8")
    assert compute(sparse, dtype="int8", two_of_four=True) == pytest.approx(dense / 2)
    assert compute(RUNTIME, dtype="int8", two_of_four=True) == pytest.approx(dense)
    assert compute(sparse, two_of_four=True) == compute(sparse)


def test_channels_that_fill_no_block_multiply_zeros():
    full = Roofline(profile(), RUNTIME).split(conv(16, 16))
    part = Roofline(profile(), RUNTIME).split(conv(16, 9))
    assert full.padding == 0
    assert part.total == pytest.approx(full.total)
    assert part.padding / (part.compute + part.padding) == pytest.approx(7 / 16)


def test_depthwise_convolutions_pad_on_one_side_only():
    operator = Operator("d", "depthwise", "float32", inputs=4, outputs=4, rows=100, kernel=9,
                        groups=4, macs=3600)  # fmt: skip
    parts = Roofline(profile(), RUNTIME).split(operator)
    assert parts.padding == pytest.approx(parts.compute)


def test_bytes_beyond_the_time_of_multiplying_are_waited_for():
    operator = conv(8, 8, weight_bytes=1_000_000)
    parts = Roofline(profile(), RUNTIME).split(operator)
    assert parts.memory == pytest.approx(1.0 - parts.compute)
    assert Roofline(profile(bandwidth_gb_s=None), RUNTIME).split(operator).memory == 0


def test_integers_multiply_at_their_own_rate_and_become_no_floats():
    roofline = Roofline(profile(), RUNTIME)
    assert roofline.split(conv(8, 8, dtype="int8")).compute == pytest.approx(57_600 / 4e6)
    floats = Runtime(name="F", precisions=("fp16",))
    assert precision_of(conv(8, 8, dtype="int8"), floats) is None
    assert precision_of(conv(8, 8), floats) == "fp16"


def test_what_another_operator_does_takes_nothing():
    assert Roofline(profile(), RUNTIME).split(conv(8, 8, fused=True)).total == 0


def test_parts_add_up_and_scale():
    both = Parts(1, 2, 3, 4) + Parts(1, 1, 1, 1)
    assert both.total == 14
    assert both.scaled(0.5).total == 7
