"""The one training loop: repeatable, masked, stopped, and loud about what is wrong."""

import copy
import math

import pytest
import torch
from torch import nn

from optim.errors import CalibrationError, Cancelled, RunError
from optim.train import Augment, Schedule, classification_loss, fit
from tests.helpers import data_for, tiny_bundle


@pytest.fixture
def problem():
    bundle = tiny_bundle("mlp")
    train = data_for(bundle).part("train")
    return (
        bundle.content.architecture.build((12,), 4, seed=0),
        bundle.spec.normalise(train.inputs),
        torch.from_numpy(train.targets.copy()),
    )


def learn(problem, epochs=2, **options):
    module, x, targets = problem
    module = copy.deepcopy(module)
    options.setdefault("schedule", Schedule(epochs, 32, 0.1))
    schedule = options.pop("schedule")
    generator = torch.Generator().manual_seed(options.pop("seed", 0))
    history = fit(
        module, x, targets, classification_loss(), schedule, generator=generator, **options
    )
    return module, history


def test_it_learns_on_every_device(problem, device):
    module, history = learn(problem, epochs=8)
    assert history[-1].loss < 0.5 * history[0].loss
    assert next(module.parameters()).device.type == "cpu"
    assert not module.training
    with torch.inference_mode():
        assert (module(problem[1]).argmax(1) == problem[2]).float().mean() > 0.9


def test_the_same_seed_gives_the_same_weights(problem):
    first, second, other = (learn(problem, seed=s)[0] for s in (1, 1, 2))
    assert torch.equal(first.fc1.weight, second.fc1.weight)
    assert not torch.equal(first.fc1.weight, other.fc1.weight)


def test_masked_weights_stay_zero_after_every_step(problem):
    mask = torch.rand(16, 12) > 0.5
    module = copy.deepcopy(problem[0])
    with torch.no_grad():
        module.fc1.weight.mul_(mask)
    trained, _ = learn((module, *problem[1:]), masks={"fc1": mask})
    assert not trained.fc1.weight[~mask].any()
    assert trained.fc1.weight[mask].all()


def test_epochs_are_told_as_they_end(problem):
    told = []
    _, history = learn(problem, epochs=3, on_epoch=told.append)
    assert told == history
    assert [epoch.number for epoch in history] == [1, 2, 3]


def test_it_stops_between_steps(problem):
    steps = []

    def check():
        steps.append(1)
        if len(steps) == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        learn(problem, epochs=50, check=check)
    assert len(steps) == 4


def test_a_loss_that_explodes_is_an_error(problem):
    x = problem[1].clone()
    x[0, 0] = math.inf
    with pytest.raises(RunError, match="loss became nan in epoch 1") as caught:
        learn((problem[0], x, problem[2]), epochs=1)
    assert "learning rate" in caught.value.hint


def test_one_sample_is_not_enough(problem):
    with pytest.raises(CalibrationError, match="at least 2 samples: got 1"):
        learn((problem[0], problem[1][:1], problem[2][:1]))


def test_fewer_samples_than_a_batch_are_one_batch(problem):
    _, history = learn((problem[0], problem[1][:5], problem[2][:5]), schedule=Schedule(2, 64, 0.1))
    assert len(history) == 2


def test_the_rate_rises_and_falls_to_zero():
    schedule = Schedule(epochs=1, learning_rate=0.4, warmup=0.2)
    rates = [schedule.rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.4 / 20)
    assert max(rates) == pytest.approx(0.4)
    assert rates.index(max(rates)) in (19, 20)
    assert rates[-1] < 0.001
    assert rates[20:] == sorted(rates[20:], reverse=True)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_very_short_schedules_have_legal_rates(steps):
    assert all(0 < Schedule(1).rate(i, steps) <= 0.1 for i in range(steps))


def test_weights_decay_and_biases_do_not():
    module = nn.Sequential(nn.Linear(2, 2))
    before = copy.deepcopy(module)

    def nothing(outputs, targets, inputs):
        return 0 * outputs.sum()

    schedule = Schedule(1, 2, 0.1, momentum=0.0, weight_decay=0.5)
    fit(
        module,
        torch.ones(4, 2),
        torch.arange(4) % 2,
        nothing,
        schedule,
        generator=torch.Generator(),
    )
    assert torch.equal(module[0].bias, before[0].bias)
    assert (module[0].weight.abs() < before[0].weight.abs()).all()


# --- augmentation -------------------------------------------------------------------------------


def test_shifted_images_are_windows_of_the_padded_image():
    x = torch.arange(2 * 3 * 5 * 5.0).reshape(2, 3, 5, 5) + 1
    generator = torch.Generator().manual_seed(0)
    padded = nn.functional.pad(x, [2] * 4)
    offsets = set()
    for _ in range(120):
        for i, image in enumerate(Augment(shift=2)(x, generator)):
            windows = [
                (r, c)
                for r in range(5)
                for c in range(5)
                if torch.equal(image, padded[i, :, r : r + 5, c : c + 5])
            ]
            assert windows
            offsets.add(windows[0])
    assert len(offsets) == 25, "every shift occurs"


def test_half_of_the_images_are_mirrored():
    x = torch.arange(6.0).reshape(1, 1, 2, 3).repeat(400, 1, 1, 1)
    out = Augment(flip=True)(x, torch.Generator().manual_seed(0))
    mirrored = (out == x.flip(3)).flatten(1).all(dim=1)
    same = (out == x).flatten(1).all(dim=1)
    assert (mirrored | same).all()
    assert 150 < mirrored.sum() < 250


def test_tables_and_series_are_left_alone():
    x = torch.randn(4, 7)
    assert Augment(shift=3, flip=True)(x, torch.Generator()) is x


def test_augmentation_leaves_its_input():
    x = torch.randn(2, 1, 4, 4)
    before = x.clone()
    Augment(shift=2, flip=True)(x, torch.Generator())
    assert torch.equal(x, before)
