"""The Autopilot: from a model, limits and a budget of time to a verified file.

==================  =============================================================================
proof               whether the limits are out of reach whatever is done; said before time is spent
sensitivity         what single layers can spare
trained before      recipes whose training is stored already
without training    many recipes, those that just fit the limits first
training            short for the promising, long for the best of them
baselines           what else somebody could have done, measured on the same samples
the end             the file, verified; the front on test samples, once
==================  =============================================================================

What was tried lies in a study, what was trained under its key: a search that is stopped or killed
goes on where it was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from optim.errors import Cancelled, ConfigError
from optim.quantity import format_value
from optim.search.autopilot.asked import Asked
from optim.search.autopilot.ending import (
    Answer,
    finish,
    impossible_answer,
    measure_baselines,
)
from optim.search.autopilot.layers import Layers
from optim.search.autopilot.recipes import LAYERS, Recipes, recipes_for
from optim.search.autopilot.session import Session
from optim.search.autopilot.training import Training
from optim.search.autopilot.trying import Trying
from optim.search.executor import Executor
from optim.search.figures import FIGURES, figure_text
from optim.search.goals import Limit
from optim.search.session import OutOfTimeError
from optim.search.space import Scalar
from optim.search.target import HERE, taken_text
from optim.search.watch import Watch
from optim.sensitivity.trials import techniques

__all__ = ["Autopilot", "recipes_of"]

_SURELY = 0.9
"""A limit is out of reach for certain only below this share of the least that was found."""
_SLOWLY_SPREAD = frozenset({"factorize"})
"""Techniques whose sizes take so long to tell that settings of layers are not looked for."""
_CANDIDATE_MACS = 2e10
"""Work that may go into making one candidate: some tenths of a second."""


class Autopilot:
    """One search for recipes.

    Args:
        asked: What is asked for.
        watch: Who watches.
        folder: Where relative files are looked up.
        registered_only: Whether only registered names are opened.
        url: Of the database of studies; the default one if empty.
        clock: Monotonic seconds.
        executor: Who trains; this process if None.

    Raises:
        OptimError: If the model, its data or what is asked for cannot be used.
    """

    def __init__(
        self,
        asked: Asked,
        watch: Watch | None = None,
        *,
        folder: Path = Path(),
        registered_only: bool = False,
        url: str = "",
        clock: Callable[[], float] = time.monotonic,
        executor: Executor | None = None,
    ) -> None:
        self.session = Session(
            asked,
            watch or Watch(),
            folder=folder,
            registered_only=registered_only,
            url=url,
            clock=clock,
            executor=executor,
        )

    def run(self) -> Answer:
        """Search until the budget is used up, or nothing is left to try.

        Raises:
            OptimError: If what is asked for cannot be searched for.
            Cancelled: If whoever watches wants it to stop; what was tried is kept.
        """
        try:
            return self._run()
        except Cancelled:
            self.session.publish(at_once=True)
            raise

    def _run(self) -> Answer:
        session = self.session
        _introduce(session)
        recipes = recipes_of(session)
        if impossible := _impossible(session, recipes):
            session.say(impossible)
            return impossible_answer(session, impossible)
        session.judge_original()
        _tell_quality(session)
        session.open_studies(recipes)
        _check_budget(session)
        try:
            _search(session, recipes)
            ended = "Nothing is left to try." if session.time() else "The budget is spent."
        except OutOfTimeError:
            ended = "The budget is spent."
        if session.watch.is_enough():
            ended = "It was asked to take what it has."
        measure_baselines(session)
        return finish(session, ended)


def _search(session: Session, recipes: Recipes) -> None:
    """Look at layers, then try without training and with, until time or ideas are used up.

    What is tried once there is no time for another training is measured to the end, and the last.
    """
    layers = Layers(session)
    trying = Trying(session, recipes, layers)
    training = Training(session, trying)
    trying.try_first()
    trying.take_known()
    training.take_up()
    layers.look()
    while session.time():
        known = len(session.candidates)
        trying.try_many()
        trying.refine()
        training.train_best()
        session.keep_best()
        if len(session.candidates) == known or trying.is_last:
            return
        trying.is_last = training.is_over


def _introduce(session: Session) -> None:
    costs = [
        figure_text(name, session.original[name])
        for name in session.goals.costs
        if name in session.original
    ]
    session.say(f"{session.bench.subject.bundle.name}: {', '.join(costs)}.")
    if session.goals.limits:
        session.say(f"Limits: {'; '.join(limit.text for limit in session.goals.limits)}.")
    if not session.goals.asked:
        session.say("No limit was set: the compromise of the front will be taken.")
    if session.asked.trains and session.why_not_trained:
        session.say(f"Nothing is trained. {session.why_not_trained}")
    elif session.asked.trains and session.executor is not None:
        session.say(f"Up to {session.executor.places} candidates are trained at once.")
    if session.asked.device:
        session.say(
            "Latency is measured on this computer."
            if session.asked.device == HERE
            else f"The device is {taken_text(session.asked.device)}."
        )


def _tell_quality(session: Session) -> None:
    n = len(session.bench.bench.samples)
    part = "validation" if session.bench.subject.part == "validation" else "unsplit"
    what = f"Recipes are compared on {n:,} {part} samples"
    quality = session.original_quality
    primary = session.bench.primary
    session.say(f"{what}." if quality is None else f"{what}; the original has {primary} {quality}.")


def recipes_of(session: Session) -> Recipes:
    """Return the space of recipes for the model and the goals of a search."""
    bundle = session.bench.subject.bundle
    passes = int(_CANDIDATE_MACS / max(1, session.bench.bench.macs))
    return recipes_for(
        session.asked.base,
        lambda recipe: session.bench.outline(recipe, session.goals, linked=False),
        lane=bundle.lane,
        task=bundle.task.kind,
        figures=[name for name in session.goals.figures if name != session.goals.quality],
        by_sensitivity=[name for name in techniques() if name not in _SLOWLY_SPREAD],
        most_passes=max(256, min(2048, passes)),
        only=session.asked.only,
    )


def _impossible(session: Session, recipes: Recipes) -> str:
    """Say which limit even the strongest settings miss by far; empty if none is known."""
    reasons = []
    for limit in session.goals.limits:
        if limit.figure not in ("bytes", "macs", "params"):
            continue
        least, figure = _least(session, recipes, limit), FIGURES[limit.figure]
        if limit.most < _SURELY * least:
            reasons.append(
                f"{limit.text} is out of reach: the strongest settings of all techniques together "
                f"leave {figure_text(limit.figure, format_value(least, figure.unit))}."
            )
    return " ".join(reasons)


def _least(session: Session, recipes: Recipes, limit: Limit) -> float:
    """Return the least that a figure can be, or something that keeps its limit.

    It is looked for along one dimension after the other, from end to end.
    """
    point = recipes.space.clean({})
    least = math.inf
    for dimension in recipes.space:
        values = dimension.values
        if values == (False, True) and not dimension.name.endswith(f".{LAYERS}"):
            ends: tuple[Scalar, ...] = (True,)
        elif dimension.is_ordered:
            ends = (values[-1], values[0])
        else:
            continue
        for value in ends:
            session.watch.check()
            tried = recipes.space.clean({**point, dimension.name: value})
            sizes = session.bench.outline(recipes.recipe(tried), session.goals)
            if sizes is not None and sizes[limit.figure].value < least:
                least, point = sizes[limit.figure].value, tried
            if least <= limit.most:
                return least
    return least


def _check_budget(session: Session) -> None:
    """Refuse a budget that is used up before the first trial.

    Raises:
        ConfigError: With a budget that would do.
    """
    if session.was_resumed or session.budget.left > session.kept_back:
        return
    needed = math.ceil(session.budget.spent + session.kept_back + 10)
    raise ConfigError(
        f"The budget of {session.asked.seconds:g} s is too small for one trial: opening the model "
        f"and its space took {session.budget.spent:.1f} s, and the file needs some as well.",
        hint=f"Give at least {needed} s.",
        field="seconds",
    )
