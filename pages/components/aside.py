"""A child process beside the pages: one starts it, all can watch, one stops it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import streamlit as st

from optim import errors
from optim.aside import Shelf
from optim.errors import RunError
from optim.processes import child_environment, refusal
from pages.components import access
from pages.components.errors import show_error

__all__ = ["Aside"]

_EVERY_S = 1.0
_LOCK = threading.Lock()
"""Held while jobs are started, or taken note of: sessions are threads of one server."""


@dataclass(frozen=True)
class Aside:
    """One kind of work; one of a kind is done at a time, there being one machine.

    Attributes:
        module: What the child runs.
        shelf: Where it tells how far it is.
        doing: What it does, as "Measuring".
        failed: What is said where it ended without a word.
        environment: More variables for the child.
        for_all: Whether what comes out is the same for everybody: then anybody may start it, also
            where there is only something to look at, and nobody stops it.
    """

    module: str
    shelf: Shelf
    doing: str
    failed: str
    environment: Mapping[str, str] = field(default_factory=dict)
    for_all: bool = False

    def start(self, key: str, **request: Any) -> bool:
        """Start the work, unless some of this kind is being done; return whether it was started.

        Args:
            key: Under which the result will be kept.
            request: What the child is asked, besides.
        """
        if not self.for_all:
            access.refuse_presentation()
        with _LOCK:
            self._settle()
            if self._jobs:
                return False
            self.shelf.tell(key, share=0.0, what="starting")  # what was said before is over
            job = subprocess.Popen(
                [sys.executable, "-m", self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                env={**child_environment(), **self.environment},
            )
            self._jobs[key] = job
        assert job.stdin is not None
        with job.stdin as line:
            line.write(json.dumps({"key": key, **request}) + "\n")
        return True

    def is_busy(self, key: str, subject: str) -> bool:
        """Draw how far the work is, or why it failed; return whether it goes on.

        Args:
            key: Of the result this page is about.
            subject: What the work is about, as "model", where another one's is being done.
        """
        with _LOCK:
            self._settle()
            running = next(iter(self._jobs), None)
        if running is not None:
            self._wait(running, "" if running == key else subject)
            return True
        if refused := self.shelf.told(key).get("refused"):
            kind = getattr(errors, refused["kind"], RunError)
            show_error(kind(refused["message"], hint=refused["hint"]))
        return False

    def _settle(self) -> None:
        """Take note of a job that has ended: why it failed is told to all who ask for its key."""
        for key, job in list(self._jobs.items()):
            if job.poll() is None:
                continue
            del self._jobs[key]
            if job.returncode not in (0, -signal.SIGTERM):  # that is how it is stopped
                failed = RunError(self.failed, hint="The server's log has the details.")
                self.shelf.tell(key, refused=refusal(failed))

    @property
    def _jobs(self) -> dict[str, subprocess.Popen[str]]:
        return _jobs_of(self.module)

    def _wait(self, key: str, other: str) -> None:
        """Draw the progress of a job, again and again until it ends."""

        @st.fragment(run_every=_EVERY_S)
        def progress() -> None:
            job = self._jobs.get(key)
            if job is None or job.poll() is not None:
                st.rerun()
            told = self.shelf.told(key)
            another = f"another {other}; this one can be afterwards"
            what = another if other else told.get("what", "starting")
            st.progress(told.get("share", 0.0), text=f"{self.doing}: {what}")
            if not (other or self.for_all or access.is_presentation()):
                st.button("Stop", icon=":material/stop:", on_click=job.terminate, key=f"stop_{key}")

        progress()


@cache
def _jobs_of(module: str) -> dict[str, subprocess.Popen[str]]:
    """Return what is being done by a module's children, by key; one at most."""
    return {}
