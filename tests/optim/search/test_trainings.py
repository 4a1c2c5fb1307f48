"""Which candidates the Autopilot trains, for how long, and what it does with the time left over."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from optim.errors import Cancelled
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.search.autopilot.recoveries import Pace, promising, split_epochs, trained_recipe
from optim.search.autopilot.session import STAGES
from optim.search.autopilot.training import Training, _Lesson, _TooSlowError
from optim.search.candidate import Candidate
from optim.search.executor import Outcome
from optim.search.goals import Goals, Limit
from optim.search.watch import Watch
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize

BASE = Recipe("wine-mlp", "wine")
GOALS = Goals(("loss", "bytes", "macs"), (Limit("bytes", 100.0), Limit("loss", 1.0)))


def candidate(number, *, loss, size, macs, bits=8, ratio=0.5):
    """Return something that was tried without training."""
    recipe = BASE
    if ratio:
        recipe = recipe.with_step(PruneChannels(pruning_ratio=ratio))
    recipe = recipe.with_step(Quantize(weight_bits=bits))
    figures = figures_of(loss, size, macs)
    made = {"recipe": recipe.to_json()}
    return Candidate({}, made, figures, "measured", STAGES["free"], number=number)


def figures_of(loss, size, macs):
    return {
        "loss": Quantity(loss, "points", loss - 0.1, loss + 0.1, 1000),
        "bytes": Quantity.exact(size, "bytes"),
        "macs": Quantity.exact(macs, "macs"),
    }


class Searched:
    """A session in which nothing but training takes time.

    An epoch takes as many seconds as a candidate has MACs, ``slower`` times that, and three times
    that again with the rounding in the loop. Each epoch halves the loss, down to a tenth or to what
    ``floors`` says of a candidate by its number.
    """

    def __init__(self, candidates, seconds, slower=1.0, floors=()):
        self.goals, self.candidates = GOALS, list(candidates)
        self.original = figures_of(0.0, 200.0, 100.0)
        self.left, self.slower, self.floors = seconds, slower, dict(floors)
        self.can_train, self.executor, self.said = True, None, []
        self.refined, self.notes = [], {}
        self.points = SimpleNamespace(note=self.notes.__setitem__, noted=self.notes.get)

    def time(self):
        return self.left

    def say(self, text):
        self.said.append(text)

    def begin(self, stage):
        pass

    def best_so_far(self):
        return ""

    def known(self, recipe):
        made = {"recipe": recipe.to_json()}
        return next((c for c in self.candidates if c.made == made), None)

    def refine_trained(self, trained):
        self.refined.append(trained)


class Trained(Training):
    """Trains in no time, and keeps what it was told to train."""

    def __init__(self, session):
        super().__init__(session, session)
        self.__dict__["_pace"] = Pace(samples=1, original_macs=0, seconds_per_mac=0.2)
        self._pace.seconds = self.seconds
        self.did, self.stops_after = [], 99

    def seconds(self, macs, epochs, quantized=0):
        return self._pace.correction * macs * (epochs + 3 * quantized)

    def _train(self, parent, epochs, stage):
        untrained = Recipe.from_json(parent.made["recipe"])
        recipe = trained_recipe(untrained, epochs)
        if (known := self._session.known(recipe)) is not None:
            return known
        if len(self.did) == self.stops_after:
            raise Cancelled
        macs = parent.figures["macs"].value
        floats, late = split_epochs(untrained, epochs)
        took = self._session.slower * macs * (floats + 3 * late)
        self._session.left = max(0.0, self._session.left - took)
        self._pace.correction = self._session.slower
        floor = self._session.floors.get(parent.number, 0.1)
        loss = max(floor, parent.figures["loss"].value / 2**epochs)
        figures = figures_of(loss, parent.figures["bytes"].value, macs)
        number = len(self._session.candidates)
        found = Candidate(
            {},
            {"recipe": recipe.to_json()},
            figures,
            "measured",
            stage,
            number=number,
            parent=parent.number,
        )
        self._session.candidates.append(found)
        self.did.append((parent.number, epochs, stage))
        return found


def test_what_costs_clearly_less_in_anything_is_promising():
    mild = candidate(0, loss=2, size=90, macs=100, ratio=0.1)
    alike = candidate(1, loss=3, size=88, macs=99, ratio=0.2)
    small = candidate(2, loss=9, size=89, macs=30, ratio=0.6)
    assert [c.number for c in promising([small, alike, mild], GOALS, 2)] == [0, 2]


def by_layer(found):
    """Return the candidate with a ratio of its own for one layer."""
    recipe = Recipe.from_json(found.made["recipe"])
    recipe = recipe.with_fields("prune_channels", layers={"0": 0.7})
    return replace(found, made={"recipe": recipe.to_json()})


def test_where_a_cost_is_limited_the_mildest_plain_one_is_second():
    best = by_layer(candidate(0, loss=2, size=80, macs=90, ratio=0.1))
    other = by_layer(candidate(1, loss=5, size=80, macs=40, ratio=0.3))
    mild = candidate(2, loss=9, size=95, macs=60, bits=4, ratio=0.2)
    harsh = candidate(3, loss=20, size=70, macs=30, bits=4, ratio=0.5)
    few_bits = candidate(4, loss=8, size=60, macs=80, bits=2, ratio=0.1)
    every = [best, other, mild, harsh, few_bits]
    assert [c.number for c in promising(every, GOALS, 3)] == [0, 2, 1]
    free = Goals(("loss", "bytes", "macs"), (Limit("loss", 1.0),))
    assert 2 not in [c.number for c in promising(every, free, 3)]


def refitted(number, **figures):
    """Return a candidate that is another one's once both are trained."""
    found = candidate(number, **figures)
    recipe = Recipe.from_json(found.made["recipe"])
    recipe = recipe.with_fields("prune_channels", reconstruct=True)
    return replace(found, made={"recipe": recipe.to_json()})


