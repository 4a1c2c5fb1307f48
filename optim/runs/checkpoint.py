"""Where a training step goes on after its worker was killed.

A checkpoint is one file: a line with the checksum, then the state and the figures of all epochs so
far, as torch writes them. It is there whole or not at all (:mod:`optim.runs.files`); the one before
stays until the next, so that a damaged file costs one save and not the run. The figures
travel inside: a row that was recorded and not yet stored when the worker died is stored again.

A file's name holds the attempt that wrote it. A worker that lost its run and does not know it yet
writes under an older number and is never preferred to its successor.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import time
from collections.abc import Callable, Sequence
from pickle import UnpicklingError  # only to know what torch raises
from typing import Any

from optim.errors import RunError
from optim.runs.files import Files
from optim.runs.run import EpochRow

__all__ = ["Checkpoint", "checkpoints_of", "forget_checkpoints"]

_LOG = logging.getLogger(__name__)
INTERVAL_S = 60.0
"""After this long without a save another is due."""
GENERATIONS = 2

_DAMAGED = (
    FileNotFoundError,
    ValueError,
    RuntimeError,
    EOFError,
    KeyError,
    UnpicklingError,
)
_TRIES, _PAUSE_S = 4, 0.5
"""How often a place that does not answer is asked for a file, and how long apart."""
_HEAD = b"optim checkpoint 1 "
_NAME = re.compile(r"(\d{8})-(\d{8})\.checkpoint")


class Checkpoint:
    """Keeps the states of one step of one run; an :class:`optim.step.Resume`.

    Args:
        folder: Of the run's checkpoints.
        step: Id of the recipe entry.
        fence: The attempt.
        on_history: Called with the figures of earlier attempts when a state is loaded.
        on_damage: Called with a sentence when a file turns out to be damaged.
        is_urgent: Whether a state should be saved now, because the worker is about to stop.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        folder: Files,
        step: str,
        fence: int = 1,
        *,
        on_history: Callable[[Sequence[EpochRow]], None] = lambda rows: None,
        on_damage: Callable[[str], None] = lambda message: None,
        is_urgent: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.step = step
        self.saved_at = clock()
        self._folder = folder.within(hashlib.sha256(step.encode()).hexdigest()[:16])
        self._fence = fence
        self._number = 0
        self._history: dict[int, EpochRow] = {}
        self._on_history = on_history
        self._on_damage = on_damage
        self._is_urgent = is_urgent
        self._clock = clock

    def remember(self, row: EpochRow) -> EpochRow:
        """Put figures into the checkpoints to come; return them as they were recorded first."""
        known = self._history.get(row.epoch)
        if known is None or known.figures != row.figures:
            self._history[row.epoch] = row
        return self._history[row.epoch]

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last and can be read; None if there is none.

        Raises:
            RunError: If it cannot be known whether there is one.
        """
        try:
            files = self._files()
        except OSError as error:
            raise RunError(
                f"The checkpoints of {self.step!r} cannot be looked for: "
                f"{error.strerror or error}.",
                hint="Check the place that OPTIM_FILES names; then resume the run.",
            ) from error
        damaged = 0
        for fence, number, name in files:
            try:
                content = _unpacked(self._read(name))
            except _DAMAGED:
                damaged += 1
                continue
            self._number = number
            if damaged:
                self._on_damage(
                    f"The newest checkpoint of {self.step!r} is damaged; "
                    f"the one before it, of attempt {fence}, is used."
                )
            rows = [EpochRow(self.step, *row) for row in content["history"]]
            self._history = {row.epoch: row for row in rows}
            self._on_history(rows)
            self.saved_at = self._clock()
            state: dict[str, Any] = content["state"]
            return state
        if damaged:
            self._on_damage(f"No checkpoint of {self.step!r} can be read; the step starts again.")
        return None

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state; the one before stays until this one is safely written.

        Raises:
            RunError: If it cannot be written; the states before are untouched.
        """
        history = [(row.epoch, dict(row.figures), row.at) for row in self._history.values()]
        number = self._number + 1
        name = f"{self._fence:08d}-{number:08d}.checkpoint"
        try:
            self._folder.write(name, _packed({"state": state, "history": history}))
        except OSError as error:
            raise RunError(
                f"A checkpoint of {self.step!r} cannot be written: {error.strerror or error}.",
                hint="Free some space, or make the folder writable; then resume the run.",
            ) from error
        self._number = number
        self.saved_at = self._clock()
        try:
            for fence, _, old in self._files()[GENERATIONS:]:
                if fence <= self._fence:
                    self._folder.remove(old)
        except OSError as error:
            _LOG.warning("old checkpoints of %r stay: %s", self.step, error)

    def due(self) -> bool:
        """Whether so much time has passed that a state in mid-epoch should be saved as well."""
        return self._is_urgent() or self._clock() - self.saved_at >= INTERVAL_S

    def _read(self, name: str) -> bytes:
        """Return a file's content; a place that does not answer is no damage.

        Raises:
            FileNotFoundError: If there is no such file.
            RunError: If the place does not answer.
        """
        for attempt in range(_TRIES):
            try:
                return self._folder.read(name)
            except FileNotFoundError:
                raise
            except OSError as error:
                if attempt + 1 == _TRIES:
                    raise RunError(
                        f"A checkpoint of {self.step!r} cannot be read: {error.strerror or error}.",
                        hint="It is kept. Check the place that holds it; then resume the run.",
                    ) from error
                time.sleep(_PAUSE_S)
        raise AssertionError

    def _files(self) -> list[tuple[int, int, str]]:
        """Return attempt, number and name of every file, newest first."""
        found = [_NAME.fullmatch(name) for name in self._folder.names()]
        return sorted(((int(m[1]), int(m[2]), m[0]) for m in found if m), reverse=True)


def checkpoints_of(files: Files, run_id: str) -> Files:
    """Return the folder for the checkpoints of a run."""
    return files.within(f"checkpoints/{run_id}")


def forget_checkpoints(files: Files, run_id: str) -> None:
    """Remove the checkpoints of a run that needs none any more; what stays is removed later."""
    try:
        files.remove(f"checkpoints/{run_id}")
    except OSError as error:
        _LOG.warning("checkpoints of run %s stay: %s", run_id, error)


def _packed(content: dict[str, Any]) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    body = buffer.getvalue()
    return _HEAD + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _unpacked(data: bytes) -> dict[str, Any]:
    """Return what was packed; nothing in a file can execute."""
    import torch

    head, _, body = data.partition(b"\n")
    if head != _HEAD + hashlib.sha256(body).hexdigest().encode():
        raise ValueError("the checksum does not match")
    content: dict[str, Any] = torch.load(io.BytesIO(body), weights_only=True)
    return content
