"""How many weights go, when, which ones, and which come back."""

import copy

import pytest
import torch
from torch import nn

from optim.errors import ConfigError
from optim.train import Gradual, GradualMasks, Masks

CPU = torch.device("cpu")


class Two(nn.Module):
    """Two layers of 20 and 30 weights; the second one's are ten times larger."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(5, 4), nn.Linear(10, 3)
        draws = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.a.weight.normal_(0, 0.1, generator=draws)
            self.b.weight.normal_(0, 1.0, generator=draws)


SHAPES = {"a": (4, 5), "b": (3, 10)}


def attached(settings, fixed=None, module=None):
    module = module or Two()
    masks = GradualMasks(settings, SHAPES, fixed)
    masks.attach(module, CPU)
    return masks, module


def zeros(masks):
    return {name: int((~mask).sum()) for name, mask in masks.current.items()}


# --- when -----------------------------------------------------------------------------------------


def test_the_cubic_schedule_by_hand():
    settings = Gradual(0.8, "cubic", updates=4)
    found = [settings.sparsity_at(k) for k in range(5)]
    assert found == pytest.approx([0.8 * (1 - (1 - k / 4) ** 3) for k in range(5)])
    assert found[1] == pytest.approx(0.4625)
    assert found[-1] == 0.8


def test_the_linear_schedule_by_hand():
    settings = Gradual(0.8, "linear", updates=4)
    assert [settings.sparsity_at(k) for k in range(5)] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])


def test_one_shot_removes_all_at_the_first_update():
    settings = Gradual(0.8, "one_shot", updates=4)
    assert [settings.sparsity_at(k) for k in range(5)] == [0.8] * 5


def test_the_schedule_starts_from_the_sparsity_that_is_there():
    settings = Gradual(0.8, "linear", updates=4)
    assert [settings.sparsity_at(k, 0.4) for k in range(5)] == pytest.approx(
        [0.4, 0.5, 0.6, 0.7, 0.8]
    )


def test_the_exchanged_share_falls_along_a_cosine():
    settings = Gradual(0.8, updates=4, regrow=0.3)
    assert [settings.exchanged_at(k) for k in (0, 2, 4)] == pytest.approx([0.3, 0.15, 0.0])


@pytest.mark.parametrize("steps", [1, 2, 5, 19, 100, 1000])
@pytest.mark.parametrize(
    ("start", "end"), [(0.0, 0.75), (0.2, 0.6), (0.5, 0.5), (0.0, 1.0), (1.0, 1.0)]
)
def test_updates_come_in_order_and_the_last_one_always_does(steps, start, end):
    settings = Gradual(0.5, start=start, end=end, updates=20)
    found = [(step, settings.update_at(step, steps)) for step in range(steps)]
    made = [(step, update) for step, update in found if update is not None]
    updates = [update for _, update in made]
    assert updates == sorted(set(updates))
    assert updates[-1] == 20
    assert made[0][0] >= min(steps - 1, round(start * steps))
    assert made[-1][0] == min(steps - 1, round(end * steps))
    assert all(not settings.is_over(step, steps) for step, _ in made)
    assert settings.is_over(made[-1][0] + 1, steps)


def test_updates_are_evenly_spaced():
    settings = Gradual(0.5, start=0.1, end=0.6, updates=5)
    made = {step: k for step in range(100) if (k := settings.update_at(step, 100)) is not None}
    assert made == {10: 0, 20: 1, 30: 2, 40: 3, 50: 4, 60: 5}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"removal": "slow"}, "removal"),
        ({"scope": "layer"}, "scope"),
        ({"start": 0.8, "end": 0.5}, "end"),
        ({"end": 1.5}, "end"),
    ],
    ids=str,
)
def test_settings_without_a_meaning_are_refused(settings, field):
    with pytest.raises(ConfigError) as caught:
        Gradual(0.5, **settings)
    assert caught.value.field == field


# --- which ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("removal", ["one_shot", "linear", "cubic"])
@pytest.mark.parametrize("scope", ["global", "local"])
@pytest.mark.parametrize("regrow", [0.0, 0.4])
def test_counts_are_exact_after_every_update(removal, scope, regrow):
    settings = Gradual(0.7, removal, updates=6, end=1.0, scope=scope, regrow=regrow)
    masks, module = attached(settings)
    draws = torch.Generator().manual_seed(1)
    for step in range(30):
        for layer in (module.a, module.b):
            layer.weight.grad = torch.randn(layer.weight.shape, generator=draws)
        update = settings.update_at(step, 30)
        changed = masks.update(step, 30)
        assert changed == (() if update is None else ("a", "b"))
        if update is not None:
            share = settings.sparsity_at(update)
            found = zeros(masks)
            if scope == "global":
                assert sum(found.values()) == round(share * 50)
            else:
                assert found == {"a": round(share * 20), "b": round(share * 30)}
            for name, mask in masks.current.items():
                assert not module.get_parameter(f"{name}.weight")[~mask].any()
    assert sum(zeros(masks).values()) == 35


def test_the_smallest_weights_go_first():
    masks, module = attached(Gradual(0.5, "one_shot", scope="local"))
    sizes = {n: module.get_parameter(f"{n}.weight").abs().clone() for n in SHAPES}
    masks.update(0, 10)
    for name, mask in masks.current.items():
        assert sizes[name][~mask].max() < sizes[name][mask].min()


def test_by_movement_what_training_moves_towards_zero_goes_first():
    masks, module = attached(
        Gradual(0.5, "one_shot", 0.2, 0.4, criterion="movement", scope="local")
    )
    moved = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    draws = torch.Generator().manual_seed(3)
    for step in range(10):
        for name, total in moved.items():
            weight = module.get_parameter(f"{name}.weight")
            weight.grad = torch.randn(weight.shape, generator=draws)
            if step <= 2:
                total -= (weight * weight.grad).detach()
        masks.update(step, 10)
    for name, mask in masks.current.items():
        assert int(mask.sum()) == mask.numel() // 2
        assert moved[name][~mask].max() < moved[name][mask].min()


def test_movement_goes_on_from_a_state_and_stops_with_the_last_removal():
    settings = Gradual(0.6, "linear", updates=4, end=0.5, criterion="movement")
    (masks, module), last = attached(settings), {}
    other = copy.deepcopy(module)
    again, _ = attached(settings, module=other)
    draws = torch.Generator().manual_seed(4)
    for step in range(10):
        for name in SHAPES:
            gradient = torch.randn(SHAPES[name], generator=draws)
            for own in (module, other):
                own.get_parameter(f"{name}.weight").grad = gradient
        masks.update(step, 10)
        if step == 2:
            again.load(masks.current, {n: score.clone() for n, score in masks.movement.items()})
            other.load_state_dict(module.state_dict())
        elif step > 2:
            again.update(step, 10)
        if step == 5:
            last = {name: score.clone() for name, score in masks.movement.items()}
    for name, score in masks.movement.items():
        assert torch.equal(masks.current[name], again.current[name])
        assert torch.equal(score, last[name])
        assert torch.equal(score, again.movement[name])


def test_global_scope_takes_from_the_layer_of_small_weights():
    together, _ = attached(Gradual(0.4, "one_shot", scope="global"))
    together.update(0, 10)
    assert zeros(together)["a"] > 15
    assert sum(zeros(together).values()) == 20


def test_what_was_removed_stays_removed_without_regrowth():
    masks, module = attached(Gradual(0.8, "linear", updates=8, end=1.0))
    before = {name: mask.clone() for name, mask in masks.current.items()}
    draws = torch.Generator().manual_seed(2)
    for step in range(16):
        with torch.no_grad():  # training moves weights anywhere
            for layer in (module.a, module.b):
                layer.weight.normal_(generator=draws)
        masks.zero_weights_()
        masks.update(step, 16)
        for name, mask in masks.current.items():
            assert not (mask & ~before[name]).any()
            before[name] = mask.clone()


def test_masks_of_earlier_steps_count_and_never_come_back():
    fixed = {"a": torch.ones(4, 5, dtype=torch.bool)}
    fixed["a"][:2] = False
    settings = Gradual(0.6, "linear", updates=5, end=1.0, regrow=0.5)
    masks, module = attached(settings, fixed)
    assert not module.a.weight[:2].any(), "they are applied from the start"
    for step in range(10):
        for layer in (module.a, module.b):
            layer.weight.grad = torch.full_like(layer.weight, 1.0)
        module.a.weight.grad[:2] = 1e6  # however much the loss pulls
        masks.update(step, 10)
        assert not masks.current["a"][:2].any()
    assert sum(zeros(masks).values()) == 30


def test_more_zeros_than_wanted_are_left_as_they_are():
    fixed = {"a": torch.zeros(4, 5, dtype=torch.bool), "b": torch.ones(3, 10, dtype=torch.bool)}
    fixed["b"][0] = False
    masks, _ = attached(Gradual(0.1, "cubic", end=1.0), fixed)
    for step in range(10):
        masks.update(step, 10)
    assert torch.equal(masks.current["a"], fixed["a"])
    assert torch.equal(masks.current["b"], fixed["b"])


def test_fixed_masks_of_layers_that_are_not_removed_from_are_kept():
    module = Two()
    fixed = {"b": torch.rand(3, 10) > 0.5}
    masks = GradualMasks(Gradual(0.5, "one_shot"), {"a": (4, 5)}, fixed)
    masks.attach(module, CPU)
    assert masks.update(0, 10) == ("a",)
    assert torch.equal(masks.current["b"], fixed["b"])
    assert zeros(masks)["a"] == 10


def test_a_layer_can_have_a_sparsity_of_its_own():
    masks = GradualMasks(Gradual(0.4, "linear", updates=4, end=1.0), SHAPES, None, {"b": 0.9})
    masks.attach(Two(), CPU)
    found = []
    for step in range(5):
        masks.update(step, 5)
        found.append(zeros(masks))
    assert found[2] == {"a": round(0.2 * 20), "b": round(0.45 * 30)}
    assert found[4] == {"a": round(0.4 * 20), "b": round(0.9 * 30)}


# --- re-growth ------------------------------------------------------------------------------------


def test_an_exchange_by_hand():
    module = nn.Sequential(nn.Linear(8, 1))
    weight = module[0].weight
    with torch.no_grad():
        weight.copy_(torch.tensor([[0.1, 0.2, 0.3, 0.4, 5.0, 6.0, 7.0, 8.0]]))
    settings = Gradual(0.5, "one_shot", start=0.0, end=0.5, updates=2, scope="local", regrow=0.5)
    masks = GradualMasks(settings, {"0": (1, 8)})
    masks.attach(module, CPU)
    # Steps 0, 2 and 4 of 8 make the updates 0, 1 and 2.
    weight.grad = torch.tensor([[9.0, 0.1, 0.2, 8.0, 0.0, 0.0, 0.0, 0.0]])
    masks.update(0, 8)
    # The four smallest go. Of the four left, half are exchanged: 5 and 6 for the pulls 9 and 8.
    assert masks.current["0"].tolist() == [[True, False, False, True, False, False, True, True]]
    # What comes back starts at zero, and what is dropped is zero.
    assert weight.tolist() == [[pytest.approx(v) for v in (0.1, 0, 0, 0.4, 0, 0, 7, 8)]]


@pytest.mark.parametrize("scope", ["global", "local"])
def test_exchanges_keep_the_count_of_every_layer(scope):
    settings = Gradual(0.5, "one_shot", updates=10, end=1.0, scope=scope, regrow=0.3)
    masks, module = attached(settings)
    draws = torch.Generator().manual_seed(3)
    counts, seen = [], set()
    for step in range(20):
        for layer in (module.a, module.b):
            layer.weight.grad = torch.randn(layer.weight.shape, generator=draws)
            with torch.no_grad():
                layer.weight.add_(0.1 * torch.randn(layer.weight.shape, generator=draws))
        masks.zero_weights_()
        if masks.update(step, 20):
            counts.append(zeros(masks))
            seen.add(tuple(masks.current["b"].flatten().tolist()))
    assert all(count == counts[0] for count in counts)
    assert len(seen) > 3, "which ones are zero does change"


def test_the_last_update_exchanges_nothing():
    masks, module = attached(Gradual(0.5, "one_shot", updates=4, end=1.0, regrow=0.5))
    for layer in (module.a, module.b):
        layer.weight.grad = torch.randn(layer.weight.shape)
    masks.update(0, 9)
    before = {name: mask.clone() for name, mask in masks.current.items()}
    masks.update(8, 9)
    assert all(torch.equal(before[name], mask) for name, mask in masks.current.items())


# --- masks that never change ----------------------------------------------------------------------


def test_masks_hold_gradients_and_weights_at_zero():
    module = Two()
    mask = torch.rand(4, 5) > 0.5
    masks = Masks({"a": mask})
    masks.attach(module, CPU)
    assert torch.equal(module.a.weight != 0, mask)
    module.a.weight.grad = torch.ones(4, 5)
    masks.zero_gradients_()
    assert torch.equal(module.a.weight.grad, mask.float())
    assert masks.update(0, 10) == ()
    assert masks.is_final(0, 10)


def test_they_go_on_from_a_state():
    settings = Gradual(0.6, "linear", updates=4, end=1.0)
    masks, module = attached(settings)
    for step in range(5):
        masks.update(step, 10)
    state = {name: mask.clone() for name, mask in masks.current.items()}
    again, _ = attached(settings, module=module)
    again.load(state, {})
    assert zeros(again) == zeros(masks)
    for step in range(5, 10):
        masks.update(step, 10)
        again.update(step, 10)
    assert all(torch.equal(again.current[name], mask) for name, mask in masks.current.items())