def test_of_what_is_the_same_once_it_is_trained_the_best_is_promising():
    plain = candidate(0, loss=9, size=90, macs=100)
    better = refitted(1, loss=2, size=90, macs=100)
    other = candidate(2, loss=5, size=50, macs=50, ratio=0.7)
    assert [c.number for c in promising([plain, better, other], GOALS, 9)] == [1, 2]


def test_the_same_training_is_not_begun_twice_at_once():
    same = [candidate(0, loss=4, size=90, macs=10), refitted(1, loss=3, size=90, macs=10)]
    other = candidate(2, loss=4, size=80, macs=10, ratio=0.7)
    session = Searched([*same, other], 200)
    session.tell = session.check = session.clock = lambda: 0.0
    begun, running = [], []

    def begin(order):
        begun.append(order.key)
        running.append(order.key)

    def ended(seconds):
        key = running.pop(0)
        done = [{"recipe": r.to_json()} for r in trained if r.hash == key]
        session.candidates.extend(replace(other, made=made, number=9) for made in done)
        return [Outcome(key)]

    session.executor = SimpleNamespace(places=3, begin=begin, ended=ended, withdraw=lambda: None)
    training = Trained(session)
    students = [(SimpleNamespace(parent=c), 2) for c in (*same, other)]
    trained = [trained_recipe(Recipe.from_json(c.made["recipe"]), 2) for c in (*same, other)]
    assert trained[0] == trained[1]
    done = list(training._done(students))
    assert len(done) == 3
    assert len(begun) == len(set(begun)) == 2


def test_what_cannot_keep_a_limit_of_cost_is_not_trained():
    large = candidate(0, loss=0, size=120, macs=100)
    assert promising([large], GOALS, 9) == []


@pytest.mark.parametrize("seconds", [30, 45])
def test_where_the_most_promising_has_no_time_for_an_epoch_the_next_is_trained(seconds):
    slow = candidate(0, loss=2, size=50, macs=100, bits=2, ratio=0)
    quick = candidate(1, loss=9, size=40, macs=10)
    session = Searched([slow, quick], seconds)
    training = Trained(session)
    training.train_best()
    assert {parent for parent, _, _ in training.did} == {1}
    assert session.left < 20
    assert session.refined


