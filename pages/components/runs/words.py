"""States, durations and ages as a reader sees them. Plain functions, nothing drawn."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from optim.data.added import DataCard
from optim.models.cards import ModelCard
from optim.runs.run import Run, State

__all__ = [
    "STATES",
    "Look",
    "age",
    "doing",
    "duration",
    "left",
    "names_any",
    "plain",
    "subject_of",
]


@dataclass(frozen=True)
class Look:
    """How a state is shown.

    Attributes:
        title: Its name.
        color: Of its badge.
        icon: Of its badge.
        about: What it means, in one sentence.
    """

    title: str
    color: Literal["gray", "blue", "orange", "green", "red"]
    icon: str
    about: str


STATES: dict[State, Look] = {
    State.QUEUED: Look("queued", "gray", ":material/schedule:", "Waits for a free worker."),
    State.RUNNING: Look("running", "blue", ":material/play_arrow:", "A worker is on it."),
    State.PAUSED: Look(
        "paused", "orange", ":material/pause:", "Goes on from its checkpoint when it is resumed."
    ),
    State.INTERRUPTED: Look(
        "interrupted",
        "orange",
        ":material/power_off:",
        "Its worker died too often, or its time was used up; resume it to go on from its "
        "checkpoint.",
    ),
    State.FINISHED: Look("finished", "green", ":material/check:", "Done, measured and verified."),
    State.FAILED: Look("failed", "red", ":material/error:", "Stopped by an error."),
    State.CANCELLED: Look(
        "cancelled", "gray", ":material/block:", "Stopped on request; it can be resumed."
    ),
}
"""Every state of a run and how it looks, everywhere."""


def duration(seconds: float) -> str:
    """Return a length of time with two units at most: ``1 min 20 s``, ``2 h 5 min``.

    Example:
        >>> duration(0.4), duration(80), duration(7500)
        ('0 s', '1 min 20 s', '2 h 5 min')
    """
    whole = round(seconds)
    for size, name, smaller, smaller_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {smaller_name}" if rest else "")
    if whole >= 60:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole} s"


def age(seconds: float) -> str:
    """Return how long ago something was, in one unit.

    Example:
        >>> age(3), age(200), age(90000)
        ('just now', '3 min ago', '1 d ago')
    """
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name} ago"
    return "just now"


def plain(text: str) -> str:
    r"""Return text that stands on a page as it is written: a title may come from a file's name.

    Example:
        >>> print(plain("my_net [final]"))
        my\_net \[final\]
    """
    return re.sub(r"([\\`*_\[\]<>$:#~|])", r"\\\1", text)


def left(run: Run) -> str:
    """Return how much longer a run will take; empty where that cannot be said."""
    return "" if run.eta_s is None else f"{duration(run.eta_s)} left"


def doing(run: Run) -> str:
    """Return what a run is doing, in a few words."""
    if run.state is State.QUEUED:
        return "waits for a free worker"
    return run.message or STATES[run.state].title


def subject_of(run: Run, models: dict[str, ModelCard], data: dict[str, DataCard]) -> str:
    """Return model and data of a run by their titles; empty if it is about something else."""
    # A recipe names its own; other kinds of work name theirs beside what they do.
    about = run.spec.get("recipe") or run.spec
    model, source = about.get("model"), about.get("data")
    if not model or not source:
        return ""
    return " · ".join(
        (
            models[model].title if model in models else str(model),
            data[source].title if source in data else str(source),
        )
    )


def names_any(run: Run, names: Collection[str]) -> bool:
    """Return whether a run has to do with a model or data of one of these names.

    Wherever it names it: as what is compressed, as a teacher, with options after a ``?``, and
    whatever its kind is.
    """
    return bool(names) and any(text.partition("?")[0] in names for text in _texts_in(run.spec))


def _texts_in(value: object) -> Iterator[str]:
    """Yield every text in plain data, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)
