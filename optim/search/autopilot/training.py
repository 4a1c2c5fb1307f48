"""Training of the promising, within what is left of the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from optim.errors import Cancelled, OptimError
from optim.quantity import format_value
from optim.recipe import Entry, Recipe
from optim.runner import apply_recipe
from optim.search.autopilot.recoveries import (
    Pace,
    most_epochs,
    promising,
    short_round,
    split_epochs,
    trained_recipe,
)
from optim.search.autopilot.session import END_SHARE, STAGES, Session, recipe_of
from optim.search.autopilot.trying import Trying
from optim.search.autopilot.words import costs_text, short_title
from optim.search.candidate import Candidate
from optim.search.executor import LOOK_EVERY_S, RECIPE_KIND, Order
from optim.search.session import OutOfTimeError
from optim.step import Resume

__all__ = ["TooSlowError", "Training"]

_MOST = 9
_AWAY_S = 10.0
"""What a training elsewhere takes besides its epochs, before one was seen."""
_SURE_OF_PACE, _UNSURE_OF_PACE = 1.1, 1.3
"""How much longer than thought a training may take, once one was seen and before."""
_FROM_THE_END = 0.5
"""Share of what is kept back for the end that a training may use up."""


class TooSlowError(Exception):
    """A training would not end within the budget."""


@dataclass
class _Lesson:
    """Seconds and epochs of a training so far."""

    seconds: float = 0.0
    epochs: int = 0


class Training:
    """Trains candidates.

    Args:
        session: The search.
        trying: Refines what was trained.
    """

    def __init__(self, session: Session, trying: Trying) -> None:
        self._session = session
        self._trying = trying
        self._has_seen = False
        self._told_why_not = False
        self._seconds: dict[str, float] = {}
        self._away_s = _AWAY_S

    @cached_property
    def _pace(self) -> Pace:
        bench = self._session.bench
        samples = bench.subject.data.parts["train"]
        return Pace(samples, bench.bench.macs, self._session.seconds_per_mac)

    def train_best(self) -> None:
        """Train the promising for as long as there is time, or say why nothing is trained."""
        session = self._session
        if not session.can_train:
            return
        trained = (STAGES["short"], STAGES["long"], STAGES["known"])
        over = {c.parent for c in session.candidates if c.stage == STAGES["long"]}
        able = promising(
            [c for c in session.candidates if c.number not in over and c.stage not in trained],
            session.goals,
            _MOST,
        )
        if not able:
            self._say_once("No candidate that keeps the limits of cost can gain from training.")
        elif not self._epochs_for(able[0]):
            epoch = format_value(self._epoch_s(able[0]), "s")
            self._say_once(
                f"One epoch of training takes about {epoch}, more than is left: nothing more is "
                "trained."
            )
        else:
            self._rounds(able)

    # --- rounds -----------------------------------------------------------------------------

    def _rounds(self, able: list[Candidate]) -> None:
        """Train many for short, fewer for longer, one to the end; plan anew after each round."""
        session = self._session
        epochs, places = 1, self._places
        short = short_round(len(able), self._epoch_s(able[0]) / places, session.time())
        running = able[: max(places, short)]
        while len(running) > places:
            found = self._round(running, epochs, STAGES["short"])
            running = [parent for _, parent in sorted(found, key=lambda pair: self._rank(pair[0]))]
            epochs *= 3
            running = running[: max(places, len(running) // 3)]
            turns = math.ceil(len(running) / places)
            if running and epochs * turns > self._epochs_for(running[0]) / 2:
                running = running[:places]
        while running and (epochs := self._epochs_for(running[0])):
            try:
                found = self._round(running, epochs, STAGES["long"])
            except TooSlowError:
                continue  # planned anew, now that the pace is known
            if found and session.time():
                best = min((trained for trained, _ in found), key=self._rank)
                self._trying.refine_trained(best)
            return

    def _round(
        self, parents: list[Candidate], epochs: int, stage: str
    ) -> list[tuple[Candidate, Candidate]]:
        """Train candidates for so many epochs; return those that could be, with their parents."""
        session = self._session
        each = f"{epochs} epoch{'s' if epochs != 1 else ''}"
        about = format_value(self._epoch_s(parents[0]), "s")
        session.begin(f"{stage}, {each}")
        many = f"{len(parents)} candidates are" if len(parents) > 1 else "The best candidate is"
        session.say(f"{many} trained for {each}; an epoch takes about {about}.")
        found = [
            (self._train(parent, epochs, stage), parent) for parent in self._done(parents, epochs)
        ]
        session.say(session.best_so_far())
        return [(trained, parent) for trained, parent in found if trained is not None]

    @property
    def _places(self) -> int:
        """How many candidates are trained at once."""
        return self._session.executor.places if self._session.executor else 1

    def _done(self, parents: Sequence[Candidate], epochs: int) -> Iterator[Candidate]:
        """Yield candidates as somebody else has trained them; as they come if nobody does.

        What is not trained by others, whatever the reason, is trained here.
        """
        session, executor = self._session, self._session.executor
        if executor is None:
            yield from parents
            return
        waiting, away = list(parents), dict[str, tuple[Candidate, float]]()
        try:
            while waiting or away:
                while waiting and len(away) < executor.places:
                    parent = waiting.pop(0)
                    recipe = trained_recipe(recipe_of(parent), epochs)
                    if self._known(recipe) is not None:
                        yield parent
                        continue
                    spec = {"recipe": recipe.to_json()}
                    executor.begin(Order(recipe.hash, RECIPE_KIND, spec, short_title(recipe)))
                    away[recipe.hash] = parent, session.clock()
                for outcome in executor.ended(LOOK_EVERY_S) if away else ():
                    parent, began = away.pop(outcome.key)
                    if outcome.problem:
                        session.say(f"{outcome.problem} It is trained here.")
                    elif outcome.seconds:
                        self._seconds[outcome.key] = outcome.seconds
                        self._away_s = session.clock() - began - outcome.seconds
                    yield parent
                session.tell()
                session.check()
        finally:
            executor.withdraw()

    def _rank(self, candidate: Candidate) -> tuple[float, ...]:
        """Return what says which candidates go on: limits first, then what is chosen by."""
        goals, figures = self._session.goals, candidate.figures
        limited = {limit.figure for limit in goals.asked}
        loss, cost = figures[goals.quality].high, figures[goals.costs[0]].value
        excess = goals.excess(figures)
        by_quality = bool(limited - {goals.quality}) or not limited
        return (excess, loss, cost) if by_quality else (excess, cost, loss)

    def _epoch_s(self, candidate: Candidate) -> float:
        return self._pace.seconds(candidate.figures["macs"].value, 1)

    def _epochs_for(self, candidate: Candidate) -> int:
        """Return for how many epochs a candidate can be trained in the time that is left."""
        sure = _SURE_OF_PACE if self._has_seen else _UNSURE_OF_PACE
        macs = candidate.figures["macs"].value
        left = self._session.time() - (self._away_s if self._session.executor else 0.0)
        return most_epochs(recipe_of(candidate), macs, self._pace, left / sure)

    def _known(self, recipe: Recipe) -> Candidate | None:
        """Return what a recipe that was trained before reaches."""
        known = self._session.known(recipe)
        return None if known is None or known.outcome == "failed" else known

    # --- one training -----------------------------------------------------------------------

    def _train(self, parent: Candidate, epochs: int, stage: str) -> Candidate | None:
        """Train one candidate and measure it; what is known or stored is not trained again."""
        session = self._session
        recipe = trained_recipe(recipe_of(parent), epochs)
        if (known := self._known(recipe)) is not None:
            return known
        title, lesson = short_title(recipe), _Lesson(self._seconds.get(recipe.hash, 0.0))
        try:
            bundle, _ = apply_recipe(
                recipe,
                session.bench.subject,
                check=session.check,
                stored=session.is_registered,
                tracker=lambda entry: self._tracked(entry, recipe, epochs, lesson),
                trained=session.watch.trained,
            )
        except (Cancelled, OutOfTimeError, TooSlowError):
            raise
        except OptimError as error:
            made = {"recipe": recipe.to_json()}
            failed = Candidate({}, made, {}, "failed", stage, title, str(error))
            session.others.add(replace(failed, parent=parent.number))
            session.say(f"{title} cannot be trained. {error}")
            return None
        if lesson.seconds:
            split = split_epochs(recipe_of(parent), epochs)
            self._pace.learn(parent.figures["macs"].value, *split, lesson.seconds)
            self._has_seen = True
        session.trained[recipe.hash] = bundle
        found = session.others.add(
            session.bench.measure(
                recipe,
                session.goals,
                stage=stage,
                title=title,
                parent=parent.number,
                bundle=bundle,
                trained_s=lesson.seconds,
                check=session.watch.check,
            )
        )
        session.say(f"{title}: {costs_text(found.figures, session.goals)}.")
        session.keep_best()
        return found if found.is_whole else None

    def _tracked(
        self, entry: Entry, recipe: Recipe, epochs: int, lesson: _Lesson
    ) -> tuple[Resume, Callable[[dict[str, float]], None]]:
        """Return where the states of a training go, and what hears of its epochs."""
        session = self._session
        name = f"{entry.step.title} {recipe.hash[:6]}: {short_title(recipe)}"[:80]

        def record(figures: dict[str, float]) -> None:
            took = figures.get("seconds", 0.0)
            lesson.seconds += took
            lesson.epochs += 1
            session.watch.record(name, figures)
            session.tell()
            left = session.time() + _FROM_THE_END * END_SHARE * session.budget.seconds
            if lesson.epochs == 1 < epochs and took * (epochs - 1) > left:
                self._slow_down(took)

        return session.watch.states(name), record

    def _slow_down(self, epoch_s: float) -> None:
        """Give up a training that would not end in time, and remember how long an epoch took.

        Raises:
            TooSlowError: Always.
        """
        thought = self._pace.seconds(self._session.bench.bench.macs, 1)
        self._pace.correction *= max(1.0, epoch_s / thought)
        self._has_seen = True
        raise TooSlowError

    def _say_once(self, text: str) -> None:
        if not self._told_why_not:
            self._told_why_not = True
            self._session.say(text)
