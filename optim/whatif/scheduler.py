"""Who is answered next: the newest position first, then its neighbours, then precision.

Work is cut into units of some tens of milliseconds. Between units, and at every safe point inside
one, anything more urgent comes first:

===========  ================================================================================
sizes        of a model so large that a first answer takes seconds: sizes and MACs, by no sample
first        a fair first answer for the newest position of a session; older ones are dropped
complete     a first answer that was of few samples, because many waited for theirs
near         the stops next to it on every slider, nearest first
latency      when nobody moved a slider for a moment
refine       the remaining samples of the position, until the whole part was measured
sweep        all other stops of the slider last moved, then of the others
===========  ================================================================================

Where shapes alone say the sizes, they are found in a thread beside (:mod:`optim.whatif.sketches`),
and do not wait for the unit in hand. Sessions take turns at every level, so that one that keeps
moving does not starve the others.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from optim.errors import Cancelled, OptimError, RunError
from optim.measure.latency import LatencyPair, compare_files
from optim.measure.size import encoded_sizes
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.whatif.answers import answer, sizes_of, sketched_sizes
from optim.whatif.engine import Engine, Prepared, Workbench
from optim.whatif.latency import LatencySetting, estimate
from optim.whatif.sketches import Sketches

__all__ = ["Move", "Scheduler", "Slider"]

_LOG = logging.getLogger(__name__)

_QUIET_S = 0.45
_LATENCIES = 2000
"""Measured pairs that are kept."""
"""Nobody may have moved for this long before latency is measured."""
_CROWD, _CROWD_S = 4, 6.0
"""So many people who moved within this time are a crowd."""


@dataclass(frozen=True)
class Slider:
    """One slider in view.

    Attributes:
        entry: Id of the recipe entry it belongs to.
        field: Its field, or ``"enabled"`` for the entry's switch.
        stops: Its values in order.
    """

    entry: str
    field: str
    stops: tuple[Any, ...]

    def at(self, recipe: Recipe, value: Any) -> Recipe:
        """Return a recipe with the slider at another stop."""
        if self.field == "enabled":
            return recipe.with_enabled(self.entry, bool(value))
        return recipe.with_fields(self.entry, **{self.field: value})

    def position(self, recipe: Recipe) -> int | None:
        """Return the index of the stop nearest to the slider's present value."""
        entry = recipe.entry(self.entry)
        value = entry.enabled if self.field == "enabled" else getattr(entry.step, self.field, None)
        if value in self.stops:
            return self.stops.index(value)
        numbers = [s for s in self.stops if isinstance(s, int | float)]
        if isinstance(value, int | float) and numbers:
            return self.stops.index(min(numbers, key=lambda s: abs(s - value)))
        return None


@dataclass(frozen=True)
class Move:
    """A session's newest position.

    Attributes:
        request_id: Number the answer carries.
        recipe: The position as a recipe.
        sliders: Sliders in view; their neighbouring stops are precomputed.
        focus: Index of the slider last moved, or None.
        setting: What latency is wanted for.
    """

    request_id: int
    recipe: Recipe
    sliders: tuple[Slider, ...] = ()
    focus: int | None = None
    setting: LatencySetting = LatencySetting()


@dataclass
class _Session:
    """What is known of one panel."""

    emit: Callable[[dict[str, Any]], None]
    move: Move
    moved_at: float
    sized: bool = False
    answered: bool = False
    failed: bool = False
    chunks: int = 0
    swept: Iterator[tuple[int, Any]] | None = None
    near: list[tuple[int, Any]] = field(default_factory=list)
    latency_done: bool = False
    served: int = 0


