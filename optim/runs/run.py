"""What a run is: something to do, how far it is, and what came of it. Plain values, no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optim.recipe import Recipe

__all__ = ["ACTIVE", "ENDED", "RESUMABLE", "Artefact", "EpochRow", "Event", "Run", "State"]


class State(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    """Waits for a worker."""
    RUNNING = "running"
    """A worker is on it."""
    PAUSED = "paused"
    """Stopped on request; resuming goes on from its checkpoint."""
    INTERRUPTED = "interrupted"
    """Its worker died too often, or its time was used up; resuming goes on from its checkpoint."""
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = frozenset({State.QUEUED, State.RUNNING})
"""States in which something is going to happen by itself."""
ENDED = frozenset({State.FINISHED, State.FAILED, State.CANCELLED})
"""States that are final unless somebody asks for more."""
RESUMABLE = frozenset({State.PAUSED, State.INTERRUPTED, State.FAILED, State.CANCELLED})
"""States from which a run can be queued again."""

_FIRST_ESTIMATE = 0.02


@dataclass(frozen=True)
class Run:
    """One run as it stood when it was read.

    Attributes:
        id: Unique.
        title: For a reader.
        kind: Key of :data:`optim.runs.jobs.JOBS`; ``"recipe"`` for a recipe.
        spec: What to do, plain data; of kind ``"recipe"``: ``{"recipe": Recipe.to_json()}``.
        state: Where it stands.
        priority: Runs with a higher one are started first.
        parents: Runs that this one came from.
        created_at: When it was submitted, in seconds since 1970, as all times.
        started_at: When work on it began first; None before.
        finished_at: When it ended; None before.
        progress: Share done, in 0..1.
        message: What is being done, in a few words.
        attempt: Times a worker has started on it since it was submitted or resumed.
        max_attempts: After this many dead workers it is interrupted.
        budget_s: Longest time of work in seconds before it is interrupted; None for no limit.
        seconds: Time of work so far, over all attempts.
        energy_j: Measured energy in joules of all processors and GPUs, other work on them
            included; None where it was not measured, as without a meter or over several attempts.
        result: What came of it, plain data; None before.
        error: ``kind``, ``message``, ``hint`` and ``traceback`` of a failure; None without one.
        environment: Versions, processor and threads it ran with.
        deleted: Whether it was put into the bin.
        owner: Id of who submitted it; empty for the command line.
    """

    id: str
    title: str
    kind: str
    spec: Mapping[str, Any]
    state: State
    priority: int
    parents: tuple[str, ...]
    created_at: float
    started_at: float | None
    finished_at: float | None
    progress: float
    message: str
    attempt: int
    max_attempts: int
    budget_s: float | None
    seconds: float
    energy_j: float | None
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    environment: Mapping[str, Any]
    deleted: bool
    owner: str = ""

    @property
    def recipe(self) -> Recipe | None:
        """The recipe it is about; None if it is about something else."""
        from optim.recipe import Recipe

        data = self.spec.get("recipe")
        return None if data is None else Recipe.from_json(data)

    @property
    def eta_s(self) -> float | None:
        """Seconds of work left at the pace so far; None where that cannot be said."""
        if self.state is not State.RUNNING or self.progress < _FIRST_ESTIMATE:
            return None
        return self.seconds * (1 - self.progress) / self.progress

    def to_json(self) -> dict[str, Any]:
        """Return plain data with stable keys; see ``docs/schemas/runs-1.json``."""
        return {**asdict(self), "state": str(self.state), "parents": list(self.parents)}

    @property
    def is_resumable(self) -> bool:
        """Whether it can be queued again."""
        return self.state in RESUMABLE and not self.deleted


@dataclass(frozen=True)
class EpochRow:
    """What one epoch of one training step gave.

    Attributes:
        step: Id of the recipe entry.
        epoch: From 1.
        figures: By name, such as ``loss``, ``accuracy`` and ``learning_rate``.
        at: When it was recorded.
    """

    step: str
    epoch: int
    figures: Mapping[str, float]
    at: float


@dataclass(frozen=True)
class Event:
    """Something worth knowing that happened to a run.

    Attributes:
        at: When.
        level: ``"info"``, ``"warning"`` or ``"error"``.
        message: One sentence.
    """

    at: float
    level: str
    message: str


@dataclass(frozen=True)
class Artefact:
    """A file that a run has made.

    Attributes:
        name: Of the file, for a reader.
        hash: Of its content.
        bytes: Its size.
        path: Where it lies.
    """

    name: str
    hash: str
    bytes: int
    path: Path
