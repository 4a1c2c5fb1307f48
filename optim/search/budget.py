"""A budget of wall-clock time that outlives the process that spends it."""

from __future__ import annotations

import time
from collections.abc import Callable

from optim.errors import ConfigError

__all__ = ["MOST_S", "Budget", "checked_seconds"]

MOST_S = 7 * 24 * 3600.0


def checked_seconds(seconds: float) -> float:
    """Return a budget that can be kept.

    Raises:
        ConfigError: If it is no positive number, or longer than a week.
    """
    if not 0 < seconds <= MOST_S:
        raise ConfigError(
            f"The budget must be more than 0 and at most {MOST_S:g} seconds: got {seconds!r}.",
            field="budget_s",
        )
    return seconds


class Budget:
    """Seconds to spend, some of which earlier attempts may have spent already.

    Args:
        seconds: In all.
        spent: Before now.
        clock: Monotonic seconds.
    """

    def __init__(
        self, seconds: float, spent: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds = checked_seconds(seconds)
        self._clock = clock
        self._began = clock() - spent

    @property
    def spent(self) -> float:
        """Seconds spent so far."""
        return self._clock() - self._began

    @property
    def left(self) -> float:
        """Seconds left; 0 at least."""
        return max(0.0, self.seconds - self.spent)

    @property
    def share(self) -> float:
        """Share that is spent, in 0..1."""
        return min(1.0, self.spent / self.seconds)
