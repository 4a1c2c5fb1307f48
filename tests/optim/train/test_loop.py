"""The one training loop: what it learns, keeps, leaves alone and refuses."""

import copy
import math

import pytest
import torch
from torch import nn

from optim.errors import CalibrationError, Cancelled, ConfigError, RunError
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


def problem_of(family):
    bundle = tiny_bundle(family)
    train = data_for(bundle).part("train")
    targets = torch.from_numpy(train.targets.copy())
    return bundle.module, bundle.spec.normalise(train.inputs), targets


@pytest.fixture
def problem():
    _, x, targets = problem_of("mlp")
    module = tiny_bundle("mlp").content.architecture.build((12,), 4, seed=0)
    return module, x, targets


@pytest.fixture
def images():
    return problem_of("resnet")


def learn(problem, epochs=2, **options):
    module, x, targets = problem
    module = copy.deepcopy(module)
    options.setdefault("schedule", Schedule(epochs, 32, 0.1))
    options.setdefault("objective", classification_loss())
    generator = torch.Generator().manual_seed(options.pop("seed", 0))
    return module, fit(module, x, targets, generator=generator, **options)


def same(first, second):
    mine, theirs = first.state_dict(), second.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in mine.items())


# --- learning -------------------------------------------------------------------------------------


def test_it_learns_on_every_device(problem, device):
    module, history = learn(problem, epochs=8)
    assert history[-1].loss < 0.5 * history[0].loss
    assert next(module.parameters()).device.type == "cpu"
    assert not module.training
    with torch.inference_mode():
        assert (module(problem[1]).argmax(1) == problem[2]).float().mean() > 0.9


@pytest.mark.parametrize("shape", ["cosine", "one_cycle", "step", "constant"])
@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.1), ("adamw", 0.01)])
def test_every_schedule_learns(problem, optimizer, rate, shape):
    schedule = Schedule(6, 32, rate, optimizer=optimizer, shape=shape)
    _, history = learn(problem, schedule=schedule)
    assert history[-1].loss < 0.6 * history[0].loss
    assert history[-1].train_accuracy > 0.8


def test_the_same_seed_gives_the_same_weights(images):
    options = {
        "augment": Augment(shift=2, flip=True, cutout=4),
        "mix": Mix(0.5, 0.5),
        "average": 0.9,
    }
    first, second, other = (learn(images, seed=s, **options)[0] for s in (1, 1, 2))
    assert same(first, second)
    assert not same(first, other)


def test_every_sample_is_seen_once_an_epoch_in_another_order(problem):
    _, x, _ = problem
    seen = []

    def watch(outputs, targets, inputs):
        seen.append(inputs)
        return classification_loss()(outputs, targets, inputs)

    learn(problem, epochs=2, objective=watch)
    first, second = torch.cat(seen[:3]), torch.cat(seen[3:])
    assert sorted(map(tuple, first.tolist())) == sorted(map(tuple, x.tolist()))
    assert sorted(map(tuple, second.tolist())) == sorted(map(tuple, x.tolist()))
    assert not torch.equal(first, second)


def test_epochs_are_told_as_they_end(problem):
    told = []
    _, history = learn(problem, epochs=3, on_epoch=told.append)
    assert told == history
    assert [epoch.number for epoch in history] == [1, 2, 3]
    assert [epoch.learning_rate for epoch in history] == pytest.approx(
        [Schedule(3, 32, 0.1).rate(step, 9) for step in (2, 5, 8)]
    )


def test_the_loss_told_is_the_mean_over_the_steps(problem):
    losses = []

    def watch(outputs, targets, inputs):
        loss = classification_loss()(outputs, targets, inputs)
        losses.append(loss.item())
        return loss

    _, history = learn(problem, epochs=2, objective=watch)
    assert history[0].loss == pytest.approx(sum(losses[:3]) / 3)
    assert history[1].loss == pytest.approx(sum(losses[3:]) / 3)


