"""Open one file after another in processes that may die, and say what became of each.

``python -m tests.fuzz.parser`` imports everything once and then waits. A child made by ``fork``
takes its turn at standard input: a line names a file, a line answers. Whatever a file does to the
child, the parent notices, says so in its place and forks the next, so that a case costs the opening
of a file and not the start of a program. The limits are narrower than those of ``optim.intake``,
and everything the child opens, writes or starts is noted by an audit hook while a file is open.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.corpus import Seed

ROOT = Path(__file__).resolve().parents[2]
MEMORY_BYTES = 2 * 2**30
"""What a child may take beyond what it was born with."""
PROCESSOR_S = 10
"""Processor time of one file: on a busy machine the clock runs on while nothing is done."""
CLOCK_S = 60
"""Time on the clock, for what waits instead of computing."""
WRITE_BYTES = 2**30
CASES_PER_CHILD = 200
MAX_MESSAGE = 2_000
"""Characters of a message: what a file says of itself is quoted, and must not fill a page."""

_SERVED, _DONE = 93, 94
"""Exit status of a child that makes room for a fresh one, and of one that nobody asks any more."""


# --- the side that asks ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        kind: ``result``, ``refused`` or a fault: ``crash``, ``hang``, ``memory``, ``escape``,
            ``message``, ``error``.
        text: The message, or what is wrong.
        where: Last lines of the traceback of an error that nobody meant.
    """

    kind: str
    text: str = ""
    where: tuple[str, ...] = ()

    @property
    def is_fault(self) -> bool:
        """Whether this must not happen."""
        return self.kind not in ("result", "refused")

    @property
    def key(self) -> str:
        """What two findings of one cause have in common."""
        return f"{self.kind}: {self.where[-1] if self.where else self.text[:80]}"


@dataclass
class Parser:
    """Asks the parser process. Everything it may touch lies in one folder of its own."""

    folder: Path
    processor_s: float = PROCESSOR_S
    process: subprocess.Popen = field(init=False)

    def __post_init__(self):
        self.inbox, home, spare = (self.folder / n for n in ("in", "home", "tmp"))
        for path in (self.inbox, home, spare):
            path.mkdir(parents=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.parser", str(self.folder), str(self.processor_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "OPTIM_HOME": str(home),
                "HOME": str(home),
                "TMPDIR": str(spare),
                "TORCHINDUCTOR_CACHE_DIR": str(spare / "inductor"),  # made when torch looks for it
                "OMP_NUM_THREADS": "1",
                "MALLOC_ARENA_MAX": "2",
                "PYTHONFAULTHANDLER": "",
            },
        )
        assert self._ask({"kind": "ready"})["kind"] == "result"

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def outcome(self, seed: Seed) -> Outcome:
        """Open a file; what looks like a fault is tried again in a fresh child."""
        found = self._once(seed)
        if found.is_fault:
            self._ask({"kind": "renew"})
            found = self._once(seed)
        return found

    def _once(self, seed: Seed) -> Outcome:
        path = self.inbox / seed.filename
        path.write_bytes(seed.content)
        answer = self._ask({"kind": seed.kind, "path": str(path), "options": seed.options})
        strays = self._strays(seed.filename)
        path.unlink(missing_ok=True)
        if answer["kind"] in ("result", "refused"):
            return _judged(answer, strays, str(self.folder))
        return Outcome(answer["kind"], answer["text"], tuple(answer.get("where", ())))

    def _strays(self, filename: str) -> list[str]:
        """Return what lies where nothing may be written, and take it away."""
        found = []
        for folder, known in ((self.folder, {"in", "home", "tmp"}), (self.inbox, {filename})):
            for path in folder.iterdir():
                if path.name not in known:
                    found.append(str(path.relative_to(self.folder)))
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        return sorted(found)

    def _ask(self, request: dict) -> dict:
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the parser process is gone"
        return json.loads(line)


def _judged(answer: dict, strays: list[str], folder: str) -> Outcome:
    """Return a fault where an answer is none, or came with something that must not be."""
    text, said = answer["text"], f"{answer['text']} {answer['hint']}"
    if strays or answer["escapes"]:
        return Outcome("escape", "; ".join([*strays, *answer["escapes"]]))
    if secret := next((s for s in (folder, str(ROOT), sys.prefix) if s in said), None):
        return Outcome("message", f"it names {secret}: {said[:300]}")
    if len(said) > MAX_MESSAGE:
        return Outcome("message", f"it has {len(said)} characters: {said[:300]}")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in said):
        return Outcome("message", f"it cannot be sent: {said[:300]!r}")
    if answer["kind"] == "refused" and not text.strip():
        return Outcome("message", "it is empty")
    return Outcome(answer["kind"], text)


