"""Which candidate is handed over, once the sizes of files are known and not thought."""

from types import SimpleNamespace

import pytest

from optim.errors import Cancelled, ExportError
from optim.quantity import How, Quantity
from optim.search.candidate import Candidate
from optim.search.choosing import chosen
from optim.search.delivering import deliver_best, nothing_text
from optim.search.goals import Goals, Limit

GOALS = Goals(limits=(Limit("bytes", 100.0),))


def candidate(number, loss, size, **fields):
    figures = {
        "loss": Quantity.exact(loss, "points"),
        "bytes": Quantity.exact(size, "bytes", How.ESTIMATED),
    }
    options = {"outcome": "measured", "stage": "test", "title": f"c{number}", **fields}
    return Candidate({}, {}, figures, number=number, **options)


@pytest.fixture
def hand_over():
    """Return a function that hands over candidates whose files have sizes, or are refused."""

    def hand_over(candidates, sizes, goals=GOALS):
        said, asked = [], []

        def deliver(one):
            asked.append(one.number)
            if sizes[one.number] is None:
                raise ExportError("It cannot be written.")
            size = Quantity.exact(sizes[one.number], "bytes")
            return SimpleNamespace(number=one.number, verification=SimpleNamespace(size=size))

        return deliver_best(candidates, goals, chosen, deliver, said.append), said, asked

    return hand_over


def test_what_is_larger_than_thought_is_passed_over_for_what_keeps_the_limit(hand_over):
    found, said, _ = hand_over([candidate(1, 0.1, 95), candidate(2, 0.5, 80)], {1: 101, 2: 82})
    assert (found.best.number, found.closest) == (2, None)
    assert found.best.figures["bytes"].value == 82
    assert found.delivery.number == 2
    assert said == ["The file of 'c1' has 101 B, over the limit."]


def test_where_all_files_are_too_large_the_closest_is_handed_over_and_no_file_written_twice(
    hand_over,
):
    found, _, asked = hand_over([candidate(1, 0.1, 95), candidate(2, 0.5, 80)], {1: 103, 2: 110})
    assert found.best is None
    assert found.closest.candidate.number == 1
    assert found.closest.relaxations == {"bytes": 103}
    assert found.delivery.number == 1
    assert asked == [1, 2]
    assert {n: c.figures["bytes"].value for n, c in found.written.items()} == {1: 103, 2: 110}


def test_the_closest_is_told_by_the_file_it_has_and_taken_if_that_keeps_the_limit(hand_over):
    found, _, _ = hand_over([candidate(1, 0.1, 120)], {1: 130})
    assert found.closest.text.startswith("It takes 130 B; 100 B allowed, 30 B too much.")
    found, _, _ = hand_over([candidate(1, 0.1, 120)], {1: 99})
    assert found.best.number == 1


def test_a_file_that_is_refused_is_passed_over(hand_over):
    found, said, _ = hand_over([candidate(1, 0.1, 95), candidate(2, 0.5, 80)], {1: None, 2: 80})
    assert found.best.number == 2
    assert said == ["The file of 'c1' was refused. It cannot be written."]
    found, _, _ = hand_over([candidate(1, 0.1, 95)], {1: None})
    assert found.taken is None
    assert found.refused == {1}


def test_bytes_that_are_not_the_file_s_are_left_as_they_were_measured(hand_over):
    goals = Goals(limits=GOALS.limits, bytes_of="entropy")
    found, said, _ = hand_over([candidate(1, 0.1, 95)], {1: 4000}, goals)
    assert found.best.figures["bytes"].value == 95
    assert not said


def test_who_wants_it_to_stop_is_heard():
    def stop(one):
        raise Cancelled

    with pytest.raises(Cancelled):
        deliver_best([candidate(1, 0.1, 95)], GOALS, chosen, stop, lambda text: None)


@pytest.mark.parametrize(
    ("candidates", "refused", "text"),
    [
        ([], (), "Nothing could be measured within the budget."),
        ([candidate(1, 0.1, 95)], {1}, "No file of what was measured could be verified."),
        (
            [candidate(1, 0.1, 200, outcome="sized", note="It takes 200 B.")] * 2,
            (),
            "None of the 2 that were looked at was measured to the end. The last: It takes 200 B.",
        ),
    ],
    ids=["nothing", "refused", "by size"],
)
def test_why_nothing_is_handed_over_is_said_as_it_is(candidates, refused, text):
    assert nothing_text(candidates, GOALS, refused) == text


def test_a_figure_that_nothing_has_is_named():
    goals = Goals(("loss", "bytes"), (Limit("ram", 9e4),), device="h100")
    text = nothing_text([candidate(1, 0.1, 95)], goals, ())
    assert text.startswith("What was measured cannot be held against all limits. RAM is not known;")
