"""Studies: points are asked for and told, and nothing that was told is lost."""

import pytest

from optim.errors import ConfigError, RunError
from optim.quantity import Quantity
from optim.search.candidate import Candidate
from optim.search.goals import Goals, Limit
from optim.search.samplers import SAMPLERS
from optim.search.space import Dimension, Space
from optim.search.study import BEYOND, Study, studies_url

GOALS = Goals(limits=(Limit("bytes", 12.0),))
SPACE = Space(
    (
        Dimension("bits", "Bits", (2, 4, 8, "float"), 8, True),
        Dimension("ratio", "Ratio", (0.0, 0.25, 0.5), 0.25, True),
        Dimension("way", "Way", ("a", "b"), "a", False),
        Dimension("depth", "Depth", (1, 2), 1, True, {"way": ("b",)}),
        Dimension("only", "Only", ("one",), "one", False),
    )
)


def told(point, loss=1.0, size=10.0, outcome="measured"):
    figures = {"loss": Quantity(loss, "points", loss - 1, loss + 1, 100)}
    figures["bytes"] = Quantity.exact(size, "bytes")
    return Candidate(point, {"recipe": {"n": 1}}, figures, outcome, "test", "title")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'deep' / 'studies.db'}"


@pytest.fixture
def open_study(url):
    def opened(name="mine", space=SPACE, goals=GOALS, about=None, **options):
        return Study.open(name, space, goals, about=about or {"model": "m"}, url=url, **options)

    return opened


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_every_sampler_asks_for_points_of_the_space(open_study, sampler):
    study = open_study(sampler=sampler, population=3)
    for number in range(6):
        asked = study.ask()
        assert SPACE.clean(asked.point) == asked.point
        assert asked.point["only"] == "one"
        study.tell(asked.number, told(asked.point, loss=number))
    assert [c.number for c in study.candidates()] == [1, 2, 3, 4, 5, 6]


def test_what_was_told_is_there_when_it_is_opened_again(open_study):
    study = open_study()
    asked = study.ask()
    kept = study.tell(asked.number, told(asked.point))
    study.note_spent(12.5)
    again = open_study()
    assert again.candidates() == [kept]
    assert again.find(asked.point) == kept
    assert again.spent_s == 12.5


def test_a_name_that_nobody_chose_gives_way_to_what_is_searched_for(open_study):
    first = open_study(about={"model": "m"})
    first.add(told({}))
    other = open_study(about={"model": "another file of that name"}, is_free=True)
    assert other.name != first.name
    assert other.candidates() == []
    again = open_study(about={"model": "another file of that name"}, is_free=True)
    assert again.name == other.name
    assert open_study(about={"model": "m"}, is_free=True).name == first.name


def test_what_was_noted_is_there_until_it_is_forgotten(open_study):
    study = open_study()
    assert study.noted("round") is None
    study.note("round", {"students": [[1, 3]]})
    assert open_study().noted("round") == {"students": [[1, 3]]}
    study.note("round", None)
    assert open_study().noted("round") is None


def test_the_limits_of_a_study_may_change_and_its_space_may_not(open_study):
    open_study()
    open_study(goals=Goals(limits=(Limit("bytes", 99.0), Limit("loss", 1.0))))
    for other in (
        {"space": SPACE.narrowed({"bits": [2, 4]})},
        {"about": {"model": "another"}},
        {"goals": Goals(("loss", "macs"))},
    ):
        with pytest.raises(ConfigError, match="a study 'mine' already"):
            open_study(**other)


def test_a_point_can_be_asked_for_first(open_study):
    study = open_study()
    wanted = {"bits": "float", "ratio": 0.5, "way": "b", "depth": 2, "only": "one"}
    study.enqueue(wanted)
    assert study.ask().point == wanted
    with pytest.raises(ConfigError, match="bits must be one of"):
        study.enqueue({"bits": 3})


def test_what_a_killed_worker_was_at_is_asked_for_again_and_not_for_ever(open_study):
    point = open_study().ask().point
    for _ in range(1):
        again = open_study()
        assert again.ask().point == point
    last = open_study()
    assert last.candidates() == []
    seen = [last.ask().point for _ in range(3)]
    assert seen[0] != point or seen[1] != point


def test_a_point_that_is_given_back_is_asked_for_again(open_study):
    study = open_study()
    asked = study.ask()
    study.give_back(asked.number)
    assert study.ask().point == asked.point


def test_a_failure_is_kept_and_teaches_the_sampler_nothing(open_study):
    study = open_study()
    asked = study.ask()
    study.tell(asked.number, told(asked.point, outcome="failed"))
    assert [c.outcome for c in study.candidates()] == ["failed"]
    assert open_study().candidates() == study.candidates()


def test_what_lies_outside_of_the_space_is_kept_beside_it(open_study):
    points = open_study()
    others = open_study("others", beside=points)
    points.beside(others)
    asked = points.ask()
    first = points.tell(asked.number, told(asked.point))
    second = others.add(told({}))
    asked = points.ask()
    third = points.tell(asked.number, told(asked.point))
    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert open_study("others").candidates() == [second]


def test_earlier_studies_of_the_same_are_found(open_study):
    first = open_study("first")
    asked = first.ask()
    kept = first.tell(asked.number, told(asked.point))
    open_study("other", about={"model": "other"})
    beyond = open_study(f"first{BEYOND}")
    beyond.tell(beyond.ask().number, told(asked.point))
    assert open_study("second").earlier() == [kept]
    assert first.earlier() == []


def test_limits_reach_optuna_as_constraints(open_study, url):
    import optuna

    study = open_study()
    asked = study.ask()
    study.tell(asked.number, told(asked.point, size=18.0))
    (trial,) = optuna.load_study(study_name="mine", storage=url).trials
    assert trial.constraints == {"bytes": pytest.approx(0.5)}
    assert trial.values == [1.0, 18.0]


def test_a_database_that_cannot_be_used_is_said(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RunError, match="database of studies cannot be used"):
        Study.open("x", SPACE, GOALS, about={}, url=f"sqlite:///{tmp_path / 'file' / 'studies.db'}")


def test_studies_lie_beside_the_runs(own_home):
    assert studies_url("") == f"sqlite:///{own_home / 'store' / 'studies.db'}"
    assert studies_url("sqlite:////data/runs.db") == "sqlite:////data/runs-studies.db"
    assert studies_url("postgresql://host/db") == "postgresql://host/db"


def test_evolution_remembers_whom_it_crossed(open_study):
    study = open_study(sampler="nsga2", population=3)
    for number in range(12):
        asked = study.ask()
        assert all(1 <= parent <= number for parent in asked.parents)
        study.tell(asked.number, told(asked.point, loss=number))
    first, later = study.candidates()[:3], study.candidates()[3:]
    assert all(candidate.parents == () for candidate in first)
    crossed = [candidate.parents for candidate in later if candidate.parents]
    assert crossed
    assert all(len(parents) in (1, 2) for parents in crossed)
    assert open_study(sampler="nsga2", population=3).candidates() == study.candidates()


def test_other_samplers_have_no_parents_to_remember(open_study):
    study = open_study(sampler="random", population=2)
    for _ in range(4):
        asked = study.ask()
        study.tell(asked.number, told(asked.point))
    assert all(candidate.parents == () for candidate in study.candidates())