# --- the side that answers ------------------------------------------------------------------------


class _Watch:
    """Notes what leaves the sandbox while a file is open."""

    def __init__(self, sandbox: str) -> None:
        self.is_on = False
        self.escapes: list[str] = []
        own = (sys.prefix, sys.base_prefix, str(ROOT), os.path.realpath(sys.prefix))
        self.written = (sandbox, "/dev/null", "/dev/shm")
        self.readable = (*self.written, *own, "/proc", "/sys", "/dev", "/usr")
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.is_on:
            return
        if event == "open":
            self._opened(*arguments)
        elif event in _CHANGES:
            for place in arguments[: _CHANGES[event]]:
                self._check(place, self.written, event)
        elif event in _FORBIDDEN:
            self.escapes.append(f"{event} {arguments!r}"[:200])

    def _opened(self, path: object, mode: object, flags: object) -> None:
        changes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        changes = changes or (isinstance(mode, str) and any(c in mode for c in "wax+"))
        self._check(path, self.written if changes else self.readable, "open")

    def _check(self, place: object, allowed: tuple[str, ...], event: str) -> None:
        if not isinstance(place, str | bytes | os.PathLike):
            return  # a file that is open already
        path = os.path.realpath(os.fsdecode(place))
        if not any(path == root or path.startswith(root + os.sep) for root in allowed):
            self.escapes.append(f"{event} {path}"[:200])


_CHANGES = {
    **dict.fromkeys(("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod"), 1),
    **dict.fromkeys(("os.rename", "os.link", "os.symlink", "shutil.copyfile", "shutil.move"), 2),
}
_FORBIDDEN = {
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.startfile"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request"),
    *("pickle.find_class", "code.__new__", "function.__new__"),
}


def _open(kind: str, path: Path, options: dict) -> str:
    """Open a file as the product does, and return what a reader would see of it."""
    from optim import intake
    from optim.data import added
    from optim.models import cards
    from optim.recipe import Recipe
    from optim.storage import store_home

    if kind in ("model", "data"):
        plain = {"title": "", "options": {}} if kind == "data" else {}
        name = intake._add(kind, path, plain | options)
        known = cards.model_cards() if kind == "model" else added.data_cards()
        card = known[name]
        json.dumps(card.title), getattr(card, "hash", "")
        return getattr(card, "note", "")
    if kind == "packed":
        from optim.models.open import open_model

        return open_model(str(path), as_graph=True).provenance.note
    if kind == "fault":
        FAULTS[options["fault"]](path)
        return ""
    if kind in ("recipe", "link"):
        recipe = (
            Recipe.load(path) if kind == "recipe" else Recipe.from_link(path.read_text("latin-1"))
        )
        assert Recipe.from_link(recipe.to_link()).hash == recipe.hash, "it changes on the way"
        assert Recipe.from_yaml(recipe.to_yaml()).hash == recipe.hash, "it changes when written"
        return ""
    folder = store_home() / options["folder"]
    folder.mkdir(parents=True, exist_ok=True)
    card = folder / path.name
    card.write_bytes(path.read_bytes())
    if kind == "model card":
        card.with_suffix(".safetensors").write_bytes(b"")
        known = cards.model_cards()
        assert "wine-mlp" in known, "one card hides the others"
    else:
        known = added.data_cards()
        assert "wine" in known, "one card hides the others"
        added.options_of(card.stem)
        if card.stem in known:
            added.open_registered_data(card.stem)
    return ""


def _refuse(text: str) -> None:
    from optim.errors import DataError

    raise DataError(text)


def _loop() -> None:
    while True:
        pass