def test_progress_never_goes_back_and_ends_at_one(problem):
    told = []
    learn(problem, epochs=3, progress=lambda share, what: told.append((share, what)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert told[-1][1].startswith("epoch 3 of 3, loss ")


def test_training_accuracy_is_not_told_where_samples_were_mixed(problem):
    assert learn(problem)[1][-1].train_accuracy is not None
    assert learn(problem, mix=Mix(mixup=0.5))[1][-1].train_accuracy is None


def test_the_accuracy_told_is_that_of_the_model_on_validation_samples(problem):
    _, x, targets = problem
    module, history = learn(problem, validation=(x[:50], targets[:50]))
    with torch.inference_mode():
        right = int((module(x[:50]).argmax(1) == targets[:50]).sum())
    assert history[-1].accuracy == right / 50


def test_it_stops_between_steps(problem):
    steps = []

    def check():
        steps.append(1)
        if len(steps) == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        learn(problem, epochs=50, check=check)
    assert len(steps) == 4


# --- one weight, whose way is known ---------------------------------------------------------------


class Climber(nn.Module):
    """Answers class 1 where its only weight is above the input."""

    def __init__(self):
        super().__init__()
        self.height = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return torch.cat([x, self.height.expand(len(x), 1)], dim=1)


def up(outputs, targets, inputs):
    """A loss whose gradient is -1: without momentum a step raises the weight by the rate."""
    return -outputs[:, 1].mean()


STEADY = {
    "learning_rate": 1.0,
    "warmup": 0.0,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "clip": 0.0,
    "shape": "constant",
}


def climb(epochs, changes=(), objective=up, settings=None, **options):
    """Train the climber: one step an epoch, so that after epoch ``k`` it is ``k`` high.

    From epoch ``k`` to ``k + 1`` it gets ``changes[k - 1]`` more validation samples right: above a
    sample's input the answer is class 1, which is right for some and wrong for others.
    """
    inputs = [k + 0.5 for k, change in enumerate(changes, 1) for _ in range(abs(change))]
    goals = [int(change > 0) for change in changes for _ in range(abs(change))]
    module = Climber()
    history = fit(
        module,
        torch.zeros(4, 1),
        torch.arange(4) % 2,
        objective,
        Schedule(epochs, 4, **{**STEADY, **(settings or {})}),
        generator=torch.Generator(),
        validation=(torch.tensor(inputs)[:, None], torch.tensor(goals)) if changes else None,
        **options,
    )
    return module.height.item(), history


def test_the_climber_climbs():
    height, history = climb(5, (2, -1, 1, 0))
    assert height == 5
    right = [4 * epoch.accuracy for epoch in history]
    assert right == [1, 3, 2, 3, 3]


@pytest.mark.parametrize(
    ("changes", "best"),
    [((1, 1, -1, -1), 3), ((2, -1, 1, 0), 2), ((-1, -1, 1, 1), 1), ((1, -1, 1, 1), 5)],
    ids=["middle", "first of equals", "first", "last"],
)
def test_the_best_epoch_is_kept_and_named(changes, best):
    notes = []
    height, history = climb(5, changes, stopping=Stopping("best"), note=notes.append)
    assert height == best
    assert len(history) == 5
    accuracy = history[best - 1].accuracy
    assert notes == [f"Kept epoch {best} of 5, the best on validation samples ({accuracy:.1%})."]


def test_the_last_epoch_is_kept_where_none_is_chosen():
    assert climb(5, (1, 1, -1, -1))[0] == 5


@pytest.mark.parametrize(("keep", "kept"), [("best", 3), ("last", 5)])
def test_patience_stops_when_no_epoch_was_better_for_so_long(keep, kept):
    notes = []
    changes = (1, 1, -1, 0, 5, 5)
    height, history = climb(7, changes, stopping=Stopping(keep, patience=2), note=notes.append)
    assert len(history) == 5, "the third was the best, and the fifth is the second without a better"
    assert height == kept
    assert notes[0] == "Stopped after epoch 5 of 7: none was better in the last 2."


def test_a_better_epoch_in_time_makes_patience_begin_anew():
    _, history = climb(9, (1, -1, 2, -1, 2, -1, 0, 0), stopping=Stopping("best", patience=2))
    assert len(history) == 8


def test_the_average_of_the_weights_is_kept():
    expected, height = 0.0, 0.0
    for n in range(1, 6):
        height += 1
        decay = min(0.6, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * height
    assert climb(5, average=0.6)[0] == pytest.approx(expected)


def test_epochs_are_compared_by_their_average():
    heights = []
    average = 0.0
    for n in range(1, 6):
        decay = min(0.6, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * n
        heights.append(average)
    height, history = climb(5, (1, 1, -1, -1), average=0.6, stopping=Stopping("best"))
    counts = [(h > 1.5) + (h > 2.5) + (h < 3.5) + (h < 4.5) for h in heights]
    assert [4 * epoch.accuracy for epoch in history] == counts
    assert height == pytest.approx(heights[counts.index(max(counts))])


def test_the_gradient_is_clipped_to_its_norm():
    def steep(outputs, targets, inputs):
        return 1000 * up(outputs, targets, inputs)

    assert climb(3, objective=steep, settings={"clip": 0.5})[0] == pytest.approx(1.5, rel=1e-4)
    assert climb(3, objective=steep)[0] == pytest.approx(3000)


def test_a_small_gradient_is_not_clipped():
    assert climb(3, settings={"clip": 5.0})[0] == 3


# --- what pulls weights towards zero --------------------------------------------------------------


def nothing(outputs, targets, inputs):
    return 0 * outputs.sum()


def pulled(frozen=(), **settings):
    """Return a convolution with its norms before and after a step without a loss."""
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.LayerNorm(12), nn.Linear(12, 2)
    )
    before = copy.deepcopy(module)
    fit(
        module,
        torch.randn(4, 1, 4, 4),
        torch.arange(4) % 2,
        nothing,
        Schedule(1, 4, **{**STEADY, "learning_rate": 0.1, **settings}),
        generator=torch.Generator(),
        frozen=frozen,
    )
    return dict(before.named_parameters()), dict(module.named_parameters())


WEIGHTS = ("0.weight", "4.weight")


def test_weights_decay_and_biases_and_norms_do_not():
    before, after = pulled(weight_decay=0.5)
    for name, value in before.items():
        expected = 0.95 * value if name in WEIGHTS else value
        torch.testing.assert_close(after[name], expected)


def test_l1_pulls_every_weight_by_the_same_amount_and_leaves_biases_and_norms():
    before, after = pulled(l1=0.02)
    for name, value in before.items():
        expected = value - 0.002 * value.sign() if name in WEIGHTS else value
        torch.testing.assert_close(after[name], expected)


def test_frozen_weights_are_not_pulled():
    before, after = pulled(l1=0.02, weight_decay=0.5, frozen=("0",))
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["4.weight"], after["4.weight"])


def test_l1_makes_more_weights_small(problem):
    def small(l1):
        module, _ = learn(problem, schedule=Schedule(20, 32, 0.1, l1=l1))
        return float((module.fc1.weight.abs() < 0.02).float().mean())

    assert small(0.02) > 3 * small(0.0)


# --- frozen layers --------------------------------------------------------------------------------

FROZEN = ("conv1", "bn1", "layer1.0.conv1", "layer1.0.bn1")


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_frozen_layers_are_bit_equal_with_their_statistics(images, optimizer):
    schedule = Schedule(2, 32, 0.05, optimizer=optimizer, weight_decay=0.1, l1=0.001)
    module, _ = learn(images, schedule=schedule, frozen=FROZEN, average=0.5)
    before = images[0].state_dict()
    kept = {n for n, value in module.state_dict().items() if torch.equal(value, before[n])}
    assert {n for n in before if n.rpartition(".")[0] in FROZEN} <= kept
    changed = before.keys() - kept
    assert {"layer1.0.conv2.weight", "layer1.0.bn2.running_mean", "linear.bias"} <= changed


def test_afterwards_the_same_parameters_want_gradients_as_before(images):
    images[0].linear.bias.requires_grad_(False)
    module, _ = learn(images, frozen=FROZEN)
    assert {n for n, p in module.named_parameters() if not p.requires_grad} == {"linear.bias"}
    assert torch.equal(module.linear.bias, images[0].linear.bias)


def test_everything_frozen_leaves_nothing_to_train(problem):
    layers = [name for name, _ in problem[0].named_modules() if name]
    with pytest.raises(ConfigError, match="nothing to train") as caught:
        learn(problem, frozen=layers)
    assert caught.value.field == "freeze"


# --- masks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_masked_weights_stay_zero_after_every_step(problem, optimizer):
    mask = torch.rand(16, 12) > 0.5
    schedule = Schedule(2, 32, 0.05, optimizer=optimizer)
    found = []
    module = problem[0]
    module.fc1.register_forward_pre_hook(
        lambda layer, args: found.append(layer.training and bool(layer.weight[~mask].any()))
    )
    trained, _ = learn(problem, schedule=schedule, masks={"fc1": mask}, average=0.7)
    assert len(found) >= 6
    assert not any(found)
    assert not trained.fc1.weight[~mask].any()
    assert trained.fc1.weight[mask].all()


@pytest.mark.parametrize("regrow", [0.0, 0.3])
@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.1), ("adamw", 0.01)])
def test_growing_masks_end_at_the_sparsity_and_the_model_still_learns(
    problem, optimizer, rate, regrow
):
    shapes = {"fc1": (16, 12)}
    masks = GradualMasks(Gradual(0.75, "cubic", scope="local", regrow=regrow), shapes)
    schedule = Schedule(8, 16, rate, optimizer=optimizer)
    module, history = learn(problem, schedule=schedule, masks=masks, average=0.5)
    assert int((module.fc1.weight == 0).sum()) == 144
    assert torch.equal(module.fc1.weight != 0, masks.current["fc1"])
    assert history[-1].train_accuracy > 0.9


