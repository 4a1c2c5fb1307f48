"""The Lab in a real browser: drag, reload, share, download."""

import re

import numpy as np
import onnxruntime
import pytest
from conftest import wait_for_answer

pytestmark = pytest.mark.browser

CHANNELS = 'input[data-field="prune_channels.pruning_ratio"]'
BITS = 'input[data-field="quantize.weight_bits"]'


def number(page, name):
    return page.locator(f'[data-number="{name}"] .optim-big').inner_text()


def settle(page):
    """Wait until all samples are measured and latency is too."""
    page.wait_for_function(
        "document.querySelector('.optim-basis').textContent.includes('on all')"
        " && document.querySelector('[data-number=latency] .optim-badge').textContent"
        " === 'measured'",
        timeout=60_000,
    )


def drag(page, selector, share, *, release=True):
    """Drag a slider's thumb to a share of its track."""
    slider = page.locator(selector)
    box = slider.bounding_box()
    at = int(slider.input_value()) / int(slider.get_attribute("max"))
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 8 + (box["width"] - 16) * at, y)
    page.mouse.down()
    for step in range(1, 13):
        there = at + (share - at) * step / 12
        page.mouse.move(box["x"] + 8 + (box["width"] - 16) * there, y)
        page.wait_for_timeout(40)
    if release:
        page.mouse.up()


def test_numbers_follow_while_a_slider_is_dragged(lab):
    settle(lab)
    before = number(lab, "size")
    drag(lab, CHANNELS, 0.2, release=False)
    lab.wait_for_function(
        "before => document.querySelector('[data-number=size] .optim-big').textContent !== before",
        arg=before,
    )
    lab.mouse.up()


def test_a_stranger_prunes_to_60_percent_at_4_bits_and_sees_the_cost(lab):
    drag(lab, CHANNELS, 0.6 / 0.95)
    drag(lab, BITS, 3 / 9)
    lab.wait_for_timeout(500)
    settle(lab)
    assert lab.locator(CHANNELS).get_attribute("aria-valuetext") == "60 %"
    assert lab.locator(BITS).get_attribute("aria-valuetext") == "4 bits"
    verdict = lab.locator(".optim-verdict").inner_text()
    assert re.search(r"\d+(\.\d)?x smaller.* (loses|shows no difference).* ± .* points", verdict)


def test_arrow_keys_move_a_slider(lab):
    slider = lab.locator(CHANNELS)
    before = slider.get_attribute("aria-valuetext")
    slider.focus()
    lab.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") != before


def test_the_keys_stay_on_a_slider_whose_position_was_committed(lab):
    slider = lab.locator(CHANNELS)
    slider.focus()
    before = int(slider.input_value())
    for _ in range(2):
        lab.keyboard.press("ArrowRight")
        lab.wait_for_timeout(1500)
    assert int(slider.input_value()) == before + 2


def test_a_preset_is_marked_for_as_long_as_the_sliders_stand_on_it(lab):
    marked = lab.locator(".optim-chip[aria-pressed=true]")
    lab.locator(".optim-chip", has_text="Balanced").click()
    lab.wait_for_timeout(1500)
    assert marked.all_inner_texts() == ["Balanced"]
    lab.locator(CHANNELS).focus()
    lab.keyboard.press("ArrowRight")
    assert marked.count() == 0
    lab.keyboard.press("ArrowLeft")
    assert marked.all_inner_texts() == ["Balanced"]


def test_a_reload_keeps_the_state_and_the_numbers(lab):
    drag(lab, CHANNELS, 0.3)
    lab.wait_for_timeout(800)
    settle(lab)
    shown = [number(lab, "accuracy"), number(lab, "size")]
    value = lab.locator(CHANNELS).get_attribute("aria-valuetext")
    lab.reload()
    wait_for_answer(lab)
    settle(lab)
    assert lab.locator(CHANNELS).get_attribute("aria-valuetext") == value
    assert [number(lab, "accuracy"), number(lab, "size")] == shown


