"""Why a step brings no speed-up: every reason on a network made so that it is the one."""

import pytest

from optim.devices.operators import Operator
from optim.devices.profile import Runtime
from optim.ladder.reasons import REASONS
from optim.ladder.why import effect_of
from tests.optim.ladder.made import RUNTIME, Clock, conv, footprint


def codes(effect):
    return [reason.code for reason in effect.reasons]


def text_of(effect, code):
    return next(reason.text for reason in effect.reasons if reason.code == code)


def test_a_step_that_halves_the_work_halves_the_time_and_needs_no_excuse():
    before = footprint(conv("a", 64, 64), conv("b", 64, 64))
    after = footprint(conv("a", 64, 32), conv("b", 32, 64))
    effect = effect_of(before, after, Clock(starting=0.0), RUNTIME)
    assert effect.speedup == pytest.approx(2.0)
    assert effect.brings_speed
    assert effect.touched == pytest.approx(1.0)
    assert codes(effect) == []


def test_zeros_in_a_dense_kernel_save_nothing():
    before = footprint(conv("a", 64, 64))
    after = footprint(conv("a", 64, 64), zeros={"a": 0.9})
    effect = effect_of(before, after, Clock(), RUNTIME)
    assert effect.speedup == 1.0
    assert not effect.brings_speed
    assert codes(effect)[0] == "zeros"
    assert "90 % of the weights in layer a are zero" in text_of(effect, "zeros")
    assert "2.36 M MACs" in text_of(effect, "zeros")


def test_two_of_four_zeros_are_skipped_where_the_runtime_can():
    sparse = Runtime(name="S", precisions=("fp16",), sparsity="2:4")
    before = footprint(conv("a", 64, 64))
    after = footprint(conv("a", 64, 64, two_of_four=True), zeros={"a": 0.5})
    assert codes(effect_of(before, after, Clock(starting=1.0), sparse)) == ["overhead"]
    random = footprint(conv("a", 64, 64), zeros={"a": 0.5})
    assert "2:4" in text_of(effect_of(before, random, Clock(), sparse), "zeros")
    wide = sparse.model_copy(update={"precisions": ("fp32",)})
    assert "32 bits" in text_of(effect_of(before, after, Clock(), wide), "zeros")


def test_fewer_than_eight_bits_are_widened():
    before = footprint(conv("a", 64, 64, dtype="int8"), weight_bits={"a": 8})
    after = footprint(conv("a", 64, 64, dtype="int8"), weight_bits={"a": 4})
    effect = effect_of(before, after, Clock(), RUNTIME)
    assert effect.speedup == 1.0
    assert "Weights of 4 bits in layer a are widened to int8" in text_of(effect, "bits")
    assert "Engine has no kernel for fewer bits" in text_of(effect, "bits")
    narrow = RUNTIME.model_copy(update={"precisions": ("fp32", "int8", "w4")})
    text = text_of(effect_of(before, after, Clock(), narrow), "bits")
    assert "Engine has kernels for narrow weights" in text


def test_layers_left_in_floating_point_are_named_with_their_share():
    before = footprint(conv("a", 64, 64), conv("head", 64, 64))
    after = footprint(conv("a", 64, 64, dtype="int8"), conv("head", 64, 64), weight_bits={"a": 8})
    effect = effect_of(before, after, Clock(), RUNTIME)
    assert "head" in text_of(effect, "floats")
    assert "50 %" in text_of(effect, "floats")
    assert effect.touched == pytest.approx(0.5)
    assert effect.bound == pytest.approx(2.0)


def test_a_runtime_without_integer_kernels_is_told_whatever_it_costs():
    floats = Runtime(name="Floats only", precisions=("fp32",))
    after = footprint(conv("a", 64, 64, dtype="int8"), weight_bits={"a": 8})
    effect = effect_of(footprint(conv("a", 64, 64)), after, Clock(), floats)
    assert "Floats only computes fp32 here, and 1 operator would need int8" in text_of(
        effect, "no_kernel"
    )


def test_widths_within_a_block_save_nothing():
    before = footprint(conv("a", 64, 64))
    after = footprint(conv("a", 64, 57))
    effect = effect_of(before, after, Clock(starting=0.0), RUNTIME)
    assert effect.speedup == pytest.approx(1.0)
    assert codes(effect) == ["padding"]
    assert "57 channels wide" in text_of(effect, "padding")


def test_many_small_operators_cost_their_start():
    before = footprint(*(conv(f"l{i}", 8, 8, rows=16) for i in range(20)))
    after = footprint(*(conv(f"l{i}", 4, 8, rows=16) for i in range(20)))
    effect = effect_of(before, after, Clock(starting=1.0), RUNTIME)
    assert effect.reasons[0].code == "overhead"
    assert "starting 20 operators takes 20 ms" in text_of(effect, "overhead")


def test_what_a_step_leaves_alone_bounds_it():
    before = footprint(conv("a", 8, 8), conv("big", 128, 128))
    after = footprint(conv("a", 8, 4), conv("big", 128, 128))
    effect = effect_of(before, after, Clock(), RUNTIME)
    assert not effect.brings_speed
    assert effect.bound < 1.01
    assert effect.reasons[0].code == "untouched"
    assert "big (100 %)" in text_of(effect, "untouched")


def test_conversions_that_a_step_brings_are_counted():
    convert = Operator("q", "convert", "float32", inputs=64, outputs=64, rows=64)
    before = footprint(conv("a", 8, 8, rows=1))
    after = footprint(convert, conv("a", 8, 8, rows=1, dtype="int8"), weight_bits={"a": 8})
    effect = effect_of(before, after, Clock(), RUNTIME)
    assert "1 conversion between" in text_of(effect, "conversions")
    assert effect.speedup < 1


def test_depthwise_convolutions_that_do_not_gain_are_told():
    def depthwise(dtype):
        return Operator("d", "depthwise", dtype, "d", 64, 64, 64, 9, 64, 64 * 64 * 9)

    effect = effect_of(
        footprint(depthwise("float32")),
        footprint(depthwise("int8"), weight_bits={"d": 8}),
        Clock(),
        RUNTIME,
    )
    assert "1 depthwise convolution: " in text_of(effect, "depthwise")


def test_every_reason_has_a_heading_and_json_is_plain():
    after = footprint(conv("a", 64, 64), zeros={"a": 0.9})
    told = effect_of(footprint(conv("a", 64, 64)), after, Clock(), RUNTIME).to_json()
    assert told["reasons"][0]["title"] == REASONS["zeros"]
    assert told["layers"][0]["layer"] == "a"
    assert told["bound"] is None or told["bound"] >= 1
