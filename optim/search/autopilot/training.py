"""Training of the promising, within what is left of the budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from optim.errors import Cancelled, OptimError
from optim.quantity import format_value
from optim.recipe import Entry, Recipe
from optim.runner import apply_recipe
from optim.search.autopilot.recoveries import (
    Pace,
    first_round,
    most_epochs,
    promising,
    split_epochs,
    trained_recipe,
)
from optim.search.autopilot.session import END_SHARE, STAGES, Session, recipe_of
from optim.search.autopilot.trying import Trying
from optim.search.autopilot.words import costs_text, short_title
from optim.search.candidate import Candidate
from optim.search.choosing import chosen, front_of
from optim.search.executor import LOOK_EVERY_S, RECIPE_KIND, Order
from optim.search.front import hypervolume
from optim.search.session import OutOfTimeError
from optim.step import Resume

__all__ = ["Training"]

_MOST = 9
_LONG, _LONGEST = 12, 24
"""Epochs of a long training once a candidate keeps all limits, and before."""
_FEW = 3
"""Epochs that a candidate has to have time for, to be trained without a comparison."""
_MORE = 3
"""How many times longer each round trains than the one before."""
_WORST, _ROOM = 10.0, 1.05
"""What loses so many times as much as it may, or in points, and what costs so much more than the
original, widens no front."""
_TRAINED = (STAGES["short"], STAGES["long"], STAGES["known"])
_AWAY_S = 10.0
"""What a training elsewhere takes besides its epochs, before one was seen."""
_SURE_OF_PACE, _UNSURE_OF_PACE = 1.1, 1.3
"""How much longer than thought a training may take, once one was seen and before."""
_ROUND = "round"
_FROM_THE_END = 0.5
"""Share of what is kept back for the end that a training may use up."""


class _TooSlowError(Exception):
    """A training would not end within the budget."""


@dataclass(eq=False)
class _Student:
    """A candidate that is worth training, and what came of that so far.

    Attributes:
        parent: The candidate, not trained.
        epochs: It was trained for at last; 0 before.
        trained: What came of them.
        is_done: Whether no more is to come.
    """

    parent: Candidate
    epochs: int = 0
    trained: Candidate | None = None
    is_done: bool = False


@dataclass
class _Lesson:
    """Seconds and epochs of a training so far, and whether it was looked at if it will end."""

    seconds: float = 0.0
    epochs: int = 0
    is_timed: bool = False


class Training:
    """Trains candidates.

    Args:
        session: The search.
        trying: Refines what was trained.

    Attributes:
        is_over: Whether no time is left for another training.
    """

    def __init__(self, session: Session, trying: Trying) -> None:
        self._session = session
        self._trying = trying
        self._has_seen = False
        self._told_why_not = False
        self.is_over = False
        self._seconds: dict[str, float] = {}
        self._away_s = _AWAY_S

    @cached_property
    def _pace(self) -> Pace:
        bench = self._session.bench
        samples = bench.subject.data.parts["train"]
        return Pace(samples, bench.bench.macs, self._session.seconds_per_mac)

    def take_up(self) -> None:
        """Go on with the round that an earlier attempt was stopped in, as it was planned."""
        session = self._session
        noted = session.points.noted(_ROUND)
        if not session.can_train or not noted or not session.time():
            return
        known = {c.number: c for c in session.candidates}
        students = [(_Student(known[n]), epochs) for n, epochs in noted["students"] if n in known]
        left = [one for one in students if self._seconds_for(one[0].parent, one[1])]
        if not left:
            return
        session.say("The trainings that were stopped go on.")
        try:
            self._round(students, noted["stage"])
        except _TooSlowError:
            return  # planned anew, now that the pace is known
        if noted["stage"] == STAGES["long"]:
            self._refine(students)

    def train_best(self) -> None:
        """Train the promising for as long as there is time, or say why nothing is trained."""
        session, known = self._session, len(self._session.candidates)
        if not session.can_train or self.is_over:
            return
        over = self._over
        new = [c for c in session.candidates if c.number not in over and c.stage not in _TRAINED]
        able = promising(new, session.goals, _MOST)
        in_time = [candidate for candidate in able if self._epochs_for(candidate)]
        if in_time:
            self._rounds([_Student(candidate) for candidate in in_time])
            if len(session.candidates) == known:
                self.is_over = True
                session.say("No further training could change something in the time that is left.")
        elif able:
            self.is_over = True
            epoch = format_value(min(self._pace_of(c, 1) for c in able), "s")
            session.say(
                f"One epoch of training takes about {epoch}, more than is left: nothing more is "
                "trained."
            )
        elif not self._told_why_not:
            self._told_why_not = True
            session.say("No candidate that keeps the limits of cost can gain from training.")

    @property
    def _over(self) -> set[int]:
        """Numbers of the candidates of which a longer training promises nothing."""
        trained = [c for c in self._session.candidates if c.stage in _TRAINED]
        front = {c.number for c in front_of(trained, self._session.goals)}
        short = [c for c in trained if c.number in front and c.stage == STAGES["short"]]
        hopeful = {c.parent for c in short if not self._won_nothing(c)}
        long = {c.parent for c in trained if c.stage == STAGES["long"]}
        return long | ({c.parent for c in trained} - hopeful)

    def _won_nothing(self, trained: Candidate) -> bool:
        """Whether too much is lost beyond doubt, and training won back nothing beyond doubt.

        What was refitted says nothing: training begins without that, and first has to win it back.
        """
        limit = self._session.goals.limit("loss")
        parent = next(c for c in self._session.candidates if c.number == trained.parent)
        if any(getattr(e.step, "reconstruct", False) for e in recipe_of(parent).active):
            return False
        lost, before = trained.figures["loss"], parent.figures["loss"]
        return limit is not None and limit.over(lost.low) > 0 and lost.high >= before.low

    # --- rounds -----------------------------------------------------------------------------

    def _rounds(self, students: list[_Student]) -> None:
        """Train many for short, fewer for longer, and the best of them to the end.

        After the best come the others that nothing trained beats in everything. What there is time
        for is planned anew each time.
        """
        waiting = self._compared(students)
        while batch := self._affordable(waiting):
            try:
                self._round(batch, STAGES["long"])
            except _TooSlowError:
                continue  # planned anew, now that the pace is known
            self._refine(batch)

    def _refine(self, students: Sequence[tuple[_Student, int]]) -> None:
        """Round the weights of the best of a round in other ways."""
        trained = [student.trained for student, _ in students if student.trained is not None]
        if trained and self._session.time():
            self._trying.refine_trained(min(trained, key=self._rank))

    def _compared(self, students: list[_Student]) -> list[_Student]:
        """Return students in the order in which they are to be trained to the end.

        Short trainings say which is better, where there is time for that.
        """
        places, time = self._places, self._session.time()
        first = first_round([self._seconds_for(s.parent, 1) for s in students], places * time)
        if len(first) <= places:
            return sorted(students, key=lambda s: self._epochs_for(s.parent) < _FEW)
        running, epochs = [students[index] for index in first], 1
        compared = running
        while len(running) > places:
            try:
                self._round([(student, epochs) for student in running], STAGES["short"])
            except _TooSlowError:
                break
            running = self._by_rank(running)
            running = running[: max(places, len(running) // 3)]
            epochs *= _MORE
            needed = sum(self._seconds_for(student.parent, epochs) for student in running)
            if needed / places > self._session.time() / 2:
                break
        return self._by_rank(compared)

    def _by_rank(self, students: Sequence[_Student]) -> list[_Student]:
        """Return those of which something came, the best first."""
        found = [(s, s.trained) for s in students if s.trained is not None]
        return [student for student, trained in sorted(found, key=lambda f: self._rank(f[1]))]

    def _affordable(self, waiting: Sequence[_Student]) -> list[tuple[_Student, int]]:
        """Return which students are to be trained to the end next, and for how many epochs."""
        session = self._session
        over, found = self._over, list[tuple[_Student, int]]()
        best = chosen(session.candidates, session.goals)
        is_kept = best is not None
        # What a short training found may become better yet, and is what was asked for.
        has_answer = best is not None and best.stage != STAGES["short"]
        for student in self._by_gain(waiting) if has_answer else waiting:
            if student.is_done or student.parent.number in over:
                continue
            most = max(_LONG if is_kept else _LONGEST, _MORE * student.epochs)
            epochs = min(most, self._epochs_for(student.parent))
            if epochs >= max(1, 2 * student.epochs):
                found.append((student, epochs))
            if len(found) == self._places:
                break
        return found

    def _by_gain(self, waiting: Sequence[_Student]) -> list[_Student]:
        """Return first what would widen the front most, judged by what is known of each.

        Once something keeps the limits, more of the same is worth less than what costs far less.
        """
        session, goals = self._session, self._session.goals
        numbers = {student.trained.number for student in waiting if student.trained is not None}
        known = front_of([c for c in session.candidates if c.number not in numbers], goals)
        front = [goals.values(c.figures) or () for c in known]
        limit = goals.limit("loss")
        worst = [_WORST * max(1.0, limit.most) if limit else _WORST]
        for name in goals.costs:  # some devices tell nothing of the original
            costs = [session.original, *(candidate.figures for candidate in known)]
            worst.append(_ROOM * max(one[name].value for one in costs if name in one))
        before = hypervolume(front, worst)

        def gain(student: _Student) -> float:
            values = goals.values((student.trained or student.parent).figures) or ()
            return hypervolume([*front, values], worst) - before

        return sorted(waiting, key=gain, reverse=True)

    def _round(self, students: Sequence[tuple[_Student, int]], stage: str) -> None:
        """Train students for so many epochs each.

        A short round that takes much longer than was thought ends early. What is planned is noted,
        so that another attempt goes on with it and not with something else.
        """
        session, half = self._session, self._session.time() / 2
        session.begin(stage)
        planned = [[student.parent.number, epochs] for student, epochs in students]
        session.points.note(_ROUND, {"stage": stage, "students": planned})
        seconds = [self._seconds_for(student.parent, epochs) for student, epochs in students]
        each = " and ".join(dict.fromkeys(_epochs_text(epochs) for _, epochs in students))
        about = format_value(sum(seconds) / min(self._places, len(students)), "s")
        if len(students) == 1:
            title = short_title(recipe_of(students[0][0].parent))
            session.say(f"Trained for {each}, which takes about {about}: {title}.")
        else:
            session.say(f"{len(students)} candidates are trained for {each}, in about {about}.")
        for student, epochs in self._done(students):
            trained = self._train(student.parent, epochs, stage)
            student.is_done = trained is None or stage == STAGES["long"]
            if trained is not None:
                student.epochs, student.trained = epochs, trained
            if stage == STAGES["short"] and session.time() < half:
                break
        session.points.note(_ROUND, None)
        session.say(session.best_so_far())

    # --- where they are trained -------------------------------------------------------------

    @property
    def _places(self) -> int:
        """How many candidates are trained at once."""
        return self._session.executor.places if self._session.executor else 1

    def _done(self, students: Sequence[tuple[_Student, int]]) -> Iterator[tuple[_Student, int]]:
        """Yield students as somebody else has trained them; as they come if nobody does.

        What is not trained by others, whatever the reason, is trained here.
        """
        session, executor = self._session, self._session.executor
        if executor is None:
            yield from students
            return
        waiting, away = list(students), dict[str, tuple[tuple[_Student, int], float]]()
        try:
            while waiting or away:
                while waiting and len(away) < executor.places:
                    student = waiting[0]
                    recipe = trained_recipe(recipe_of(student[0].parent), student[1])
                    if recipe.hash in away:
                        break  # two candidates whose training is the same: it is known soon
                    waiting.pop(0)
                    if self._known(recipe) is not None:
                        yield student
                        continue
                    spec = {"recipe": recipe.to_json()}
                    executor.begin(Order(recipe.hash, RECIPE_KIND, spec, short_title(recipe)))
                    away[recipe.hash] = student, session.clock()
                for outcome in executor.ended(LOOK_EVERY_S) if away else ():
                    student, began = away.pop(outcome.key)
                    if outcome.problem:
                        session.say(f"{outcome.problem} It is trained here.")
                    elif outcome.seconds:
                        self._seconds[outcome.key] = outcome.seconds
                        self._away_s = session.clock() - began - outcome.seconds
                    yield student
                session.tell()
                session.check()
        finally:
            executor.withdraw()

    def _rank(self, candidate: Candidate) -> tuple[float, ...]:
        """Return what says which candidates go on: limits first, then what is chosen by."""
        goals, figures = self._session.goals, candidate.figures
        limited = {limit.figure for limit in goals.asked}
        loss, cost = figures[goals.quality].high, figures[goals.costs[0]].value
        excess = goals.excess(figures)
        by_quality = bool(limited - {goals.quality}) or not limited
        return (excess, loss, cost) if by_quality else (excess, cost, loss)

    def _seconds_for(self, candidate: Candidate, epochs: int) -> float:
        """Return how long it takes to train a candidate; nothing if that was done before."""
        recipe = recipe_of(candidate)
        if self._known(trained_recipe(recipe, epochs)) is not None:
            return 0.0
        return self._pace_of(candidate, epochs)

    def _pace_of(self, candidate: Candidate, epochs: int) -> float:
        """Return how long so many epochs of a candidate take."""
        split = split_epochs(recipe_of(candidate), epochs)
        return self._pace.seconds(candidate.figures["macs"].value, *split)

    def _epochs_for(self, candidate: Candidate) -> int:
        """Return for how many epochs a candidate can be trained in the time that is left."""
        sure = _SURE_OF_PACE if self._has_seen else _UNSURE_OF_PACE
        macs = candidate.figures["macs"].value
        left = self._session.time() - (self._away_s if self._session.executor else 0.0)
        return most_epochs(recipe_of(candidate), macs, self._pace, left / sure)

    def _known(self, recipe: Recipe) -> Candidate | None:
        """Return what a recipe that was trained before reaches."""
        known = self._session.known(recipe)
        return None if known is None or known.outcome == "failed" else known

    # --- one training -----------------------------------------------------------------------

    def _train(self, parent: Candidate, epochs: int, stage: str) -> Candidate | None:
        """Train one candidate and measure it; what is known or stored is not trained again."""
        session = self._session
        recipe = trained_recipe(recipe_of(parent), epochs)
        if (known := self._known(recipe)) is not None:
            return known
        title, lesson = short_title(recipe), _Lesson(self._seconds.get(recipe.hash, 0.0))
        macs, split = parent.figures["macs"].value, split_epochs(recipe_of(parent), epochs)
        try:
            bundle, _ = apply_recipe(
                recipe,
                session.bench.subject,
                check=session.check,
                stored=session.is_registered,
                tracker=lambda entry: self._tracked(entry, recipe, macs, split, lesson),
                trained=session.watch.trained,
            )
        except (Cancelled, OutOfTimeError, _TooSlowError):
            raise
        except OptimError as error:
            made = {"recipe": recipe.to_json()}
            failed = Candidate({}, made, {}, "failed", stage, title, str(error))
            session.others.add(replace(failed, parent=parent.number))
            session.say(f"{title} cannot be trained. {error}")
            return None
        # What was stored by an earlier attempt says nothing of how long it took.
        if lesson.seconds and lesson.epochs in (0, epochs):
            self._pace.learn(macs, *split, lesson.seconds)
            self._has_seen = True
        session.trained[recipe.hash] = bundle
        found = session.others.add(
            session.bench.measure(
                recipe,
                session.goals,
                stage=stage,
                title=title,
                parent=parent.number,
                bundle=bundle,
                trained_s=lesson.seconds,
                check=session.watch.check,
            )
        )
        session.say(f"{title}: {costs_text(found.figures, session.goals)}.")
        session.keep_best()
        return found if found.is_whole else None

    def _tracked(
        self, entry: Entry, recipe: Recipe, macs: float, split: tuple[int, int], lesson: _Lesson
    ) -> tuple[Resume, Callable[[dict[str, float]], None]]:
        """Return where the states of a training go, and what hears of its epochs."""
        session = self._session
        name = f"{entry.step.title} {recipe.hash[:6]}: {short_title(recipe)}"[:80]
        began = session.clock()

        def record(figures: dict[str, float]) -> None:
            took = figures.get("seconds", 0.0)
            lesson.seconds += took
            lesson.epochs += 1
            session.watch.record(name, figures)
            session.tell()
            is_replayed = session.clock() - began < lesson.seconds / 2  # by an earlier attempt
            if lesson.is_timed or is_replayed:
                return
            lesson.is_timed = True
            left = session.time() + _FROM_THE_END * END_SHARE * session.budget.seconds
            before, done = _first(split, lesson.epochs - 1), _first(split, lesson.epochs)
            this = done[0] - before[0], done[1] - before[1]
            slower = took / self._pace.seconds(macs, *this)
            rest = split[0] - done[0], split[1] - done[1]
            if slower * self._pace.seconds(macs, *rest) > left:
                self._pace.correction *= max(1.0, slower)
                self._has_seen = True
                raise _TooSlowError

        return session.watch.states(name), record


def _first(split: tuple[int, int], epochs: int) -> tuple[int, int]:
    """Return how many of the first epochs are of either kind; see :func:`split_epochs`."""
    return min(epochs, split[0]), max(0, epochs - split[0])


def _epochs_text(epochs: int) -> str:
    return f"{epochs} epoch{'s' if epochs != 1 else ''}"
