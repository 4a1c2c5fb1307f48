"""Which networks are trained for longer, and which one is taken."""

from dataclasses import replace

from optim.quantity import Quantity
from optim.search.candidate import Candidate
from optim.search.goals import Goals, Limit
from optim.search.nas.halving import newest, promotion, ranked, taken, telling
from optim.search.nas.session import rungs_of

GOALS = Goals(("error", "bytes"), (Limit("bytes", 100.0),))
RUNGS = (2, 6, 18)


def trained(number, error, size, epochs=2, parent=-1, spread=0.0):
    figures = {
        "error": Quantity(error, "points", error - spread, error + spread, 50),
        "bytes": Quantity(size, "bytes", size - 10, size + 10, how="estimated"),
    }
    made = {"architecture": {"mlp": {"width": number}}, "epochs": epochs}
    point = {"mlp.width": parent if parent >= 0 else number}
    return Candidate(point, made, figures, "measured", "training", number=number, parent=parent)


def test_fronts_come_one_after_the_other_and_by_error_within():
    found = ranked(
        [trained(1, 9, 10), trained(2, 5, 50), trained(3, 6, 60), trained(4, 9, 20)], GOALS
    )
    assert [c.number for c in found] == [2, 1, 3, 4]


def test_what_misses_a_limit_comes_last():
    found = ranked([trained(1, 1, 200), trained(2, 50, 50)], GOALS)
    assert [c.number for c in found] == [2, 1]


def test_of_three_the_best_goes_on_and_then_a_new_one_is_tried():
    three = [trained(1, 9, 50), trained(2, 5, 50), trained(3, 7, 50)]
    assert promotion(three[:2], GOALS, RUNGS) is None
    candidate, epochs = promotion(three, GOALS, RUNGS)
    assert (candidate.number, epochs) == (2, 6)
    assert promotion([*three, trained(4, 4, 50, 6, parent=2)], GOALS, RUNGS) is None


def test_longer_trainings_go_on_first():
    short = [trained(n, 10 + n, 50) for n in range(1, 13)]
    longer = [trained(20 + n, 8 + n, 50, 6, parent=n) for n in (1, 2, 3)]
    candidate, epochs = promotion([*short, *longer], GOALS, RUNGS)
    assert (candidate.number, epochs) == (21, 18)


def test_a_single_length_of_training_has_nothing_to_go_on_to():
    assert promotion([trained(n, n, 50) for n in range(9)], GOALS, (18,)) is None


def test_of_each_network_the_longest_training_counts():
    found = newest([trained(1, 9, 50), trained(2, 5, 50), trained(3, 4, 50, 6, parent=2)])
    assert [c.number for c in found] == [1, 3]


def test_estimates_are_taken_by_their_value_and_errors_by_their_certain_end():
    sure, unsure = trained(1, 60, 20), trained(2, 5, 95)
    assert taken([sure, unsure], GOALS).number == 2
    assert taken([trained(1, 5, 50, spread=9), trained(2, 6, 50)], GOALS).number == 2
    assert taken([trained(1, 5, 101)], GOALS) is None


def test_lengths_are_thirds_and_one_network_is_trained_at_full_length():
    assert rungs_of(36, 500) == (4, 12, 36)
    assert rungs_of(2, 500) == (2,)
    assert rungs_of(36, 1) == (36,)


def of_two(number, short, long):
    point = {"mlp.width": number}
    pair = (trained(2 * number, short, 50), trained(2 * number + 1, long, 50, 6, parent=2 * number))
    return [replace(c, point=point) for c in pair]


def test_the_first_networks_go_on_whatever_they_reach():
    two = [trained(1, 9, 50), trained(2, 5, 50)]
    candidate, epochs = promotion(two, GOALS, RUNGS, first=6)
    assert (candidate.number, epochs) == (1, 6)
    longer = [*two, trained(3, 9, 50, 6, parent=1)]
    assert promotion(longer, GOALS, RUNGS, first=6)[0].number == 3
    both = [*longer, trained(4, 9, 50, 18, parent=3)]
    assert promotion(both, GOALS, RUNGS, first=1) is None
    assert promotion(both, GOALS, RUNGS, first=6)[0].number == 2


def test_a_short_training_that_tells_nothing_of_the_long_one_is_left_out():
    alike = [c for n in range(1, 7) for c in of_two(n, 50 - n, 20 - n)]
    unlike = [c for n in range(1, 7) for c in of_two(n, 50 + n * (-1) ** n, 20 - n)]
    assert telling(alike, (2, 6)) == (2, 6)
    assert telling(unlike, (2, 6)) == (6,)
    assert telling(unlike[:-1], (2, 6)) == (2, 6), "too few to tell"
    # What comes later has no say: it was chosen by what it reached.
    later = [c for n in range(7, 20) for c in of_two(n, 50 - n, 20 - n)]
    assert telling([*unlike, *later], (2, 6)) == (6,)