def test_weights_that_went_have_no_momentum_when_they_come_back():
    weight = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    module = nn.Sequential(nn.Linear(4, 2))
    with torch.no_grad():
        module[0].weight.copy_(torch.cat([weight, -weight]))

    class Scripted(GradualMasks):
        """Takes the first column away in step 1 and gives it back in step 3."""

        def update(self, step, steps):
            if step not in (1, 3):
                return ()
            self.current["0"][:, 0] = step == 3
            self.zero_weights_()
            return ("0",)

    masks = Scripted(Gradual(0.5), {"0": (2, 4)})
    schedule = Schedule(4, 4, **{**STEADY, "learning_rate": 0.1, "momentum": 0.9})

    def sloped(outputs, targets, inputs):
        return outputs[:, 0].mean()

    x = torch.ones(4, 4)
    fit(module, x, torch.arange(4) % 2, sloped, schedule, generator=torch.Generator(), masks=masks)
    # One step with a fresh velocity: the gradient 1 and, by Nesterov, 0.9 of it again.
    assert module[0].weight[0, 0].item() == pytest.approx(-0.19)
    assert module[0].weight[0, 1].item() < 1.5, "the others kept their momentum"


def test_an_epoch_before_masks_are_final_is_never_the_best(problem):
    _, x, targets = problem
    masks = GradualMasks(Gradual(0.9, "linear", end=0.6, scope="local"), {"fc1": (16, 12)})
    notes = []
    module, _ = learn(
        problem,
        schedule=Schedule(5, 32, 0.1),
        masks=masks,
        validation=(x, targets),
        stopping=Stopping("best", patience=1),
        note=notes.append,
    )
    assert int((module.fc1.weight == 0).sum()) == round(0.9 * 192)
    assert notes[-1].startswith(("Kept epoch 4 of", "Kept epoch 5 of"))


