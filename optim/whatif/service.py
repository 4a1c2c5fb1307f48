"""The evaluator process: one per server, shared by all sessions, so that the server stays light.

Messages are lines of JSON on standard input and output. ``python -m optim.whatif.service`` is
started by :mod:`optim.whatif.client`; it ends when its input closes.

=========  =======================================================================================
in         ``move``, ``close``, ``ask`` (layers, export, ...), ``cancel``, ``forget`` (all caches)
out        ``ready``, ``sizes``, ``answer``, ``error``, ``reply``, ``stuck``
=========  =======================================================================================

A network may compute without an end, and what executes it does not let itself be interrupted. The
process then says on which model it was stuck, and ends; its client starts another one.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from optim.errors import OptimError
from optim.recipe import Recipe
from optim.whatif.engine import Engine
from optim.whatif.latency import LatencySetting
from optim.whatif.questions import QUESTIONS
from optim.whatif.scheduler import Move, Scheduler, Slider

__all__ = ["Service", "main"]

_LOG = logging.getLogger(__name__)
_STUCK_S = 120.0
"""Nobody waits longer for an answer; a piece of work that takes longer has no end."""
_WATCH_S = 2.0


class Service:
    """Reads messages, lets the scheduler work, writes what it says.

    Args:
        engine: The caches and workbenches.
        write: Sends one message.
    """

    def __init__(self, engine: Engine, write: Callable[[dict[str, Any]], None]) -> None:
        self.engine = engine
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="sketches")
        self.scheduler = Scheduler(engine, aside=self._beside.submit)
        self._write = write
        self._stopped = threading.Event()
        self._cancelled: set[int] = set()
        self._asked: Recipe | None = None

    def receive(self, message: Mapping[str, Any]) -> None:
        """Take one message; called from the reading thread."""
        kind, session = message.get("type"), str(message.get("session", ""))
        if kind == "move":
            self._submit(session, message)
        elif kind == "close":
            self.scheduler.close(session)
        elif kind == "ask":
            self.scheduler.ask(lambda: self._answer(message))
        elif kind == "cancel":
            self._cancelled.add(message["id"])
        elif kind == "forget":
            self.scheduler.ask(self.scheduler.forget)

    def _submit(self, session: str, message: Mapping[str, Any]) -> None:
        """Take a position; what is wrong with it goes back to the session at once."""

        def emit(answer: dict[str, Any]) -> None:
            self._write({**answer, "session": session})

        try:
            self.scheduler.submit(session, _move(message), emit)
        except OptimError as error:
            emit(
                {
                    "type": "error",
                    "request_id": message["request_id"],
                    "message": error.message,
                    "hint": error.hint,
                    "field": getattr(error, "field", ""),
                }
            )

    def stop(self) -> None:
        """Let :meth:`work` return."""
        self._stopped.set()
        self.scheduler.arrived.set()
        self._beside.shutdown(wait=False, cancel_futures=True)

    def work(self) -> None:
        """Do what is to be done until stopped."""
        while not self._stopped.is_set():
            if not self.scheduler.step():
                self.scheduler.arrived.wait(timeout=0.1)

    def watch(self, end: Callable[[], object]) -> None:
        """Say on what the work is stuck, and end the process, if it ever is.

        Args:
            end: Ends the process, whatever its threads do.
        """
        while not self._stopped.wait(_WATCH_S):
            since = self.scheduler.busy_since
            if since is None or time.monotonic() - since < _STUCK_S:
                continue
            recipe = self._asked or self.scheduler.working_on
            if recipe is not None:
                _LOG.error("stuck on %s with %s", recipe.model, recipe.data)
                self._write({"type": "stuck", "model": recipe.model, "data": recipe.data})
            end()
            return

    def _answer(self, message: Mapping[str, Any]) -> None:
        if message["id"] in self._cancelled:
            self._cancelled.discard(message["id"])
            return
        reply: dict[str, Any] = {"type": "reply", "id": message["id"]}
        try:
            recipe = self._asked = Recipe.from_json(message["recipe"])
            question = QUESTIONS[message["question"]]
            reply["result"] = question(self.engine, recipe, **message.get("arguments", {}))
        except OptimError as error:
            reply["error"] = {
                "kind": type(error).__name__,
                "message": error.message,
                "hint": error.hint,
                "field": getattr(error, "field", ""),
            }
        except Exception:
            # A bug must not take the evaluator down for everybody else.
            _LOG.exception("question %s failed", message.get("question"))
            reply["error"] = {
                "kind": "RunError",
                "message": "The evaluator failed on this question; its log has the details.",
                "hint": "",
                "field": "",
            }
        finally:
            self._asked = None
        self._write(reply)


def _move(message: Mapping[str, Any]) -> Move:
    sliders = tuple(
        Slider(s["entry"], s["field"], tuple(s["stops"])) for s in message.get("sliders", ())
    )
    setting = message.get("latency") or {}
    return Move(
        request_id=message["request_id"],
        recipe=Recipe.from_json(message["recipe"]),
        sliders=sliders,
        focus=message.get("focus"),
        setting=LatencySetting(**setting),
    )


def main() -> None:
    """Serve standard input and output until the input closes."""
    if hasattr(os, "nice"):
        # The web server has little to do but must do it at once.
        os.nice(5)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="evaluator: %(message)s")
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    # Whatever a library prints must not end up between messages.
    sys.stdout = sys.stderr
    lock = threading.Lock()

    def write(message: dict[str, Any]) -> None:
        line = json.dumps(message, separators=(",", ":"))
        with lock:
            out.write(line + "\n")
            out.flush()

    service = Service(Engine(registered_only=True), write)
    threading.Thread(target=_read, args=(sys.stdin, service), daemon=True).start()
    threading.Thread(target=service.watch, args=(lambda: os._exit(1),), daemon=True).start()
    write({"type": "ready"})
    service.work()


def _read(source: IO[str], service: Service) -> None:
    try:
        for line in source:
            try:
                service.receive(json.loads(line))
            except Exception:
                # One message that cannot be read must not end the evaluator for everybody else.
                _LOG.exception("message refused: %s", line[:200])
    finally:
        service.stop()


if __name__ == "__main__":
    main()
