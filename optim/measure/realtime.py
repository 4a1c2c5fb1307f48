"""Whether a model keeps up with a sensor: its times against the moment the next answer is due."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optim.errors import ConfigError
from optim.measure.intervals import median_interval, wilson
from optim.quantity import Quantity

__all__ = ["Alarms", "RealTime", "alarms", "real_time"]


@dataclass(frozen=True)
class RealTime:
    """A model beside a sensor.

    Attributes:
        deadline: Time until the next answer is due, exact.
        latency: Median time of one answer.
        missed: Share of the answers that took longer than the deadline.
        load: Median time over the deadline; above 1 a model never keeps up.
    """

    deadline: Quantity
    latency: Quantity
    missed: Quantity
    load: Quantity


@dataclass(frozen=True)
class Alarms:
    """Alarms that were raised, each an exact count.

    Attributes:
        due: Windows of another class than the quiet one.
        right: Alarms among those.
        false: Alarms among the others.
    """

    due: Quantity
    right: Quantity
    false: Quantity


def alarms(choices: np.ndarray, targets: np.ndarray, quiet: int) -> Alarms:
    """Count alarms: choices ``(n,)`` of another class than the quiet one.

    Example:
        >>> found = alarms(np.array([0, 1, 2, 1]), np.array([0, 0, 1, 1]), quiet=0)
        >>> str(found.due), str(found.right), str(found.false)
        ('2', '2', '1')
    """
    raised, due = choices != quiet, targets != quiet
    counts = (due.sum(), (raised & due).sum(), (raised & ~due).sum())
    return Alarms(*(Quantity.exact(int(count), "count") for count in counts))


def real_time(latencies_ms: np.ndarray, hop: int, rate_hz: float) -> RealTime:
    """Hold measured times against a real-time budget.

    Args:
        latencies_ms: ``(n,)`` times of single answers.
        hop: Samples after which the next answer is due.
        rate_hz: Samples the sensor takes a second.

    Raises:
        ConfigError: If there is no time, or hop or rate is not positive.

    Example:
        >>> found = real_time(np.array([1.0, 1.0, 3.0]), hop=256, rate_hz=128_000)
        >>> str(found.deadline), round(found.missed.value, 2), found.load.value
        ('2.00 ms', 0.33, 0.5)
    """
    for name, value in (("hop", hop), ("rate_hz", rate_hz)):
        if not value > 0:
            raise ConfigError(f"{name} must be above 0: got {name}={value:g}.", field=name)
    if not len(latencies_ms):
        raise ConfigError("A real-time budget needs at least one measured time.")
    n, deadline = len(latencies_ms), 1000 * hop / rate_hz
    late = int((latencies_ms > deadline).sum())
    middle, low, high = median_interval(latencies_ms)
    return RealTime(
        Quantity.exact(deadline, "ms"),
        Quantity(middle, "ms", low, high, n),
        Quantity(late / n, "fraction", *wilson(late, n), n),
        Quantity(middle / deadline, "fraction", low / deadline, high / deadline, n),
    )
