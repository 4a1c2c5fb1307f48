"""Children that cost no import: a process that has imported everything forks them.

``subprocess.run([sys.executable, "-m", module])`` takes two seconds of importing torch before the
child does anything. A test that asks many children, and does not ask how they are started, patches
``subprocess.run`` with :meth:`Zygote.run`: what it returns, and when it raises, is the same. Each
child is still a process of its own, with its own limits, and sees nothing of the others.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

from optim.processes import child_environment

__all__ = ["Zygote"]

_FILES = ("in", "out", "err")
"""What a child reads and writes, in the order of its descriptors."""


class Zygote:
    """Starts children of some modules without importing anything anew.

    Args:
        modules: What the children run; their ``main`` is called.
        imports: What these import only when asked.
    """

    def __init__(self, modules: tuple[str, ...], imports: tuple[str, ...] = ()) -> None:
        self.modules = modules
        self._start = subprocess.run  # the true one, should it be patched with this one's
        self._one_at_a_time = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules, *imports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=child_environment(),
        )

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Do what ``subprocess.run`` does."""
        if command[:2] != [sys.executable, "-m"] or command[2] not in self.modules:
            return self._start(command, **options)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "in").write_text(options["input"])
            request = {
                "module": command[2],
                "folder": folder,
                "here": str(options.get("cwd") or Path.cwd()),
            }
            limits = {"environment": options["env"], "seconds": options["timeout"]}
            status = self._ask({**request, **limits})
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
                raise subprocess.TimeoutExpired(command, options["timeout"])
            written = [Path(folder, name).read_text() for name in _FILES[1:]]
            return subprocess.CompletedProcess(command, os.waitstatus_to_exitcode(status), *written)

    def _ask(self, request: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._one_at_a_time:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())


def _serve() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(**json.loads(line))
        sys.stdout.write(f"{os.waitpid(child, 0)[1]}\n")
        sys.stdout.flush()


def _become(
    module: str, folder: str, here: str, environment: dict[str, str], seconds: float
) -> None:
    """Run a module's ``main`` as a process started for it would."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    os.chdir(here)
    sys.path[0] = here
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # is looked up in the environment
    for descriptor, name in enumerate(_FILES):
        how = os.O_RDONLY if name == "in" else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(Path(folder, name), how), descriptor)
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        setattr(sys, name, open(descriptor, "r" if descriptor == 0 else "w"))  # noqa: SIM115, PTH123
    status = 0
    try:
        importlib.import_module(module).main()
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _serve()
