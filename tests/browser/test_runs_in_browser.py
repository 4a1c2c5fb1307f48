"""Recovering accuracy as somebody does it: click, close the tab, come back, take the result."""

import pytest
from conftest import wait_for_answer

from optim.presets import preset_recipe
from optim.techniques.distill import Distill

pytestmark = pytest.mark.browser

CARD = ".st-key-followed_card"


@pytest.fixture
def link(app):
    """The Lab on a quick model, compressed to what training can win back."""
    return f"{app.url}/?r={preset_recipe('balanced', 'digits-resnet8', 'digits').to_link()}"


def accuracy(page):
    return page.locator('[data-number="accuracy"] .optim-big').inner_text()


def test_a_recovery_goes_on_without_its_tab_and_lands_in_the_lab(app, open_page, link):
    page = open_page(link)
    wait_for_answer(page)
    page.get_by_text("Nothing trained for these settings").wait_for(timeout=30_000)
    before = float(accuracy(page).split()[0])
    page.get_by_role("button", name="Recover accuracy").click()
    card = page.locator(CARD)
    card.get_by_text("Recover ResNet-8: 50 % fewer channels, 8-bit weights").wait_for()
    card.get_by_role("progressbar").wait_for()

    page.reload()
    page.locator(CARD).wait_for(timeout=60_000)
    address, cookies = page.url, page.context.storage_state()
    page.close()

    other = open_page(address, storage_state=cookies)
    card = other.locator(CARD)
    card.get_by_role("button", name="Show in the Lab").click(timeout=120_000)
    other.wait_for_function(
        "before => parseFloat(document.querySelector('[data-number=accuracy] .optim-big')"
        ".textContent) > before + 30",
        arg=before,
        timeout=60_000,
    )
    other.get_by_text("From a stored student").wait_for()
    assert "left out" not in other.locator(".optim-basis").inner_text().lower()

    card.get_by_role("link", name="Details").click()
    other.get_by_text("Steps in order").wait_for()
    other.get_by_text("Quantization-aware fine-tuning").first.wait_for()
    other.get_by_test_id("stSidebar").get_by_role("link", name="Runs").click()
    row = other.locator(".st-key-runs_rows")
    row.get_by_role("link", name="Recover ResNet-8").wait_for()
    assert "finished" in row.inner_text()


def test_a_dropped_connection_and_a_second_browser_show_the_same_live_state(app, open_page):
    recipe = preset_recipe("balanced", "digits-resnet8", "digits")
    entry = next(e for e in recipe.entries if isinstance(e.step, Distill))
    long = recipe.with_fields(entry.id, epochs=100)
    page, sockets = open_page(), []

    def through(socket):
        socket.connect_to_server()
        sockets.append(socket)

    page.route_web_socket("**/_stcore/stream", through)
    page.goto(f"{app.url}/?r={long.to_link()}")
    wait_for_answer(page)
    page.get_by_role("button", name="Recover accuracy").click()
    card = page.locator(CARD)
    card.get_by_text("epoch").first.wait_for(timeout=60_000)

    before = len(sockets)
    sockets[-1].close()
    page.wait_for_function(
        "first => document.querySelector('.st-key-followed_card').innerText !== first",
        arg=card.inner_text(),
        timeout=60_000,
    )
    assert len(sockets) > before, "the page did not connect again"

    other = open_page(page.url)
    other.locator(CARD).get_by_text("epoch").first.wait_for(timeout=60_000)
    assert other.locator(CARD).get_by_role("button", name="Cancel").count() == 0, "it is not theirs"
    card.get_by_role("button", name="Cancel").click(timeout=60_000)
    for shown in (other, page):
        shown.locator(CARD).get_by_text("cancelled").first.wait_for(timeout=30_000)


def test_a_deep_link_to_a_run_that_is_not_here_is_explained(app, open_page):
    page = open_page(f"{app.url}/run?id=nosuchrun")
    alert = page.locator("[data-testid=stAlert]")
    alert.wait_for(timeout=60_000)
    assert "There is no run 'nosuchrun'" in alert.inner_text()
