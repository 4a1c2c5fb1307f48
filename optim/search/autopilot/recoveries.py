"""Training for the promising: which steps, how many epochs, and how long that takes.

Candidates are trained as the *Recover accuracy* button trains them (:mod:`optim.recovery`), in
rounds: many for one epoch, a third of them for three times as long, and so on; then the best to the
end, and in what time is left those that cost less. That is successive halving (Jamieson and
Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, 2016; Li et al.,
ASHA, 2020, arXiv:1810.05934).
**Differs from the papers**: every round trains from the start, with a schedule of its own length,
so that each result is a recipe that can be run again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optim.errors import OptimError
from optim.recipe import Recipe
from optim.recovery import recovery
from optim.search.candidate import Candidate
from optim.search.choosing import front_of
from optim.search.goals import Goals

__all__ = [
    "Pace",
    "can_recover",
    "first_round",
    "most_epochs",
    "promising",
    "split_epochs",
    "trained_recipe",
]

_MOST_EPOCHS = 60
_FEW_BITS = 3
"""Weights of so few bits learn to live with their grid for a part of the epochs."""
_FORWARD_AND_BACK, _TEACHER = 5.0, 2.0
"""Time of a training step over that of an inference, of the student and of its teacher. Both run
with their batch norms apart; measured for convolutional networks it is 4 to 8, and about 2."""
_BATCH, _STEP_S = 128, 0.008
"""What a step of training takes besides its multiplications, roughly."""
_FAKE_QUANTIZED = 1.8
"""How much longer an epoch takes with the rounding in the loop, roughly."""


@dataclass
class Pace:
    """How long training takes, by the work of a model; corrected by every training.

    Attributes:
        samples: Training samples of an epoch.
        original_macs: Work of the teacher for one sample.
        seconds_per_mac: Of inference.
        correction: How much longer trainings took than was thought.
    """

    samples: int
    original_macs: float
    seconds_per_mac: float
    correction: float = 1.0

    def seconds(self, macs: float, epochs: int, quantized_epochs: int = 0) -> float:
        """Return how long a training will take."""
        epoch = self.samples * (_TEACHER * self.original_macs + _FORWARD_AND_BACK * macs)
        steps = math.ceil(self.samples / _BATCH) * _STEP_S
        rounds = epochs + _FAKE_QUANTIZED * quantized_epochs
        return self.correction * rounds * (self.seconds_per_mac * epoch + steps)

    def learn(self, macs: float, epochs: int, quantized_epochs: int, seconds: float) -> None:
        """Correct the pace by a training that took so many seconds."""
        thought = self.seconds(macs, epochs, quantized_epochs)
        if thought > 0 and seconds > 0:
            self.correction *= seconds / thought


def split_epochs(recipe: Recipe, epochs: int) -> tuple[int, int]:
    """Return how many epochs train in floating point, and how many with the rounding in the loop.

    Args:
        recipe: Without training.
        epochs: In all; at least 1.
    """
    trained = {entry.name for entry in recovery(recipe).active}
    if "distill" not in trained:
        return 0, epochs
    bits = [b for entry in recipe.active for b in _bits_of(entry.step)]
    if "finetune_quantized" in trained and epochs > 1 and any(b <= _FEW_BITS for b in bits):
        late = max(1, epochs // 4)
        return epochs - late, late
    return epochs, 0


def most_epochs(recipe: Recipe, macs: float, pace: Pace, seconds: float) -> int:
    """Return for how many epochs a recipe can be trained within a time; 0 if not for one."""
    epochs = 0
    while epochs < _MOST_EPOCHS:
        if pace.seconds(macs, *split_epochs(recipe, epochs + 1)) > seconds:
            break
        epochs += 1
    return epochs


def first_round(epoch_s: Sequence[float], seconds: float) -> list[int]:
    """Return which candidates are trained for one epoch to see which is worth more.

    They get a third of the time; whose epoch does not fit is passed over. None are taken where that
    does not do for two: the time is better spent on the best.

    Args:
        epoch_s: How long an epoch takes, of the most promising first.
        seconds: That are left.

    Example:
        >>> first_round([10, 40, 10, 10], seconds=100)
        [0, 2, 3]
        >>> first_round([10, 40, 10, 10], seconds=50)
        []
    """
    left, found = seconds / 3, []
    for index, epoch in enumerate(epoch_s):
        if epoch <= left:
            found.append(index)
            left -= epoch
    return found if len(found) > 1 else []


def can_recover(recipe: Recipe) -> bool:
    """Whether training can win back something that a recipe costs."""
    try:
        recovery(recipe)
    except OptimError:
        return False
    return True


def trained_recipe(recipe: Recipe, epochs: int) -> Recipe:
    """Return a recipe that trains for so many epochs in all, see :func:`split_epochs`."""
    floats, late = split_epochs(recipe, epochs)
    found = recovery(recipe)
    for entry in found.active:
        if entry.name == "distill":
            found = found.with_fields(entry.id, epochs=floats)
        elif entry.name == "finetune_quantized":
            found = found.with_fields(entry.id, epochs=late) if late else found.without(entry.id)
    return found


def _bits_of(step: object) -> list[int]:
    values = [
        getattr(step, "weight_bits", None),
        getattr(step, "activation_bits", None),
        getattr(step, "bits", None),
        *getattr(step, "layers", {}).values(),
    ]
    return [
        2 if value == "ternary" else value
        for value in values
        if value == "ternary" or (isinstance(value, int) and not isinstance(value, bool))
    ]


def promising(candidates: Sequence[Candidate], goals: Goals, most: int) -> list[Candidate]:
    """Return the candidates worth training, the most promising first.

    Training wins back quality and no bytes: limits of cost have to be kept already. Among those
    that do, quality without training tells most; but what costs much less in anything that is asked
    for has to be among them, because it may do as well in the end. So the first is the best of all,
    and each further one the best of those that cost clearly less in something than all before; then
    the next best. Where a cost is limited, second is the mildest of the plain ones: quality before
    a training misjudges them, for training wins back most where all layers lose channels alike and
    keep bits enough.
    """
    able = [
        c
        for c in candidates
        if c.is_judged
        and not c.is_baseline
        and goals.values(c.figures)
        and not goals.misses(c.figures, but=("loss", "training"))
        and can_recover(_recipe(c))
    ]
    if not able:
        return []
    quality, cost = goals.quality, goals.costs[0]
    order = sorted(able, key=lambda c: (c.figures[quality].value, c.figures[cost].value))
    best: dict[str, Candidate] = {}
    for candidate in order:  # of those that are the same once they are trained, one is enough
        best.setdefault(recovery(_recipe(candidate)).hash, candidate)
    order = list(best.values())
    found: list[Candidate] = []
    least = dict.fromkeys(goals.costs, math.inf)
    for candidate in order:
        costs = {name: candidate.figures[name].value for name in goals.costs}
        if any(costs[name] <= _CLEARLY_LESS * least[name] for name in goals.costs):
            found.append(candidate)
            least = {name: min(value, least[name]) for name, value in costs.items()}
    front = {c.number for c in front_of(able, goals)}
    if {limit.figure for limit in goals.asked} & set(goals.costs):
        plain = [c for c in order if _is_plain(_recipe(c))]
        mildest = max(plain, key=lambda c: c.figures["macs"].value, default=found[0])
        if mildest is not found[0]:
            found = [found[0], mildest, *(c for c in found[1:] if c is not mildest)]
    rest = [c for c in order if c.number not in {f.number for f in found}]
    rest.sort(key=lambda c: c.number not in front)
    unlike = [c for c in rest if not any(_is_alike(c, other, goals) for other in found)]
    return [*found, *unlike][:most]


_CLEARLY_LESS = 0.7
_PLAIN = frozenset({"prune_channels", "reestimate_batchnorm", "quantize", "correct_bias"})
_ENOUGH_BITS = 4


def _is_plain(recipe: Recipe) -> bool:
    """Whether channels leave all layers alike, and all weights have the same bits and enough."""
    names = {entry.name for entry in recipe.active}
    if "prune_channels" not in names or not names <= _PLAIN:
        return False
    if any(getattr(entry.step, "layers", {}) for entry in recipe.active):
        return False
    return all(bits >= _ENOUGH_BITS for entry in recipe.active for bits in _bits_of(entry.step))


def _recipe(candidate: Candidate) -> Recipe:
    return Recipe.from_json(candidate.made["recipe"])


def _is_alike(one: Candidate, other: Candidate, goals: Goals) -> bool:
    """Whether two candidates cost the same to within two in a hundred."""
    return all(
        abs(one.figures[n].value - other.figures[n].value) <= 0.02 * other.figures[n].value
        for n in goals.costs
        if n in one.figures and n in other.figures
    )
