"""Training side by side: the same start for all, every cell once, differences seed by seed."""

from typing import Annotated, ClassVar

import pytest
import torch

from optim.alternatives.alternative import Alternative
from optim.alternatives.outcomes import Cell, compared, times_to
from optim.alternatives.training import train_alternatives
from optim.errors import CalibrationError, Cancelled, ConfigError
from optim.fields import Range
from optim.models.mlp import MLP
from optim.models.resnet import ResNet
from optim.quantity import Quantity
from optim.step import Applied, NoResume, Step, StepReport
from optim.techniques.distill import Distill
from optim.techniques.finetune import FineTune
from tests.helpers import data_for, tiny_bundle


class Nudge(Step):
    """Adds a constant to every weight and says so, in place of training."""

    title: ClassVar[str] = "Nudge"
    about: ClassVar[str] = "Stands in for training."
    cost: ClassVar[str] = "training"

    by: Annotated[float, Range(low=0, high=1, step=0.1, label="By", help="Added.")] = 0.0

    def apply(self, bundle, context):
        if context.step_id != "warm-up":
            starts.append((context.seed, context.step_id, bundle.hash))
        context.check()
        for epoch in (1, 2):
            context.record({"epoch": epoch, "seconds": 2.0, "accuracy": 0.4 * epoch})
        return Applied(bundle, StepReport("Nudged."))


class Kept(Nudge):
    """Keeps what it was given."""

    def apply(self, bundle, context):
        modules.append(bundle.module)
        return super().apply(bundle, context)


starts = []
modules = []


@pytest.fixture(autouse=True)
def no_starts():
    starts.clear()
    modules.clear()


@pytest.fixture
def data():
    return data_for(tiny_bundle("mlp"))


def alternatives(*titles):
    return [Alternative(title, MLP(width=8), Nudge()) for title in titles]


def cell(title, seed, accuracy=0.8, train=0.9, seconds=10.0, epochs=()):
    return Cell(title, seed, epochs, train, accuracy, seconds)


def test_every_alternative_is_trained_once_a_seed_and_seeds_come_one_by_one(data):
    found = list(train_alternatives(alternatives("a", "b"), data, seeds=[0, 1]))
    assert [(c.title, c.seed) for c in found] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_all_alternatives_of_a_seed_start_from_the_same_weights_and_order(data):
    list(train_alternatives(alternatives("a", "b"), data, seeds=[0, 1]))
    assert starts[0] == starts[1] != starts[2] == starts[3]


@pytest.mark.parametrize("change", [{"normalisation": "none"}, {"dropout": 0.3}])
def test_without_norms_a_network_starts_from_the_same_weights(change):
    first = ResNet(width=8, depth=8)
    changed = first.replace(**change)
    ways = [Alternative("a", first, Nudge()), Alternative("b", changed, Kept())]
    list(train_alternatives(ways, data_for(tiny_bundle("resnet")), seeds=[3]))
    shape = tiny_bundle("resnet").spec.shape
    given = dict(first.build(shape, 4, seed=3).named_parameters())
    found = dict(modules[-1].named_parameters())
    assert given.keys() & found.keys() >= {"conv1.weight", "layer3.0.conv2.weight", "linear.bias"}
    for name in given.keys() & found.keys():
        assert torch.equal(found[name], given[name]), name


def test_another_network_starts_from_weights_of_its_own(data):
    ways = [Alternative("a", MLP(width=8), Nudge()), Alternative("b", MLP(width=16), Kept())]
    list(train_alternatives(ways, data, seeds=[3]))
    own = MLP(width=16).build(data.input_shape, 4, seed=3)
    for found, wanted in zip(modules[-1].parameters(), own.parameters(), strict=True):
        assert torch.equal(found, wanted)


def test_what_was_trained_before_is_not_trained_again(data):
    grid = alternatives("a", "b")
    first = list(train_alternatives(grid, data, seeds=[0]))
    rest = list(train_alternatives(grid, data, seeds=[0, 1], done=first))
    assert [(c.title, c.seed) for c in rest] == [("a", 1), ("b", 1)]


def test_figures_of_every_epoch_are_kept_and_passed_on(data):
    heard = []
    (found,) = train_alternatives(
        alternatives("a"),
        data,
        seeds=[3],
        tracker=lambda title, seed: (
            NoResume(),
            lambda figures: heard.append((title, seed, figures["epoch"])),
        ),
    )
    assert heard == [("a", 3, 1), ("a", 3, 2)]
    assert [figures["accuracy"] for figures in found.epochs] == [0.4, 0.8]


