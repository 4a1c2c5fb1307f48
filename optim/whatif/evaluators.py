"""Two evaluators: one that answers sliders at once, and one for questions that take seconds.

A question cannot be interrupted, and while it is answered nobody's slider is. What takes seconds is
asked of a process of its own, which starts when it is needed and ends when nobody has asked it
anything for a while.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from optim.recipe import Recipe
from optim.whatif.client import EvaluatorClient, Listener

__all__ = ["LONG", "Evaluators"]

LONG = frozenset(
    {
        "answered",
        "contest",
        "differing",
        "export",
        "flipped",
        "inspection",
        "ladder",
        "noise_curve",
        "saturation",
        "speed",
        "spread",
    }
)
"""Questions of ``optim.whatif.questions`` that look at several models, or at many samples."""
_IDLE_S = 600.0


class Evaluators:
    """The evaluators of one server; safe to call from any thread."""

    def __init__(self) -> None:
        self._prompt = EvaluatorClient()
        self._patient = EvaluatorClient()
        self._lock = threading.Lock()
        self._asking = 0
        self._idle: threading.Timer | None = None

    def start(self) -> None:
        """Start what answers sliders, if it does not run."""
        self._prompt.start()

    def stop(self) -> None:
        """End both processes."""
        self._wait_no_longer()
        self._prompt.stop()
        self._patient.stop()

    @property
    def is_running(self) -> bool:
        """Whether sliders would be answered."""
        return self._prompt.is_running

    def listen(self, session: str, listener: Listener) -> None:
        """Send everything said about a session to a function, called from another thread."""
        self._prompt.listen(session, listener)

    def move(self, session: str, message: Mapping[str, Any]) -> None:
        """Tell the newest position of a session; see :meth:`EvaluatorClient.move`."""
        self._prompt.move(session, message)

    def close(self, session: str) -> None:
        """Forget a session."""
        self._prompt.close(session)

    def forget(self) -> None:
        """Have everything let go that was opened or computed, as after something was deleted."""
        self._prompt.forget()
        self._patient.forget()

    def ask(self, question: str, recipe: Recipe, timeout_s: float = 120, **arguments: Any) -> Any:
        """Ask something and wait for the reply; see :meth:`EvaluatorClient.ask`."""
        if question not in LONG:
            return self._prompt.ask(question, recipe, timeout_s, **arguments)
        self._wait_no_longer()
        with self._lock:
            self._asking += 1
        try:
            return self._patient.ask(question, recipe, timeout_s, **arguments)
        finally:
            with self._lock:
                self._asking -= 1
                if not self._asking:
                    self._idle = threading.Timer(_IDLE_S, self._end_idle)
                    self._idle.daemon = True
                    self._idle.start()

    def _wait_no_longer(self) -> None:
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()

    def _end_idle(self) -> None:
        with self._lock:
            if not self._asking:
                self._patient.stop()
