"""Talk to the evaluator from the web server. No torch is imported here.

The process is started on first use, or ahead of it, and started again if it dies; questions that
were open then are asked once more, and panels send their position again. A question at which it
dies twice fails with a sentence. A model on which it was stuck is not given to it again.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from optim import errors
from optim.errors import OptimError, RunError
from optim.processes import child_environment
from optim.recipe import Recipe

__all__ = ["EvaluatorClient", "Listener"]

_LOG = logging.getLogger(__name__)
Listener = Callable[[dict[str, Any]], None]
_GRACE_S = 3.0
"""For a process that was asked to end; then it is killed."""


class _DiedError(RunError):
    """The process died while a question was open."""


class EvaluatorClient:
    """One evaluator process and the sessions that use it; safe to call from any thread."""

    def __init__(self, command: list[str] | None = None) -> None:
        self._command = command or [sys.executable, "-m", "optim.whatif.service"]
        self._lock = threading.RLock()
        self._process: subprocess.Popen[str] | None = None
        self._listeners: dict[str, Listener] = {}
        self._questions: dict[int, Future[Any]] = {}
        self._stopped: set[subprocess.Popen[str]] = set()
        self._asked: dict[int, subprocess.Popen[str]] = {}
        self._stuck: set[tuple[str, str]] = set()
        self._ids = itertools.count(1)

    def start(self) -> None:
        """Start the process if it does not run."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env=child_environment(),
            )
            threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            process, self._process = self._process, None
            if process is None or process.poll() is not None:
                return
            self._stopped.add(process)
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(timeout=_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        with self._lock:
            return self._process is not None and self._process.poll() is None

    def listen(self, session: str, listener: Listener) -> None:
        """Send everything said about a session to a function, called from another thread."""
        with self._lock:
            self._listeners[session] = listener

    def move(self, session: str, message: Mapping[str, Any]) -> None:
        """Tell the newest position of a session; ``message`` is that of the service's protocol.

        Raises:
            RunError: If the evaluator was stuck on its model, or cannot be started.
        """
        self._refuse_stuck(message["recipe"]["model"], message["recipe"]["data"])
        self._send({**message, "type": "move", "session": session})

    def close(self, session: str) -> None:
        """Forget a session."""
        with self._lock:
            self._listeners.pop(session, None)
        if self.is_running:
            self._send({"type": "close", "session": session})

    def forget(self) -> None:
        """Have everything let go that was opened or computed, as after something was deleted."""
        if self.is_running:
            self._send({"type": "forget"})

    def ask(self, question: str, recipe: Recipe, timeout_s: float = 120, **arguments: Any) -> Any:
        """Ask something and wait for the reply; once more if the evaluator dies meanwhile.

        Args:
            question: A key of ``optim.whatif.questions.QUESTIONS``.
            recipe: What it is about.
            timeout_s: Seconds to wait.
            arguments: Passed on.

        Raises:
            OptimError: What the evaluator raised, or RunError if it died twice or took too long.
        """
        until = time.monotonic() + timeout_s
        asked = {"question": question, "recipe": recipe.to_json(), "arguments": arguments}
        self._refuse_stuck(recipe.model, recipe.data)
        try:
            return self._answer(asked, until, timeout_s)
        except _DiedError:
            self._refuse_stuck(recipe.model, recipe.data)
            _LOG.warning("question %s is asked once more", question)
            return self._answer(asked, until, timeout_s)

    def _answer(self, asked: Mapping[str, Any], until: float, timeout_s: float) -> Any:
        number = next(self._ids)
        future: Future[Any] = Future()
        with self._lock:
            self._questions[number] = future
        self._send({"type": "ask", "id": number, **asked})
        try:
            return future.result(timeout=max(0.0, until - time.monotonic()))
        except FutureTimeout as error:
            with contextlib.suppress(OptimError):
                self._send({"type": "cancel", "id": number})
            raise RunError(
                f"The evaluator did not answer within {timeout_s:g} s.", hint="Try again."
            ) from error
        finally:
            with self._lock:
                self._questions.pop(number, None)
                self._asked.pop(number, None)

    def _send(self, message: Mapping[str, Any]) -> None:
        line = json.dumps(message, separators=(",", ":")) + "\n"
        with self._lock:
            for attempt in (1, 2):
                self.start()
                assert self._process is not None
                assert self._process.stdin is not None
                if message["type"] == "ask":
                    self._asked[message["id"]] = self._process
                try:
                    self._process.stdin.write(line)
                    self._process.stdin.flush()
                    return
                except OSError:
                    _LOG.warning("evaluator is gone (attempt %d)", attempt)
                    self._process.wait()
        raise RunError("The evaluator cannot be started; the server's log has the details.")

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        try:
            with process.stdout:
                for line in process.stdout:
                    try:
                        self._take(json.loads(line))
                    except Exception:
                        # A line cut short by the process's end, or a listener whose tab is gone.
                        _LOG.exception("a message of the evaluator could not be delivered")
            # Its output may end before its input does: what is written in between would be lost.
            process.wait()
        finally:
            # Whatever ended the reading: nobody would be answered any more.
            self._on_death(process)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "reply":
            self._reply(message)
            return
        if message["type"] == "stuck":
            with self._lock:
                self._stuck.add((message["model"], message["data"]))
            return
        with self._lock:
            listener = self._listeners.get(message.get("session", ""))
        if listener is not None:
            listener(message)

    def _reply(self, message: Mapping[str, Any]) -> None:
        with self._lock:
            future = self._questions.get(message["id"])
        if future is None or future.done():
            return
        if "error" in message:
            future.set_exception(_as_error(message["error"]))
        else:
            future.set_result(message["result"])

    def _refuse_stuck(self, model: str, data: str) -> None:
        """Raise if the evaluator was stuck on a model with these data: all would wait again."""
        with self._lock:
            if (model, data) not in self._stuck:
                return
        raise RunError(
            f"Nothing more is computed with {model} on {data}: it kept the evaluator busy without "
            "an end.",
            hint="Choose another model or other data; it is tried again after the app restarts.",
        )

    def _on_death(self, process: subprocess.Popen[str]) -> None:
        """Fail its open questions and tell every panel, unless it was stopped on purpose."""
        with self._lock:
            questions = [
                self._questions[number]
                for number, asked in self._asked.items()
                if asked is process and number in self._questions
            ]
            on_purpose = process in self._stopped
            self._stopped.discard(process)
            listeners = [] if on_purpose else list(self._listeners.values())
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        for future in questions:
            if not future.done():
                kind = RunError if on_purpose else _DiedError
                future.set_exception(kind("The evaluator stopped.", hint="Try again."))
        for listener in listeners:
            listener({"type": "restarted"})


def _as_error(data: Mapping[str, str]) -> OptimError:
    kind = getattr(errors, data["kind"], None)
    if not isinstance(kind, type) or not issubclass(kind, OptimError) or kind is errors.Cancelled:
        return RunError(data["message"], hint=data["hint"])
    if issubclass(kind, errors.ConfigError):
        return errors.ConfigError(data["message"], hint=data["hint"], field=data["field"])
    return kind(data["message"], hint=data["hint"])