def test_a_copied_link_shows_the_same_numbers_in_another_browser(lab, open_page):
    drag(lab, BITS, 4 / 9)
    lab.wait_for_timeout(800)
    settle(lab)
    other = open_page(lab.url)
    wait_for_answer(other)
    settle(other)
    assert number(other, "accuracy") == number(lab, "accuracy")
    assert number(other, "size") == number(lab, "size")
    assert other.locator(BITS).get_attribute("aria-valuetext") == "5 bits"


def test_undo_and_redo_walk_through_released_positions(lab):
    first = lab.locator(CHANNELS).get_attribute("aria-valuetext")
    drag(lab, CHANNELS, 0.2)
    lab.wait_for_timeout(800)
    second = lab.locator(CHANNELS).get_attribute("aria-valuetext")
    lab.get_by_role("button", name="Undo").click()
    lab.wait_for_function(f"document.querySelector('{CHANNELS}').ariaValueText === '{first}'")
    lab.get_by_role("button", name="Redo").click()
    lab.wait_for_function(f"document.querySelector('{CHANNELS}').ariaValueText === '{second}'")


def test_a_switched_off_step_has_no_effect_and_says_what_it_brought(lab):
    settle(lab)
    lab.get_by_text("All steps").click()
    gain = lab.locator('[data-gain="quantize"]')
    lab.wait_for_function(
        "document.querySelector('[data-gain=quantize]').textContent.includes('% size')"
    )
    size = number(lab, "size")
    lab.get_by_role("switch", name="Quantize on").click()
    lab.wait_for_function(
        "before => document.querySelector('[data-number=size] .optim-big').textContent !== before",
        arg=size,
    )
    assert gain.inner_text() == "off"


def test_an_illegal_order_is_refused_with_the_reason_and_nothing_is_lost(lab):
    lab.get_by_text("All steps").click()
    step = lab.locator('[data-step="quantize"]')
    for _ in range(2):
        step.get_by_role("button", name="Earlier").click()
    alert = lab.locator(".optim-message")
    alert.filter(has_text="must come before 'Quantize'").wait_for(timeout=10_000)


def test_the_download_is_verified_and_runs_in_onnx_runtime(lab, tmp_path):
    lab.get_by_role("button", name="Gentle").click()
    lab.wait_for_timeout(500)
    with lab.expect_download(timeout=60_000) as download:
        lab.get_by_role("button", name="Download verified file").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"input": np.zeros((2, 3, 32, 32), np.float32)})[0]
    assert outputs.shape == (2, 10)
    card = lab.locator(".st-key-delivery_card")
    assert "verified" in card.inner_text()
    assert "same class as simulated" in card.inner_text()


@pytest.mark.parametrize("section", ["Layers", "Classes", "Weights", "Sizes", "Files", "Recipe"])
def test_each_section_below_opens_without_an_error(lab, section):
    lab.get_by_test_id("stButtonGroup").get_by_text(section, exact=True).click()
    lab.wait_for_timeout(1500)
    lab.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')", timeout=30_000)
    assert lab.locator("[data-testid=stException]").count() == 0
    assert lab.locator("[data-testid=stAlert]").count() == 0


def test_a_broken_link_is_explained_and_the_default_is_shown(app, open_page):
    page = open_page(f"{app.url}/?r=not-a-recipe")
    wait_for_answer(page)
    assert "no recipe this program can read" in page.locator("[data-testid=stAlert]").inner_text()


def test_a_phone_shows_everything_without_scrolling_sideways(app, open_page):
    page = open_page(f"{app.url}/lab", width=400, height=860)
    wait_for_answer(page)
    page.wait_for_function(
        """() => {
          const main = document.querySelector("[data-testid=stMain]");
          return main.scrollWidth <= main.clientWidth + 1;
        }""",
        timeout=20_000,  # a chart that was drawn a moment ago takes its place
    )
