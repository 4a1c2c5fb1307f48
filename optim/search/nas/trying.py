"""Which networks are tried: what they cost, what proxies say of them, and a short training.

Costs come first. A network that misses a limit is not trained; the sampler learns of it all the
same.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from optim.errors import Cancelled, ConfigError, OptimError
from optim.hashing import digest
from optim.models.bundle import ModelBundle
from optim.models.zoo import architecture_to_json
from optim.quantity import Quantity, format_value
from optim.search.candidate import Candidate
from optim.search.choosing import front_of
from optim.search.executor import LOOK_EVERY_S, NETWORK_KIND, Order, Outcome
from optim.search.figures import earlier_text
from optim.search.front import front
from optim.search.nas.asked import PREDICTOR
from optim.search.nas.halving import newest
from optim.search.nas.predicting import LEAST_KNOWN, Known, most_promising
from optim.search.nas.proxies import PROXIES
from optim.search.nas.session import Session
from optim.search.nas.timing import most_epoch_s, spare
from optim.search.nas.words import title_of
from optim.search.session import OutOfTimeError
from optim.search.space import Point, Scalar, Space
from optim.train import Epoch

__all__ = ["Tried", "Trying"]

Tried = Literal["tried", "none left", "too long"]
"""What came of trying one more network: it was, all are known, or none could be trained in time."""

_SCREENED, _FIRST = 48, 8
"""Networks that a proxy chooses from, and how many it chooses."""
_SCREEN_SHARE = 0.15
"""Of the budget, at most, for choosing by a proxy."""
_MOST_REPEATS = 40
"""Points in a row that are known already, after which unknown ones are drawn."""
_MOST_DRAWN = 2000
_MOST_TIMED = 4
"""Networks in a row whose steps are timed and take too long, after which no other is looked for."""
_POOL_FIRST, _POOL_STEP = 40, 12
"""Networks whose costs are computed before the first is predicted, and before each further one."""


@dataclass(frozen=True)
class _Away:
    """A network that is trained elsewhere.

    Attributes:
        begun: It, as far as it is known.
        epochs: How long it is trained.
        number: By which its study is told; None if no study has asked for it.
        began: When it was given away.
    """

    begun: Candidate
    epochs: int
    number: int | None
    began: float


class _TooLongError(Exception):
    """A training has taken the time that others are to have."""


class Trying:
    """Tries networks.

    Args:
        session: The search.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pool: dict[str, Known] = {}
        self._chance = random.Random(session.asked.seed)
        self._away: dict[str, _Away] = {}
        self._slow: dict[str, tuple[float, int, float]] = {}
        """``{key of a point: (MACs, layers, seconds of an epoch)}``."""
        self._has_told = False

    # --- elsewhere --------------------------------------------------------------------------

    @property
    def away(self) -> list[Candidate]:
        """Networks that are trained elsewhere at this moment, with the epochs they will have."""
        return [one.begun for one in self._away.values()]

    @property
    def is_full(self) -> bool:
        """Whether everybody who trains for the search is busy."""
        executor = self._session.executor
        return executor is not None and len(self._away) >= executor.places

    def collect(self) -> None:
        """Wait until a network that is trained elsewhere is, and judge it.

        Raises:
            Cancelled: If whoever watches wants it to stop.
            OutOfTimeError: If the budget is used up before.
        """
        session = self._session
        assert session.executor is not None
        while self._away:
            ended = session.executor.ended(LOOK_EVERY_S)
            for outcome in ended:
                away = self._away.pop(outcome.key)
                begun = replace(away.begun, outcome="failed")
                if outcome.problem:
                    found = replace(begun, note=outcome.problem)
                else:
                    found = self._looked_at(begun, outcome)
                self._keep(replace(found, seconds=time.monotonic() - away.began), away.number)
            session.tell()
            if ended:
                return
            session.check()

    def _looked_at(self, begun: Candidate, outcome: Outcome) -> Candidate:
        """Return a candidate with what the network that was trained elsewhere reaches."""
        session = self._session
        session.watch.trained(outcome.key)
        try:
            return self._judged(begun, session.trained(begun), outcome.seconds)
        except (Cancelled, OutOfTimeError):
            raise
        except OptimError as error:
            return replace(begun, note=str(error))

    def give_up(self) -> None:
        """Take back what is trained elsewhere; another attempt asks for it again."""
        session = self._session
        if session.executor is not None:
            session.executor.withdraw()
        for away in self._away.values():
            if away.number is not None:
                session.points.give_back(away.number)
        self._away.clear()

    def _send(self, begun: Candidate, epochs: int, number: int | None) -> None:
        """Have a network trained elsewhere."""
        session, bench = self._session, self._session.bench
        assert session.executor is not None
        order = Order(
            bench.key_of(begun.made),
            NETWORK_KIND,
            {
                "search": bench.about_training,
                "architecture": begun.made["architecture"],
                "epochs": epochs,
            },
            f"{begun.title}, {epochs} epochs",
        )
        session.executor.begin(order)
        self._away[order.key] = _Away(begun, epochs, number, time.monotonic())
        session.begin(f"{len(self._away)} networks are trained at once")

    def _keep(self, found: Candidate, number: int | None) -> None:
        session = self._session
        if number is None:
            session.others.add(found)
        else:
            session.points.tell(number, found, soft=("error", "training"))
        session.tell()

    # --- one after the other ----------------------------------------------------------------

    def begin(self, smallest: Point) -> None:
        """Have tried first the smallest network, what earlier searches found, and the default.

        A supernet's best networks take the place of the default.

        Args:
            smallest: The point that costs least; it keeps the limits if any does.
        """
        session, study = self._session, self._session.points
        if study.candidates():
            return
        points = [dict(smallest)]
        if earlier := [dict(c.point) for c in front_of(study.earlier(), session.goals) if c.point]:
            session.say(earlier_text(len(earlier), "network"))
            points += earlier
        if session.asked.screen:
            points += self._screened()
        if session.asked.method != "supernet":  # it knows better ones
            points.append(session.bench.space.clean({}))
        for point in points:
            try:
                study.enqueue(point)
            except ConfigError:
                # Of an earlier search in a space that had more.
                continue

    def try_next(self) -> Tried:
        """Try the next network that can be trained in time; others are passed over."""
        session, study = self._session, self._session.points
        timed, passed, predicts = len(self._slow), 0, True
        for _ in range(_MOST_REPEATS):
            session.watch.check()
            tried = {_key(c.point) for c in (*study.candidates(), *self.away)}
            if len(tried) >= session.networks:
                return "none left"
            point = self._predicted() if predicts else None
            predicts = point is not None or (predicts and study.is_waiting)
            if point is not None:
                study.enqueue(point)
            asked = study.ask()
            known = self._known(asked.point)
            if known is None and not self._takes_too_long(asked.point):
                self._try(asked.number, asked.point)
                return "tried"
            study.tell(asked.number, known or self._failed(asked.point, ""), keep=False)
            passed += known is None
            if passed and (len(self._slow) >= timed + _MOST_TIMED or not spare(session)):
                break
        return "too long" if passed else self._try_unknown()

    def look_again(self) -> None:
        """Forget which networks there was no time for."""
        self._slow.clear()

    def _takes_too_long(self, point: Point) -> bool:
        """Whether a network that keeps the limits cannot be trained in time, by a few steps."""
        session = self._session
        known, layers = newest(session.candidates), session.bench.layer_count(point)
        # Something has to be there in the end; and what cannot be built says why where it is tried.
        if not known or not layers:
            return False
        most_s = most_epoch_s(session, session.lengths[0])
        if self._is_slow(point, most_s):
            return True
        try:
            figures = session.bench.costs(session.bench.architecture(point), session.goals)
        except OptimError:
            return False
        if session.goals.misses(figures, but=("error", "training")):
            return False  # it is not trained at all
        each = session.pace.epoch_s(point, known)
        if each <= most_s:
            return False
        if not self._has_told:
            self._has_told = True
            session.say(
                f"{title_of(session.asked.space, point)} is passed over, as is what is larger: "
                f"an epoch would take {format_value(each, 's')}, and there is no time for "
                f"{session.lengths[0]} of them beside training the best to the end."
            )
        self._slow[digest(dict(point))] = session.bench.work(point), layers, each
        return True

    def _is_slow(self, point: Point, most_s: float) -> bool:
        """Whether a network has as many layers and MACs as one whose epoch takes longer."""
        work, layers = self._session.bench.work(point), self._session.bench.layer_count(point)
        return any(
            work >= least and layers >= count and each > most_s
            for least, count, each in self._slow.values()
        )

    def _known(self, point: Point) -> Candidate | None:
        """Return what is known of a network; as failed, what is trained elsewhere."""
        for begun in self.away:
            if dict(begun.point) == dict(point):
                return replace(begun, outcome="failed")
        return self._session.points.find(point)

    def train(
        self, candidate: Candidate, epochs: int, stage: str, seconds: float = math.inf
    ) -> None:
        """Train a network that was trained for shorter, from the start, for longer.

        Where somebody else trains, it is begun.

        Args:
            candidate: The network.
            epochs: How long.
            stage: Of the search.
            seconds: After which it is given up.

        Raises:
            Cancelled: If whoever watches wants it to stop.
            OutOfTimeError: If the budget is used up before it has ended.
        """
        session = self._session
        began = time.monotonic()
        made = {**candidate.made, "epochs": epochs}
        begun = replace(
            candidate, made=made, stage=stage, parent=candidate.number, number=-1, outcome="failed"
        )
        if session.executor is not None:
            self._send(begun, epochs, None)
            return
        try:
            found = self._trained(begun, epochs, seconds)
        except (Cancelled, OutOfTimeError):
            raise
        except OptimError as error:
            found = replace(begun, note=str(error))
        self._keep(replace(found, seconds=time.monotonic() - began), None)

    # --- one network ------------------------------------------------------------------------

    def _try(self, number: int, point: Point) -> None:
        study = self._session.points
        began = time.monotonic()
        try:
            begun = self._sized(point)
            if begun.outcome == "failed" and self._goes_away():
                self._send(begun, int(begun.made["epochs"]), number)
                return
            found = begun
            if begun.outcome != "sized":
                found = self._trained(begun, int(begun.made["epochs"]), spare(self._session))
        except (Cancelled, OutOfTimeError):
            study.give_back(number)
            raise
        except OptimError as error:
            if isinstance(error, ConfigError) and error.field == "seconds":
                study.give_back(number)
                raise  # no training fits into the budget
            found = self._failed(point, str(error))
        self._keep(replace(found, seconds=time.monotonic() - began), number)

    def _goes_away(self) -> bool:
        """Whether the next network is trained elsewhere; the first of all is trained here."""
        session = self._session
        return session.executor is not None and any(c.is_whole for c in session.candidates)

    def _stage(self) -> str:
        return "short training" if len(self._session.lengths) > 1 else "whole training"

    def _failed(self, point: Point, note: str) -> Candidate:
        title = title_of(self._session.asked.space, point)
        return Candidate(dict(point), {}, {}, "failed", self._stage(), title, note)

    def _sized(self, point: Point) -> Candidate:
        """Return a network that is to be trained, or one that misses a limit whatever it learns."""
        session = self._session
        architecture = session.bench.architecture(point)
        made: dict[str, Any] = {"architecture": architecture_to_json(architecture)}
        figures = session.bench.costs(architecture, session.goals)
        found = Candidate(
            dict(point), made, figures, "sized", self._stage(), title_of(session.asked.space, point)
        )
        missed = session.goals.misses(figures, but=("error", "training"))
        if missed:
            return replace(found, note=missed[0].text)
        session.watch.check()
        epochs = session.lengths[0]
        made = {**made, "epochs": epochs}
        return replace(found, made=made, scores=session.scores(point), outcome="failed")

    def _trained(self, begun: Candidate, epochs: int, seconds: float) -> Candidate:
        """Return a candidate with what it reaches after so many epochs.

        What takes longer than it may is failed, with the reason.
        """
        session, bench = self._session, self._session.bench
        architecture = bench.architecture(begun.point)
        # The first of all is trained to the end, so that there is something whatever happens.
        is_first = not any(c.is_whole for c in session.candidates)
        began = session.time()
        check = session.watch.check if is_first else self._deadline(began - seconds)
        session.begin(f"{begun.stage}: {begun.title}")
        name = f"{bench.key(architecture, epochs)[:6]}: {begun.title}"[:80]

        def on_epoch(epoch: Epoch) -> None:
            session.watch.record(name, epoch.figures())
            session.tell()
            left = epoch.seconds * (epochs - epoch.number)
            if is_first and epoch.number == 1 and left > session.budget.seconds:
                each = format_value(epoch.seconds, "s")
                session.refuse_budget(
                    epoch.seconds * epochs, f"{epochs} epochs of the smallest network, {each} each"
                )

        what = f"training {begun.title} for {epochs} epochs"
        try:
            bundle, took_s = bench.train(
                architecture,
                epochs,
                resume=session.watch.states(name),
                on_epoch=on_epoch,
                check=check,
                trained=session.watch.trained,
            )
        except _TooLongError:
            took = format_value(began - session.time(), "s")
            session.say(
                f"After {took}, {what} was given up: what is left is for training the best to the "
                "end."
            )
            return replace(begun, note=f"Its training was given up after {took}.")
        except OutOfTimeError:
            if not session.watch.is_enough():
                session.say(f"The budget was spent before {what} had ended.")
            raise
        return self._judged(begun, bundle, took_s)

    def _deadline(self, kept: float) -> Callable[[], None]:
        """Return what stops a training when only so many seconds are left."""
        session = self._session

        def check() -> None:
            session.check()
            if session.time() < kept:
                raise _TooLongError

        return check

    def _judged(self, begun: Candidate, bundle: ModelBundle, seconds: float) -> Candidate:
        """Return a candidate with what its trained network reaches as it is deployed."""
        session, bench = self._session, self._session.bench
        judged = bench.judge(bench.deployed(bundle), bench.subject.part, session.watch.check)
        figures = {
            **begun.figures,
            "error": judged.error,
            "training": Quantity.exact(seconds, "s"),
        }
        return replace(begun, figures=figures, quality=judged.accuracy, outcome="measured")

    # --- what is tried ----------------------------------------------------------------------

    def _try_unknown(self) -> Tried:
        """Try a network that was drawn, because the sampler knows no new one."""
        study, space = self._session.points, self._session.bench.space
        generator = random.Random(len(study.candidates()) + self._session.asked.seed)
        for _ in range(_MOST_DRAWN):
            point = space.drawn(generator)
            if self._known(point) is None:
                study.enqueue(point)
                asked = study.ask()
                known = self._known(asked.point)
                if known is None:
                    self._try(asked.number, asked.point)
                    return "tried"
                study.tell(asked.number, known, keep=False)
        return "none left"

    def _predicted(self) -> Point | None:
        """Return the network that promises most; None where that is not asked for or not known."""
        session, study = self._session, self._session.points
        if session.asked.sampler != PREDICTOR or study.is_waiting:
            return None
        costs = [name for name in session.goals.costs if name not in ("error", "training")]
        shortest = session.lengths[0]
        trained = [
            Known(
                c.point,
                {name: c.figures[name].value for name in costs},
                c.figures["error"].value,
            )
            for c in session.candidates
            if c.is_whole
            and c.made.get("epochs") == shortest
            and all(name in c.figures for name in costs)
        ]
        if len(trained) < LEAST_KNOWN:
            return None
        tried = {digest(dict(c.point)) for c in (*study.candidates(), *self.away)}
        self._grow_pool(trained, tried, costs)
        most_s = most_epoch_s(session, shortest) if self._slow else math.inf
        pool = [
            one
            for key, one in self._pool.items()
            if key not in tried and not self._is_slow(one.point, most_s)
        ]
        position = most_promising(session.bench.space, trained, pool)
        return None if position is None else pool[position].point

    def _grow_pool(self, trained: Sequence[Known], tried: set[str], costs: Sequence[str]) -> None:
        """Draw networks whose costs keep the limits, and neighbours of the best that are known."""
        session, space = self._session, self._session.bench.space
        count = _POOL_STEP if self._pool else _POOL_FIRST
        points = [space.drawn(self._chance) for _ in range(count)]
        errors = front([(k.error or 0.0, *k.costs.values()) for k in trained])
        points += [_changed(space, trained[i].point, self._chance) for i in errors[:_POOL_STEP]]
        for point in points:
            key = digest(dict(point))
            if key in self._pool or key in tried:
                continue
            session.watch.check()
            try:
                figures = session.bench.costs(session.bench.architecture(point), session.goals)
            except Cancelled:
                raise
            except OptimError:
                continue
            known = all(name in figures for name in costs)
            if known and not session.goals.misses(figures, but=("error", "training")):
                self._pool[key] = Known(point, {name: figures[name].value for name in costs})

    def _screened(self) -> list[dict[str, Scalar]]:
        """Return the networks that a proxy thinks most of, out of some that keep the limits."""
        session = self._session
        proxy = PROXIES[session.asked.screen]
        session.begin(f"choosing by {proxy.title}")
        until = session.budget.spent + _SCREEN_SHARE * session.budget.seconds
        generator = random.Random(session.asked.seed)
        scored: list[tuple[float, dict[str, Scalar]]] = []
        for _ in range(_SCREENED):
            session.watch.check()
            if session.budget.spent > until:
                break
            point = session.bench.space.drawn(generator)
            try:
                architecture = session.bench.architecture(point)
                figures = session.bench.costs(architecture, session.goals)
                if session.goals.misses(figures, but=("error", "training")):
                    continue
                score = session.bench.scores(architecture).get(session.asked.screen)
            except Cancelled:
                raise
            except OptimError:
                continue
            if score is not None:
                scored.append((score, point))
        scored.sort(key=lambda pair: -pair[0])
        session.say(
            f"Of {len(scored)} networks that keep the limits, the {min(_FIRST, len(scored))} that "
            f"{proxy.title} thinks most of are trained first."
        )
        return [point for _, point in scored[:_FIRST]]


def _changed(space: Space, point: Point, chance: random.Random) -> dict[str, Scalar]:
    """Return a neighbour of a point: one dimension goes one value on, or to any other."""
    able = [d for d in space if d.name in point and len(d.values) > 1]
    if not able:
        return space.clean(point)
    dimension = chance.choice(able)
    at, last = dimension.index(point[dimension.name]), len(dimension.values) - 1
    near = [i for i in (at - 1, at + 1) if 0 <= i <= last]
    others = near if dimension.is_ordered else [i for i in range(last + 1) if i != at]
    return space.clean({**point, dimension.name: dimension.values[chance.choice(others)]})


def _key(point: Point) -> tuple[tuple[str, Scalar], ...]:
    return tuple(sorted(point.items()))
