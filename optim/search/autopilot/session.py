"""What all stages of a search share: the bench, the studies, the budget, and who watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from optim.data.task import Classification, Detection
from optim.hashing import digest
from optim.models.bundle import ModelBundle
from optim.quantity import Quantity, format_value
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.search.autopilot.answer import state_of
from optim.search.autopilot.asked import Asked, goals_of
from optim.search.autopilot.bench import Bench
from optim.search.autopilot.recipes import Recipes
from optim.search.autopilot.words import costs_text
from optim.search.budget import Budget
from optim.search.candidate import Candidate
from optim.search.choosing import chosen, closest_miss
from optim.search.goals import Goals
from optim.search.study import Study
from optim.search.watch import Watch

__all__ = ["END_SHARE", "STAGES", "OutOfTimeError", "Session", "recipe_of"]

STAGES = {
    "known": "trained before",
    "free": "without training",
    "refined": "refined",
    "short": "short training",
    "long": "long training",
    "baseline": "baseline",
}
"""Names of the stages for a reader."""

END_SHARE, END_LEAST_S = 0.1, 4.0
"""What is kept back for the test samples and the file."""
_END_MOST = 0.4
_VERIFIED, _TESTED = 6, 6
"""How many times the work of one pass over validation and test samples the end takes."""
_PUBLISH_EVERY_S = 1.0
_POPULATION = 8


class OutOfTimeError(Exception):
    """The budget is used up in the middle of something."""


def recipe_of(candidate: Candidate) -> Recipe:
    """Return the recipe that makes a candidate."""
    return Recipe.from_json(candidate.made["recipe"])


class Session:
    """One search, while it goes on.

    Args:
        asked: What is asked for.
        watch: Who watches.
        folder: Where relative files are looked up.
        registered_only: Whether only registered names are opened.
        url: Of the database of studies; the default one if empty.
        clock: Monotonic seconds.

    Attributes:
        original: Figures of the original.
        goals: What is asked for, shares worked out.
        trained: Models that were trained in this process, by the hash of their recipe.
        was_resumed: Whether an earlier attempt has begun it.
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
    ) -> None:
        self.asked = asked
        self.watch = watch
        self.clock = clock
        self.budget = Budget(asked.seconds, clock=clock)
        self.story: list[dict[str, Any]] = []
        self.stage = "opening model and data"
        watch.progress(0.0, self.stage)
        self.bench = Bench(asked.base, folder=folder, registered_only=registered_only)
        first = ("loss", "bytes", "latency") if asked.device else ("loss", "bytes")
        self.original: Mapping[str, Quantity] = self.bench.original_figures(
            Goals(first, bytes_of=asked.bytes_of, device=asked.device)
        )
        self.goals = goals_of(asked, self.original)
        self.original_quality = self.bench.original_quality()
        self.trained: dict[str, ModelBundle] = {}
        self.was_resumed = False
        self._url = url
        self._published = float("-inf")
        self._studies: tuple[Study, Study] | None = None

    # --- what was tried ---------------------------------------------------------------------

    def open_studies(self, recipes: Recipes) -> None:
        """Begin to keep what is tried, or go on where an earlier attempt was stopped.

        Raises:
            ConfigError: If a study of that name searches for something else.
            RunError: If the database cannot be used.
        """
        subject, seed = self.bench.subject, self.asked.base.seed
        about = {
            "model": subject.bundle.hash,
            "data": subject.data.hash,
            "part": subject.part,
            "seed": seed,
        }
        name = self.asked.study or f"autopilot-{digest(self.asked.to_json())[:12]}"
        options: dict[str, Any] = {"about": about, "seed": seed, "url": self._url}
        points = Study.open(
            name,
            recipes.space,
            self.goals,
            sampler=self.asked.sampler,
            population=_POPULATION,
            **options,
        )
        others = Study.open(
            f"{name} and beyond",
            recipes.space,
            self.goals,
            sampler="random",
            beside=points,
            **options,
        )
        points.beside(others)
        self._studies = points, others
        if spent := points.spent_s:
            self.was_resumed = True
            self.budget = Budget(self.asked.seconds, min(spent, self.asked.seconds), self.clock)
            self.say(
                f"This search goes on: {len(self.candidates)} candidates are known, "
                f"{format_value(spent, 's')} are spent."
            )

    @property
    def points(self) -> Study:
        """Candidates of the space: what a sampler learns from."""
        assert self._studies is not None
        return self._studies[0]

    @property
    def others(self) -> Study:
        """Candidates beyond it: refined, trained, baselines."""
        assert self._studies is not None
        return self._studies[1]

    @property
    def candidates(self) -> list[Candidate]:
        """All that was kept, in the order in which it was."""
        if self._studies is None:
            return []
        both = (c for study in self._studies for c in study.candidates())
        return sorted(both, key=lambda candidate: candidate.number)

    def known(self, recipe: Recipe) -> Candidate | None:
        """Return what was kept of a recipe."""
        made = {"recipe": recipe.to_json()}
        return next((c for c in self.candidates if c.made == made and not c.is_baseline), None)

    def bundle(self, recipe: Recipe) -> ModelBundle:
        """Return the model of a recipe that was measured before."""
        if recipe.hash in self.trained:
            return self.trained[recipe.hash]
        prepared = self.bench.bench.prepare(recipe, draft=False, check=self.watch.check)
        if not prepared.omitted:
            return prepared.bundle
        # It was trained in an earlier attempt and could not be stored.
        bundle, _ = apply_recipe(recipe, self.bench.subject, check=self.watch.check)
        return bundle

    # --- time -------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the seconds left before the end has to begin; 0 if it is time to end."""
        if self.watch.is_enough():
            return 0.0
        return max(0.0, self.budget.left - self.kept_back)

    @cached_property
    def kept_back(self) -> float:
        """Seconds that the end may take: for the file and the test samples."""
        parts = self.bench.subject.data.parts
        samples = _VERIFIED * len(self.bench.bench.samples) + _TESTED * parts.get("test", 0)
        thought = samples * self.bench.bench.macs * self.seconds_per_mac
        share = END_SHARE * self.budget.seconds
        return min(max(END_LEAST_S, share, thought), _END_MOST * self.budget.seconds)

    def check(self) -> None:
        """Stop if whoever watches wants that, or the budget is used up.

        Raises:
            Cancelled: In the first case.
            OutOfTimeError: In the second.
        """
        self.watch.check()
        if not self.time():
            raise OutOfTimeError

    @cached_property
    def seconds_per_mac(self) -> float:
        """How long a multiply-accumulate takes here, from running the original."""
        x = self.bench.subject.bundle.spec.normalise(self.bench.bench.samples.inputs[:64])
        run = self.bench.engine.runner(self.bench.original)
        run(x)
        began = time.perf_counter()
        run(x)
        return (time.perf_counter() - began) / max(1, len(x) * self.bench.bench.macs)

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
        self.watch.publish(
            state_of(
                self.candidates,
                self.goals,
                self.original,
                self.original_quality,
                story=self.story,
                stage=self.stage,
                spent_s=self.budget.spent,
                seconds=self.budget.seconds,
            )
        )

    def best_so_far(self) -> str:
        """Return what there is so far, in words."""
        best = chosen(self.candidates, self.goals)
        if best is not None:
            return f"Best so far: {best.title}; {costs_text(best.figures, self.goals)}."
        closest = closest_miss(self.candidates, self.goals)
        if closest is None:
            return "Nothing was measured to the end yet."
        return (
            f"Closest so far: {closest.candidate.title}; "
            f"{costs_text(closest.candidate.figures, self.goals)}."
        )

    def keep_best(self) -> None:
        """Keep the recipe of the best so far, so that it is there whatever happens."""
        if (best := chosen(self.candidates, self.goals)) is not None:
            self.watch.keep("recipe.yaml", recipe_of(best).to_yaml().encode())

    # --- what can be done -------------------------------------------------------------------

    @property
    def is_registered(self) -> bool:
        """Whether model and data have names, under which results can be kept for others."""
        return self.bench.engine.registered_only or not _is_file(self.asked.base.model)

    @property
    def can_train(self) -> bool:
        """Whether candidates may and can be trained."""
        return self.asked.trains and not self.why_not_trained

    @cached_property
    def why_not_trained(self) -> str:
        """Why nothing can be trained; empty if it can."""
        subject = self.bench.subject
        if subject.bundle.lane != "torch":
            return f"{subject.bundle.name} is kept as an ONNX graph, which cannot be trained."
        if not subject.data.is_split:
            return "The data have no training part."
        if not isinstance(subject.data.task, Classification | Detection):
            return "Training needs samples whose classes or objects somebody knows."
        return ""


def _is_file(ref: str) -> bool:
    return "/" in ref or "\\" in ref or ":" in ref or Path(ref).suffix != ""
