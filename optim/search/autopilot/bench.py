"""Measure recipes against goals: sizes first, then samples, and no further than it matters.

Sizes need no sample. A recipe that misses a limit by its size is not looked at any further. The
rest is measured on more and more of the validation samples, the same for all, and stopped as soon
as a candidate that costs no more in anything is better beyond doubt: by the paired interval of both
on the samples seen so far.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from optim.errors import Cancelled, OptimError
from optim.export.deploy import onnx_bytes
from optim.hashing import digest
from optim.measure.costs import variant_costs
from optim.measure.predictions import Predictions, accuracy_change
from optim.measure.quality import Quality, quality, quality_of
from optim.models.bundle import ModelBundle
from optim.quantity import How, Quantity
from optim.recipe import Recipe
from optim.search.candidate import Candidate
from optim.search.costs import cheap_figures, device_figures
from optim.search.goals import Goals
from optim.search.loss import loss_of
from optim.search.stopwatch import Stopwatch
from optim.search.target import HERE
from optim.sensitivity.analysis import weight_bytes
from optim.step import Step
from optim.subject import Subject
from optim.techniques.quantize import Quantize
from optim.whatif.engine import Engine, Prepared, Workbench

__all__ = ["Bench"]

Check = Callable[[], None]


class Bench:
    """One model with its data, and what is asked of it.

    Args:
        base: Names model, data, seed and split; its steps are not looked at.
        folder: Where relative files are looked up.
        registered_only: Whether only registered names are opened.
    """

    def __init__(
        self, base: Recipe, *, folder: Path = Path(), registered_only: bool = False
    ) -> None:
        self.base = replace(base, entries=())
        self.engine = Engine(registered_only=registered_only, base=folder)
        self.bench: Workbench = self.engine.workbench(self.base)
        self._correct: dict[str, np.ndarray] = {}

    @property
    def subject(self) -> Subject:
        """The opened model and its data."""
        return self.bench.subject

    @cached_property
    def original(self) -> Prepared:
        """The model before any step."""
        return self.bench.prepare(self.base, draft=False)

    @cached_property
    def baseline(self) -> Predictions:
        """What the original says about all samples."""
        return self.bench.joined(self.original, self.bench.n_chunks)

    @cached_property
    def primary(self) -> str:
        """The metric that decides."""
        return self.bench.primary

    @cached_property
    def sample(self) -> np.ndarray:
        """``(1, ...)`` float32: one sample as the network takes it."""
        inputs = self.bench.samples.inputs[:1]
        one: np.ndarray = self.subject.bundle.spec.normalise(inputs).numpy()
        return one

    @cached_property
    def stopwatch(self) -> Stopwatch:
        """Times files on this computer."""
        original = self.original.bundle
        return Stopwatch(onnx_bytes(original), self.sample, original.interface)

    def original_figures(self, goals: Goals, check: Check = lambda: None) -> dict[str, Quantity]:
        """Return what the original costs; it loses nothing."""
        lost = Quantity.exact(0.0, "points")
        latency = self.stopwatch.original(check) if goals.device == HERE else None
        return {
            "loss": lost,
            **self.costs_of(self.original.bundle, self.base, goals, check, latency),
        }

    def original_quality(self) -> Quantity | None:
        """Return the figure of quality of the original; None where it compares with itself."""
        return quality_of(self.baseline, self.subject.bundle.task).main

    # --- costs ------------------------------------------------------------------------------

    def told_with_eight_bits(self, goals: Goals) -> Collection[str]:
        """Return which figures of the goals' device are known of the model with eight bits.

        Some devices have kernels for nothing else, so that of the original nothing is known.
        """
        recipe = self.base.with_step(Quantize())
        try:
            bundle = self.bench.outline(recipe).bundle
            return device_figures(bundle, goals, _file(bundle, recipe), self.sample).keys()
        except OptimError:
            return ()

    def outline(
        self,
        recipe: Recipe,
        goals: Goals,
        *,
        linked: bool = True,
        timed: bool = False,
        check: Check = lambda: None,
    ) -> dict[str, Quantity] | None:
        """Return the bytes, MACs and parameters after a recipe, no sample looked at.

        None where the recipe cannot be applied to the model.

        Args:
            recipe: What is done to the model.
            goals: Say whose bytes count.
            linked: Whether the file has the recipe in it, as one that is handed over.
            timed: Whether its latency here is measured as well, which needs no right weights.
            check: Called while that is measured; raises to stop.
        """
        link = recipe.to_link() if linked else ""
        try:
            prepared = self.bench.outline(recipe)
            bundle = prepared.bundle
            how = How.ESTIMATED if prepared.is_draft else How.MEASURED
            file = cache(lambda: onnx_bytes(bundle, link))
            found = cheap_figures(bundle, goals, file, how)
            return found | {"latency": self.stopwatch(file(), check)} if timed else found
        except Cancelled:
            raise
        except OptimError:
            return None

    def costs_of(
        self,
        bundle: ModelBundle,
        recipe: Recipe,
        goals: Goals,
        check: Check = lambda: None,
        latency: Quantity | None = None,
    ) -> dict[str, Quantity]:
        """Return everything that a model costs, as far as goals ask for it.

        Args:
            bundle: The model.
            recipe: What made it.
            goals: What is asked for.
            check: Called while it is timed; raises to stop.
            latency: On this computer, where it is known.
        """
        file = cache(lambda: _file(bundle, recipe))
        found = cheap_figures(bundle, goals, file)
        if goals.device == HERE:
            found["latency"] = latency or self.stopwatch(file(), check)
        elif goals.device:
            found |= device_figures(bundle, goals, file(), self.sample)
        return found

    def layer_costs(self, recipe: Recipe) -> tuple[int, int]:
        """Return MACs and weight bytes after a recipe, for spreading settings over layers."""
        bundle = self.bench.outline(recipe).bundle
        macs = sum(cost.macs for cost in variant_costs(self.bench.layers, bundle))
        return macs, weight_bytes(bundle)

    def step_costs(self, step: Step) -> tuple[int, int]:
        """Return MACs and weight bytes after one step alone."""
        return self.layer_costs(self.base.with_step(step))

    # --- quality ----------------------------------------------------------------------------

    def measure(
        self,
        recipe: Recipe,
        goals: Goals,
        *,
        stage: str,
        title: str = "",
        point: Mapping[str, Any] | None = None,
        parent: int = -1,
        rivals: Sequence[Candidate] | None = None,
        ranks: bool = False,
        bundle: ModelBundle | None = None,
        trained_s: float = 0.0,
        check: Check = lambda: None,
    ) -> Candidate:
        """Return what came of a recipe; a fault of it is an outcome, not an error.

        Args:
            recipe: What is done to the model.
            goals: What is asked for.
            stage: Where in the search.
            title: What it is, in a few words.
            point: Where it lies in the space.
            parent: Number of the candidate it was made from.
            rivals: Candidates that it must not be certainly worse than; none if it is wanted
                whatever it is.
            ranks: Whether it is enough to know that it loses too much, beyond doubt.
            bundle: The recipe's model, where it was made already.
            trained_s: Seconds of training that it took.
            check: Called between pieces; raises to stop.
        """
        began = time.monotonic()
        candidate = Candidate(
            point or {}, {"recipe": recipe.to_json()}, {}, "failed", stage, title, parent=parent
        )
        try:
            found = self._measured(
                candidate, recipe, goals, rivals, ranks, bundle, trained_s, check
            )
        except Cancelled:
            raise
        except OptimError as error:
            found = replace(candidate, note=str(error))
        return replace(found, seconds=time.monotonic() - began)

    def _measured(
        self,
        candidate: Candidate,
        recipe: Recipe,
        goals: Goals,
        rivals: Sequence[Candidate] | None,
        ranks: bool,
        bundle: ModelBundle | None,
        trained_s: float,
        check: Check,
    ) -> Candidate:
        if rivals is not None and bundle is None and _limits_sizes(goals):
            sizes = self.outline(recipe, goals)
            if sizes is not None and (note := _too_large(sizes, goals)):
                return replace(candidate, figures=sizes, outcome="sized", note=note)
            check()
        if bundle is None:
            prepared = self.bench.prepare(recipe, draft=False, check=check)
            if prepared.omitted:
                return replace(candidate, note="What it trains is not stored here.")
        else:
            keys = recipe.chain(self.subject.bundle.hash, self.subject.data.hash)
            prepared = Prepared(keys[-1], bundle, {}, False)
        check()
        costs = self.costs_of(prepared.bundle, recipe, goals, check)
        if trained_s:
            costs["training"] = Quantity.exact(trained_s, "s")
        if rivals is not None and (note := _too_large(costs, goals)):
            return replace(candidate, figures=costs, outcome="sized", note=note)
        chunks = self.bench.n_chunks
        for seen in _growing(chunks):
            judged = self._quality(prepared, seen, check)
            figures = {**costs, "loss": loss_of(judged)}
            so_far = replace(candidate, figures=figures, quality=judged.main)
            if seen == chunks:
                break
            if note := self._hopeless(prepared, figures, goals, rivals or (), seen):
                return replace(so_far, outcome="stopped", note=note)
            if ranks and (note := _loses_too_much(figures["loss"], goals)):
                self._note_correct(recipe, prepared, seen)
                return replace(so_far, outcome="ranked", note=note)
        self._note_correct(recipe, prepared, chunks)
        return replace(so_far, outcome="measured")

    def _note_correct(self, recipe: Recipe, prepared: Prepared, chunks: int) -> None:
        """Remember which samples a model gets right, to pair others with it."""
        if self._is_labelled:
            self._correct[recipe.hash] = self.bench.joined(prepared, chunks).correct

    @property
    def _is_labelled(self) -> bool:
        return self.baseline.is_labelled

    def _quality(self, prepared: Prepared, chunks: int, check: Check) -> Quality:
        for index in range(chunks):
            check()
            self.bench.predictions(prepared, index, check)
        return quality(
            self.bench.joined(prepared, chunks),
            self.bench.joined(self.original, chunks),
            self.subject.bundle.task,
            every=False,
        )

    def _hopeless(
        self,
        prepared: Prepared,
        figures: Mapping[str, Quantity],
        goals: Goals,
        rivals: Sequence[Candidate],
        seen: int,
    ) -> str:
        """Say which rival is better beyond doubt and costs no more; empty if none is."""
        for rival in rivals:
            others = rival.figures
            if any(
                name not in others
                or name not in figures
                or others[name].value > figures[name].value
                for name in goals.costs
            ):
                continue
            if self._is_worse(prepared, figures["loss"], rival, seen):
                n = figures["loss"].n
                return (
                    f"Stopped after {n:,} samples: candidate {rival.number} costs no more and is "
                    "better beyond doubt."
                )
        return ""

    def _is_worse(self, prepared: Prepared, loss: Quantity, rival: Candidate, seen: int) -> bool:
        """Whether a model is certainly worse than a rival on the samples seen so far."""
        recipe = rival.made.get("recipe")
        correct = self._correct.get(digest(recipe)) if recipe else None
        if correct is None or not self._is_labelled:
            return loss.low > rival.figures["loss"].high
        own = self.bench.joined(prepared, seen).correct
        both = min(len(own), len(correct))
        return accuracy_change(correct[:both], own[:both]).difference.high < 0


def _file(bundle: ModelBundle, recipe: Recipe) -> bytes:
    """Return the file as it would be handed over, its recipe inside."""
    return onnx_bytes(bundle, recipe.to_link())


def _too_large(figures: Mapping[str, Quantity], goals: Goals) -> str:
    """Say which limit of cost is missed whatever the samples say; empty if none is."""
    known = [m for m in goals.misses(figures, but=("loss", "training")) if m.value is not None]
    return known[0].text if known else ""


def _loses_too_much(loss: Quantity, goals: Goals) -> str:
    """Say that the limit of quality is missed beyond doubt; empty if that is not known yet."""
    limit = goals.limit("loss")
    if limit is None or (loss.n or 0) < _RANKED_SAMPLES or limit.over(loss.low) <= 0:
        return ""
    return f"Over the limit beyond doubt after {loss.n:,} samples: {loss}."


_RANKED_SAMPLES = 500
"""Samples by which candidates without training are told apart, at least."""


def _limits_sizes(goals: Goals) -> bool:
    return any(limit.figure in ("bytes", "macs", "params") for limit in goals.limits)


def _growing(chunks: int) -> list[int]:
    """Return numbers of chunks to look up at: one, then twice as many, and so on to all."""
    found = []
    count = 1
    while count < chunks:
        found.append(count)
        count *= 2
    return [*found, chunks]
