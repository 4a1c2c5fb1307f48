"""Who comes from whom: evolution that remembers which trials it crossed.

Optuna's strategy makes the children; which parents it makes them of is decided here, in the same
way, so that it is known. Optuna keeps no record of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.samplers.nsgaii._child_generation_strategy import NSGAIIChildGenerationStrategy
    from optuna.trial import FrozenTrial

__all__ = ["Crossing", "parents_in", "remembering"]


class Crossing:
    """Makes children as Optuna does, and remembers the parents of the last one.

    Args:
        inner: Optuna's strategy.

    Attributes:
        parents: Trials that the last child was made of; one where it was not crossed, only changed.
    """

    def __init__(self, inner: NSGAIIChildGenerationStrategy) -> None:
        self._inner = inner
        self._share = inner._crossover_prob
        self.parents: tuple[FrozenTrial, ...] = ()

    def __call__(
        self,
        study: optuna.Study,
        search_space: dict[str, BaseDistribution],
        parent_population: list[FrozenTrial],
    ) -> dict[str, Any]:
        """Return the parameters of a child; those that are left out are drawn anew."""
        # The version of Optuna is pinned: this is how its own strategy compares and selects.
        from optuna.samplers.nsgaii._constraints_evaluation import _constrained_dominates
        from optuna.samplers.nsgaii._crossover import _select_parent
        from optuna.study._constrained_optimization import _is_constrained_optimization
        from optuna.study._multi_objective import _dominates

        chance = self._inner._rng.rng
        limited = _is_constrained_optimization(parent_population)
        dominates = _constrained_dominates if limited else _dominates
        left, chosen = list(parent_population), []
        crosses = len(left) > 1 and chance.rand() < self._share
        for _ in range(1 + crosses):
            chosen.append(_select_parent(study, left, chance, dominates))
            left = [trial for trial in left if trial not in chosen]
        self._inner._crossover_prob = float(crosses)
        self.parents = tuple(chosen)
        return self._inner(study, search_space, chosen)


def remembering(sampler: BaseSampler) -> BaseSampler:
    """Return an evolution that remembers parents."""
    strategy = Crossing(cast("Any", sampler)._child_generation_strategy)
    cast("Any", sampler)._child_generation_strategy = strategy
    return sampler


def parents_in(sampler: BaseSampler) -> Sequence[FrozenTrial]:
    """Return the parents of the trial that was asked for last, and forget them."""
    strategy = getattr(sampler, "_child_generation_strategy", None)
    if not isinstance(strategy, Crossing):
        return ()
    found, strategy.parents = strategy.parents, ()
    return found
