"""What all stages of a search for recipes share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from optim.data.task import Classification, Detection
from optim.models.bundle import ModelBundle
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.search.autopilot.answer import state_of
from optim.search.autopilot.asked import Asked, goals_of
from optim.search.autopilot.bench import Bench
from optim.search.autopilot.narrower import Narrower
from optim.search.autopilot.recipes import Recipes
from optim.search.autopilot.words import costs_text
from optim.search.candidate import Candidate
from optim.search.choosing import chosen, closest_miss
from optim.search.executor import Executor
from optim.search.goals import Goals
from optim.search.session import SearchSession
from optim.search.target import HERE
from optim.search.watch import Watch

__all__ = ["END_SHARE", "STAGES", "Session", "recipe_of"]

STAGES = {
    "known": "trained before",
    "free": "without training",
    "refined": "refined",
    "short": "short training",
    "long": "long training",
    "baseline": "baseline",
}
"""Names of the stages for a reader."""

END_SHARE, END_LEAST_S = 0.06, 4.0
"""What is kept back for the test samples and the file."""
_END_MOST = 0.4
_NARROWER_SHARE = 0.08
_ORIGINAL_TIME = "latency of the original"
_VERIFIED, _TESTED = 6, 6
"""How many times the work of one pass over validation and test samples the end takes."""


def recipe_of(candidate: Candidate) -> Recipe:
    """Return the recipe that makes a candidate."""
    return Recipe.from_json(candidate.made["recipe"])


class Session(SearchSession):
    """One search, while it goes on.

    Args:
        asked: What is asked for.
        watch: Who watches.
        folder: Where relative files are looked up.
        registered_only: Whether only registered names are opened.
        url: Of the database of studies; the default one if empty.
        clock: Monotonic seconds.
        executor: Who trains; this process if None.

    Attributes:
        original: Figures of the original.
        goals: What is asked for, shares worked out.
        original_quality: Its figure of quality; None before :meth:`judge_original`, and where it
            compares with itself.
        trained: Models that were trained in this process, by the hash of their recipe.
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
        super().__init__(asked.seconds, "opening model and data", watch, url=url, clock=clock)
        self.asked = asked
        self._executor = executor
        self.bench = Bench(asked.base, folder=folder, registered_only=registered_only)
        first = ("loss", "bytes", "latency") if asked.device else ("loss", "bytes")
        costs = Goals(first, bytes_of=asked.bytes_of, device=asked.device)
        self.original: Mapping[str, Quantity] = self.bench.original_figures(costs, watch.check)
        self.goals = goals_of(asked, self.original, lambda: self.bench.told_with_eight_bits(costs))
        self.original_quality: Quantity | None = None
        self.trained: dict[str, ModelBundle] = {}

    def judge_original(self) -> None:
        """Look at all samples with the original, which takes longer than all that came before."""
        self.begin("measuring the original")
        self.original_quality = self.bench.original_quality()

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
        self.begin_studies(
            self.asked.name,
            recipes.space,
            about,
            self.asked.sampler,
            seed,
            "candidates",
            chosen_name=self.asked.study,
        )
        if self.goals.device == HERE:
            self._keep_time()

    def _keep_time(self) -> None:
        """Keep how long the original takes, or take what it took when the search began.

        Times of candidates are shares of it: another time would be another limit.
        """
        first = self.points.noted(_ORIGINAL_TIME)
        if first is None:
            self.points.note(_ORIGINAL_TIME, self.original["latency"].to_json())
            return
        known = Quantity.from_json(first)
        self.bench.stopwatch.known = known
        self.original = {**self.original, "latency": known}
        # What is not known of this device was refused when the session was opened.
        self.goals = goals_of(self.asked, self.original, lambda: self.asked.limits)
        for study in (self.points, self.others):
            study.aim(self.goals)
        limits = "; ".join(limit.text for limit in self.goals.limits)
        self.say(f"The original took {known} when this search began, which still counts. {limits}.")

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

    @cached_property
    def kept_back(self) -> float:
        """Seconds that the end may take: for the file and the test samples."""
        parts = self.bench.subject.data.parts
        samples = _VERIFIED * len(self.bench.bench.samples) + _TESTED * parts.get("test", 0)
        thought = samples * self.bench.bench.macs * self.seconds_per_mac
        share = END_SHARE * self.budget.seconds
        end = min(max(END_LEAST_S, share, thought), _END_MOST * self.budget.seconds)
        return end + self.narrower_s

    @cached_property
    def narrower(self) -> Narrower | None:
        """A network of the same family to compare with; None where there is none."""
        found = Narrower(self.bench, self.goals) if self.can_train else None
        return found if found is not None and found.can() else None

    @property
    def narrower_s(self) -> float:
        """Seconds that are kept back for training it."""
        return _NARROWER_SHARE * self.budget.seconds if self.narrower else 0.0

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

    def state(self) -> dict[str, Any]:
        """Return what there is so far, as plain data."""
        return state_of(
            self.candidates,
            self.goals,
            self.original,
            self.original_quality,
            story=self.story,
            stage=self.stage,
            spent_s=self.budget.spent,
            seconds=self.budget.seconds,
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
    def executor(self) -> Executor | None:
        """Who trains; None for this process, as for files: what is theirs is kept nowhere."""
        return self._executor if self.is_registered else None

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
