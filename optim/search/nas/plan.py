"""The search for architectures: from data, limits and a budget of time to a verified file.

=============  ==================================================================================
proof          whether the smallest network of the space misses a limit; said before time is spent
supernet       only where it is asked for: networks with shared weights, the best of them first
short          networks that keep the limits of cost, trained for short
long           the best third of them for three times as long, and so on
to the end     the front, for as long as there is time; the best is trained for shorter if it must
the end        the file, verified; the front on test samples, once
=============  ==================================================================================

What was tried lies in a study, what was trained under its key: a search that is stopped or killed
goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from optim.errors import Cancelled, ConfigError, OptimError
from optim.quantity import Quantity, format_value
from optim.search.choosing import front_of
from optim.search.executor import Executor
from optim.search.figures import FIGURES
from optim.search.goals import Goals, Limit
from optim.search.nas.asked import Asked
from optim.search.nas.ending import Answer, finish, impossible_answer
from optim.search.nas.halving import LEARNED, newest, promotion
from optim.search.nas.pace import epoch_s
from optim.search.nas.repeating import repeat
from optim.search.nas.session import Session
from optim.search.nas.supernet.stage import learn
from optim.search.nas.timing import epochs_in, for_repetitions, in_order, most_epoch_s, spare
from optim.search.nas.trying import Tried, Trying
from optim.search.session import OutOfTimeError
from optim.search.space import Scalar
from optim.search.watch import Watch

__all__ = ["ArchitectureSearch"]

_TRAINED = frozenset({"error", "training"})
_ENDS_MOST = 64


class ArchitectureSearch:
    """One search for architectures.

    Args:
        asked: What is asked for.
        watch: Who watches.
        folder: Where relative files are looked up.
        registered_only: Whether only registered data are opened.
        url: Of the database of studies; the default one if empty.
        clock: Monotonic seconds.
        executor: Who trains; this process if None.

    Raises:
        OptimError: If the data or what is asked for cannot be used.
    """

    def __init__(
        self,
        asked: Asked,
        watch: Watch | None = None,
        *,
        folder: Path = Path(),
        registered_only: bool = False,
        url: str = "",
        clock: Callable[[], float] = time.monotonic,
        executor: Executor | None = None,
    ) -> None:
        self.session = Session(
            asked,
            watch or Watch(),
            folder=folder,
            registered_only=registered_only,
            url=url,
            clock=clock,
            executor=executor,
        )

    def run(self) -> Answer:
        """Search until the budget is used up, or nothing is left to try.

        Raises:
            OptimError: If what is asked for cannot be searched for.
            Cancelled: If whoever watches wants it to stop; what was tried is kept.
        """
        session = self.session
        session.introduce()
        session.begin("looking for the smallest network")
        smallest = _smallest(session)
        if impossible := _impossible(session):
            session.say(impossible)
            return impossible_answer(impossible)
        session.open_studies()
        trying = Trying(session)
        try:
            session.bench.warm_up(session.watch.check)
            trying.begin(smallest)
            if session.asked.method == "supernet":
                _learn(session, trying, smallest)
            ended = _search(session, trying)
        except OutOfTimeError:
            ended = "The budget is spent."
        finally:
            trying.give_up()
        repeat(session)
        if session.watch.is_enough():
            ended = "It was asked to take what it has."
        return finish(session, ended)


def _search(session: Session, trying: Trying) -> str:
    """Try networks, train the best for longer, and at last the front to the end.

    Nothing is begun that would take time from training the best to the end.

    Returns:
        Why it ended.
    """
    words = ", ".join(map(str, session.rungs))
    session.say(
        f"Networks are trained for {words} epochs: a third of them goes on each time."
        if len(session.rungs) > 1
        else f"Networks are trained for {words} epochs."
    )
    step = _try_networks(session, trying, session.rungs)
    while _finish_front(session, trying) and step != "none left":
        # These trainings have told how long others take: there may be time for more of them.
        trying.look_again()
        step = _try_networks(session, trying, session.lengths)
    if step == "none left":
        return "Nothing is left to try."
    if not session.time():
        return "The budget is spent."
    return "What is left of the budget is too short for another training."


def _try_networks(session: Session, trying: Trying, known_lengths: Sequence[int]) -> Tried:
    """Try networks, and train the best for longer, as long as there is time for others.

    Args:
        session: The search.
        trying: Tries networks.
        known_lengths: Lengths of training that were told.

    Returns:
        What came of trying the last.
    """
    step: Tried = "tried"
    while (step != "none left" or trying.away) and (spare(session) or not session.candidates):
        known = len(session.candidates)
        all_begun, lengths = [*session.candidates, *trying.away], session.lengths
        if lengths != known_lengths:
            known_lengths = lengths
            _tell_lengths(session)
        found = promotion(all_begun, session.goals, lengths, first=session.learns_lengths)
        if trying.is_full:
            trying.collect()
        elif found and epoch_s(found[0]) <= most_epoch_s(session, found[1]):
            trying.train(*found, "longer training", spare(session))
            if not trying.away:
                session.say(session.best_so_far())
        elif step == "tried":
            step = trying.try_next()
        elif trying.away:
            trying.collect()
        else:
            break
        if known == 0 and session.candidates:
            session.say(f"First: {session.candidates[0].title}. {session.best_so_far()}")
    return step


def _tell_lengths(session: Session) -> None:
    """Say which lengths of training are left out, and why."""
    out = " and ".join(str(n) for n in session.rungs if n not in session.lengths)
    session.say(
        f"Trainings of {out} epochs rank the first {LEARNED} networks unlike those of "
        f"{session.rungs[-1]}: they are left out."
    )


def _learn(session: Session, trying: Trying, smallest: Mapping[str, Scalar]) -> None:
    """Train a supernet, and have what it thinks most of trained first."""
    if not session.candidates:
        trying.try_next()
    found = learn(session, smallest)
    if found is None:
        return
    session.supernet, session.learned = found.supernet, found.to_json()
    for one in found.best:
        session.points.enqueue(session.bench.space.clean(one.point))
    session.say(session.best_so_far())


def _finish_front(session: Session, trying: Trying) -> bool:
    """Train the front for the full length, what would be taken first, while there is time.

    What would be taken is trained for as long as there is time where that is too short for all.

    Returns:
        Whether anything was trained.
    """
    over: set[int] = set()
    whole = session.rungs[-1]
    while session.time():
        front = front_of(newest(session.candidates), session.goals, whole=True)
        front = in_order(session, front)
        begun = over | {c.parent for c in trying.away if c.made["epochs"] == whole}
        left = [c for c in front if c.made["epochs"] < whole and c.number not in begun]
        # What is taken comes first; of the time after that its repetitions have their part.
        is_first = left[:1] == front[:1]
        time = session.time() - (0.0 if is_first else for_repetitions(session))
        able = [(c, whole) for c in left if epochs_in(session, c, time) == whole]
        if left and is_first and (left[0], whole) not in able:
            part = epochs_in(session, left[0], time / (1 + session.asked.seeds))
            able = [(left[0], part)] if part else able
        if trying.is_full or (trying.away and not able):
            trying.collect()
            session.say(session.best_so_far())
        elif not able:
            break
        else:
            candidate, epochs = able[0]
            over.add(candidate.number)
            stage = "whole training" if epochs == whole else "longer training"
            trying.train(candidate, epochs, stage)
            if not trying.away:
                session.say(session.best_so_far())
    return bool(over)


# --- what is out of reach -----------------------------------------------------------------------


def _smallest(session: Session) -> Mapping[str, Scalar]:
    """Return the network of least cost, by what is limited first of all.

    Raises:
        ConfigError: If a limited figure is not known for such networks on the device.
    """
    goals = session.goals
    limited = [limit.figure for limit in goals.asked if limit.figure not in _TRAINED]
    figure = limited[0] if limited else "bytes"
    point, _ = _least(session, figure)
    figures = session.bench.costs(session.bench.architecture(point), goals)
    for name in limited:
        if name not in figures:
            raise ConfigError(
                f"{FIGURES[name].title} of such networks on {goals.device} is not known.",
                hint="Limit another figure, or choose another device.",
                field=name,
            )
    known = {*figures, *_TRAINED}
    objectives = tuple(name for name in goals.objectives if name in known)
    limits = tuple(limit for limit in goals.limits if limit.figure in known)
    if (objectives, limits) != (goals.objectives, goals.limits):
        # What the device cannot tell is not weighed.
        more = ("macs",) if len(objectives) < 2 else ()
        session.goals = Goals((*objectives, *more), limits, goals.bytes_of, goals.device)
    return point


def _impossible(session: Session) -> str:
    """Say which limits the smallest network of the space misses; empty if none is known."""
    reasons = []
    for limit in session.goals.limits:
        if limit.figure in _TRAINED:
            continue
        _, least = _least(session, limit.figure, limit)
        if least is not None and limit.over(least.value) > 0:
            value = format_value(least.value, least.unit)
            reasons.append(
                f"{limit.text} is out of reach: the smallest network of the space takes {value}."
            )
    return " ".join(reasons)


def _least(
    session: Session, figure: str, limit: Limit | None = None
) -> tuple[dict[str, Scalar], Quantity | None]:
    """Return where a figure is least, and how much it is there, or that it keeps its limit.

    It is looked for along one dimension after the other, from end to end.
    """
    bench = session.bench
    point = bench.space.clean({})
    least: Quantity | None = None
    tried = 0
    for dimension in bench.space:
        values = dimension.values
        ends = (values[0], values[-1]) if dimension.is_ordered else values
        for value in ends:
            session.watch.check()
            candidate = bench.space.clean({**point, dimension.name: value})
            try:
                figures = bench.costs(bench.architecture(candidate), session.goals)
            except Cancelled:
                raise
            except OptimError:
                continue
            tried += 1
            found = figures.get(figure)
            if found is not None and (least is None or found.value < least.value):
                least, point = found, candidate
            is_kept = limit is not None and least is not None and limit.over(least.value) <= 0
            if is_kept or tried >= _ENDS_MOST:
                return point, least
    return point, least
