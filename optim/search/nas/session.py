"""What all stages of a search for architectures share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from optim.errors import ConfigError
from optim.hashing import digest
from optim.models.architecture import Architecture
from optim.models.bundle import ModelBundle
from optim.quantity import Quantity
from optim.search.candidate import Candidate
from optim.search.choosing import closest_miss
from optim.search.executor import Executor
from optim.search.figures import FIGURES
from optim.search.nas.answer import state_of
from optim.search.nas.asked import PREDICTOR, Asked, goals_of
from optim.search.nas.bench import Bench
from optim.search.nas.halving import LEARNED, taken, telling
from optim.search.nas.pace import Pace, epoch_s
from optim.search.nas.supernet.supernet import Supernet
from optim.search.nas.trust import SUPERNET
from optim.search.nas.words import doubts_about, figures_text
from optim.search.session import SearchSession
from optim.search.space import Point
from optim.search.target import taken_text
from optim.search.watch import Watch

__all__ = ["Session", "rungs_of"]

_FEWER = 3
"""Every round trains a third of the networks three times as long."""
_LEARNED_SHARE = 0.35
"""Of the budget, at most, for learning which lengths of training tell something."""
_END_SHARE, _END_LEAST_S, _END_MOST = 0.1, 3.0, 0.4


def rungs_of(epochs: int, networks: int) -> tuple[int, ...]:
    """Return the lengths of trainings, shortest first.

    Args:
        epochs: Of a whole training.
        networks: In the space; a single one is trained at full length.

    Example:
        >>> rungs_of(36, 1000), rungs_of(5, 1000), rungs_of(36, 1)
        ((4, 12, 36), (1, 5), (36,))
    """
    if networks == 1:
        return (epochs,)
    found = [epochs]
    while len(found) < _FEWER and found[0] >= _FEWER:
        found.insert(0, found[0] // _FEWER)
    return tuple(found)


class Session(SearchSession):
    """One search, while it goes on.

    Args:
        asked: What is asked for.
        watch: Who watches.
        folder: Where relative files are looked up.
        registered_only: Whether only registered data are opened.
        url: Of the database of studies; the default one if empty.
        clock: Monotonic seconds.
        executor: Who trains; this process if None.

    Attributes:
        goals: What is weighed and limited.
        rungs: Lengths of trainings in epochs, shortest first.
        supernet: Once one was trained.
        learned: What its networks reach, as plain data.
        pace: How long trainings will take.
        repeated: ``{candidate number: error over seeds}``.

    Raises:
        OptimError: If what is asked for cannot be searched for.
    """

    def __init__(
        self,
        asked: Asked,
        watch: Watch,
        *,
        folder: Path = Path(),
        registered_only: bool = False,
        url: str = "",
        clock: Callable[[], float] = time.monotonic,
        executor: Executor | None = None,
    ) -> None:
        super().__init__(asked.seconds, "opening the data", watch, url=url, clock=clock)
        self.asked = asked
        self.executor = executor
        self.goals = goals_of(asked)
        self.bench = Bench(asked, folder=folder, registered_only=registered_only)
        self.pace = Pace(self.bench)
        self.networks = self.bench.space.count()
        self.rungs = rungs_of(asked.epochs, self.networks)
        self.layers: dict[str, list[dict[str, Any]]] = {}
        self.supernet: Supernet | None = None
        self.learned: dict[str, Any] | None = None
        self.repeated: dict[int, Quantity] = {}

    # --- how long networks are trained ------------------------------------------------------

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of trainings in epochs that are made, shortest first."""
        if self.asked.sampler != PREDICTOR:
            return self.rungs
        return telling(self.candidates, self.rungs)

    @property
    def learns_lengths(self) -> int:
        """How many networks are trained for every length; 0 where there is no time for that."""
        if self.asked.sampler != PREDICTOR:
            return 0
        trained = [c for c in self.candidates if c.is_whole and c.made.get("epochs")]
        each = [epoch_s(c) * self.rungs[-1] for c in trained]
        if not each or LEARNED * max(each) > _LEARNED_SHARE * self.budget.seconds:
            return 0
        return LEARNED

    # --- what was tried ---------------------------------------------------------------------

    def open_studies(self) -> None:
        """Begin to keep what is tried, or go on where an earlier attempt was stopped.

        Raises:
            ConfigError: If a study of that name searches for something else.
            RunError: If the database cannot be used.
        """
        asked, subject = self.asked, self.bench.subject
        about = {
            "space": asked.space,
            "data": subject.data.hash,
            "precision": asked.precision,
            "epochs": list(self.rungs),
            "seed": asked.seed,
        }
        sampler = "random" if asked.sampler == PREDICTOR else asked.sampler
        self.begin_studies(
            asked.name,
            self.bench.space,
            about,
            sampler,
            asked.seed,
            "networks",
            chosen_name=asked.study,
        )

    def trained(self, candidate: Candidate) -> ModelBundle:
        """Return the network that a candidate is; made again if its file is gone."""
        bench, check, made = self.bench, self.watch.check, candidate.made

        def again(architecture: Architecture) -> ModelBundle:
            shared = made.get("supernet")
            if shared is None:
                return bench.train(architecture, int(made["epochs"]), check=check)[0]
            supernet = Supernet(bench, bench.space.narrowed(shared["values"]))
            supernet.train(int(shared["epochs"]), check=check)
            return supernet.network(architecture)

        return bench.trained(made, again)

    def scores(self, point: Point) -> dict[str, float]:
        """Return what is told of a network before it is trained: by proxies, by the supernet."""
        found = self.bench.scores(self.bench.architecture(point))
        if self.supernet is not None:
            with contextlib.suppress(ConfigError):
                found[SUPERNET] = self.supernet.accuracy(self.supernet.space.clean(point))
        return found

    # --- time -------------------------------------------------------------------------------

    @cached_property
    def kept_back(self) -> float:
        """Seconds that the end may take: for the file and the test samples."""
        seconds = self.budget.seconds
        return min(max(_END_LEAST_S, _END_SHARE * seconds), _END_MOST * seconds)

    def refuse_budget(self, needed_s: float, what: str) -> None:
        """Refuse a budget that is too small for one training.

        Raises:
            ConfigError: Always, with one that would do.
        """
        least = int((needed_s + _END_LEAST_S) * 1.5) + 1
        raise ConfigError(
            f"The budget of {self.asked.seconds:g} s is too small for one training: {what}.",
            hint=f"Give at least {least} s, or fewer epochs.",
            field="seconds",
        )

    # --- telling ----------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what there is so far, as plain data."""
        for candidate in self.candidates:
            key = digest(dict(candidate.point))
            if candidate.is_whole and key not in self.layers:
                self.layers[key] = self.bench.layers(self.bench.architecture(candidate.point))
        return state_of(
            self.candidates,
            self.goals,
            self.asked,
            self.bench.space,
            layers={c.number: self.layers.get(digest(dict(c.point)), []) for c in self.candidates},
            supernet=self.learned,
            repeated=self.repeated,
            # Samples that were looked at anyway: before that, nobody waits for them.
            chance=self.bench.chance if any(c.is_whole for c in self.candidates) else 0.0,
            story=self.story,
            stage=self.stage,
            spent_s=self.budget.spent,
        )

    def best_so_far(self) -> str:
        """Return what there is so far, in words."""
        best = taken(self.candidates, self.goals)
        if best is not None:
            return f"Best so far: {best.title}; {figures_text(best.figures, self.goals)}."
        closest = closest_miss(self.candidates, self.goals)
        if closest is None:
            return "Nothing was trained to the end yet."
        return f"Closest so far: {closest.candidate.title}. {closest.text}"

    def doubts(self, candidate: Candidate) -> list[str]:
        """Return what speaks against taking a network, in sentences."""
        return doubts_about(candidate, self.rungs[-1], self.bench.chance)

    def introduce(self) -> None:
        """Say what is searched for, and where."""
        parts, data = self.bench.subject.data.parts, self.bench.subject.data
        self.say(
            f"{self.bench.family.title} for {data.title}: {self.networks:,} networks, "
            f"{parts['train']:,} training and {parts['validation']:,} validation samples."
        )
        if self.goals.limits:
            self.say(f"Limits: {'; '.join(limit.text for limit in self.goals.limits)}.")
        if self.asked.device:
            self.say(f"The device is {taken_text(self.asked.device)}.")
        if not self.goals.asked:
            named = ", ".join(FIGURES[name].word for name in self.goals.objectives)
            self.say(f"No limit was set: the compromise of {named} will be taken.")
