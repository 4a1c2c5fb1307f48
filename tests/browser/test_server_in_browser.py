"""The server as a browser meets it: first visits, foreign pages, hostile files, faults."""

import os
import signal
import subprocess

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import wait_for_answer
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

pytestmark = pytest.mark.browser


def test_the_first_deep_link_on_a_fresh_server_goes_through_the_frame(fresh_app, open_page):
    page = open_page(f"{fresh_app.url}/techniques")
    page.get_by_text("What each step of a recipe does").wait_for(timeout=60_000)
    # The browser fills the sidebar by itself, a moment before or after the page.
    page.get_by_test_id("stSidebar").get_by_role("link", name="Lab").wait_for()
    assert page.get_by_text("Page not found").count() == 0


def test_pages_ask_nobody_but_their_own_server(app, open_page):
    page = open_page()
    hosts = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0]))
    page.goto(f"{app.url}/lab")
    wait_for_answer(page)
    page.goto(f"{app.url}/techniques")
    page.get_by_text("What each step of a recipe does").wait_for()
    assert hosts <= {"127.0.0.1", ""}


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        pytest.param(None, "http://evil.example", id="foreign origin"),
        pytest.param("evil.example", "http://evil.example", id="rebound host"),
    ],
)
def test_the_live_connection_is_refused_to_foreign_pages(app, host, origin):
    headers = {"Host": host} if host else {}
    with (
        pytest.raises(WebSocketException),
        connect(
            f"ws://127.0.0.1:{app.port}/optim/live", origin=origin, additional_headers=headers
        ) as socket,
    ):
        socket.recv()


@pytest.mark.parametrize("path", ["/optim/panel/..%2f..%2fapp.py", "/optim/files/../../etc/passwd"])
def test_no_route_leaves_its_folder(app, open_page, path):
    answer = open_page(app.url).request.get(f"{app.url}{path}")
    assert "def " not in answer.text()
    assert "root:" not in answer.text()


def test_the_panel_recovers_when_the_evaluator_is_killed(fresh_app, open_page):
    page = open_page(f"{fresh_app.url}/lab")
    wait_for_answer(page)
    found = subprocess.run(
        ["pgrep", "-P", str(fresh_app.process.pid), "-f", "optim.whatif.service"],
        capture_output=True,
        text=True,
        check=True,
    )
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
    slider = page.locator('input[data-field="prune_channels.pruning_ratio"]')
    before = page.locator('[data-number="size"] .optim-big').inner_text()
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        """before => {
          const size = document.querySelector('[data-number=size] .optim-big');
          return size && size.textContent !== before;
        }""",
        arg=before,
        timeout=60_000,
    )


def test_a_file_that_is_not_weights_is_refused_in_one_sentence(app, open_page, tmp_path):
    evil = tmp_path / "evil.pth"
    evil.write_bytes(b"cos\nsystem\n(S'touch /tmp/optim-owned'\ntR.")
    page = open_page(f"{app.url}/lab")
    wait_for_answer(page)
    page.get_by_test_id("stSidebar").get_by_role("link", name="Use my model").click()
    page.locator("input[type=file]").first.set_input_files(evil)
    message = page.locator("[data-testid=stAlert]").first
    message.wait_for(timeout=60_000)
    assert "not a plain state dict" in message.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "place",
    [
        *("lab", "steps", "techniques", "runs", "use-my-model", "data", "ladder", "own-device"),
        *("learn", "workshop"),
    ],
)
def test_no_serious_accessibility_violation(app, open_page, scheme, place):
    page = open_page(f"{app.url}/{place if place != 'steps' else 'lab'}", scheme=scheme)
    if place == "techniques":
        page.get_by_text("What each step of a recipe does").wait_for()
    elif place == "runs":
        page.locator(".st-key-runs_rows, .st-key-runs_empty").wait_for()
    elif place in ("use-my-model", "data"):
        page.get_by_role("button", name="Confirm and check").wait_for()
    elif place == "ladder":
        page.locator(".st-key-rung").wait_for(timeout=60_000)
    elif place == "own-device":
        page.locator(".st-key-own_here").wait_for()
    elif place == "learn":
        page.get_by_text("Putting it together for a device").wait_for(timeout=60_000)
    elif place == "workshop":
        page.locator(".st-key-workshop_none").wait_for(timeout=60_000)
    else:
        wait_for_answer(page)
    if place == "steps":
        page.get_by_text("All steps").click()
    page.wait_for_timeout(1500)
    found = Axe().run(page).response["violations"]
    ours = [
        f"{v['id']}: {node['html'][:160]}"
        for v in found
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]
    assert not ours