def test_the_first_training_is_not_the_first_thing_the_process_does(data):
    seen = []

    class Watched(Nudge):
        def apply(self, bundle, context):
            seen.append((context.step_id, len(context.training()[0])))
            return super().apply(bundle, context)

    many = data_for(tiny_bundle("mlp"), train=300)
    found = list(
        train_alternatives([Alternative("a", MLP(width=8), Watched())], many, seeds=[0, 1])
    )
    assert seen == [("warm-up", 256), ("training", 300), ("training", 300)]
    assert len(found) == 2


def test_what_an_earlier_attempt_has_trained_counts(data):
    """The epochs of a training that goes on are told again, with the seconds that they took."""

    class Resumed(Nudge):
        def apply(self, bundle, context):
            for epoch in (1, 2):
                context.record({"epoch": epoch, "seconds": 50.0, "accuracy": 0.5})
            return Applied(bundle, StepReport("Gone on with."))

    (found,) = train_alternatives([Alternative("a", MLP(width=8), Resumed())], data, seeds=[0])
    assert 100 <= found.seconds < 101


@pytest.mark.parametrize(
    ("fields", "selected"), [({}, False), ({"keep": "best"}, True), ({"patience": 2}, True)]
)
def test_whether_validation_samples_have_chosen_the_epoch_is_known(data, fields, selected):
    grid = [Alternative("a", MLP(width=8), FineTune(epochs=2, **fields))]
    found = list(train_alternatives(grid, data, seeds=[0]))
    assert [one.is_selected for one in found] == [selected]
    assert [one.is_selected for one in compared(found)] == [selected]
    assert Cell.from_json(found[0].to_json()) == found[0]


def test_with_nothing_left_to_train_nothing_is_warmed_up(data):
    grid = alternatives("a")
    done = list(train_alternatives(grid, data, seeds=[0]))
    starts.clear()
    assert list(train_alternatives(grid, data, seeds=[0], done=done)) == []


def test_progress_runs_from_cell_to_cell(data):
    class Telling(Nudge):
        def apply(self, bundle, context):
            context.progress(0.5, "half")
            return Applied(bundle, StepReport("Told."))

    grid = [Alternative(t, MLP(width=8), Telling()) for t in ("a", "b")]
    heard = []
    list(train_alternatives(grid, data, seeds=[0], progress=lambda *said: heard.append(said)))
    assert heard == [(0.25, "a: half"), (0.75, "b: half")]


def test_stopping_keeps_what_was_yielded(data):
    found = []

    def stop():
        if found:
            raise Cancelled

    with pytest.raises(Cancelled):
        found.extend(train_alternatives(alternatives("a", "b"), data, seeds=[0], check=stop))
    assert [c.title for c in found] == ["a"]


@pytest.mark.parametrize(
    ("grid", "seeds", "reason"),
    [
        ([], [0], "titles of their own: got none"),
        (["a", "a"], [0], "titles of their own: got a, a"),
        (["a"], [], "seeds must be different"),
        (["a"], [1, 1], "seeds must be different"),
    ],
)
def test_what_cannot_be_compared_is_refused(data, grid, seeds, reason):
    with pytest.raises(ConfigError, match=reason):
        list(train_alternatives(alternatives(*grid), data, seeds=seeds))


def test_data_without_validation_samples_are_refused_before_training():
    data = data_for(tiny_bundle("mlp"))
    object.__setattr__(data, "parts", {"train": 96})
    with pytest.raises(CalibrationError, match="validation"):
        list(train_alternatives(alternatives("a"), data, seeds=[0]))
    assert starts == []


def test_an_epoch_that_is_told_again_after_a_stop_counts_once(data):
    class Stuttering(Nudge):
        def apply(self, bundle, context):
            for epoch in (1, 2, 1, 2, 3):
                context.record({"epoch": epoch, "seconds": 1.0})
            return Applied(bundle, StepReport("Stuttered."))

    (found,) = train_alternatives([Alternative("a", MLP(width=8), Stuttering())], data, seeds=[0])
    assert [figures["epoch"] for figures in found.epochs] == [1, 2, 3]