def test_after_the_best_those_that_cost_less_are_trained_to_the_end():
    best = candidate(0, loss=4, size=90, macs=10, ratio=0.1)
    less = candidate(1, loss=20, size=90, macs=5, ratio=0.5)
    least = candidate(2, loss=60, size=90, macs=2, ratio=0.8)
    training = Trained(Searched([best, less, least], 400))
    training.train_best()
    long = [parent for parent, _, stage in training.did if stage == STAGES["long"]]
    assert long == [0, 1, 2]
    short = [parent for parent, _, stage in training.did if stage == STAGES["short"]]
    assert set(short) == {0, 1, 2}


def test_once_the_limits_are_kept_what_widens_the_front_comes_first():
    """The second is nearly as good as the best and costs nearly as much; the third far less."""
    best = candidate(0, loss=1.6, size=90, macs=60, ratio=0.1)
    alike = candidate(1, loss=2, size=88, macs=54, ratio=0.2)
    less = candidate(2, loss=6, size=60, macs=15, ratio=0.5)
    training = Trained(Searched([best, alike, less], 3000, floors={2: 2.0}))
    training.train_best()
    long = [parent for parent, _, stage in training.did if stage == STAGES["long"]]
    assert long[:2] == [0, 2]


def test_a_front_is_widened_where_a_device_tells_nothing_of_the_original():
    """Some have kernels for eight bits alone."""
    best = candidate(0, loss=1.6, size=90, macs=60, ratio=0.1)
    less = candidate(1, loss=6, size=60, macs=15, ratio=0.5)
    session = Searched([best, less], 3000, floors={1: 2.0})
    del session.original["macs"]
    training = Trained(session)
    training.train_best()
    assert [parent for parent, _, stage in training.did if stage == STAGES["long"]] == [0, 1]


def test_what_others_beat_in_everything_gets_no_long_training():
    best = candidate(0, loss=4, size=80, macs=10, ratio=0.1)
    worse = candidate(1, loss=50, size=90, macs=11, ratio=0.2)
    session = Searched([best, worse], 400)
    training = Trained(session)
    training.train_best()
    training.train_best()
    assert [stage for parent, _, stage in training.did if parent == 1] == [STAGES["short"]]


def test_what_wins_nothing_back_and_loses_too_much_gets_no_long_training():
    best = candidate(0, loss=4, size=90, macs=10, ratio=0.1)
    ruined = candidate(1, loss=80, size=9, macs=1, ratio=0.9)
    session = Searched([best, ruined], 400, floors={1: 80})
    training = Trained(session)
    for _ in range(2):
        training.train_best()
    assert [stage for parent, _, stage in training.did if parent == 1] == [STAGES["short"]]
    assert (0, STAGES["long"]) in {(parent, stage) for parent, _, stage in training.did}


def test_what_was_refitted_may_have_to_win_that_back_first():
    refit = refitted(0, loss=4, size=90, macs=10, ratio=0.1)
    other = candidate(1, loss=30, size=60, macs=6, ratio=0.5)
    session = Searched([refit, other], 400, floors={0: 4.0})
    training = Trained(session)
    training.train_best()
    assert (0, STAGES["long"]) in {(parent, stage) for parent, _, stage in training.did}


def test_long_trainings_are_longer_until_something_keeps_the_limits():
    lost = Searched([candidate(0, loss=50, size=80, macs=1)], 1000, floors={0: 5.0})
    kept = Searched([candidate(0, loss=50, size=80, macs=1)], 1000)
    known = candidate(1, loss=0.5, size=99, macs=50, ratio=0.1)
    kept.candidates.append(replace(known, stage=STAGES["known"]))
    lengths = []
    for session in (lost, kept):
        training = Trained(session)
        training.train_best()
        lengths.append(training.did[-1][1])
    assert lengths[0] > lengths[1] > 1


def test_a_short_round_that_is_slower_than_was_thought_leaves_time_for_the_best():
    many = [candidate(n, loss=4 + n, size=90, macs=10 * 0.6**n, ratio=0.1 * n) for n in range(6)]
    session = Searched(many, 80, slower=3.0)
    training = Trained(session)
    training.train_best()
    short = [parent for parent, _, stage in training.did if stage == STAGES["short"]]
    assert len(short) < 6
    assert any(stage == STAGES["long"] for _, _, stage in training.did)