class Scheduler:
    """Serves the sessions of one evaluator; :meth:`step` does one unit of work.

    ``submit`` and ``close`` may be called from another thread; ``step`` is called from one only.

    Args:
        engine: The caches and workbenches.
        clock: Returns seconds; replaced in tests.
        aside: Does something beside the work in hand, in one thread of its own; at once if there
            is none.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], float] = time.monotonic,
        aside: Callable[[Callable[[], None]], object] = lambda work: work(),
    ) -> None:
        self.engine = engine
        self._aside = aside
        self.latencies: OrderedDict[tuple[str, str, LatencySetting], LatencyPair] = OrderedDict()
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}
        self._questions: deque[Callable[[], None]] = deque()
        self._serial = itertools.count()
        self._threads = torch.get_num_threads()
        self.arrived = threading.Event()
        self.busy_since: float | None = None
        self.working_on: Recipe | None = None

    # --- called from the thread that reads messages ---------------------------------------------

    def submit(self, session: str, move: Move, emit: Callable[[dict[str, Any]], None]) -> None:
        """Take a session's newest position; what was queued for the older one is dropped."""
        with self._lock:
            served = self._sessions[session].served if session in self._sessions else 0
            new = self._sessions[session] = _Session(emit, move, self._clock(), served=served)
        self.arrived.set()
        sketches = self.engine.sketches(move.recipe)
        if sketches is not None:
            new.sized = True
            self._aside(lambda: self._sketch(new, sketches))

    def ask(self, question: Callable[[], None]) -> None:
        """Have a question answered before anything else."""
        with self._lock:
            self._questions.append(question)
        self.arrived.set()

    def close(self, session: str) -> None:
        """Forget a session."""
        with self._lock:
            self._sessions.pop(session, None)

    # --- called from the working thread ---------------------------------------------------------

    def step(self) -> bool:
        """Do the most urgent unit of work; return whether there was any.

        Since when it is busy without a pause, and on which recipe of a session, is in
        ``busy_since`` and ``working_on`` meanwhile, for whoever watches.
        """
        self.busy_since = self._clock()
        try:
            return self._step()
        finally:
            self.busy_since = self.working_on = None

    def forget(self) -> None:
        """Let go of everything that was opened or computed."""
        self.engine.forget()
        self.latencies.clear()

    def _step(self) -> bool:
        self.arrived.clear()
        with self._lock:
            sessions = sorted(self._sessions.values(), key=lambda s: s.served)
            question = self._questions.popleft() if self._questions else None
        if question is not None:
            question()
            return True
        # Threads that wait for each other cost a crowd more than they gain one of it.
        torch.set_num_threads(1 if self._is_crowded() else self._threads)
        for level, work in enumerate(_LEVELS):
            for session in sessions:
                if session.failed or not self._is_current(session):
                    continue
                if level >= _UNHURRIED and not session.answered:
                    continue
                self.working_on = session.move.recipe
                if self._try(level, work, session):
                    session.served = next(self._serial)
                    return True
        return False

    def _try(self, level: int, work: _Work, session: _Session) -> bool:
        """Do one unit for a session; False if it has none at this level."""
        try:
            return work(self, session, lambda: self._check(session, level))
        except Cancelled:
            return True
        except OptimError as error:
            self._fail(session, error)
            return True
        except Exception:
            # A bug must not take the evaluator down for everybody else.
            _LOG.exception("recipe %s failed", session.move.recipe.to_json())
            self._fail(session, RunError("The evaluator failed here; its log has the details."))
            return True

    def _fail(self, session: _Session, error: OptimError) -> None:
        session.failed = True
        session.emit(
            {
                "type": "error",
                "request_id": session.move.request_id,
                "message": error.message,
                "hint": error.hint,
                "field": getattr(error, "field", ""),
            }
        )

    def _check(self, session: _Session, level: int) -> None:
        """Raise Cancelled if this unit is out of date or something more urgent waits."""
        self.busy_since = self._clock()  # it goes on
        if not self._is_current(session):
            raise Cancelled
        if level >= _UNHURRIED and self.arrived.is_set():
            raise Cancelled

    def _is_current(self, session: _Session) -> bool:
        with self._lock:
            return session in self._sessions.values()

    # --- levels -----------------------------------------------------------------------------------

    def _sizes(self, session: _Session, check: Callable[[], None]) -> bool:
        if session.sized or session.answered:
            return False
        recipe = session.move.recipe
        bench = self.engine.workbench(recipe)
        session.sized = True
        if not bench.is_slow or bench.is_known(recipe):
            return False
        sketches = self.engine.sketches(recipe)
        if sketches is not None:
            self._aside(lambda: self._sketch(session, sketches))
            self._aside(lambda: self._prepare(sketches))
            return True
        outline = bench.outline(recipe, check)
        check()
        card = self.engine.outlined(outline)
        message = sizes_of(bench, self._baseline(bench, recipe), outline, card)
        session.emit({**message, "type": "sizes", "request_id": session.move.request_id})
        return True

    def _sketch(self, session: _Session, sketches: Sketches) -> None:
        """Say what a position of a large model weighs, if it is still wanted; in another thread."""
        if not self._is_current(session):
            return
        recipe = session.move.recipe
        try:
            message = sketched_sizes(sketches.original, sketches.at(recipe))
        except OptimError:
            return  # what is wrong is said by who applies it
        except Exception:
            _LOG.exception("no sketch of recipe %s", recipe.to_json())
            return
        session.emit({**message, "type": "sizes", "request_id": session.move.request_id})

    def _prepare(self, sketches: Sketches) -> None:
        # A model whose channels cannot be followed is told so by the step that prunes them.
        with contextlib.suppress(OptimError):
            sketches.prepare()

    def _first(self, session: _Session, check: Callable[[], None]) -> bool:
        if session.answered:
            return False
        bench = self.engine.workbench(session.move.recipe)
        hurried = self._is_crowded()
        candidate = bench.prepare(session.move.recipe, draft=True, hurried=hurried, check=check)
        baseline = self._baseline(bench, session.move.recipe)
        for prepared in (candidate, baseline):
            check()
            if not hurried:
                bench.predictions(prepared, 0, check)
            elif not bench.known_chunks(prepared):
                bench.glance(prepared, check)
        session.chunks = min(bench.known_chunks(candidate), bench.known_chunks(baseline))
        self._emit(session, bench, candidate, session.chunks)
        session.answered = True
        session.near = list(_neighbours(session.move))
        session.swept = iter(list(_others(session.move)))
        return True

    def _complete(self, session: _Session, check: Callable[[], None]) -> bool:
        return not session.chunks and self._refine(session, check)

    def _near(self, session: _Session, check: Callable[[], None]) -> bool:
        while session.near:
            index, value = session.near[0]
            done = self._precompute(session, index, value, check)
            session.near.pop(0)
            if done:
                return True
        return False

    def _refine(self, session: _Session, check: Callable[[], None]) -> bool:
        bench = self.engine.workbench(session.move.recipe)
        candidate = bench.prepare(session.move.recipe, draft=False, check=check)
        baseline = self._baseline(bench, session.move.recipe)
        if session.chunks > bench.n_chunks:
            return False
        if session.chunks < bench.n_chunks:
            wanted = min(bench.n_chunks, max(session.chunks + 1, bench.known_chunks(candidate)))
            for index in range(wanted):
                for prepared in (candidate, baseline):
                    check()
                    bench.predictions(prepared, index, check)
            session.chunks = wanted
            if wanted == bench.n_chunks or wanted.bit_count() == 1:
                self._emit(session, bench, candidate, wanted)
            return True
        sizes = encoded_sizes(candidate.bundle, check)
        self._emit(session, bench, candidate, bench.n_chunks, sizes)
        session.chunks = bench.n_chunks + 1
        return True

    def _latency(self, session: _Session, check: Callable[[], None]) -> bool:
        if session.latency_done or self._clock() - self._last_move() < _QUIET_S:
            return False
        bench = self.engine.workbench(session.move.recipe)
        candidate = bench.prepare(session.move.recipe, draft=False, check=check)
        baseline = self._baseline(bench, session.move.recipe)
        setting = session.move.setting
        if (baseline.key, candidate.key, setting) not in self.latencies:
            # Repeated where a batch takes more than there are.
            rows = bench.samples.inputs[np.arange(setting.batch_size) % len(bench.samples)]
            inputs = bench.subject.bundle.spec.normalise(rows).numpy()
            self.latencies[baseline.key, candidate.key, setting] = compare_files(
                self.engine.file(baseline),
                self.engine.file(candidate),
                inputs,
                setting.threads,
                interface=bench.subject.bundle.interface,
                check=check,
            )
            if len(self.latencies) > _LATENCIES:
                self.latencies.popitem(last=False)
        session.latency_done = True
        self._emit(session, bench, candidate, max(1, min(session.chunks, bench.n_chunks)))
        return True

    def _sweep(self, session: _Session, check: Callable[[], None]) -> bool:
        while session.swept is not None:
            following = next(session.swept, None)
            if following is None:
                session.swept = None
                return False
            try:
                if self._precompute(session, *following, check):
                    return True
            except Cancelled:
                session.swept = itertools.chain([following], session.swept)
                raise
        return False

    # --- parts ------------------------------------------------------------------------------------

    def _precompute(
        self, session: _Session, index: int, value: Any, check: Callable[[], None]
    ) -> bool:
        """Answer one stop beside the position; False if its recipe is not legal."""
        slider = session.move.sliders[index]
        try:
            recipe = slider.at(session.move.recipe, value)
            bench = self.engine.workbench(recipe)
            candidate = bench.prepare(recipe, draft=True, check=check)
        except Cancelled:
            raise
        except OptimError:
            return False
        check()
        bench.predictions(candidate, 0, check)
        self._emit(session, bench, candidate, 1, stop=(index, value))
        return True

    def _baseline(self, bench: Workbench, recipe: Recipe) -> Prepared:
        return bench.prepare(replace(recipe, entries=()), draft=False)

    def _emit(
        self,
        session: _Session,
        bench: Workbench,
        candidate: Prepared,
        chunks: int,
        sizes: dict[str, Quantity] | None = None,
        stop: tuple[int, Any] | None = None,
    ) -> None:
        baseline = self._baseline(bench, session.move.recipe)
        latency = self._known_latency(bench, baseline, candidate, session.move.setting)
        message = answer(bench, baseline, candidate, chunks, latency, sizes)
        message["type"] = "answer"
        message["request_id"] = session.move.request_id
        message["stop"] = list(stop) if stop else None
        session.emit(message)

    def _known_latency(
        self, bench: Workbench, baseline: Prepared, candidate: Prepared, setting: LatencySetting
    ) -> LatencyPair | None:
        measured = self.latencies.get((baseline.key, candidate.key, setting))
        if measured:
            return measured
        original = next(
            (
                pair.baseline
                for (key, _, s), pair in reversed(self.latencies.items())
                if key == baseline.key and s == setting
            ),
            None,
        )
        if original is None:
            return None
        card, first = self.engine.static(candidate), self.engine.static(baseline)
        layers = len(bench.layers)
        return estimate(
            original, int(first.macs.value), candidate.bundle, int(card.macs.value), layers
        )

    def _is_crowded(self) -> bool:
        since = self._clock() - _CROWD_S
        with self._lock:
            return sum(s.moved_at > since for s in self._sessions.values()) >= _CROWD

    def _last_move(self) -> float:
        with self._lock:
            return max((s.moved_at for s in self._sessions.values()), default=0.0)


