"""Studies: what was tried, kept by Optuna in a database, so that nothing that was tried is lost.

They lie in a database of their own beside that of the runs where that is SQLite, and in the same
one elsewhere; ``optuna-dashboard URL`` opens them. A candidate is a trial: its point are the
parameters, its objectives the values, its limits the constraints, and all of it is, as plain data,
an attribute.

What a worker was at when it was killed is asked for again, at most twice.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from optim.errors import ConfigError, RunError
from optim.hashing import digest
from optim.search.candidate import Candidate
from optim.search.goals import Goals
from optim.search.lineage import parents_in
from optim.search.parameters import parameter_of, suggested
from optim.search.samplers import DEFAULT_SAMPLER, sampler_of
from optim.search.space import Point, Scalar, Space
from optim.storage import store_home

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

__all__ = ["BEYOND", "Asked", "Study", "studies_url", "study_of"]

BEYOND = " and beyond"
"""End of the names of studies that hold what lies beyond a space."""

_LOG = logging.getLogger(__name__)
_CANDIDATE, _ABOUT, _GOALS, _SPACE, _SECONDS = "candidate", "about", "goals", "space", "seconds"
_NOTE = "note: "
_DIED = "died"
_MOST_DEATHS = 2
_UNKNOWN_LOSS = 100.0
"""Quality of what was not looked at because it misses a limit anyway."""


def study_of(run_id: str) -> str:
    """Return the name of the study that keeps what a run tries."""
    return f"run {run_id}"


def studies_url(store: str) -> str:
    """Return the URL of the database of studies, from that of the runs.

    Args:
        store: As ``optim.runs.store.store_url`` returns it; the default one if empty.
    """
    if not store:
        return f"sqlite:///{store_home() / 'studies.db'}"
    if not store.startswith("sqlite"):
        return store
    head, _, path = store.partition(":///")
    return f"{head}:///{Path(path).with_name(f'{Path(path).stem}-studies.db')}"


@dataclass(frozen=True, eq=False)
class Asked:
    """A point that is to be tried.

    Attributes:
        number: Of the trial.
        point: Its values.
        parents: Numbers of the candidates that evolution made it from.
    """

    number: int
    point: Point
    parents: tuple[int, ...] = ()


class Study:
    """One search: ask for a point, tell what came of it.

    Args:
        study: Optuna's.
        space: What may be tried.
        goals: What is asked for.
        beside: Another study of the same search: no two candidates have one number.
    """

    def __init__(
        self, study: optuna.Study, space: Space, goals: Goals, beside: Study | None = None
    ) -> None:
        self._study = study
        self._beside = beside
        self.space = space
        self.goals = goals
        self._asked: dict[int, optuna.Trial] = {}
        self._parents: dict[int, tuple[int, ...]] = {}
        self._kept: list[Candidate] = []

    @classmethod
    def open(
        cls,
        name: str,
        space: Space,
        goals: Goals,
        *,
        about: Mapping[str, Any],
        sampler: str = DEFAULT_SAMPLER,
        population: int = 16,
        seed: int = 0,
        url: str = "",
        beside: Study | None = None,
        is_free: bool = False,
    ) -> Self:
        """Open a study, or begin one.

        One that is there goes on; its limits may be others by now.

        Args:
            name: Unique in the database.
            space: What may be tried.
            goals: What is asked for.
            about: Plain data that tells what is searched for: model, data, seed.
            sampler: A key of ``optim.search.samplers.SAMPLERS``.
            population: Size of a generation, or of the random start.
            seed: Of the sampler.
            url: Of the database; that of :func:`studies_url` if empty.
            beside: Another study of the same search.
            is_free: Whether nobody has asked for the name: where a study of that name searches for
                something else, the file of its model was another one, say, one of a longer name is
                opened.

        Raises:
            ConfigError: If there is a study of that name that searches for something else.
            RunError: If the database cannot be used.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        chooser = _quietly(lambda: sampler_of(sampler, seed, population))
        with _faults():
            storage = _storage(url or studies_url(""))
            identity = _identity(about, space, goals)

            def opened(name: str) -> optuna.Study:
                return optuna.create_study(
                    study_name=name,
                    storage=storage,
                    sampler=chooser,
                    directions=["minimize"] * len(goals.objectives),
                    load_if_exists=True,
                )

            study = opened(name)
            known = study.user_attrs
            if known and known.get(_ABOUT) != identity:
                if not is_free:
                    raise ConfigError(
                        f"There is a study {name!r} already, and it searches for something else.",
                        hint="Choose another name.",
                        field="study",
                    )
                study = opened(f"{name} {identity[:12]}")
            study.set_user_attr(_ABOUT, identity)
            study.set_user_attr(_GOALS, goals.to_json())
            study.set_user_attr(_SPACE, [dimension.name for dimension in space])
            found = cls(study, space, goals, beside)
            found._read()
            found._take_up()
        return found

    def beside(self, other: Study) -> None:
        """Say which other study is of the same search."""
        self._beside = other

    @property
    def name(self) -> str:
        """Its name in the database."""
        return str(self._study.study_name)

    # --- asking and telling -----------------------------------------------------------------

    def ask(self) -> Asked:
        """Return the next point, with a number to tell by.

        Raises:
            RunError: If the database cannot be used.
        """
        with _faults():
            trial = _quietly(self._study.ask)
            point: dict[str, Scalar] = {}
            for dimension in self.space:
                if all(point.get(n) in v for n, v in dimension.when.items()):
                    point[dimension.name] = _quietly(lambda d=dimension: suggested(trial, d))
            self._asked[trial.number] = trial
            self._parents[trial.number] = self._numbers(parents_in(self._study.sampler))
            return Asked(trial.number, point, self._parents[trial.number])

    @property
    def is_waiting(self) -> bool:
        """Whether points were enqueued that were not asked for yet.

        Raises:
            RunError: If the database cannot be used.
        """
        from optuna.trial import TrialState

        with _faults():
            return bool(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def enqueue(self, point: Point) -> None:
        """Have a point asked for before any that the sampler thinks of.

        Raises:
            ConfigError: If it is no point of the space.
            RunError: If the database cannot be used.
        """
        clean = self.space.clean(point)
        params = {
            name: parameter_of(self.space[name], value)
            for name, value in clean.items()
            if len(self.space[name].values) > 1
        }
        with _faults():
            _quietly(lambda: self._study.enqueue_trial(params, skip_if_exists=True))

    def tell(
        self, number: int, candidate: Candidate, *, soft: Sequence[str] = (), keep: bool = True
    ) -> Candidate:
        """Keep what came of a point that was asked for; return it with its number.

        Args:
            number: Of :meth:`ask`.
            candidate: What came of it.
            soft: Figures whose limits do not count as missed yet, because later work lowers them.
            keep: Whether it is a candidate; not if it is one that is known already.

        Raises:
            RunError: If the database cannot be used.
        """
        from optuna.trial import TrialState

        trial, parents = self._asked.pop(number), self._parents.pop(number)
        kept = candidate
        if keep:
            kept = replace(candidate, number=self._next(), parents=parents or candidate.parents)
        values = self._values(kept)
        with _faults():
            if keep:
                trial.set_user_attr(_CANDIDATE, kept.to_json())
            if kept.outcome == "failed" or values is None:
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                for key, over in self._constraints(kept, soft).items():
                    trial.set_constraint(key, over)
                self._study.tell(trial, values)
        if keep:
            self._kept.append(kept)
        return kept

    def add(self, candidate: Candidate) -> Candidate:
        """Keep a candidate that nobody asked for, such as a baseline; return it with its number.

        It has to lie outside of the space: a sampler learns nothing from it.

        Raises:
            RunError: If the database cannot be used.
        """
        from optuna.trial import TrialState, create_trial

        with _faults():
            kept = replace(candidate, number=self._next())
            values = self._values(kept)
            failed = kept.outcome == "failed" or values is None
            self._study.add_trial(
                create_trial(
                    state=TrialState.FAIL if failed else TrialState.COMPLETE,
                    values=None if failed else values,
                    user_attrs={_CANDIDATE: kept.to_json()},
                    constraints={} if failed else self._constraints(kept, ()),
                )
            )
        self._kept.append(kept)
        return kept

    def candidates(self) -> list[Candidate]:
        """Return all that was kept, oldest first."""
        return list(self._kept)

    def find(self, point: Point) -> Candidate | None:
        """Return what was kept of a point; None if it was not tried yet."""
        return next((c for c in reversed(self._kept) if c.point == point), None)

    def give_back(self, number: int) -> None:
        """Have a point asked for again that was asked for and not tried to the end.

        Raises:
            RunError: If the database cannot be used.
        """
        from optuna.trial import TrialState

        trial = self._asked.pop(number)
        self._parents.pop(number)
        with _faults():
            params = dict(trial.params)
            self._study.tell(trial, state=TrialState.FAIL)
            if params:
                _quietly(lambda: self._study.enqueue_trial(params))

    # --- what outlives a process ------------------------------------------------------------

    @property
    def spent_s(self) -> float:
        """Seconds that earlier attempts have spent."""
        with _faults():
            return float(self._study.user_attrs.get(_SECONDS, 0.0))

    def note_spent(self, seconds: float) -> None:
        """Keep how many seconds were spent so far."""
        with _faults():
            self._study.set_user_attr(_SECONDS, seconds)

    def aim(self, goals: Goals) -> None:
        """Take other limits, of the same figures."""
        self.goals = goals
        with _faults():
            self._study.set_user_attr(_GOALS, goals.to_json())

    def note(self, key: str, value: Any) -> None:
        """Keep plain data beside what was tried; None forgets them."""
        with _faults():
            self._study.set_user_attr(f"{_NOTE}{key}", value)

    def noted(self, key: str) -> Any:
        """Return what was noted last, by this attempt or an earlier one; None if nothing was."""
        with _faults():
            return self._study.user_attrs.get(f"{_NOTE}{key}")

    def earlier(self, most: int = 3) -> list[Candidate]:
        """Return the points that the newest other searches for the same have tried."""
        import optuna

        with _faults():
            storage = self._study._storage
            others = [
                s
                for s in optuna.get_all_study_summaries(storage, include_best_trial=False)
                if s.user_attrs.get(_ABOUT) == self._study.user_attrs.get(_ABOUT)
                and s.study_name != self.name
                and not s.study_name.endswith(BEYOND)
            ]
            others.sort(key=lambda s: s.datetime_start.timestamp() if s.datetime_start else 0.0)
            found: list[Candidate] = []
            for summary in others[-most:]:
                study = optuna.load_study(study_name=summary.study_name, storage=storage)
                found += _candidates(study)
        return found

    # --- inside -----------------------------------------------------------------------------

    def _next(self) -> int:
        """Return the number of the next candidate; the first is 1."""
        beside = self._beside._kept if self._beside else []
        return 1 + max((c.number for c in (*self._kept, *beside)), default=0)

    def _numbers(self, trials: Sequence[FrozenTrial]) -> tuple[int, ...]:
        """Return the numbers of the candidates that trials are."""
        known = [trial.user_attrs.get(_CANDIDATE) for trial in trials]
        return tuple(dict.fromkeys(int(one["number"]) for one in known if one))

    def _read(self) -> None:
        self._kept = _candidates(self._study)

    def _take_up(self) -> None:
        """Give up what a killed worker was at, and ask for it again, unless it kills workers."""
        from optuna.trial import TrialState

        trials = self._study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state is not TrialState.RUNNING:
                continue
            deaths = 1 + sum(
                other.params == trial.params and bool(other.user_attrs.get(_DIED))
                for other in trials
            )
            storage = self._study._storage
            storage.set_trial_user_attr(trial._trial_id, _DIED, True)
            self._study.tell(trial.number, state=TrialState.FAIL)
            if trial.params and deaths < _MOST_DEATHS:
                _quietly(lambda p=trial.params: self._study.enqueue_trial(p))

    def _values(self, candidate: Candidate) -> tuple[float, ...] | None:
        figures = candidate.figures
        found = []
        for name in self.goals.objectives:
            if name in figures:
                found.append(figures[name].value)
            elif name == self.goals.quality and candidate.outcome == "sized":
                found.append(_UNKNOWN_LOSS)
            else:
                return None
        return tuple(found)

    def _constraints(self, candidate: Candidate, soft: Sequence[str]) -> dict[str, float]:
        return {
            limit.figure: limit.over(candidate.figures[limit.figure].value)
            for limit in self.goals.limits
            if limit.figure in candidate.figures and limit.figure not in soft
        }


def _identity(about: Mapping[str, Any], space: Space, goals: Goals) -> str:
    return digest(dict(about), space.key, list(goals.objectives), goals.bytes_of, goals.device)


def _candidates(study: optuna.Study) -> list[Candidate]:
    trials = study.get_trials(deepcopy=False)
    data = [t.user_attrs[_CANDIDATE] for t in trials if _CANDIDATE in t.user_attrs]
    return [Candidate.from_json(one) for one in data]


# --- the database -------------------------------------------------------------------------------


def _storage(url: str) -> RDBStorage:
    """Open the database; SQLite as the store of runs has it, so that a kill harms nothing."""
    from optuna.storages import RDBStorage
    from sqlalchemy import event

    is_file = url.startswith("sqlite")
    if is_file:
        Path(url.partition(":///")[2]).parent.mkdir(parents=True, exist_ok=True)
    storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 20}} if is_file else {})
    if is_file:

        @event.listens_for(storage.engine, "connect")
        def prepare(connection: Any, record: Any) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

        storage.engine.dispose()
    return storage


def _quietly(work: Any) -> Any:
    """Call what Optuna calls experimental: its version is pinned."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="optuna")
        return work()


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError, OSError) as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        raise RunError(
            f"The database of studies cannot be used: {str(cause).splitlines()[0].rstrip('.')}.",
            hint="Free some space, close what else has it open, or name another by OPTIM_HOME.",
        ) from error
