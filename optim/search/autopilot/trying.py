"""Many recipes without training, and costly methods on the best of them."""

from __future__ import annotations

from typing import Any

from optim.errors import Cancelled
from optim.quantity import format_value
from optim.recipe import Recipe
from optim.search.autopilot.layers import Layers
from optim.search.autopilot.recipes import Recipes, refined
from optim.search.autopilot.recoveries import promising
from optim.search.autopilot.session import STAGES, Session, recipe_of
from optim.search.autopilot.starts import enqueue_starts, presets, trained_before
from optim.search.autopilot.words import short_title
from optim.search.candidate import Candidate
from optim.search.choosing import front_of
from optim.search.session import OutOfTimeError
from optim.techniques import TECHNIQUES

__all__ = ["Trying"]

_SHARE = 0.15
"""Share of the time left that is spent without training where training is possible."""
_TOLD = 10
"""Fewer recipes than these are not worth a sentence of their own."""
_STALE = 60
"""After so many candidates that changed nothing, more of them will not."""
_REFINED, _REFINED_SHARE = 3, 0.08
_ROUNDING_SHARE = 0.08
"""Share of the budget that one way of rounding may take on a trained model."""


class Trying:
    """Tries recipes without training them.

    Args:
        session: The search.
        recipes: The space.
        layers: Gives layers settings of their own.

    Attributes:
        is_last: Whether what is tried is not trained afterwards.
    """

    def __init__(self, session: Session, recipes: Recipes, layers: Layers) -> None:
        self._session = session
        self._recipes = recipes
        self._layers = layers
        self._was_introduced = False
        self.is_last = False

    def take_known(self) -> None:
        """Measure what was trained before, by whomever."""
        session = self._session
        if not session.asked.reuses:
            return
        session.begin("measuring what was trained before")
        found = []
        for recipe in trained_before(session, self._recipes):
            session.check()
            if session.known(recipe) is None:
                measured = session.bench.measure(
                    recipe,
                    session.goals,
                    stage=STAGES["known"],
                    title=short_title(recipe),
                    ranks=True,
                    check=session.check,
                )
                found.append(session.others.add(measured))
                session.tell()
        judged = [candidate for candidate in found if candidate.is_judged]
        if not judged:
            return
        judged.sort(key=lambda c: c.figures[session.goals.quality].value)
        for best in judged[:2]:
            self.refine_trained(best)
        many = "1 recipe was" if len(found) == 1 else f"{len(found)} recipes were"
        session.say(
            f"{many} trained before, here or by who ships this program, and had only to be "
            f"measured. {session.best_so_far()}"
        )
        session.keep_best()

    def try_first(self) -> None:
        """Try what presets say without training, so that there is something before all else."""
        if self._session.points.candidates():
            return
        self._session.begin("trying eight bits, and presets without training")
        for point in presets(self._session, self._recipes):
            self._session.points.enqueue(point)
            self._try_one(is_first=not self._session.candidates)
            self._session.tell()

    def try_many(self) -> None:
        """Try points of the space until it is time for training, or nothing changes any more."""
        session, study = self._session, self._session.points
        done = len(study.candidates())
        if not self._was_introduced:
            self._was_introduced = True
            self._introduce()
            enqueue_starts(session, self._recipes, self._layers)
        session.begin("trying recipes without training")
        share = _SHARE if self._is_trained_later else 0.8
        until = session.budget.spent + share * session.time()
        most, patience = study.space.count(), _STALE * (1 if session.can_train else 4)
        began, stale, front = session.budget.spent, 0, self._front()
        while (
            session.time()
            and session.budget.spent < until
            and len(study.candidates()) < most
            and stale < patience
        ):
            session.check()
            self._try_one()
            stale = 0 if self._front() != front else stale + 1
            front = self._front()
            session.tell()
        self._report(len(study.candidates()) - done, session.budget.spent - began)

    def refine(self) -> None:
        """Try costly methods on the best, one at a time, as long as each of them gains."""
        session = self._session
        able = [c for c in session.points.candidates() if c.is_judged]
        best = promising(able, session.goals, _REFINED)
        if not best:
            best = front_of(able, session.goals)[:_REFINED]
        session.begin("trying costly methods on the best")
        until = session.budget.spent + _REFINED_SHARE * session.time()
        took: dict[str, float] = {}
        gains: list[str] = []
        for parent in best:
            present = parent
            for words in [words for words, _ in refined(recipe_of(parent))]:
                variants = dict(refined(recipe_of(present)))
                if words not in variants:
                    continue
                expected = took.get(words, self._calibration_s(variants[words]))
                if session.budget.spent + expected > until:
                    continue
                began = session.budget.spent
                tried = self._measured(variants[words], present)
                took[words] = session.budget.spent - began
                loss = session.goals.quality
                if tried is not None and tried.figures[loss].value < present.figures[loss].value:
                    gains.append(words)
                    present = tried
        if took:
            gained = ", ".join(dict.fromkeys(gains)) or "none of them"
            session.say(
                f"Costly methods on the best {len(best)}: {gained} gained. {session.best_so_far()}"
            )

    def refine_trained(self, trained: Candidate) -> None:
        """Round the weights of a trained candidate in other ways; the training stays."""
        session = self._session
        most = min(session.time(), _ROUNDING_SHARE * session.budget.seconds)
        for _, recipe in refined(recipe_of(trained)):
            if self._calibration_s(recipe) < most and session.time():
                self._measured(recipe, trained)

    # --- inside -----------------------------------------------------------------------------

    @property
    def _is_trained_later(self) -> bool:
        return self._session.can_train and not self.is_last

    def _introduce(self) -> None:
        names = (*self._recipes.techniques, *self._recipes.repairs)
        size = self._session.points.space.count()
        many = f"{size:,}" if size < 1_000_000 else f"10^{len(str(size)) - 1}"
        titles = ", ".join(TECHNIQUES[name].title.lower() for name in names)
        self._session.say(f"Then recipes without training, out of about {many}: {titles}.")

    def _try_one(self, *, is_first: bool = False) -> None:
        """Try the next point; the first of all is measured to the end, whatever it is."""
        session, study = self._session, self._session.points
        check = session.watch.check if is_first else session.check
        soft = ("loss",) if self._is_trained_later else ()
        asked = study.ask()
        try:
            recipe = self._recipes.recipe(asked.point, self._layers.spread)
        except (Cancelled, OutOfTimeError):
            study.give_back(asked.number)
            raise
        known = study.find(asked.point) or session.known(recipe)
        if known is not None:
            study.tell(asked.number, known, soft=soft, keep=False)
            return
        try:
            candidate = session.bench.measure(
                recipe,
                session.goals,
                stage=STAGES["free"],
                title=short_title(recipe),
                point=asked.point,
                rivals=None if is_first else front_of(study.candidates(), session.goals),
                ranks=self._is_trained_later and not is_first,
                check=check,
            )
        except (Cancelled, OutOfTimeError):
            study.give_back(asked.number)
            raise
        study.tell(asked.number, candidate, soft=soft)

    def _measured(self, recipe: Recipe, parent: Candidate) -> Candidate | None:
        """Measure a refined recipe; None if it could not be judged."""
        session = self._session
        if (known := session.known(recipe)) is not None:
            return known if known.is_judged else None
        found = session.others.add(
            session.bench.measure(
                recipe,
                session.goals,
                stage=STAGES["refined"],
                title=short_title(recipe),
                parent=parent.number,
                ranks=self._is_trained_later,
                check=session.check,
            )
        )
        session.tell()
        return found if found.is_judged else None

    def _calibration_s(self, recipe: Recipe) -> float:
        """Return how long it takes to make a recipe's model, roughly."""
        session = self._session
        passes = sum(entry.step.calibration_passes for entry in recipe.active)
        return passes * session.bench.bench.macs * session.seconds_per_mac

    def _front(self) -> list[Any]:
        goals = self._session.goals
        return [goals.values(c.figures) for c in front_of(self._session.points.candidates(), goals)]

    def _report(self, count: int, seconds: float) -> None:
        if count < _TOLD:
            return
        kept = self._session.points.candidates()
        early = sum(not c.is_whole for c in kept)
        pace = 60 * count / seconds if seconds > 0 else 0.0
        were = "was" if early == 1 else "were"
        self._session.say(
            f"{count} recipes in {format_value(seconds, 's')}, {pace:.0f} a minute; {early} of "
            f"{len(kept)} {were} not looked at on all samples, because that could change nothing. "
            f"{self._session.best_so_far()}"
        )
