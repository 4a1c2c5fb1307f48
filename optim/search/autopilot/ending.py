"""The end of a search: baselines, the front on test samples once, and a verified file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from optim.errors import Cancelled, OptimError
from optim.export.deliver import Delivery, deliver
from optim.measure.evaluate import predict
from optim.measure.quality import quality
from optim.quantity import Quantity
from optim.search.autopilot.baselines import baselines_of
from optim.search.autopilot.session import STAGES, Session, recipe_of
from optim.search.autopilot.words import costs_text
from optim.search.candidate import Candidate
from optim.search.choosing import Closest, best_or_closest, chosen, closest_miss, front_of
from optim.search.delivering import Delivered, deliver_best, nothing_text
from optim.search.goals import Goals
from optim.search.loss import loss_of

__all__ = ["Answer", "finish", "impossible_answer", "measure_baselines"]

_TESTED = 6
"""Candidates of the front that are measured on test samples."""


@dataclass(frozen=True)
class Answer:
    """What came of a search.

    Attributes:
        goals: What was asked for, shares worked out.
        original: Figures of the original.
        original_quality: Its figure of quality; None where it compares with itself.
        candidates: All that was kept, oldest first; with the sizes of the files that were written.
        chosen: The one to take: it keeps all limits, and its file is verified; else None.
        closest: What came closest where none keeps all limits.
        impossible: Why no recipe can keep the limits; empty if that is not known.
        tests: ``{candidate number: loss on test samples}`` of the front.
        delivery: The verified file of the chosen one, or of the closest.
        spent_s: Seconds that were spent.
        ended: Why the search ended.
    """

    goals: Goals
    original: Mapping[str, Quantity]
    original_quality: Quantity | None
    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    closest: Closest | None
    impossible: str = ""
    tests: Mapping[int, Quantity] = field(default_factory=dict)
    delivery: Delivery | None = None
    spent_s: float = 0.0
    ended: str = ""

    @property
    def front(self) -> list[Candidate]:
        """The candidates that nothing else beats, cheapest first, measured on all samples."""
        return front_of(self.candidates, self.goals, whole=True)

    @property
    def taken(self) -> Candidate | None:
        """The chosen one, or what came closest; None if nothing was measured."""
        return best_or_closest(self.chosen, self.closest)


def measure_baselines(session: Session) -> None:
    """Measure what else could have been done on the same samples, while there is time."""
    session.begin("measuring baselines")
    known = [c.made for c in session.others.candidates() if c.is_baseline]
    best = chosen(session.candidates, session.goals)
    closest = closest_miss(session.candidates, session.goals)
    about = best_or_closest(best, closest)
    for title, measure in baselines_of(session.bench, session.goals, about, session.watch.check):
        spent = session.budget.left < _for_the_file(session) + session.narrower_s
        if spent or session.watch.is_enough():
            break
        candidate = measure()
        if candidate.outcome == "failed" or candidate.made in known:
            continue
        session.others.add(
            replace(candidate, is_baseline=True, stage=STAGES["baseline"], title=title)
        )
        session.tell()
    _measure_narrower(session, about)


def _measure_narrower(session: Session, about: Candidate | None) -> None:
    """Train a narrower network that costs no more than what was found, for as long as is left."""
    narrower = session.narrower
    if about is None or narrower is None or session.watch.is_enough():
        return
    if any("architecture" in c.made for c in session.others.candidates()):
        return  # an earlier attempt did
    costs = {n: q.value for n, q in about.figures.items() if n in session.goals.costs}
    architecture = narrower.widest(costs)
    if architecture is None:
        return
    seconds = session.budget.left - _for_the_file(session)
    epochs = narrower.epochs(architecture, seconds)
    if epochs < 1:
        session.say("There was no time left to train a narrower network to compare with.")
        return
    session.begin("training a narrower network to compare with")
    try:
        candidate, _ = narrower.measured(architecture, epochs, session.watch.check)
    except Cancelled:
        raise
    except OptimError as error:
        session.say(f"A narrower network could not be compared with. {error}")
        return
    session.others.add(replace(candidate, is_baseline=True, stage=STAGES["baseline"]))
    session.say(f"{candidate.title}: {costs_text(candidate.figures, session.goals)}.")


def _for_the_file(session: Session) -> float:
    """Return the seconds that the file and the test samples need at least."""
    return 0.5 * (session.kept_back - session.narrower_s)


def impossible_answer(session: Session, why: str) -> Answer:
    """Return the answer of a search whose limits are out of reach."""
    return _answer(session, Delivered(), impossible=why, ended="The limits are out of reach.")


def finish(session: Session, ended: str) -> Answer:
    """Write and verify the file of the best, and measure the front on test samples once."""
    found = deliver_best(
        session.candidates, session.goals, chosen, partial(_deliver, session), session.say
    )
    session.begin("measuring the front on test samples")
    tests = _tests(session, found.taken)
    session.say(_conclusion(session, found))
    return _answer(session, found, tests=tests, ended=ended)


def _deliver(session: Session, candidate: Candidate) -> Delivery:
    session.begin("writing and verifying the file")
    recipe, subject = recipe_of(candidate), session.bench.subject
    target = "onnx" if session.goals.bytes_of in ("onnx", "dense", "bit_width") else "packed"
    return deliver(
        session.bundle(recipe),
        recipe,
        target,
        subject.samples(),
        more=subject.data.part("train") if subject.data.is_split else None,
        check=session.watch.check,
    )


def _tests(session: Session, taken: Candidate | None) -> dict[int, Quantity]:
    """Return the loss of the front on test samples, which nothing was selected by."""
    subject, goals = session.bench.subject, session.goals
    if taken is None or "test" not in subject.data.parts:
        return {}
    samples = subject.samples("test")
    original = predict(session.bench.original.bundle, samples, check=session.watch.check)
    front = front_of(session.candidates, goals, whole=True)
    others = [c for c in front if c.number != taken.number]
    others.sort(key=lambda c: goals.excess(c.figures))
    found = {}
    for candidate in [taken, *others][:_TESTED]:
        is_over = session.budget.left <= 0 or session.watch.is_enough()
        if candidate is not taken and is_over:
            break
        bundle = session.bundle(recipe_of(candidate))
        predictions = predict(bundle, samples, check=session.watch.check)
        judged = quality(predictions, original, subject.bundle.task, every=False)
        found[candidate.number] = loss_of(judged)
    return found


def _conclusion(session: Session, found: Delivered) -> str:
    goals, best, closest = session.goals, found.best, found.closest
    if best is not None:
        unsure = goals.misses(best.figures, certainly=True)
        words = " Its interval reaches beyond a limit: more samples could tell." if unsure else ""
        return f"Taken: {best.title}; {costs_text(best.figures, goals)}.{words}"
    if closest is not None:
        return f"No candidate keeps all limits. Closest: {closest.candidate.title}. {closest.text}"
    return nothing_text(session.candidates, goals, found.refused)


def _answer(
    session: Session,
    found: Delivered,
    *,
    impossible: str = "",
    tests: Mapping[int, Quantity] | None = None,
    ended: str = "",
) -> Answer:
    session.publish(at_once=True)
    return Answer(
        goals=session.goals,
        original=session.original,
        original_quality=session.original_quality,
        candidates=tuple(found.written.get(c.number, c) for c in session.candidates),
        chosen=found.best,
        closest=found.closest,
        impossible=impossible,
        tests=tests or {},
        delivery=found.delivery,
        spent_s=session.budget.spent,
        ended=ended,
    )