def test_an_alternative_comes_back_from_plain_data():
    one = Alternative("a", MLP(width=8, dropout=0.5), Distill(epochs=2))
    assert Alternative.from_json(one.to_json()) == one


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"training": {}}, "An alternative is"),
        ({"training": {"quantize": {}}}, "training must be one of"),
        ({"training": {"distill": {"epochs": -1}}}, "epochs must be between"),
        ({"architecture": {"gpt": {}}}, "family must be one of"),
        ({"title": ""}, "short text"),
    ],
)
def test_an_illegal_alternative_is_refused_by_name(changes, reason):
    plain = Alternative("a", MLP(), Distill()).to_json()
    with pytest.raises(ConfigError, match=reason):
        Alternative.from_json({**plain, **changes})


def test_the_gap_is_in_points():
    assert cell("a", 0, accuracy=0.75, train=0.95).gap == pytest.approx(20)


def test_time_to_an_accuracy_counts_training_alone():
    epochs = ({"seconds": 2.0, "accuracy": 0.4}, {"seconds": 3.0, "accuracy": 0.8})
    assert cell("a", 0, epochs=epochs).seconds_to(0.4) == 2.0
    assert cell("a", 0, epochs=epochs).seconds_to(0.5) == 5.0
    assert cell("a", 0, epochs=epochs).seconds_to(0.9) is None


def test_a_cell_comes_back_from_plain_data():
    one = cell("a", 0, epochs=({"seconds": 2.0},))
    assert Cell.from_json(one.to_json()) == one


def test_seeds_that_never_reach_an_accuracy_are_counted_and_not_averaged():
    quick = ({"seconds": 2.0, "accuracy": 0.9},)
    slow = ({"seconds": 2.0, "accuracy": 0.5},)
    cells = [cell("a", 0, epochs=quick), cell("a", 1, epochs=slow), cell("b", 0, epochs=slow)]
    found = times_to(cells, 0.8)
    assert (found["a"][0].value, found["a"][1]) == (2.0, 1)
    assert found["b"] == (None, 1)


def test_differences_are_taken_seed_by_seed():
    # Seeds differ by ten points, alternatives by exactly one: paired, the interval is a point.
    cells = [cell("a", s, accuracy=0.5 + 0.1 * s) for s in range(3)]
    cells += [cell("b", s, accuracy=0.51 + 0.1 * s, seconds=5.0) for s in range(3)]
    first, second = compared(cells)
    assert first.accuracy_change is None
    change = second.accuracy_change.difference
    assert change.value == pytest.approx(1.0)
    assert change.half_width == pytest.approx(0, abs=1e-9)
    assert second.speed.difference.value == pytest.approx(0.5)
    assert second.speed.direction == "better"
    assert first.accuracy.half_width > 0.1


def test_no_interval_tells_of_what_cannot_be():
    cells = [cell("a", 0, accuracy=0.5, train=0.2, seconds=1.0)]
    cells += [cell("a", 1, accuracy=0.8, train=0.9, seconds=30.0)]
    cells += [cell("b", 0, accuracy=0.9), cell("b", 1, accuracy=0.2)]
    first, second = compared(cells)
    assert (first.accuracy.low, first.accuracy.high) == (0.0, 1.0)
    assert first.seconds.low == 0.0
    assert (first.gap.low, first.gap.high) == (-100.0, 100.0)
    change = second.accuracy_change.difference
    assert (change.low, change.high) == (-100.0, 100.0)


def test_seeds_only_one_has_do_not_count_in_a_difference():
    cells = [cell("a", s) for s in range(3)] + [cell("b", s, accuracy=0.9) for s in range(2)]
    (_, second) = compared(cells)
    assert second.accuracy_change.difference.n == 2


def test_one_seed_is_not_sold_as_a_difference():
    (_, second) = compared([cell("a", 0), cell("b", 0, accuracy=0.9)])
    assert second.accuracy_change is None
    assert second.speed is None


def test_nothing_trained_says_nothing():
    assert compared([]) == []


def test_outcomes_are_plain_data():
    first, second = compared([cell("a", 0), cell("b", 0)])
    assert first.to_json()["speed"] is None
    assert Quantity.from_json(second.to_json()["accuracy"]).unit == "fraction"


def test_the_global_generator_is_left_alone(data):
    state = torch.get_rng_state()
    list(train_alternatives(alternatives("a"), data, seeds=[0]))
    assert torch.equal(torch.get_rng_state(), state)
