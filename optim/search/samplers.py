"""Which points are tried next. Optuna does the work; to add one, write a function and a line.

==========  =====================================================================================
``nsga2``   evolution towards the front (Deb et al., A Fast and Elitist Multiobjective Genetic
            Algorithm: NSGA-II, 2002)
``nsga3``   the same with reference directions, for many figures (Deb and Jain, An Evolutionary
            Many-Objective Optimization Algorithm Using Reference-Point-Based Nondominated
            Sorting, 2014)
``tpe``     densities of good and other points (Ozaki et al., Multiobjective Tree-Structured
            Parzen Estimator, 2022, doi:10.1613/jair.1.13188)
``gp``      a Gaussian process and expected hypervolume; for few, expensive trials
``random``  the honest baseline
==========  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from optim.errors import ConfigError
from optim.search.lineage import remembering

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

__all__ = ["DEFAULT_SAMPLER", "SAMPLERS", "sampler_of"]


def _nsga2(seed: int, population: int) -> BaseSampler:
    from optuna.samplers import NSGAIISampler

    return remembering(NSGAIISampler(population_size=population, seed=seed))


def _nsga3(seed: int, population: int) -> BaseSampler:
    from optuna.samplers import NSGAIIISampler

    return remembering(NSGAIIISampler(population_size=population, seed=seed))


def _tpe(seed: int, population: int) -> BaseSampler:
    from optuna.samplers import TPESampler

    # A group for each set of fields that come together: conditions make many.
    return TPESampler(n_startup_trials=population, multivariate=True, group=True, seed=seed)


def _gp(seed: int, population: int) -> BaseSampler:
    from optuna.samplers import GPSampler

    return GPSampler(n_startup_trials=population, seed=seed)


def _random(seed: int, population: int) -> BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


SAMPLERS: dict[str, Callable[[int, int], BaseSampler]] = {
    "nsga2": _nsga2,
    "nsga3": _nsga3,
    "tpe": _tpe,
    "gp": _gp,
    "random": _random,
}
"""By name: functions of a seed and the size of a generation, or of the random start."""

DEFAULT_SAMPLER = "tpe"


def sampler_of(name: str, seed: int, population: int) -> BaseSampler:
    """Return a sampler.

    Raises:
        ConfigError: If there is none of that name.
    """
    if name not in SAMPLERS:
        raise ConfigError(
            f"sampler must be one of {', '.join(SAMPLERS)}: got {name!r}.", field="sampler"
        )
    return SAMPLERS[name](seed, population)