FAULTS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "refusal": lambda path: _refuse(f"{path.name!r} is no file of ours."),
    "error": lambda path: {}["x"],
    "exit": lambda path: os._exit(0),
    "signal": lambda path: os.kill(os.getpid(), signal.SIGSEGV),
    "hang": lambda path: _loop(),
    "memory": lambda path: bytearray(3 * 2**30),
    "write": lambda path: (path.parent / "stray").write_bytes(b""),
    "write far": lambda path: (path.parents[2] / "stray").write_bytes(b""),
    "read": lambda path: Path("/etc/passwd").read_bytes(),
    "start": lambda path: subprocess.run(["true"], check=False),
    "unpickle": lambda path: pickle.loads(b"cos\ngetpid\n."),
    "path": lambda path: _refuse(f"{path} is no file of ours."),
}
"""What a file may never bring about, brought about on purpose to see that it is noticed."""


def _answered(request: dict, watch: _Watch) -> dict:
    from optim.errors import OptimError

    watch.escapes.clear()
    signal.setitimer(signal.ITIMER_PROF, float(sys.argv[2]))
    signal.setitimer(signal.ITIMER_REAL, CLOCK_S)
    watch.is_on = True
    try:
        text = _open(request["kind"], Path(request["path"]), request["options"])
        answer = {"kind": "result", "text": text, "hint": ""}
    except OptimError as error:
        answer = {"kind": "refused", "text": error.message, "hint": error.hint}
    except MemoryError as error:
        answer = {"kind": "memory", "text": "MemoryError", "where": _where(error)}
    except BaseException as error:
        text = f"{type(error).__name__}: {str(error)[:300]}"
        answer = {"kind": "error", "text": text, "where": _where(error)}
    finally:
        watch.is_on = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {**answer, "escapes": watch.escapes}


def _where(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename.startswith(str(ROOT / "optim"))] or frames
    lines = [f"{Path(f.filename).name}:{f.lineno} {f.name}: {f.line}" for f in own]
    return [*lines[-4:-1], f"{type(error).__name__} in {lines[-1]}"]


def _serve(sandbox: Path, watch: _Watch) -> None:
    """Answer in a child until it is used up."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WRITE_BYTES, WRITE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for _ in range(CASES_PER_CHILD):
        line = _line()
        if not line:
            os._exit(_DONE)
        request = json.loads(line)
        if request["kind"] in ("ready", "renew"):
            _say({"kind": "result"})
            if request["kind"] == "renew":
                os._exit(_SERVED)
            continue
        answer = _answered(request, watch)
        for folder in (sandbox / "home" / "store", sandbox / "tmp"):
            shutil.rmtree(folder, ignore_errors=True)
        (sandbox / "tmp").mkdir(exist_ok=True)
        _say(answer)
    os._exit(_SERVED)


def _line() -> bytes:
    """Read a line and nothing beyond it: the next one may be for another child."""
    line = b""
    while not line.endswith(b"\n"):
        block = os.read(_IN, 65_536)
        if not block:
            return b""
        line += block
    return line


def _say(answer: dict) -> None:
    data = json.dumps(answer).encode() + b"\n"
    while data:
        data = data[os.write(_OUT, data) :]


_IN, _OUT = 0, 1


def _prepare() -> None:
    """Import what any format needs, without starting a thread that a fork would lose."""
    import importlib

    import torch
    from PIL import Image

    torch.set_num_threads(1)
    Image.init()
    for name in (
        *("onnx", "onnx.checker", "onnx.shape_inference", "onnxruntime", "sklearn.datasets"),
        *("torch.fx", "safetensors.torch", "optim.intake", "optim.library", "optim.recipe"),
        *("optim.data.added", "optim.data.preview", "optim.models.open"),
    ):
        importlib.import_module(name)
    for name in ("pyarrow", "pyarrow.csv", "pyarrow.parquet"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def main() -> None:
    """Fork children that answer, for as long as somebody asks."""
    global _OUT
    sandbox = Path(sys.argv[1])
    # What libraries print must not be taken for an answer.
    _OUT = os.dup(1)
    os.dup2(2, 1)
    tempfile.tempdir = str(sandbox / "tmp")
    _prepare()
    watch = _Watch(str(sandbox.resolve()))
    while True:
        child = os.fork()
        if child == 0:
            try:
                _serve(sandbox, watch)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == _DONE:
            return
        if code != _SERVED:
            _say(_death(code))


def _death(code: int) -> dict:
    if code in (-signal.SIGPROF, -signal.SIGALRM):
        return {"kind": "hang", "text": f"stopped by {signal.Signals(-code).name}"}
    what = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return {"kind": "crash", "text": f"ended by {what}"}


if __name__ == "__main__":
    main()
