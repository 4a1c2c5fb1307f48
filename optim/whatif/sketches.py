"""What positions of a large model weigh, from shapes alone and beside the work that takes seconds.

The evaluator goes through weights and samples in one thread. A network of a hundred megabytes keeps
it busy for seconds, in which size and MACs would stand still under a moving slider. What is here
works on a sketch of the model (:mod:`optim.layers.sketch`) and shares no cache with that thread, so
that another one may ask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from optim.export.deploy import properties_of
from optim.layers.channels import find_channels
from optim.layers.sketch import sketch
from optim.layers.table import CompressionTable
from optim.measure.macs import costs_of, parameters_in
from optim.models.bundle import ModelBundle
from optim.quantity import How, Quantity
from optim.recipe import Recipe
from optim.runtime.emit import emit_onnx
from optim.runtime.onnx_graph import file_bytes, slim_
from optim.step import Context, outline_step
from optim.subject import Subject

__all__ = ["Sketches", "Weighed", "can_be_sketched", "weighed"]

T = TypeVar("T")


def can_be_sketched(recipe: Recipe) -> bool:
    """Whether shapes alone say what the steps of a recipe make of a model's size."""
    return all(entry.step.sketches for entry in recipe.active)


@dataclass(frozen=True)
class Weighed:
    """What is known of a sketched model.

    Attributes:
        table: What compression knows of it.
        params: Parameters, estimated as all figures here.
        macs: Multiply-accumulates for one sample.
        file: Bytes of its ONNX file.
    """

    table: CompressionTable
    params: Quantity
    macs: Quantity
    file: Quantity


def weighed(bundle: ModelBundle) -> Weighed:
    """Return what a sketched model weighs."""
    traced = bundle.deployable()
    file = emit_onnx(traced, bundle.table, bundle.spec.shape, properties_of(bundle))
    slim_(file)
    costs = costs_of(traced)
    return Weighed(
        bundle.table,
        Quantity.exact(parameters_in(traced), "params", How.ESTIMATED),
        Quantity.exact(sum(cost.macs for cost in costs), "macs", How.ESTIMATED),
        Quantity.exact(file_bytes(file), "bytes", How.ESTIMATED),
    )


class Sketches:
    """The positions of one model, for one thread.

    Args:
        subject: The model, which is a torch module, and its data.

    Attributes:
        original: What the model weighs as it is.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        bundle = subject.bundle
        self._base = bundle.with_module(sketch(bundle.module))
        self._memos: dict[str, Any] = {}
        self.original = weighed(self._base)

    def at(self, recipe: Recipe) -> Weighed:
        """Return what the model weighs after all steps of a recipe, which can all be sketched.

        Raises:
            OptimError: If a step does not suit the model.
        """
        position = self._base
        for entry in recipe.active:
            context = Context(
                data=self._subject.data,
                reference=self._subject.bundle,
                seed=recipe.seed,
                step_id=entry.id,
                memo=self._memo,
            )
            position = outline_step(entry.step, position, context)
        return weighed(position)

    def prepare(self) -> None:
        """Find out ahead which channels belong together: the first who prunes any need not wait."""
        bundle = self._subject.bundle
        found = self._memo(
            f"channels:{bundle.hash}", lambda: find_channels(bundle.module, bundle.spec.shape)
        )
        self._memo(f"channels:{self._base.hash}", lambda: found)

    def _memo(self, key: str, compute: Callable[[], T]) -> T:
        if key not in self._memos:
            self._memos[key] = compute()
        found: T = self._memos[key]
        return found
