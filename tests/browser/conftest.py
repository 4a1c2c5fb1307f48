"""The real app in a real Chromium. Without one, the tests are skipped and say so."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from chromium import find_chromium  # noqa: E402


class App:
    """A running server.

    Args:
        home: Its folder.
        environment: Variables it is started with.
    """

    def __init__(self, home: Path, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / f"server-{self.port}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "streamlit",
                    "run",
                    "app.py",
                    "--server.port",
                    str(self.port),
                ],
                cwd=ROOT,
                env={**os.environ, "OPTIM_HOME": str(home), **environment},
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1).read()
                return
            except (URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(f"the app did not start: {self.log.read_text()}")

    def stop(self) -> None:
        """End the server, and the supervisor of runs it started, which would outlive it."""
        children = psutil.Process(self.process.pid).children()
        supervisors = [child for child in children if _is_supervisor(child)]
        self.process.terminate()
        self.process.wait(timeout=15)
        for supervisor in supervisors:
            supervisor.terminate()
        psutil.wait_procs(supervisors, timeout=15)


def _is_supervisor(process: psutil.Process) -> bool:
    """Whether a process works on the queue of runs; one that has ended meanwhile does not."""
    try:
        return "optim.runs.supervisor" in " ".join(process.cmdline())
    except psutil.Error:
        return False


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("browser-home")


@pytest.fixture(scope="session")
def app(home):
    running = App(home)
    yield running
    running.stop()


@pytest.fixture
def fresh_app(home):
    running = App(home)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def chromium():
    """A browser for one file: while Playwright runs, its event loop runs in this very thread."""
    path = find_chromium()
    if path is None:
        pytest.skip("needs Chromium: install it, set OPTIM_CHROMIUM, or playwright install")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Return a function that opens pages in contexts of their own; errors on a page fail."""
    contexts, problems = [], []

    def open_(url="about:blank", *, width=1440, height=960, scheme="light", **options):
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture
def lab(app, open_page):
    """Return a Lab whose first answer is on the screen."""
    page = open_page(f"{app.url}/lab")
    wait_for_answer(page)
    return page


def wait_for_answer(page):
    page.wait_for_selector(".optim-plot .main-svg", timeout=90_000)
    page.wait_for_function(
        "document.querySelector('.optim-verdict')?.textContent.startsWith('This network')",
        timeout=90_000,
    )
