"""Start the real app and a real Chromium for the benches that need them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import psutil
from common import ROOT

sys.path.insert(0, str(ROOT / "tests" / "browser"))
from chromium import find_chromium


@contextmanager
def running_app(log: Path | None = None, **environment: str) -> Iterator[str]:
    """Run the app on a free port; yields its address.

    Args:
        log: Where its log is written; nowhere if None.
        environment: Variables it is started with.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (log or Path(os.devnull)).open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=said,
            stderr=said,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).read()
                break
            except (URLError, OSError):
                time.sleep(0.05)
        yield address
    finally:
        # The supervisor of runs would outlive its server.
        children = psutil.Process(process.pid).children()
        supervisors = [child for child in children if _is_supervisor(child)]
        process.terminate()
        process.wait(timeout=10)
        for supervisor in supervisors:
            supervisor.terminate()
        psutil.wait_procs(supervisors, timeout=10)


@contextmanager
def prepared_home() -> Iterator[str]:
    """Make a folder with what ``make app`` makes before it starts the pages."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "optim", "prepare"]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "OPTIM_HOME": home}, check=True)
        yield home


def _is_supervisor(process: psutil.Process) -> bool:
    """Whether a process works on the queue of runs; one that has ended meanwhile does not."""
    try:
        return "optim.runs.supervisor" in " ".join(process.cmdline())
    except psutil.Error:
        return False


@contextmanager
def browser_page(width: int = 1440, height: int = 960):
    """Open a page in Chromium."""
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    if path is None:
        sys.exit("not run: no Chromium was found (set OPTIM_CHROMIUM)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        try:
            yield browser.new_page(viewport={"width": width, "height": height})
        finally:
            browser.close()
