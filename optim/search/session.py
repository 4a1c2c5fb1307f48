"""What every search shares while it goes on: studies, budget, story, and who watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from optim.quantity import format_value
from optim.search.budget import Budget
from optim.search.candidate import Candidate
from optim.search.goals import Goals
from optim.search.space import Space
from optim.search.study import BEYOND, Study, study_of
from optim.search.watch import Watch

__all__ = ["OutOfTimeError", "SearchSession"]

_PUBLISH_EVERY_S = 1.0
_POPULATION = 8


class OutOfTimeError(Exception):
    """The budget is used up in the middle of something."""


class SearchSession:
    """Base of the sessions: one search, while it goes on.

    Args:
        seconds: Budget.
        stage: What is done first.
        watch: Who watches.
        url: Of the database of studies; the default one if empty.
        clock: Monotonic seconds.

    Attributes:
        goals: What is asked for.
        was_resumed: Whether an earlier attempt has begun it.
    """

    goals: Goals

    def __init__(
        self,
        seconds: float,
        stage: str,
        watch: Watch,
        *,
        url: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.watch = watch
        self.clock = clock
        self.budget = Budget(seconds, clock=clock)
        self.story: list[dict[str, Any]] = []
        self.stage = stage
        self.was_resumed = False
        self._url = url
        self._published = float("-inf")
        self._studies: tuple[Study, Study] | None = None
        watch.progress(0.0, stage)

    def state(self) -> dict[str, Any]:
        """Return what there is so far, as plain data."""
        raise NotImplementedError

    @property
    def kept_back(self) -> float:
        """Seconds that the end may take: for the file and the test samples."""
        raise NotImplementedError

    # --- what was tried ---------------------------------------------------------------------

    def begin_studies(
        self,
        name: str,
        space: Space,
        about: Mapping[str, Any],
        sampler: str,
        seed: int,
        what: str,
        *,
        chosen_name: str,
    ) -> None:
        """Begin to keep what is tried, or go on where an earlier attempt was stopped.

        Args:
            name: Of the study.
            space: What may be tried.
            about: Plain data that tells what is searched for.
            sampler: What thinks of points.
            seed: Of the sampler.
            what: Word for what is tried, in the plural.
            chosen_name: The name, where somebody has chosen it: of a run nobody has.

        Raises:
            ConfigError: If a study of that name searches for something else.
            RunError: If the database cannot be used.
        """
        options: dict[str, Any] = {"about": about, "seed": seed, "url": self._url}
        points = Study.open(
            name,
            space,
            self.goals,
            sampler=sampler,
            population=_POPULATION,
            is_free=not chosen_name or chosen_name.startswith(study_of("")),
            **options,
        )
        others = Study.open(
            f"{points.name}{BEYOND}", space, self.goals, sampler="random", beside=points, **options
        )
        points.beside(others)
        self._studies = points, others
        if spent := points.spent_s:
            self.was_resumed = True
            seconds = self.budget.seconds
            self.budget = Budget(seconds, min(spent, seconds), self.clock)
            self.say(
                f"This search goes on: {len(self.candidates)} {what} are known, "
                f"{format_value(spent, 's')} are spent."
            )
        elif points.name != name:
            self.say(
                "The search that was begun under this name was for something else: model, data or "
                "program were others. This one begins anew."
            )

    @property
    def points(self) -> Study:
        """What a sampler thought of, and learns from."""
        assert self._studies is not None
        return self._studies[0]

    @property
    def others(self) -> Study:
        """What came of the best of it, and what is beyond the space."""
        assert self._studies is not None
        return self._studies[1]

    @property
    def candidates(self) -> list[Candidate]:
        """All that was kept, in the order in which it was."""
        if self._studies is None:
            return []
        both = (c for study in self._studies for c in study.candidates())
        return sorted(both, key=lambda candidate: candidate.number)

    # --- time -------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the seconds left before the end has to begin; 0 if it is time to end."""
        if self.watch.is_enough():
            return 0.0
        return max(0.0, self.budget.left - self.kept_back)

    def check(self) -> None:
        """Stop if whoever watches wants that, or the budget is used up.

        Raises:
            Cancelled: In the first case.
            OutOfTimeError: In the second.
        """
        self.watch.check()
        if not self.time():
            raise OutOfTimeError

    # --- telling ----------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Say what is done, and why."""
        self.story.append({"at": round(self.budget.spent, 1), "text": text})
        self.watch.say(text)
        self.publish(at_once=True)

    def begin(self, stage: str) -> None:
        """Say what is being done from now on."""
        self.stage = stage
        self.tell()

    def tell(self) -> None:
        """Say how far it is."""
        self.watch.progress(min(0.99, self.budget.share), self.stage)
        self.publish()

    def publish(self, *, at_once: bool = False) -> None:
        """Show what was found so far, once a second at most."""
        now = self.clock()
        if not at_once and now - self._published < _PUBLISH_EVERY_S:
            return
        self._published = now
        if self._studies is not None:
            self.points.note_spent(self.budget.spent)
        self.watch.publish(self.state())
