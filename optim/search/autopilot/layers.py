"""What single layers can spare, and settings of layers that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from optim.errors import Cancelled, OptimError
from optim.quantity import format_value
from optim.search.autopilot.recipes import LAYERS
from optim.search.autopilot.session import Session
from optim.search.session import OutOfTimeError
from optim.search.space import Scalar
from optim.search.target import HERE
from optim.sensitivity.analysis import analyse
from optim.sensitivity.kept import SHELF, kept_profile, key_of
from optim.sensitivity.profile import SAMPLES, Profile
from optim.sensitivity.settings import settings_of_layers
from optim.sensitivity.spread import spread
from optim.sensitivity.times import timed
from optim.sensitivity.trials import on_layers, untouched
from optim.step import Step
from optim.techniques import TECHNIQUES

__all__ = ["Layers"]

_SHARE = 0.15
"""Share of the budget for the analysis; what is known by then is used."""
_TIMES_SHARE = 0.1
"""Share of the budget for the times of its variants."""


class Layers:
    """Knows what layers can spare, once it was looked at.

    Args:
        session: The search.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._levels: dict[str, dict[str, Scalar] | None] = {}
        self.profile: Profile | None = None

    def look(self) -> None:
        """Analyse the model, or take what is known of it."""
        session = self._session
        if not any(d.name.endswith(f".{LAYERS}") for d in session.points.space):
            return
        key = key_of(session.asked.base, SAMPLES)
        self.profile = kept_profile(key) if session.is_registered else None
        if self.profile is not None and self.profile.is_complete:
            session.say("What single layers can spare is known from an earlier analysis.")
            self._take_times(key)
            return
        session.begin("looking at single layers")
        session.say(
            "First each technique on one layer at a time: layers that can spare more shall give "
            "more."
        )
        with self._as_far_as_it_goes("Single layers cannot be looked at, so all get the same."):
            self._analyse(key)
        if self.profile is not None:
            session.say(
                f"{len(self.profile.cells)} variants of single layers on {self.profile.n:,} "
                f"samples in {format_value(self.profile.seconds, 's')}."
            )
            self._take_times(key)

    def _take_times(self, key: str) -> None:
        """Measure what single layers gain in time, where time on this computer counts."""
        session, profile = self._session, self.profile
        if session.goals.device != HERE or profile is None:
            return
        session.begin("timing variants of single layers")
        limit = session.budget.spent + _TIMES_SHARE * session.budget.seconds
        with self._as_far_as_it_goes("Variants of single layers cannot be timed."):
            for timed_so_far in timed(
                profile, session.bench.subject, check=lambda: self._check(limit)
            ):
                self.profile = timed_so_far
        if session.is_registered and self.profile is not None:
            SHELF.keep(key, self.profile.to_json())
        names = [n for n in profile.structural if self.profile and self.profile.is_timed(n)]
        if names:
            titles = ", ".join(TECHNIQUES[name].title.lower() for name in names)
            session.say(f"Timed on this computer, layer by layer: {titles}.")

    def _analyse(self, key: str) -> None:
        session = self._session
        limit = session.budget.spent + _SHARE * session.budget.seconds

        def check() -> None:
            patience = _SHARE * session.budget.seconds if self.profile is None else 0.0
            self._check(limit + patience)

        for profile in analyse(session.bench.subject, check=check):
            self.profile = profile
            if session.is_registered:
                SHELF.keep(key, profile.to_json())
            if session.budget.spent > limit:
                return

    @contextmanager
    def _as_far_as_it_goes(self, refusal: str) -> Iterator[None]:
        """Let time run out, and say why something cannot be done: what is known by then is used."""
        try:
            yield
        except OutOfTimeError:
            self._session.check()
        except Cancelled:
            raise
        except OptimError as error:
            self._session.say(f"{refusal} {error}")

    def _check(self, limit: float) -> None:
        """Stop where the search stops, or once so many seconds of it are spent."""
        self._session.check()
        self._session.tell()
        if self._session.budget.spent > limit:
            raise OutOfTimeError

    def harm(self, name: str, level: Scalar) -> float:
        """Return how far outputs may move with one level on all layers: the sum over single ones.

        Between levels that were tried it is interpolated. 0 where nothing is known.
        """
        if self.profile is None:
            return 0.0
        neutral = untouched(TECHNIQUES[name]())
        cells = self.profile.cells_of(name)
        levels = list(dict.fromkeys(cell.level for cell in cells))
        sums = {x: sum(c.harm.value for c in cells if c.level == x) for x in levels}
        known = sorted([(_number(neutral), 0.0), *((_number(x), h) for x, h in sums.items())])
        at, harms = zip(*known, strict=True)
        return float(np.interp(_number(level), at, harms))

    def spread(self, name: str, step: Step, level: Scalar) -> Step | None:
        """Return a technique with a setting a layer for the cost of a common level.

        Layers were looked at with the technique's other fields at their defaults, so that a level
        decides the settings; what they really cost is measured with the whole recipe.
        """
        key = f"{name}={level!r}"
        if key not in self._levels:
            self._levels[key] = self._spread(name, level)
        levels = self._levels[key]
        return on_layers(step, levels) if levels else None

    def _spread(self, name: str, level: Scalar) -> dict[str, Scalar] | None:
        if self.profile is None or not self.profile.rows_of(name):
            return None
        plain = TECHNIQUES[name]()
        session = self._session
        try:
            if session.goals.device == HERE and self.profile.is_timed(name):
                return settings_of_layers(
                    session.bench.subject,
                    self.profile,
                    plain,
                    level,
                    in_time=True,
                    check=session.check,
                ).levels
            return spread(self.profile, name, plain, level, session.bench.step_costs).levels
        except (Cancelled, OutOfTimeError):
            raise
        except OptimError:
            return None  # the level saves more than was tried, say: all layers get it


def _number(level: Scalar) -> float:
    """Return a level as a number: bits that are no number as those that come closest."""
    return _BITS[level] if isinstance(level, str) else float(level)


_BITS = {"float": 16.0, "ternary": 1.6}
