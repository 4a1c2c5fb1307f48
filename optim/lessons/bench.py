"""What lessons are computed on: the default model with its data, opened once."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from optim.measure.predictions import Predictions
from optim.measure.scorecard import Scorecard
from optim.models.cards import model_cards
from optim.presets import default_recipe
from optim.quantity import Comparison, Quantity
from optim.recipe import Entry, Recipe
from optim.step import Step
from optim.techniques import name_of
from optim.whatif.engine import Engine, Prepared, Workbench

if TYPE_CHECKING:
    from torch import Tensor

    from optim.models.bundle import ModelBundle

__all__ = ["Bench"]

_CHUNKS = 2
"""Chunks of validation samples that a figure is measured on; one is 256 samples, or fewer."""


class Bench:
    """A model, and what single steps make of it.

    Args:
        recipe: Names model and data; the default ones if None. Its steps are left out.
        engine: Keeps what was computed.
    """

    def __init__(self, recipe: Recipe | None = None, engine: Engine | None = None) -> None:
        self.original = replace(recipe or default_recipe(), entries=())
        self._engine = engine or Engine(registered_only=True)

    def of(self, model: str) -> Bench:
        """Return the bench of another model that ships; this one where it is not here."""
        if model not in model_cards():
            return self
        return Bench(default_recipe(model), self._engine)

    @cached_property
    def work(self) -> Workbench:
        """Model and data, opened."""
        return self._engine.workbench(self.original)

    @property
    def bundle(self) -> ModelBundle:
        """The model as it is."""
        return self.work.subject.bundle

    @property
    def chunks(self) -> int:
        """How many chunks of samples are measured on."""
        return min(_CHUNKS, self.work.n_chunks)

    @property
    def basis(self) -> str:
        """What figures were measured on, in one sentence."""
        n = min(self.chunks * self.work.chunk, len(self.work.samples))
        data = self.work.subject.data.title
        return f"{self.bundle.name} on {n:,} {self.work.subject.part} samples of {data}."

    def recipe(self, *steps: Step) -> Recipe:
        """Return the recipe of a few steps."""
        return replace(self.original, entries=tuple(Entry(name_of(s), s) for s in steps))

    def prepared(self, recipe: Recipe) -> Prepared:
        """Return what a recipe makes of the model."""
        return self.work.prepare(recipe, draft=False)

    def predictions(self, recipe: Recipe) -> Predictions:
        """Return what the model of a recipe says about the samples."""
        return self.work.joined(self.prepared(recipe), self.chunks)

    def accuracy(self, recipe: Recipe) -> Quantity:
        """Return the accuracy of a recipe."""
        return self.predictions(recipe).accuracy()

    def change(self, recipe: Recipe, other: Recipe | None = None) -> Comparison:
        """Return the accuracy of a recipe against another's, the original's if None."""
        return self.predictions(recipe).against(self.predictions(other or self.original))

    def static(self, recipe: Recipe) -> Scorecard:
        """Return parameters, MACs and bytes of a recipe's file."""
        return self._engine.static(self.prepared(recipe))

    def file(self, recipe: Recipe) -> Quantity:
        """Return the bytes of a recipe's ONNX file."""
        size = self.static(recipe).file
        assert size is not None
        return size

    def onnx(self, recipe: Recipe) -> bytes:
        """Return a recipe's ONNX file."""
        return self._engine.file(self.prepared(recipe))

    def weight(self, layer: str, recipe: Recipe | None = None) -> Tensor:
        """Return the weight of a layer as it is deployed, ``(out, in, ...)``."""
        from optim.models.weighted import deployed_weight

        found = deployed_weight(self.prepared(recipe or self.original).bundle, layer)
        assert found is not None
        return found
