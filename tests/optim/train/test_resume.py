"""A training that was stopped ends as if it had not been, to the last bit."""

import io
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from optim.errors import Cancelled, RunError
from optim.train import (
    Augment,
    Compute,
    Gradual,
    GradualMasks,
    Mix,
    Schedule,
    Stopping,
    classification_loss,
    fit,
)
from tests.helpers import data_for, tiny_bundle

EPOCHS, STEPS = 3, 6
"""Of 96 samples in batches of 16."""


class Kept:
    """Keeps states as a file does: bytes, in which every tensor lies in the usual order."""

    def __init__(self, *, due=False):
        self.files = []
        self._due = due

    def load(self):
        if not self.files:
            return None
        return torch.load(io.BytesIO(self.files[-1]), weights_only=True)

    def save(self, state):
        file = io.BytesIO()
        torch.save(self._laid_out(state), file)
        self.files.append(file.getvalue())

    def due(self):
        return self._due

    def _laid_out(self, value):
        if isinstance(value, torch.Tensor):
            return value.contiguous()
        if isinstance(value, dict):
            return {key: self._laid_out(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._laid_out(item) for item in value]
        return value


class Helped(nn.Module):
    """A loss with a weight of its own that is trained along."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, outputs, targets, inputs):
        return classification_loss()(outputs * self.scale, targets, inputs)


SHAPES = {"conv1": (8, 3, 3, 3), "linear": (4, 32)}
FIXED = {"linear": torch.arange(128).reshape(4, 32) % 3 > 0}


def growing(**settings):
    return GradualMasks(Gradual(**{"sparsity": 0.7, "updates": 8, **settings}), SHAPES, dict(FIXED))


SETTINGS = {
    "sgd, average, masks, mixtures": lambda: {
        "augment": Augment(shift=2, flip=True, cutout=3),
        "mix": Mix(0.4, 0.8),
        "masks": dict(FIXED),
        "average": 0.8,
    },
    "adamw, best": lambda: {
        "schedule": Schedule(EPOCHS, 16, 0.01, optimizer="adamw", l1=0.001, shape="one_cycle"),
        "stopping": Stopping("best"),
    },
    "re-growth": lambda: {"masks": growing(regrow=0.3), "average": 0.5},
    "own weights, channels first": lambda: {
        "objective": Helped(),
        "compute": Compute(channels_last=False),
        "schedule": Schedule(EPOCHS, 16, 0.05, start_resolution=0.5, momentum=0.8),
    },
    "bfloat16, patience": lambda: {
        "compute": Compute("bfloat16"),
        "stopping": Stopping("last", patience=1),
        "frozen": ("conv1", "bn1"),
    },
}


@pytest.fixture(params=SETTINGS)
def settings(request):
    """The name of some settings."""
    return request.param


@pytest.fixture(scope="module")
def data():
    return samples()


@cache
def samples():
    bundle = tiny_bundle("resnet")
    dataset = data_for(bundle)
    found = []
    for part in ("train", "validation"):
        own = dataset.part(part)
        found += [bundle.spec.normalise(own.inputs), torch.from_numpy(own.targets.copy())]
    return found


def module_with_dropout():
    module = tiny_bundle("resnet").module
    module.dropout.p = 0.2
    return module


def train(data, options, resume=None, stop_at=None, module=None, seed=0):
    """Train, and stop before a step counted from 0 if asked to."""
    x, targets, *validation = data
    module = module or module_with_dropout()
    steps = []

    def check():
        steps.append(1)
        if stop_at is not None and len(steps) > stop_at:
            raise Cancelled

    torch.manual_seed(5)  # dropout draws from the global generator
    history = fit(
        module,
        x,
        targets,
        generator=torch.Generator().manual_seed(seed),
        validation=tuple(validation),
        resume=resume,
        check=check,
        **{
            "objective": classification_loss(),
            "schedule": Schedule(EPOCHS, 16, 0.05),
            **options,
        },
    )
    return module, [replace(epoch, seconds=0.0) for epoch in history]


@cache
def unbroken(name):
    """Return the module and the epochs of a training that was never stopped; not to be changed."""
    return train(samples(), SETTINGS[name](), Kept())


def assert_equal(found, expected):
    (module, history), (other, other_history) = found, expected
    assert history == other_history
    for name, value in module.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


# Every check is a step or, one after the last step of each epoch, the validation.
MOMENTS = {
    "in the first epoch": 3,
    "in the third": 2 * (STEPS + 1) + 4,
    "before a first step": STEPS + 1,
    "in validation": 2 * STEPS + 1,
    "in the last step": EPOCHS * (STEPS + 1) - 2,
}


@pytest.mark.parametrize("stop_at", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("due", [True, False], ids=["saved in mid-epoch", "saved after epochs"])
def test_it_ends_as_if_nothing_had_happened(data, settings, due, stop_at):
    kept = Kept(due=due)
    try:
        train(data, SETTINGS[settings](), kept, stop_at)
    except Cancelled:
        torch.rand(7)  # the process that goes on has drawn other numbers
        assert due or len(kept.files) == stop_at // (STEPS + 1)
        assert_equal(train(data, SETTINGS[settings](), kept), unbroken(settings))
    else:
        assert len(unbroken(settings)[1]) < EPOCHS, "only patience may end before it is stopped"


def test_it_can_be_stopped_again_and_again(data, settings):
    kept, attempts = Kept(due=True), 0
    while True:
        attempts += 1
        try:
            found = train(data, SETTINGS[settings](), kept, stop_at=5)
        except Cancelled:
            continue
        break
    assert attempts >= 3
    assert_equal(found, unbroken(settings))


def test_saving_changes_nothing(data, settings):
    assert_equal(train(data, SETTINGS[settings]()), unbroken(settings))


def test_a_finished_training_is_not_trained_again(data, settings):
    kept = Kept()
    expected = train(data, SETTINGS[settings](), kept)
    assert_equal(train(data, SETTINGS[settings](), kept, stop_at=0), expected)


def test_masks_that_grew_are_those_of_the_unbroken_training(data):
    whole, broken, again = growing(regrow=0.3), growing(regrow=0.3), growing(regrow=0.3)
    train(data, {"masks": whole}, Kept())
    kept = Kept(due=True)
    with pytest.raises(Cancelled):
        train(data, {"masks": broken}, kept, stop_at=9)
    train(data, {"masks": again}, kept)
    for name, mask in whole.current.items():
        assert torch.equal(mask, again.current[name])


def test_epochs_before_are_told_again(data):
    kept, told = Kept(), []
    with pytest.raises(Cancelled):
        train(data, {}, kept, stop_at=2 * (STEPS + 1))
    _, history = train(data, {"on_epoch": told.append}, kept)
    assert [epoch.number for epoch in told] == [1, 2, 3]
    assert [replace(epoch, seconds=0.0) for epoch in told] == history


def test_a_loss_that_explodes_after_a_resumption_gives_back_the_resumed_module(data):
    kept = Kept(due=True)
    with pytest.raises(Cancelled):
        train(data, {}, kept, stop_at=4)
    saved = kept.load()
    assert saved["position"] == 4
    module = module_with_dropout()
    with pytest.raises(RunError, match="loss became nan in epoch 1"):
        train(data, {"objective": lambda o, t, x: o.sum() * torch.nan}, kept, module=module)
    for name, value in module.state_dict().items():
        assert torch.equal(value, saved["module"][name])


# --- a state that does not belong here ------------------------------------------------------------

OTHERS = {
    "schedule": {"schedule": Schedule(EPOCHS, 16, 0.06)},
    "augment": {"augment": Augment(shift=1)},
    "mix": {"mix": Mix(0.1)},
    "stopping": {"stopping": Stopping("best")},
    "precision": {"compute": Compute("bfloat16")},
    "average": {"average": 0.5},
    "frozen": {"frozen": ("conv1",)},
    "masks": {"masks": {"linear": ~FIXED["linear"]}},
    "sparsity": {"masks": growing(sparsity=0.6)},
}


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS)
def test_a_state_of_other_settings_is_refused(data, changed):
    kept = Kept(due=True)
    before = {"masks": growing()} if isinstance(changed.get("masks"), GradualMasks) else {}
    with pytest.raises(Cancelled):
        train(data, before, kept, stop_at=4)
    module = module_with_dropout()
    with pytest.raises(RunError) as caught:
        train(data, changed, kept, module=module)
    assert caught.value.message == (
        "The saved state belongs to a training with other settings or data."
    )
    if "masks" not in changed:
        for name, value in module_with_dropout().state_dict().items():
            assert torch.equal(value, module.state_dict()[name])


def test_a_state_of_another_seed_is_refused(data):
    kept = Kept(due=True)
    with pytest.raises(Cancelled):
        train(data, {}, kept, stop_at=4)
    with pytest.raises(RunError, match="other settings or data"):
        train(data, {}, kept, seed=1)


@pytest.mark.parametrize("part", [0, 1], ids=["inputs", "targets"])
def test_a_state_of_other_data_is_refused(data, part):
    kept = Kept(due=True)
    with pytest.raises(Cancelled):
        train(data, {}, kept, stop_at=4)
    other = list(data)
    other[part] = other[part].flip(0)
    with pytest.raises(RunError, match="other settings or data"):
        train(other, {}, kept)


@pytest.mark.parametrize("missing", ["module", "optimizer", "random", "settings", "history"])
def test_a_state_in_which_something_is_missing_is_refused(data, missing):
    kept = Kept(due=True)
    with pytest.raises(Cancelled):
        train(data, {}, kept, stop_at=4)
    state = kept.load()
    del state[missing]
    kept.save(state)
    module = module_with_dropout()
    with pytest.raises(RunError, match=f"cannot be used: '{missing}'"):
        train(data, {}, kept, module=module)
    for name, value in module_with_dropout().state_dict().items():
        assert torch.equal(value, module.state_dict()[name]), "what was begun is undone"


def test_another_number_of_threads_is_said(data):
    kept, notes = Kept(due=True), []
    with pytest.raises(Cancelled):
        train(data, {}, kept, stop_at=4)
    state = kept.load()
    state["threads"] += 6
    kept.save(state)
    train(data, {"note": notes.append}, kept)
    assert len(notes) == 1
    assert "may differ in its last digits" in notes[0]
