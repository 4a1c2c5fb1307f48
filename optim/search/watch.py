"""Whoever watches a search: hears what it does and why, sees what it has, and may stop it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optim.step import NoResume, Resume

__all__ = ["Watch"]


def _no_states(name: str) -> Resume:
    return NoResume()


@dataclass(frozen=True)
class Watch:
    """What a search calls; nothing of it is needed.

    Attributes:
        progress: Called with a share in 0..1 and what is being done.
        check: Called at safe points; raises :class:`~optim.errors.Cancelled` to stop.
        say: Called with a sentence on what is done and why.
        publish: Called with plain data about all that was found so far.
        states: Returns where the states of a training go, by its name.
        record: Called after every epoch of a training, with its name and figures.
        trained: Called with the key of each trained result that was stored or used.
        keep: Called with the name and content of a file worth keeping.
        is_enough: Whether what was found is to be taken now, instead of searching on.
    """

    progress: Callable[[float, str], None] = lambda share, what: None
    check: Callable[[], None] = lambda: None
    say: Callable[[str], None] = lambda text: None
    publish: Callable[[Mapping[str, Any]], None] = lambda state: None
    states: Callable[[str], Resume] = _no_states
    record: Callable[[str, Mapping[str, float]], None] = lambda name, figures: None
    trained: Callable[[str], None] = lambda key: None
    keep: Callable[[str, bytes], None] = lambda name, content: None
    is_enough: Callable[[], bool] = lambda: False
