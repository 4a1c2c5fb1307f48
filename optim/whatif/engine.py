"""Evaluate recipes so fast that a slider can ask: cached, in pieces, interruptible.

The model after each step is kept under the hash of everything that led to it, so that moving the
last slider never computes the first step again. Predictions are kept per model and *chunk*, a run
of samples in a fixed stratified order: an answer on the first chunk is fair, and every further
chunk tightens it. Baseline and candidate see the same samples, so that their difference has a
paired interval.

Everything here runs in one thread of one process; see :mod:`optim.whatif.service`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

import numpy as np
from torch import fx

from optim.data.added import options_of
from optim.data.dataset import Samples
from optim.errors import ConfigError
from optim.export.deploy import onnx_bytes
from optim.hashing import digest
from optim.measure.costs import model_costs, static_costs
from optim.measure.evaluate import Runner, how_of, runner_of
from optim.measure.macs import LayerCost
from optim.measure.predictions import Predictions
from optim.measure.quality import primary_metric, quality_of
from optim.measure.scorecard import Scorecard
from optim.models.bundle import GraphModel, ModelBundle, TorchModel, named_tensors
from optim.quantity import How, Quantity
from optim.recipe import Entry, Recipe
from optim.step import Context, StepReport, apply_step, outline_step
from optim.storage import card_stamp
from optim.stored import kept_of, load_stored
from optim.subject import Subject, check_lanes, check_models, open_subject
from optim.whatif.caches import ByteCache, bytes_of
from optim.whatif.sketches import Sketches, can_be_sketched

__all__ = ["Engine", "Prepared", "Workbench"]

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

_BUNDLE_BYTES = 600_000_000
_PREDICTION_BYTES = 300_000_000
_FILE_BYTES = 300_000_000
_MEMO_BYTES = 400_000_000
_RUNNER_BYTES = 600_000_000
_RUNNER_OVERHEAD = 60_000_000
"""What a model takes beside its weights once it is ready to run, roughly."""
_KEPT_WORKBENCHES = 3

_FIRST_CHUNK_MACS = 6e9
"""Work in the first chunk of samples: about 0.1 s on one core of today."""
_CALIBRATION_MACS = 1e10
"""Work in calibration before a draft on fewer samples is made: about 0.2 s."""
_PIECE_MACS = 2e10
"""Work after which a chunk of a large model looks up: about 0.3 s."""
_CHUNKS = (256, 128, 64, 32)
_DRAFT_SAMPLES = (256, 128, 64, 32)
_GLANCE = -1
"""In place of a chunk's index."""
_HURRY = 4
"""By how much a first answer is cheaper when many wait for theirs."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A recipe applied to its model.

    Attributes:
        key: Hash of everything that led to the model.
        bundle: The model.
        reports: ``{entry id: report}`` of the steps that were looked at.
        is_draft: Whether calibration was cut short, or left out.
        omitted: Ids of training steps that had no stored result.
    """

    key: str
    bundle: ModelBundle
    reports: Mapping[str, StepReport]
    is_draft: bool
    omitted: tuple[str, ...] = ()


