"""Settings of single layers for a model at hand: what they cost is asked of the model itself."""

from __future__ import annotations

from collections.abc import Callable

from optim.measure.costs import model_costs, variant_costs
from optim.models.bundle import ModelBundle
from optim.sensitivity.analysis import weight_bytes
from optim.sensitivity.profile import Level, Profile
from optim.sensitivity.spread import Spread, spread
from optim.sensitivity.times import Clock
from optim.sensitivity.trials import remembering
from optim.step import Context, Step, apply_step
from optim.subject import Subject
from optim.techniques import name_of

__all__ = ["settings_of_layers"]


def settings_of_layers(
    subject: Subject,
    profile: Profile,
    step: Step,
    level: Level,
    *,
    in_time: bool = False,
    check: Callable[[], None] = lambda: None,
) -> Spread:
    """Return what single layers should get instead of a common level, for no more cost or time.

    Args:
        subject: Model and data.
        profile: What its layers can spare.
        step: The technique with its other settings.
        level: The common level.
        in_time: Whether time is what both take the same of, as measured here.
        check: Called between models; raises to stop.

    Raises:
        ConfigError: See :func:`~optim.sensitivity.spread.spread`; and if the level is not legal.
    """
    name = name_of(step)
    context = Context(
        subject.data, subject.bundle, subject.seed, name, check=check, memo=remembering()
    )
    layers = model_costs(subject.bundle)

    def made(step: Step) -> ModelBundle:
        check()
        return apply_step(step, subject.bundle, context).bundle

    def costs(step: Step) -> tuple[int, int]:
        bundle = made(step)
        return sum(cost.macs for cost in variant_costs(layers, bundle)), weight_bytes(bundle)

    def time(step: Step) -> float:
        return clock(made(step)).value

    if not in_time:
        return spread(profile, name, step, level, costs)
    clock = Clock(subject, check)
    return spread(profile, name, step, level, costs, time)