# --- faster ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compute", "tolerance"),
    [(Compute(channels_last=False), 1e-4), (Compute("bfloat16"), 0.05)],
    ids=["channels first", "bfloat16"],
)
def test_another_arithmetic_gives_about_the_same(images, compute, tolerance):
    usual, history = learn(images)
    module, other = learn(images, compute=compute)
    for mine, theirs in zip(history, other, strict=True):
        assert mine.loss == pytest.approx(theirs.loss, rel=tolerance)
    with torch.inference_mode():
        found, expected = module(images[1]), usual(images[1])
    assert (found - expected).abs().mean() < tolerance * expected.abs().mean()
    assert all(p.dtype == torch.float32 for p in module.parameters())
    assert all(p.is_contiguous() for p in module.parameters())
    assert compute.precision == "float32" or not same(module, usual)


def test_images_start_small_and_end_whole(images):
    seen = []

    def watch(outputs, targets, inputs):
        seen.append(tuple(inputs.shape[2:]))
        return classification_loss()(outputs, targets, inputs)

    schedule = Schedule(4, 32, 0.1, start_resolution=0.5)
    learn(images, schedule=schedule, objective=watch)
    assert seen[::3] == [(8, 8), (12, 12), (16, 16), (16, 16)]
    assert all(seen[i] == seen[3 * (i // 3)] for i in range(12))


def test_a_model_of_one_size_cannot_start_smaller():
    lenet = problem_of("lenet-5")
    before = copy.deepcopy(lenet[0])
    with pytest.raises(ConfigError, match="images of one size only") as caught:
        learn(lenet, schedule=Schedule(4, 32, 0.1, start_resolution=0.5))
    assert caught.value.field == "start_resolution"
    assert same(lenet[0], before)


def test_a_compiled_forward_is_used_and_what_it_cost_is_told(images, monkeypatch):
    calls, notes = [], []

    def pretended(module):
        def forward(x):
            calls.append(len(x))
            return module(x)

        return forward

    plain, _ = learn(images)
    monkeypatch.setattr(torch, "compile", pretended)
    module, _ = learn(images, compute=Compute(compile=True), note=notes.append)
    assert same(module, plain), "timing it changes neither weights nor statistics"
    assert len(calls) == 5 + 6, "five to time it, six to train"
    assert len(notes) == 1
    assert notes[0].startswith("Compiling took ")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch warns about itself while it compiles
def test_torch_compiles_the_loop(images):
    notes = []
    usual, history = learn(images)
    module, other = learn(images, compute=Compute(compile=True), note=notes.append)
    assert other[-1].loss == pytest.approx(history[-1].loss, rel=1e-3)
    with torch.inference_mode():
        torch.testing.assert_close(module(images[1]), usual(images[1]), atol=0.02, rtol=0.02)
    assert notes[0].startswith("Compiling took ")


# --- a loss that explodes -------------------------------------------------------------------------


def exploding(step, value=math.nan):
    """Return a loss that is no number in one step, counted from 1."""
    steps = []

    def loss(outputs, targets, inputs):
        steps.append(1)
        factor = value if len(steps) == step else 1.0
        return factor * classification_loss()(outputs, targets, inputs)

    return loss


def steady(epochs):
    return Schedule(epochs, 32, 0.05, shape="constant", warmup=0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(("step", "epoch"), [(1, 1), (3, 1), (4, 2), (8, 3), (9, 3)])
def test_the_module_is_then_what_it_was_after_the_last_good_epoch(images, step, epoch, value):
    module = copy.deepcopy(images[0])
    with pytest.raises(RunError, match=f"loss became {value} in epoch {epoch}") as caught:
        fit(
            module,
            *images[1:],
            exploding(step, value),
            steady(5),
            generator=torch.Generator().manual_seed(0),
        )
    assert "learning rate" in caught.value.hint
    expected = images[0] if epoch == 1 else learn(images, schedule=steady(epoch - 1))[0]
    assert same(module, expected)
    assert not module.training
    assert all(p.requires_grad for p in module.parameters())


def test_weights_that_explode_under_a_finite_loss_are_found(problem):
    module = copy.deepcopy(problem[0])

    def rootless(outputs, targets, inputs):
        return (0 * outputs).abs().sqrt().sum()

    with pytest.raises(RunError, match="weights are no longer finite after epoch 1"):
        fit(module, *problem[1:], rootless, Schedule(3, 96), generator=torch.Generator())
    assert same(module, problem[0])


def test_extreme_data_are_an_error_and_not_a_ruined_model(problem):
    x = problem[1].clone()
    x[0, 0] = math.inf
    module = copy.deepcopy(problem[0])
    with pytest.raises(RunError, match="loss became nan in epoch 1"):
        fit(module, x, problem[2], classification_loss(), steady(1), generator=torch.Generator())
    assert same(module, problem[0])


# --- what cannot be trained on --------------------------------------------------------------------


def test_fewer_samples_than_a_batch_are_one_batch_and_that_is_said(problem):
    module, x, targets = problem
    notes = []
    _, history = learn((module, x[:5], targets[:5]), epochs=2, note=notes.append)
    assert len(history) == 2
    assert notes == [
        "A batch of 32 is more than the 5 training samples; all of them are one batch."
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, t: (x[:1], t[:1]), "Training needs at least 2 samples: got 1."),
        (lambda x, t: (x[:0], t[:0]), "Training needs at least 2 samples: got 0."),
        (
            lambda x, t: (x, t * 0 + 2),
            "All 96 training samples are of class 2; training needs at least two classes.",
        ),
        (
            lambda x, t: (x, t + 1),
            "Targets must be from 0 to 3, the model's outputs: got 4.",
        ),
        (
            lambda x, t: (x, t - 1),
            "Targets must be from 0 to 3, the model's outputs: got -1.",
        ),
    ],
    ids=["one", "none", "one class", "too high", "negative"],
)
def test_unusable_training_samples_are_refused_in_one_sentence(problem, change, message):
    module, x, targets = problem
    with pytest.raises(CalibrationError) as caught:
        learn((module, *change(x, targets)))
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ((torch.zeros(0, 12), torch.zeros(0).long()), "The validation part holds no sample."),
        (
            (torch.zeros(2, 12), torch.tensor([0, 9])),
            "Targets must be from 0 to 3, the model's outputs: got 9.",
        ),
    ],
    ids=["empty", "too high"],
)
def test_unusable_validation_samples_are_refused_in_one_sentence(problem, validation, message):
    with pytest.raises(CalibrationError) as caught:
        learn(problem, validation=validation)
    assert caught.value.message == message


@pytest.mark.parametrize("stopping", [Stopping("best"), Stopping("last", 3)], ids=str)
def test_nothing_is_chosen_without_validation_samples(problem, stopping):
    with pytest.raises(ConfigError, match="chosen on validation samples") as caught:
        learn(problem, stopping=stopping)
    assert caught.value.field == "keep"


def test_what_is_refused_leaves_the_module(images):
    module = copy.deepcopy(images[0])
    module.conv1.weight.requires_grad_(False)
    with pytest.raises(CalibrationError):
        fit(
            module,
            images[1],
            images[2] + 7,
            classification_loss(),
            Schedule(1),
            generator=torch.Generator(),
        )
    assert same(module, images[0])
    assert [n for n, p in module.named_parameters() if not p.requires_grad] == ["conv1.weight"]
    assert all(p.is_contiguous() for p in module.parameters())


def test_the_loss_decides_only_through_its_gradient(problem):
    doubled, _ = learn(problem, objective=lambda o, t, x: classification_loss()(o, t, x) + 5)
    assert same(doubled, learn(problem)[0])
