"""Rates and resolutions by hand, and which parameters decay."""

import math

import pytest
import torch
from torch import nn

from optim.errors import ConfigError
from optim.train import Schedule

SHAPES = ("cosine", "one_cycle", "step", "constant")


def rates(steps, **settings):
    schedule = Schedule(1, **{"learning_rate": 0.8, "warmup": 0.2, **settings})
    return [schedule.rate(step, steps) for step in range(steps)]


@pytest.mark.parametrize("shape", ["cosine", "step", "constant"])
def test_the_warmup_rises_in_equal_steps_to_the_highest_rate(shape):
    assert rates(20, shape=shape)[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_the_cosine_by_hand():
    # Two of ten steps rise; the other eight are at eighths of half a circle.
    expected = [0.4 * (1 + math.cos(math.pi * k / 8)) for k in range(8)]
    assert rates(10)[2:] == pytest.approx(expected)
    assert rates(10)[2] == pytest.approx(0.8)
    assert rates(10)[6] == pytest.approx(0.4)


def test_one_cycle_by_hand():
    # Five of 21 steps rise, so that the peak is step 4; the other sixteen fall.
    found = rates(21, shape="one_cycle", warmup=5 / 21)
    low, high, end = 0.8 / 25, 0.8, 0.8 / 25e4
    assert found[0] == pytest.approx(low)
    assert found[2] == pytest.approx((low + high) / 2)
    assert found[4] == pytest.approx(high)
    assert found[12] == pytest.approx((high + end) / 2)
    assert found[20] == pytest.approx(end)


def test_one_cycle_is_that_of_torch():
    schedule = Schedule(1, learning_rate=0.5, warmup=0.3, shape="one_cycle")
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.5, total_steps=40, pct_start=0.3, div_factor=25, final_div_factor=1e4
    )
    expected = []
    for _ in range(39):
        expected += theirs.get_last_lr()
        optimizer.step()
        theirs.step()
    assert [schedule.rate(step, 40) for step in range(39)] == pytest.approx(expected, rel=1e-9)


def test_steps_fall_tenfold_at_half_and_at_three_quarters():
    found = rates(20, shape="step", warmup=0.0)
    assert found == pytest.approx([0.8] * 10 + [0.08] * 5 + [0.008] * 5)


def test_a_constant_rate_stays():
    assert rates(10, shape="constant", warmup=0.0) == [0.8] * 10


@pytest.mark.parametrize("shape", ["cosine", "step", "constant"])
def test_without_a_warmup_the_first_step_has_the_highest_rate(shape):
    assert rates(10, shape=shape, warmup=0.0)[0] == 0.8


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("warmup", [0.0, 0.15, 0.5])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100])
def test_rates_are_legal_however_short_the_training(shape, warmup, steps):
    found = rates(steps, shape=shape, warmup=warmup)
    assert all(0 < rate <= 0.8 + 1e-12 for rate in found)
    top = found.index(max(found))
    assert found[top:] == sorted(found[top:], reverse=True), "it rises once, then falls"
    assert found[: top + 1] == sorted(found[: top + 1])


def test_images_grow_until_the_middle_of_training():
    schedule = Schedule(8, start_resolution=0.5)
    found = [schedule.resolution(epoch) for epoch in range(1, 9)]
    assert found == pytest.approx([0.5, 0.625, 0.75, 0.875, 1, 1, 1, 1])


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_the_last_epoch_sees_whole_images(epochs):
    assert Schedule(epochs, start_resolution=0.25).resolution(epochs) == 1


def test_images_that_start_whole_stay_so():
    assert {Schedule(5).resolution(epoch) for epoch in range(1, 6)} == {1.0}


@pytest.mark.parametrize(("field", "value"), [("optimizer", "adam"), ("shape", "linear")])
def test_an_unknown_name_is_refused_with_those_there_are(field, value):
    with pytest.raises(ConfigError, match=f"{field} must be one of .*: got '{value}'") as caught:
        Schedule(1, **{field: value})
    assert caught.value.field == field


# --- the optimizer --------------------------------------------------------------------------------


def network():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 2)
    )


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_only_weights_that_multiply_decay(name):
    module = network()
    optimizer = Schedule(1, weight_decay=0.01, optimizer=name).build(module)
    decays = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    found = {n for n, p in module.named_parameters() if decays[id(p)] == 0.01}
    assert found == {"0.weight", "4.weight"}
    assert len(decays) == len(list(module.parameters()))


def test_what_is_frozen_is_not_in_the_optimizer():
    module = network()
    module[0].requires_grad_(False)
    optimizer = Schedule(1).build(module)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in module.parameters() if p.requires_grad}


def test_momentum_is_nesterovs_and_of_adamw_the_first_beta():
    module = network()
    sgd = Schedule(1, momentum=0.7).build(module)
    assert [(g["momentum"], g["nesterov"]) for g in sgd.param_groups] == [(0.7, True)] * 2
    plain = Schedule(1, momentum=0.0).build(module)
    assert not any(g["nesterov"] for g in plain.param_groups)
    adamw = Schedule(1, momentum=0.7, optimizer="adamw").build(module)
    assert {g["betas"] for g in adamw.param_groups} == {(0.7, 0.999)}


def test_two_steps_of_sgd_by_hand():
    parameter = nn.Parameter(torch.tensor([[2.0]]))
    module = nn.ParameterList([parameter])
    optimizer = Schedule(1, learning_rate=0.1, momentum=0.5, weight_decay=0.25).build(module)
    value, velocity = 2.0, 0.0
    for gradient in (1.0, -3.0):
        parameter.grad = torch.tensor([[gradient]])
        optimizer.step()
        pulled = gradient + 0.25 * value
        velocity = 0.5 * velocity + pulled
        value -= 0.1 * (pulled + 0.5 * velocity)
        assert parameter.item() == pytest.approx(value)