def test_once_nothing_can_be_trained_in_the_time_that_is_left_that_is_said_once():
    session = Searched([candidate(0, loss=4, size=90, macs=100)], 30)
    training = Trained(session)
    assert not training.is_over
    for _ in range(3):
        training.train_best()
    assert training.is_over
    assert not training.did
    assert len([text for text in session.said if "nothing more is trained" in text]) == 1


def test_how_long_an_epoch_takes_is_said_of_what_was_trained_as_well():
    session = Searched([candidate(0, loss=4, size=90, macs=20)], 25)
    training = Trained(session)
    training.train_best()
    session.left = 5
    training.train_best()
    assert "takes about 20.0 s" in session.said[-1]


@pytest.mark.parametrize("stops_after", [0, 1, 2, 3, 4])
def test_a_training_that_was_stopped_goes_on_as_it_was_planned(stops_after):
    """Whatever time is left then: half of an epoch was lost, say."""
    three = [
        candidate(0, loss=4, size=90, macs=10, ratio=0.1),
        candidate(1, loss=20, size=90, macs=5, ratio=0.5),
        candidate(2, loss=60, size=90, macs=2, ratio=0.8),
    ]
    unbroken = Trained(Searched(three, 300))
    unbroken.train_best()
    session = Searched(three, 300)
    first = Trained(session)
    first.stops_after = stops_after
    with pytest.raises(Cancelled):
        first.train_best()
    session.left -= 2
    again = Trained(session)
    again.take_up()
    assert again.did
    did = [*first.did, *again.did]
    assert did == unbroken.did[: len(did)]
    assert session.notes["round"] is None
    again.take_up()
    assert did == [*first.did, *again.did], "once"


@pytest.mark.parametrize(
    ("replayed", "took", "left", "ends"),
    [
        pytest.param(0, 10.0, 30.0, True, id="four epochs as thought"),
        pytest.param(0, 20.0, 50.0, False, id="slower than thought"),
        pytest.param(3, 10.0, 1.0, True, id="the last after three of an earlier attempt"),
        pytest.param(2, 20.0, 30.0, True, id="one is left after a slow one"),
        pytest.param(2, 20.0, 15.0, False, id="one is left and there is no time"),
    ],
)
def test_whether_a_training_ends_in_time_is_told_by_its_first_new_epoch(replayed, took, left, ends):
    session = Searched([candidate(0, loss=4, size=90, macs=10)], left)
    now = iter([0.0] * (1 + replayed) + [took] * 9)
    session.clock, session.watch, session.tell = lambda: next(now), Watch(), lambda: None
    session.budget = SimpleNamespace(seconds=0)
    recipe = trained_recipe(Recipe.from_json(session.candidates[0].made["recipe"]), 4)
    entry = next(e for e in recipe.active if e.step.cost == "training")
    _, record = Trained(session)._tracked(entry, recipe, 10.0, (4, 0), _Lesson())
    for _ in range(replayed):
        record({"seconds": 10.0})
    if ends:
        for _ in range(4 - replayed):
            record({"seconds": took})
    else:
        with pytest.raises(_TooSlowError):
            record({"seconds": took})


def test_without_anything_to_train_the_search_may_go_on_trying():
    session = Searched([candidate(0, loss=4, size=300, macs=1)], 300)
    training = Trained(session)
    training.train_best()
    training.train_best()
    assert not training.is_over
    assert [t for t in session.said if "No candidate" in t] == session.said


def test_a_pace_is_corrected_by_what_was_seen():
    pace = Pace(samples=1000, original_macs=1e6, seconds_per_mac=1e-9)
    thought = pace.seconds(5e5, 4)
    pace.learn(5e5, 4, 0, 2 * thought)
    assert pace.seconds(5e5, 4) == pytest.approx(2 * thought)
    assert pace.seconds(5e5, 0, 4) > pace.seconds(5e5, 4)


def test_places_train_side_by_side():
    """With as many places as candidates nothing has to be compared first."""
    both = [
        candidate(0, loss=4, size=90, macs=10, ratio=0.1),
        candidate(1, loss=9, size=40, macs=5),
    ]
    session = Searched(both, 200)
    training = Trained(session)
    session.executor = SimpleNamespace(places=2)
    training._done = lambda students: iter(students)
    training._away_s = 0.0
    training.train_best()
    assert [stage for _, _, stage in training.did[:2]] == [STAGES["long"]] * 2
