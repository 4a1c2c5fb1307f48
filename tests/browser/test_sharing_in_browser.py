"""A server several people use: signing in, being known again, looking only, asking nobody."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from conftest import App, wait_for_answer
from provider import CLIENT, Provider
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from optim.access.audit import entries
from optim.access.names import guest_id
from optim.library import add_model
from optim.models.zoo import ZOO
from optim.presets import preset_recipe
from pages.components.guests import COOKIE

pytestmark = pytest.mark.browser
GUARD = Path(__file__).parent / "guard"


@pytest.fixture
def provider():
    running = Provider()
    yield running
    running.stop()


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a server with variables of its own."""
    apps = []

    def start_(**environment):
        (tmp_path / "home").mkdir()
        apps.append(App(tmp_path / "home", **environment))
        return apps[-1]

    yield start_
    for app in apps:
        app.stop()


@pytest.fixture
def weights(tmp_path):
    """A file that fits a perceptron for wines."""
    torch.save(ZOO["mlp"].build((13,), 3, seed=2).state_dict(), tmp_path / "mine.pt")
    return tmp_path / "mine.pt"


def sidebar(page):
    return page.get_by_test_id("stSidebar")


# --- signing in ---------------------------------------------------------------------------------


@pytest.fixture
def closed(start, provider, tmp_path):
    """A server behind a sign-in."""
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(
        "[auth]\n"
        'redirect_uri = "http://127.0.0.1:{port}/oauth2callback"\n'
        'cookie_secret = "only for this test, and long enough"\n'
        f'client_id = "{CLIENT["client_id"]}"\n'
        f'client_secret = "{CLIENT["client_secret"]}"\n'
        f'server_metadata_url = "{provider.url}/.well-known/openid-configuration"\n'
    )
    return start(STREAMLIT_SECRETS_FILES=str(secrets))


def test_whoever_has_not_signed_in_sees_nothing_and_then_the_lab(closed, open_page, provider):
    page = open_page(f"{closed.url}/runs")
    button = page.get_by_role("button", name="Sign in")
    button.wait_for(timeout=60_000)
    assert page.get_by_text("Page not found").count() == 0
    assert page.get_by_role("link", name="Lab").count() == 0
    with (
        pytest.raises(WebSocketException),
        connect(f"ws://127.0.0.1:{closed.port}/optim/live", origin=closed.url) as socket,
    ):
        socket.recv()

    button.click()
    sidebar(page).get_by_role("link", name="Lab").click(timeout=60_000)
    wait_for_answer(page)
    assert "Ann" in sidebar(page).inner_text()

    provider.who = "bob"
    other = open_page(closed.url)
    other.get_by_role("button", name="Sign in").click(timeout=60_000)
    sidebar(other).get_by_role("link", name="Lab").click(timeout=60_000)
    wait_for_answer(other)
    assert "Bob" in sidebar(other).inner_text()

    sidebar(page).get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").wait_for(timeout=60_000)
    assert page.locator(".optim-lab").count() == 0


# --- guests -------------------------------------------------------------------------------------


def upload(page, file):
    page.get_by_test_id("stSidebar").get_by_role("link", name="Use my model").click()
    page.locator(".st-key-bring_model_file input[type=file]").set_input_files(file)
    page.get_by_text("Data that are here", exact=True).click(timeout=60_000)
    page.locator(".st-key-bring_data_here input").click()
    page.get_by_role("option", name="Wine").click()
    page.get_by_role("button", name="Confirm and check").click(timeout=60_000)
    page.get_by_role("button", name="Keep as it is").click(timeout=90_000)
    page.get_by_text("mine.pt · Wine").first.wait_for(timeout=90_000)


