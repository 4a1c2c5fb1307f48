"""The end of a search: the front on test samples once, and a verified file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from optim.export.deliver import Delivery, deliver
from optim.models.checkpoint import serialise
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.search.candidate import Candidate
from optim.search.choosing import Closest, best_or_closest, front_of
from optim.search.delivering import Delivered, deliver_best, nothing_text
from optim.search.figures import FIGURES
from optim.search.found import WEIGHTS
from optim.search.goals import Goals
from optim.search.nas.halving import taken
from optim.search.nas.session import Session
from optim.search.nas.words import figures_text

__all__ = ["Answer", "finish", "impossible_answer"]

_TESTED = 6
"""Networks of the front that are measured on test samples."""
_KEPT = 12
"""Networks of the front whose weights are files of the answer."""


@dataclass(frozen=True)
class Answer:
    """What came of a search.

    Attributes:
        chosen: The one to take, with the size of its file: it keeps all limits, and its file is
            verified; else None.
        closest: What came closest where none keeps all limits.
        impossible: Why no network can keep the limits; empty if that is not known.
        tests: ``{candidate number: error on test samples}`` of the front.
        delivery: The verified file of the chosen one, or of the closest.
        written: ``{candidate number: the candidate with the size of its file}``, of all whose files
            were written.
        weights: The trained weights it was made of, as a checkpoint.
        recipe: Makes the file of these weights.
        front: ``{candidate number: checkpoint}``.
        ended: Why the search ended.
    """

    chosen: Candidate | None = None
    closest: Closest | None = None
    impossible: str = ""
    tests: Mapping[int, Quantity] = field(default_factory=dict)
    delivery: Delivery | None = None
    written: Mapping[int, Candidate] = field(default_factory=dict)
    weights: bytes = b""
    recipe: Recipe | None = None
    front: Mapping[int, bytes] = field(default_factory=dict)
    ended: str = ""

    @property
    def taken(self) -> Candidate | None:
        """The chosen one, or what came closest; None if nothing was trained."""
        return best_or_closest(self.chosen, self.closest)


def impossible_answer(why: str) -> Answer:
    """Return the answer of a search whose limits are out of reach."""
    return Answer(impossible=why, ended="The limits are out of reach.")


def finish(session: Session, ended: str) -> Answer:
    """Write and verify the file of the best, and measure the front on test samples once."""
    found = deliver_best(
        session.candidates, session.goals, taken, partial(_deliver, session), session.say
    )
    answer = Answer(
        found.best, found.closest, delivery=found.delivery, written=found.written, ended=ended
    )
    wanted = answer.taken
    if wanted is None:
        session.say(nothing_text(session.candidates, session.goals, found.refused))
        return answer
    session.begin("measuring the front on test samples")
    tests = _tests(session, wanted)
    conclusion = _conclusion(session.goals, found, tests)
    session.say(" ".join([conclusion, *session.doubts(wanted)]))
    front = {
        c.number: serialise(session.trained(c))
        for c in front_of(session.candidates, session.goals, whole=True)[:_KEPT]
    }
    weights = serialise(session.trained(wanted))
    recipe = session.bench.recipe(WEIGHTS)
    return replace(answer, tests=tests, weights=weights, recipe=recipe, front=front)


def _deliver(session: Session, candidate: Candidate) -> Delivery:
    session.begin("writing and verifying the file")
    bench, check = session.bench, session.watch.check
    return deliver(
        bench.deployed(session.trained(candidate)),
        bench.recipe(f"nas-{bench.key_of(candidate.made)[:16]}"),
        "onnx",
        bench.subject.samples(),
        more=bench.subject.data.part("train"),
        check=check,
    )


def _tests(session: Session, wanted: Candidate) -> dict[int, Quantity]:
    """Return the error of the front on test samples, which nothing was selected by."""
    bench, check = session.bench, session.watch.check
    if "test" not in bench.subject.data.parts:
        return {}
    front = front_of(session.candidates, session.goals, whole=True)
    others = [c for c in front if c.number != wanted.number]
    others.sort(key=lambda c: session.goals.excess(c.figures))
    found = {}
    for candidate in [wanted, *others][:_TESTED]:
        if candidate.number != wanted.number and session.budget.left <= 0:
            break
        bundle = bench.deployed(session.trained(candidate))
        found[candidate.number] = bench.judge(bundle, "test", check).error
    return found


def _conclusion(goals: Goals, found: Delivered, tests: Mapping[int, Quantity]) -> str:
    best, closest = found.best, found.closest
    if best is not None:
        test = f" Error on test samples: {tests[best.number]}." if best.number in tests else ""
        unsure = goals.misses(best.figures, certainly=True)
        beyond = ", ".join(FIGURES[miss.limit.figure].title for miss in unsure)
        words = f" Its interval reaches beyond the limit: {beyond}." if unsure else ""
        return f"Taken: {best.title}; {figures_text(best.figures, goals)}.{test}{words}"
    assert closest is not None
    return f"No network keeps all limits. Closest: {closest.candidate.title}. {closest.text}"