_Work = Callable[[Scheduler, _Session, Callable[[], None]], bool]

_LEVELS: tuple[_Work, ...] = (
    Scheduler._sizes,
    Scheduler._first,
    Scheduler._complete,
    Scheduler._near,
    Scheduler._latency,
    Scheduler._refine,
    Scheduler._sweep,
)
_UNHURRIED = 2
"""From this level on, a session has its first answer, and gives way to whatever arrives."""


def _neighbours(move: Move) -> Iterator[tuple[int, Any]]:
    """Yield the next and previous stop of every slider, the one last moved first."""
    for index in _by_focus(move):
        slider = move.sliders[index]
        here = slider.position(move.recipe)
        for step in (1, -1):
            if here is not None and 0 <= here + step < len(slider.stops):
                yield index, slider.stops[here + step]


def _others(move: Move) -> Iterator[tuple[int, Any]]:
    """Yield all farther stops, nearest first, the slider last moved first."""
    for index in _by_focus(move):
        slider = move.sliders[index]
        here = slider.position(move.recipe) or 0
        far = [i for i in range(len(slider.stops)) if abs(i - here) > 1]
        for i in sorted(far, key=lambda i: abs(i - here)):
            yield index, slider.stops[i]


def _by_focus(move: Move) -> list[int]:
    order = list(range(len(move.sliders)))
    return sorted(order, key=lambda i: i != move.focus)