def test_a_browser_is_known_again_another_is_not_and_what_is_deleted_is_gone(
    app, home, open_page, weights, monkeypatch
):
    page = open_page(f"{app.url}/my-data")
    page.get_by_text("Nothing of yours is here").wait_for(timeout=60_000)
    (cookie,) = [c["value"] for c in page.context.cookies() if c["name"] == COOKIE]
    monkeypatch.setenv("OPTIM_HOME", str(home))
    add_model(weights, data="wine", architecture="mlp", listed=False, owner=guest_id(cookie))
    page.reload()
    page.get_by_text("1 upload").wait_for(timeout=60_000)
    other = open_page(f"{app.url}/my-data")
    other.get_by_text("Nothing of yours is here").wait_for(timeout=60_000)

    page.get_by_role("button", name="Delete my data").click()
    page.get_by_role("button", name="Delete everything").click()
    page.get_by_text("Deleted: 1 model").wait_for(timeout=60_000)
    page.reload()
    page.get_by_text("Nothing of yours is here").wait_for(timeout=60_000)


# --- nobody outside -----------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path):
    """Return variables under which every process writes down whom it asks, and where it does."""
    log = tmp_path / "asked"
    others = os.environ.get("PYTHONPATH", "")
    path = f"{GUARD}{os.pathsep}{others}" if others else str(GUARD)
    return {"PYTHONPATH": path, "OPTIM_TEST_GUARD": str(log)}, log


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))",
        "import socket\ntry: socket.getaddrinfo('example.invalid', 80)\nexcept OSError: pass",
    ],
)
def test_the_guard_notices_who_asks_outside(guarded, code):
    environment, log = guarded
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, check=True)
    assert log.read_text().count("\n") == 1
    log.unlink()
    here = "import socket; socket.getaddrinfo('localhost', 80)"
    subprocess.run([sys.executable, "-c", here], env={**os.environ, **environment}, check=True)
    assert not log.exists()


_RESOLVER = 53


class Watch(threading.Thread):
    """Looks at the connections of a process and all its children: also those of native code.

    A library that looks up a name asks the resolver of the machine. That reaches nobody yet, and
    whom it went on to ask would be seen; what Python looks up is noted by the guard.

    Args:
        pid: Of the first process.
    """

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.found, self.seen, self.over = pid, set(), set(), threading.Event()

    def run(self):
        root = psutil.Process(self.pid)
        while not self.over.wait(0.05) and root.is_running():
            for process in [root, *root.children(recursive=True)]:
                try:
                    self.seen.add(" ".join(process.cmdline())[:200])
                    for connection in process.net_connections("inet"):
                        there = connection.raddr
                        if not there or there.port == _RESOLVER:
                            continue
                        if not there.ip.startswith(("127.", "::1")):
                            self.found.add(f"{there.ip}:{there.port} by {process.cmdline()}")
                except psutil.Error:
                    continue


def test_the_running_app_asks_nobody_outside(guarded, start, open_page, weights, monkeypatch):
    environment, log = guarded
    app = start(**environment)
    watch = Watch(app.process.pid)
    watch.start()
    recipe = preset_recipe("gentle", "digits-resnet8", "digits")
    page = open_page(f"{app.url}/?r={recipe.to_link()}")
    wait_for_answer(page)
    page.get_by_role("button", name="Download verified file").click()
    page.locator(".st-key-delivery_card").wait_for(timeout=90_000)
    page.get_by_role("button", name="Recover accuracy").click()
    # To its end: an epoch of so small a network may pass between two looks at the card.
    page.locator(".st-key-followed_card").get_by_text("finished").first.wait_for(timeout=120_000)
    upload(page, weights)
    for place in ("runs", "distillation", "regularisation", "techniques", "my-data"):
        page.goto(f"{app.url}/{place}")
        sidebar(page).get_by_role("link", name="Lab").wait_for(timeout=60_000)
    with (
        pytest.raises(WebSocketException),
        connect(f"ws://127.0.0.1:{app.port}/optim/live", origin="http://evil.example") as socket,
    ):
        socket.recv()
    time.sleep(1)
    watch.over.set()
    watch.join()
    for module in ("optim.whatif.service", "optim.runs.supervisor", "optim.runs.job"):
        assert any(module in command for command in watch.seen), f"{module} was not watched"
    assert not log.exists(), log.read_text()
    assert not watch.found

    monkeypatch.setenv("OPTIM_HOME", str(app.log.parent))
    done = [entry["what"] for entry in entries()]
    assert {"opened", "ran", "exported", "uploaded"} <= set(done)
