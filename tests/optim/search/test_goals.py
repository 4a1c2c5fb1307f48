"""Goals: limits in figures, what is missed by how much, and which candidate is taken."""

import pytest

from optim.errors import ConfigError
from optim.quantity import Quantity
from optim.search.candidate import Candidate
from optim.search.choosing import chosen, closest_miss, front_of, knee_of
from optim.search.goals import Goals, Limit


def candidate(number, loss, size, *, low=None, high=None, outcome="measured", **fields):
    figures = {
        "loss": Quantity(
            loss, "points", loss if low is None else low, loss if high is None else high
        ),
        "bytes": Quantity.exact(size, "bytes"),
    }
    return Candidate({}, {}, figures, outcome, "test", f"c{number}", number=number, **fields)


GOALS = Goals(limits=(Limit("loss", 1.0), Limit("bytes", 100.0)))


def test_misses_are_counted_in_shares_of_the_limit():
    figures = candidate(0, 3.0, 150).figures
    assert [miss.limit.figure for miss in GOALS.misses(figures)] == ["loss", "bytes"]
    assert GOALS.excess(figures) == pytest.approx(2.0 + 0.5)
    assert GOALS.excess(candidate(0, 1.0, 100).figures) == 0
    assert "It loses 3.00 points; 1.00 points allowed, 2.00 points too much." in [
        miss.text for miss in GOALS.misses(figures)
    ]


def test_certainty_asks_for_the_whole_interval():
    figures = candidate(0, 0.5, 90, low=-0.2, high=1.2).figures
    assert not GOALS.misses(figures)
    assert len(GOALS.misses(figures, certainly=True)) == 1


def test_no_loss_at_all_can_be_asked_for():
    goals = Goals(limits=(Limit("loss", 0.0),))
    assert not goals.misses(candidate(0, 0.0, 1).figures)
    assert goals.excess(candidate(0, 0.5, 1).figures) == pytest.approx(0.5)


def test_what_is_not_known_misses_its_limit():
    goals = Goals(("loss", "latency"), (Limit("latency", 5.0),), device="cortex-m7")
    (miss,) = goals.misses(candidate(0, 0.0, 1).figures)
    assert miss.text == "Latency is not known; 5.00 ms allowed."


def test_what_is_counted_is_named_once():
    goals = Goals(("loss", "params", "macs"), (Limit("params", 802.0), Limit("macs", 20.0)))
    assert [x.text for x in goals.limits] == ["Parameters at most 802", "MACs at most 20"]
    figures = {"params": Quantity.exact(1600, "params"), "macs": Quantity.exact(1540, "macs")}
    assert [miss.text for miss in goals.misses(figures)] == [
        "It has 1.60 k parameters; 802 allowed, 798 too much.",
        "It takes 1.54 k MACs; 20 allowed, 1.52 k too much.",
    ]
    assert goals.misses({})[1].text == "MACs are not known; 20 allowed."


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Limit("bytes", -1.0), "must be a positive number"),
        (lambda: Limit("bytes", 0.0), "must be a positive number"),
        (lambda: Limit("bytes", float("nan")), "must be a positive number"),
        (lambda: Limit("beauty", 1.0), "figure must be one of"),
        (lambda: Goals(("loss",)), "at least two different figures"),
        (lambda: Goals(limits=(Limit("loss", 1), Limit("loss", 2))), "one limit"),
        (lambda: Goals(bytes_of="zip"), "bytes_of must be one of"),
        (lambda: Goals(limits=(Limit("ram", 1e5),)), "that of a device"),
    ],
)
def test_what_means_nothing_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_goals_are_plain_data_and_back():
    limits = (Limit("bytes", 4e4), Limit("flash", 1e6, is_asked=False))
    goals = Goals(("loss", "bytes", "latency"), limits, "entropy", "cortex-m7")
    assert Goals.from_json(goals.to_json()) == goals
    before = {name: value for name, value in goals.to_json().items() if name != "capacity"}
    assert Goals.from_json(before).limits == limits[:1]
    with pytest.raises(ConfigError, match="Goals are"):
        Goals.from_json({"limits": {}})


# --- choosing -----------------------------------------------------------------------------------


def test_with_a_limit_of_size_the_best_quality_within_is_taken():
    found = [candidate(1, 0.9, 20), candidate(2, 0.2, 90), candidate(3, 0.0, 130)]
    assert chosen(found, GOALS).number == 2


def test_with_a_limit_of_quality_alone_the_smallest_is_taken():
    goals = Goals(limits=(Limit("loss", 1.0),))
    found = [candidate(1, 0.9, 20), candidate(2, 0.2, 90), candidate(3, 4.0, 5)]
    assert chosen(found, goals).number == 1


def test_what_a_device_has_must_be_kept_and_decides_nothing_else():
    found = [candidate(1, 9.0, 10), candidate(2, 1.0, 40), candidate(3, 0.9, 90)]
    own = Limit("bytes", 100.0, is_asked=False)
    assert chosen(found, Goals(limits=(own,))).number == 2  # the knee, as without any limit
    assert chosen([*found, candidate(4, 0.0, 101)], Goals(limits=(own,))).number == 2
    assert closest_miss([candidate(4, 0.0, 101)], Goals(limits=(own,))).relaxations == {}


def test_what_keeps_its_limits_for_certain_comes_first():
    found = [candidate(1, 0.1, 50, low=-1.0, high=1.3), candidate(2, 0.6, 60, low=0.3, high=0.9)]
    assert chosen(found, GOALS).number == 2


def test_baselines_and_what_was_not_measured_to_the_end_are_not_taken():
    found = [
        candidate(1, 0.1, 50, is_baseline=True),
        candidate(2, 0.1, 50, outcome="ranked"),
        candidate(3, 0.1, 50, outcome="stopped"),
    ]
    assert chosen(found, GOALS) is None


def test_the_closest_miss_says_what_to_relax():
    found = [candidate(1, 4.0, 90), candidate(2, 0.5, 130), candidate(3, 9.0, 20)]
    closest = closest_miss(found, GOALS)
    assert closest.candidate.number == 2
    assert closest.relaxations == {"loss": 4.0, "bytes": 130.0}
    assert "allow loss of quality up to 4.00 points, or size up to 130 B" in closest.text
    assert closest_miss([*found, candidate(4, 0.5, 90)], GOALS) is None
    assert closest_miss([], GOALS) is None


def test_the_advice_what_to_relax_is_enough_as_it_is_read():
    goals = Goals(limits=(Limit("bytes", 30_000.0), Limit("loss", 1.0)))
    found = [
        candidate(1, 2.00419, 20_000),
        candidate(2, 1.2, 20_000, outcome="ranked"),  # not on all samples: it is never taken
        candidate(3, 0.5, 40_036),
    ]
    closest = closest_miss(found, goals)
    assert closest.relaxations == {"loss": 2.00419, "bytes": 40_036}
    assert "allow size up to 40.1 kB, or loss of quality up to 2.01 points" in closest.text


def test_the_front_leaves_out_what_another_beats():
    found = [candidate(1, 1.0, 50), candidate(2, 2.0, 50), candidate(3, 3.0, 10)]
    assert [c.number for c in front_of(found, GOALS)] == [3, 1]
    assert knee_of([], GOALS) is None


def test_a_candidate_is_plain_data_and_back():
    one = candidate(7, 1.5, 40, low=1.0, high=2.0, note="why", parent=3)
    assert Candidate.from_json(one.to_json()) == one
