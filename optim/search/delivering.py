"""From candidates to a file: the best whose file is verified, by what the file really has.

What a candidate costs may be an estimate, and its file larger. Then it is judged again with the
size of its file, and so is what came closest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from optim.errors import Cancelled, OptimError
from optim.export.deliver import Delivery
from optim.search.candidate import Candidate
from optim.search.choosing import Closest, best_or_closest, closest_miss
from optim.search.goals import Goals

__all__ = ["Delivered", "deliver_best", "nothing_text"]


@dataclass(frozen=True)
class Delivered:
    """What is handed over.

    Attributes:
        delivery: The verified file; None if there is none.
        best: What keeps all limits, with the size of its file; None if nothing does.
        closest: What came closest where nothing does.
        written: ``{candidate number: the candidate with the size of its file}``.
        refused: Numbers of candidates whose files were not verified.
    """

    delivery: Delivery | None = None
    best: Candidate | None = None
    closest: Closest | None = None
    written: Mapping[int, Candidate] = field(default_factory=dict)
    refused: Collection[int] = ()

    @property
    def taken(self) -> Candidate | None:
        """The best, or what came closest; None if nothing can be handed over."""
        return best_or_closest(self.best, self.closest)


def deliver_best(
    candidates: Sequence[Candidate],
    goals: Goals,
    choose: Callable[[Sequence[Candidate], Goals], Candidate | None],
    deliver: Callable[[Candidate], Delivery],
    say: Callable[[str], None],
) -> Delivered:
    """Return the first file that is verified, of the best on; one that is not is passed over.

    Args:
        candidates: All that was kept.
        goals: What is asked for. Where bytes are those of the ONNX file, the file's own count.
        choose: Returns the candidate to take; None if none keeps all limits.
        deliver: Writes and verifies the file of a candidate.
        say: Called with a sentence on each file that is passed over.

    Raises:
        Cancelled: If whoever watches wants it to stop.
    """
    deliveries: dict[int, Delivery] = {}
    written: dict[int, Candidate] = {}
    refused: set[int] = set()
    while True:
        left = [written.get(c.number, c) for c in candidates if c.number not in refused]
        best = choose(left, goals)
        closest = None if best else closest_miss(left, goals)
        found = Delivered(None, best, closest, written, refused)
        if found.taken is None:
            return found
        number = found.taken.number
        if number in deliveries:
            return replace(found, delivery=deliveries[number])
        try:
            deliveries[number] = deliver(found.taken)
        except Cancelled:
            raise
        except OptimError as error:
            say(f"The file of {found.taken.title!r} was refused. {error}")
            refused.add(number)
            continue
        written[number] = found.taken
        if goals.bytes_of == "onnx":
            size = deliveries[number].verification.size
            written[number] = replace(found.taken, figures={**found.taken.figures, "bytes": size})
            limit = goals.limit("bytes")
            if best is not None and limit is not None and limit.over(size.value) > 0:
                say(f"The file of {found.taken.title!r} has {size}, over the limit.")


def nothing_text(candidates: Sequence[Candidate], goals: Goals, refused: Collection[int]) -> str:
    """Return why nothing is handed over, of what was looked at, in one sentence."""
    seen = [c for c in candidates if not c.is_baseline]
    judged = [c for c in seen if c.is_judged]
    unknown = [
        limit for limit in goals.limits if not any(limit.figure in c.figures for c in judged)
    ]
    if not seen:
        return "Nothing could be measured within the budget."
    if judged and unknown:
        missing = goals.misses({}, but=[x.figure for x in goals.limits if x not in unknown])
        return f"What was measured cannot be held against all limits. {missing[0].text}"
    if judged and refused:
        return "No file of what was measured could be verified."
    many = "the one" if len(seen) == 1 else f"the {len(seen):,}"
    why = f" The last: {seen[-1].note}" if seen[-1].note else ""
    return f"None of {many} that were looked at was measured to the end.{why}"