class Workbench:
    """One model with its data, opened and ready to be measured.

    Args:
        subject: Model and data.
        engine: Holds the caches, shared by all workbenches.
    """

    def __init__(self, subject: Subject, engine: Engine) -> None:
        self.subject = subject
        self.engine = engine
        self.samples: Samples = subject.samples()
        self.chunk = next((c for c in _CHUNKS if c * self.macs <= _FIRST_CHUNK_MACS), _CHUNKS[-1])
        self._chunk_s = 0.0

    @cached_property
    def layers(self) -> list[LayerCost]:
        """Cost of every layer of the original model."""
        return model_costs(self.subject.bundle)

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the original model for one sample."""
        return sum(layer.macs for layer in self.layers)

    @property
    def is_slow(self) -> bool:
        """Whether even the smallest chunk is more than a first answer should wait for."""
        return self.chunk * self.macs > _FIRST_CHUNK_MACS

    @cached_property
    def sketches(self) -> Sketches | None:
        """What says the sizes of a large model's positions at once; None where it is not needed."""
        if not self.is_slow or self.subject.bundle.lane != "torch":
            return None
        try:
            return Sketches(self.subject)
        except Exception:
            # Sizes then come a little later; the model can be worked on all the same.
            _LOG.exception("%s cannot be sketched", self.subject.bundle.name)
            return None

    @property
    def n_chunks(self) -> int:
        """Chunks that cover the whole part."""
        return -(-len(self.samples) // self.chunk)

    def sample_limit(self, recipe: Recipe, *, hurried: bool = False) -> int | None:
        """Return on how many samples a first answer calibrates; None for all of them."""
        most = _CALIBRATION_MACS / (_HURRY if hurried else 1)
        passes = sum(entry.step.calibration_passes for entry in recipe.active)
        if passes * self.macs <= most:
            return None
        steps = sum(entry.step.calibration_passes > 0 for entry in recipe.active)
        return next(
            (n for n in _DRAFT_SAMPLES if n * steps * self.macs <= most), _DRAFT_SAMPLES[-1]
        )

    # --- models ---------------------------------------------------------------------------------

    def prepare(
        self,
        recipe: Recipe,
        *,
        draft: bool,
        hurried: bool = False,
        reports: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> Prepared:
        """Apply a recipe, taking everything from the cache that is there.

        A training step is looked up and never run; where it is not stored, the recipe goes on
        without it and says so.

        Args:
            recipe: Steps to apply.
            draft: Whether calibration may be cut short.
            hurried: Whether a draft is cut shorter, because many wait for theirs.
            reports: Whether the report of every step is wanted, also of those whose result is
                not needed because a later one is known. Steps that need a training which is not
                stored any more have none.
            check: Called between steps; raises to stop.
        """
        recipe, omitted = self._possible(recipe)
        limit = self.sample_limit(recipe, hurried=hurried) if draft else None
        keys = self._keys(recipe, None)
        if limit is not None and keys[-1] not in self.engine.bundles:
            keys = self._keys(recipe, limit)
        else:
            limit = None
        known = 0 if reports else self._last_known(recipe, keys)
        passed_over = kept_of(recipe, keys).passed_over if reports else frozenset()
        bundle = self._after(known, recipe, keys, check)
        found: dict[str, StepReport] = {}
        limits = recipe.limits(limit)
        for i in range(known, len(recipe.active)):
            check()
            if i in passed_over:
                continue
            entry = recipe.active[i]
            bundle, found[entry.id] = self._result(
                entry, keys[i + 1], bundle, recipe, limits[i], check
            )
        is_draft = any(value is not None for value in limits)
        return Prepared(keys[-1], bundle, found, is_draft, omitted)

    def outline(self, recipe: Recipe, check: Callable[[], None] = lambda: None) -> Prepared:
        """Return what is known of a recipe's model without any sample: its sizes, bits and zeros.

        Its values are not those of the model, and it is never kept; where no step is calibrated, it
        is the model. See :meth:`prepare`.
        """
        recipe, omitted = self._possible(recipe)
        keys = self._keys(recipe, None)
        known = self._last_known(recipe, keys)
        bundle = self._after(known, recipe, keys, check)
        exact = True
        for entry, key in zip(recipe.active[known:], keys[known + 1 :], strict=True):
            check()
            exact = exact and not entry.step.looks_at_data
            if exact:
                bundle, _ = self._result(entry, key, bundle, recipe, None, check)
            else:
                context = self._context(entry, recipe, None, check)
                bundle = outline_step(entry.step, bundle, context)
        key = keys[-1] if exact else digest(keys[-1], "outline")
        return Prepared(key, bundle, {}, not exact, omitted)

    def is_known(self, recipe: Recipe) -> bool:
        """Whether a first answer needs no work: the model and its first chunk are in the cache."""
        recipe, _ = self._possible(recipe)
        keys = {self._keys(recipe, limit)[-1] for limit in (None, self.sample_limit(recipe))}
        return any(self._chunk_key(key, 0) in self.engine.predictions for key in keys)

    def _possible(self, recipe: Recipe) -> tuple[Recipe, tuple[str, ...]]:
        """Return a recipe without the steps whose training is not stored, and their ids.

        Raises:
            OptimError: If a step does not suit the model.
        """
        check_models(recipe, self.subject.bundle)
        check_lanes(recipe, self.subject.bundle)
        if not any(entry.step.cost == "training" for entry in recipe.active):
            return recipe, ()
        omitted = kept_of(recipe, self._keys(recipe, None)).missing
        for entry_id in omitted:
            recipe = recipe.with_enabled(entry_id, False)
        return recipe, omitted

    def _after(
        self, known: int, recipe: Recipe, keys: list[str], check: Callable[[], None]
    ) -> ModelBundle:
        """Return the model after so many steps, whose result is known."""
        bundle = self.subject.bundle
        if not known:
            return bundle
        entry, key = recipe.active[known - 1], keys[known]
        return self._result(entry, key, bundle, recipe, None, check)[0]

    def _context(
        self, entry: Entry, recipe: Recipe, limit: int | None, check: Callable[[], None]
    ) -> Context:
        return Context(
            data=self.subject.data,
            reference=self.subject.bundle,
            seed=recipe.seed,
            step_id=entry.id,
            sample_limit=limit,
            check=check,
            memo=self.engine.memo,
        )

    def _keys(self, recipe: Recipe, limit: int | None) -> list[str]:
        return recipe.chain(self.subject.bundle.hash, self.subject.data.hash, limit)

    def _last_known(self, recipe: Recipe, keys: list[str]) -> int:
        """Return after how many steps the result is known without computing any of them."""
        for i in range(len(recipe.active), 0, -1):
            trains = recipe.active[i - 1].step.cost == "training"
            if trains or keys[i] in self.engine.bundles:
                return i
        return 0

    def _result(
        self,
        entry: Entry,
        key: str,
        before: ModelBundle,
        recipe: Recipe,
        limit: int | None,
        check: Callable[[], None],
    ) -> tuple[ModelBundle, StepReport]:
        """Return what a step gives, from the cache, from the store, or by applying it."""

        def compute() -> tuple[ModelBundle, StepReport]:
            if entry.step.cost == "training":
                result = load_stored(key, self.subject.bundle)
                if result is None:  # removed since it was looked for
                    raise ConfigError(
                        f"What {entry.step.title} trained is not stored any more.",
                        hint="Ask again: it is left out then.",
                        field=entry.id,
                    )
                return result, StepReport(f"{entry.step.title}: trained before and stored.")
            context = self._context(entry, recipe, limit, check)
            applied = apply_step(entry.step, before, context)
            return applied.bundle, applied.report

        return self.engine.bundles.get_or(key, compute)

    # --- measurements ---------------------------------------------------------------------------

    def predictions(
        self, prepared: Prepared, index: int, check: Callable[[], None] = lambda: None
    ) -> Predictions:
        """Return what a model says about one chunk.

        Args:
            prepared: The model.
            index: Of the chunk.
            check: Called between pieces of a large model's chunk; raises to stop.
        """
        return self.engine.predictions.get_or(
            self._chunk_key(prepared.key, index), lambda: self._chunk(prepared, index, check)
        )

    def glance(self, prepared: Prepared, check: Callable[[], None] = lambda: None) -> Predictions:
        """Return what a model says about the beginning of the first chunk."""
        return self.engine.predictions.get_or(
            self._chunk_key(prepared.key, _GLANCE),
            lambda: self._predict(prepared, slice(max(_CHUNKS[-1], self.chunk // _HURRY)), check),
        )

    def _chunk_key(self, key: str, index: int) -> str:
        return f"{key}:{self.subject.hash}:{self.chunk}:{index}"

    def _chunk(self, prepared: Prepared, index: int, check: Callable[[], None]) -> Predictions:
        start, began = index * self.chunk, time.perf_counter()
        found = self._predict(prepared, slice(start, start + self.chunk), check)
        self._chunk_s = time.perf_counter() - began
        return found

    def _predict(self, prepared: Prepared, rows: slice, check: Callable[[], None]) -> Predictions:
        x = self.engine.memo(
            "" if rows.start else f"inputs:{self.subject.hash}:{rows.stop}",
            lambda: self.subject.bundle.spec.normalise(self.samples.inputs[rows]),
        )
        run, pieces = self.engine.runner(prepared), []
        for piece in x.split(max(1, int(_PIECE_MACS // max(1, self.macs)))):
            check()
            pieces.append(run(piece))
        outputs, how = np.concatenate(pieces), how_of(prepared.bundle)
        return Predictions(self.samples.ids[rows], outputs, self.samples.targets[rows], how)

    def known_chunks(self, prepared: Prepared) -> int:
        """Return how many chunks in a row, from the first, are in the cache."""
        count = 0
        while count < self.n_chunks and (
            self._chunk_key(prepared.key, count) in self.engine.predictions
        ):
            count += 1
        return count

    def time_left(self, *models: Prepared) -> Quantity | None:
        """Return how long the remaining chunks take, by the last one; None before there was one."""
        chunks = sum(self.n_chunks - self.known_chunks(prepared) for prepared in models)
        if not self._chunk_s:
            return None
        return Quantity.exact(chunks * self._chunk_s, "s", How.ESTIMATED)

    def joined(self, prepared: Prepared, chunks: int) -> Predictions:
        """Return what a model says about the first chunks together; of none, at a glance."""
        if not chunks:
            return self.glance(prepared)
        return Predictions.joined([self.predictions(prepared, i) for i in range(chunks)])

    @property
    def primary(self) -> str:
        """The metric that decides, a key of ``optim.measure.quality.METRICS``."""
        return primary_metric(self.samples.is_labelled, self.subject.bundle.task)

    def scorecard(self, prepared: Prepared, chunks: int) -> Scorecard:
        """Return quality on the first chunks and everything that needs no data."""
        alone = quality_of(self.joined(prepared, chunks), self.subject.bundle.task)
        static = self.engine.static(prepared)
        return replace(static, quality=alone.figures, primary=alone.primary)


class Engine:
    """The caches of one evaluator process and the workbenches that share them."""

    def __init__(self, *, registered_only: bool = False, base: Path = Path()) -> None:
        self.registered_only = registered_only
        self.base = base
        self.bundles = ByteCache(_BUNDLE_BYTES, lambda v: _bundle_bytes(v[0]))
        self.predictions = ByteCache(_PREDICTION_BYTES, lambda p: p.outputs.nbytes)
        self.files = ByteCache(_FILE_BYTES, len)
        self._static = ByteCache(10_000, lambda card: 1)
        self._memos = ByteCache(_MEMO_BYTES, bytes_of)
        self._runners = ByteCache(_RUNNER_BYTES, lambda v: _RUNNER_OVERHEAD + v[1])
        self._workbenches = ByteCache(_KEPT_WORKBENCHES, lambda bench: 1)
        self._opened: WeakValueDictionary[str, Workbench] = WeakValueDictionary()

    def workbench(self, recipe: Recipe) -> Workbench:
        """Return the workbench of a recipe's model and data."""
        how = options_of(recipe.data)  # somebody may read the same files otherwise by now
        # What was removed is no longer answered for, whoever removed it.
        cards = (card_stamp("models", recipe.model), card_stamp("data", recipe.data))
        key = digest(recipe.model, recipe.data, how, cards, recipe.seed, recipe.split)
        bench = self._workbenches.get_or(
            key,
            lambda: Workbench(
                open_subject(recipe, base=self.base, registered_only=self.registered_only), self
            ),
        )
        if bench.sketches is not None:
            self._opened[_subject_key(recipe)] = bench
        return bench

    def sketches(self, recipe: Recipe) -> Sketches | None:
        """Return what says the sizes of a recipe's large model at once; for another thread.

        Returns:
            None while its workbench is not open, and where sizes follow from more than shapes.
        """
        bench = self._opened.get(_subject_key(recipe))
        return bench.sketches if bench is not None and can_be_sketched(recipe) else None

    def forget(self) -> None:
        """Let go of everything that was opened or computed; it is made again when asked for."""
        for cache in (
            *(self.bundles, self.predictions, self.files),
            *(self._static, self._memos, self._runners, self._workbenches),
        ):
            cache.clear()

    def memo(self, key: str, compute: Callable[[], T]) -> T:
        """Remember an intermediate result; an empty key remembers nothing."""
        return self._memos.get_or(key, compute) if key else compute()

    def runner(self, prepared: Prepared) -> Runner:
        """Return what computes the outputs of a model."""
        bundle = prepared.bundle
        run, _ = self._runners.get_or(
            prepared.key, lambda: (runner_of(bundle), _bundle_bytes(bundle))
        )
        return run

    def file(self, prepared: Prepared) -> bytes:
        """Return the exported ONNX file of a model."""
        return self.files.get_or(prepared.key, lambda: onnx_bytes(prepared.bundle))

    def static(self, prepared: Prepared) -> Scorecard:
        """Return what is known without data: parameters, MACs, bytes of the file."""
        return self._static.get_or(prepared.key, lambda: self._static_scorecard(prepared))

    def _static_scorecard(self, prepared: Prepared) -> Scorecard:
        bundle = prepared.bundle
        traced = _traced(bundle)
        file = self.files.get_or(prepared.key, lambda: onnx_bytes(bundle, traced=traced))
        return _static(bundle, file, How.MEASURED, traced)

    def outlined(self, prepared: Prepared) -> Scorecard:
        """Return what an outline says: as :meth:`static`, estimated; nothing is kept of it.

        Of an outline that is the model itself, that is what is measured.
        """
        if not prepared.is_draft:
            return self.static(prepared)
        bundle = prepared.bundle
        traced = _traced(bundle)
        return _static(bundle, onnx_bytes(bundle, traced=traced), How.ESTIMATED, traced)


def _subject_key(recipe: Recipe) -> str:
    return digest(recipe.model, recipe.data, recipe.seed, recipe.split)


def _traced(bundle: ModelBundle) -> fx.GraphModule | None:
    """Return the graph that file and costs are both read from; None of an ONNX graph."""
    return bundle.deployable() if bundle.lane == "torch" else None


def _static(bundle: ModelBundle, file: bytes, how: How, traced: fx.GraphModule | None) -> Scorecard:
    params, macs, sparsity = (replace(count, how=how) for count in static_costs(bundle, traced))
    size = Quantity.exact(len(file), "bytes", how)
    return Scorecard({}, "accuracy", params, macs, sparsity, file=size)


def _bundle_bytes(bundle: ModelBundle) -> int:
    content, tensors = bundle.content, list(bundle.table.tensors().values())
    if isinstance(content, TorchModel):
        tensors += named_tensors(content.module).values()
    own = len(content.onnx) if isinstance(content, GraphModel) else 0
    return own + sum(t.numel() * t.element_size() for t in tensors) + 1
