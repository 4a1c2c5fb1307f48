"""The C sources of a model, compiled for this machine and run in a process of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from optim.errors import ExportError, MeasurementError, MissingDependencyError, first_line
from optim.export.c.archive import source
from optim.export.c.program import Program
from optim.models.interface import rows_of

__all__ = ["CompiledSession", "compiler"]

_FLAGS = ("-std=c99", "-O3", "-Wall", "-Wextra", "-Werror", "-pedantic")
_COMPILE_S = 120


def compiler() -> str:
    """Return the C compiler of this machine.

    Raises:
        MissingDependencyError: If it has none.
    """
    names = (os.environ.get("CC", ""), "cc", "gcc", "clang")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise MissingDependencyError(
            "C sources are verified by compiling them, and no C compiler was found.",
            hint="Install gcc or clang on the machine that exports.",
        )
    return found


@dataclass(eq=False)
class CompiledSession:
    """A model in C, compiled; offers what an :class:`InferenceSession` offers.

    Attributes:
        program: Says how inputs become integers and integers become outputs.
        runtime: Compiler and its version.
        threads: Always one: the runner has no others.
    """

    program: Program
    runtime: str
    process: subprocess.Popen[bytes]
    threads: int = field(default=1, init=False)

    @classmethod
    def open(cls, files: Mapping[str, bytes], program: Program) -> CompiledSession:
        """Compile the sources and start what they become.

        Args:
            files: Content of the zip of :func:`optim.export.c.archive.c_archive`, by name.
            program: The program it was made from.

        Raises:
            ExportError: If the compiler refuses the sources.
            MissingDependencyError: If this machine has no C compiler.
        """
        command = compiler()
        own = {name: files[name] for name in ("model.c", "model.h", "runner.h")}
        own["serve.c"] = source("serve.c").encode()
        try:
            own["runner.o"] = _runner(command, files["runner.c"], files["runner.h"])
            with _folder_of(own) as folder:
                _compile(command, folder, "-o", "serve", "serve.c", "model.c", "runner.o")
                process = subprocess.Popen(
                    [folder / "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise ExportError(f"The C sources cannot be compiled: {first_line(error)}.") from error
        session = cls(program, _version(command), process)
        weakref.finalize(session, _end, process)
        return session

    def run(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs ``(N, numbers)`` for normalised inputs ``(N, ...)``.

        Raises:
            MeasurementError: If the program ends early.
        """
        found = [self._answer(sample.tobytes()) for sample in self.program.quantized(x)]
        integers = np.frombuffer(b"".join(found), np.int32)
        shape = (len(x), *self.program.output_shape[1:])
        return rows_of([(integers * self.program.output_scale).reshape(shape)])

    def timed(self, x: np.ndarray) -> Callable[[], None]:
        """Return a function that runs a batch and reads nothing, as a clock wants it."""
        samples = [sample.tobytes() for sample in self.program.quantized(x)]

        def run() -> None:
            for sample in samples:
                self._answer(sample)

        return run

    def _answer(self, sample: bytes) -> bytes:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        count = self.program.output_count * np.dtype(np.int32).itemsize
        try:
            self.process.stdin.write(sample)
            self.process.stdin.flush()
            answer = self.process.stdout.read(count)
        except OSError as error:
            raise MeasurementError(f"The compiled model ended: {first_line(error)}.") from error
        if len(answer) != count:
            raise MeasurementError("The compiled model ended before it answered.")
        return answer


@contextmanager
def _folder_of(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Write files to a folder that goes again: a program that runs needs its file no longer."""
    folder = Path(tempfile.mkdtemp(prefix="optim-c-"))
    try:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@lru_cache(maxsize=2)
def _runner(command: str, code: bytes, header: bytes) -> bytes:
    """Return what the runner becomes: it is the same for every model, and most of the work."""
    with _folder_of({"runner.c": code, "runner.h": header}) as folder:
        _compile(command, folder, "-c", "-o", "runner.o", "runner.c")
        return (folder / "runner.o").read_bytes()


def _compile(command: str, folder: Path, *arguments: str) -> None:
    made = subprocess.run(
        [command, *_FLAGS, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_COMPILE_S,
        check=False,
    )
    if made.returncode:
        raise ExportError(f"The C sources do not compile: {made.stderr.strip()[:200]}.")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        # What was left to write has no reader any more.
        with suppress(OSError):
            if pipe is not None:
                pipe.close()
    process.wait()


def _version(command: str) -> str:
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    first = next(iter(said.stdout.splitlines()), command)
    return f"C99 on this machine, {first}"
