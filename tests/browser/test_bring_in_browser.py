"""A newcomer brings a normalised network that does not say so, and is told within seconds."""

import io
import re

import numpy as np
import onnx
import pytest
from conftest import wait_for_answer

from optim.export.deploy import onnx_bytes
from tests.helpers import train_on_digits

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def files():
    """A residual network as plain ONNX, without its normalisation, and the digits it knows."""
    bundle, data = train_on_digits()
    model = onnx.load_from_string(onnx_bytes(bundle))
    del model.metadata_props[:]
    samples, arrays = data.part("validation"), io.BytesIO()
    np.savez(arrays, x=samples.inputs[:, 0], y=samples.targets)
    return (
        {"name": "mine.onnx", "mimeType": "", "buffer": model.SerializeToString()},
        {"name": "mine.npz", "mimeType": "", "buffer": arrays.getvalue()},
    )


def bring(page, files):
    """Upload both; return once samples stand on the page."""
    page.locator("input[type=file]").first.set_input_files(files[0])
    page.get_by_text("Classification, 10 classes").wait_for(timeout=90_000)
    page.locator("input[type=file]").nth(1).set_input_files(files[1])
    page.get_by_text("How they are read").wait_for(timeout=90_000)


def percent(text):
    return float(re.search(r"(\d+(\.\d+)?)( ± \d+(\.\d+)?)? ?%", text).group(1))


def test_a_normalised_network_as_plain_onnx_is_read_rightly_with_one_click(app, open_page, files):
    page = open_page(f"{app.url}/lab")
    wait_for_answer(page)
    page.get_by_test_id("stSidebar").get_by_role("link", name="Use my model").click()
    page.get_by_text("Bring the model first").wait_for()
    assert page.get_by_role("button", name="Confirm and check").is_disabled()

    bring(page, files)
    page.get_by_role("img", name="Sample of class 3").first.wait_for()
    assert "ccuracy" not in page.get_by_test_id("stMain").inner_text()

    page.get_by_role("button", name="Confirm and check").focus()
    page.keyboard.press("Enter")
    doubts = page.locator(".st-key-bring_doubts")
    doubts.wait_for(timeout=120_000)
    before = percent(doubts.get_by_text("Accuracy").inner_text())
    promised = percent(doubts.get_by_text("of the samples:").inner_text())
    assert promised > before + 10

    doubts.get_by_role("button", name="Use this").first.click()
    wait_for_answer(page)
    page.get_by_role("button", name="Reset").wait_for()
    assert "mine.onnx · mine.npz" in page.locator(".st-key-lab_header").inner_text()
    assert page.locator(".st-key-lab_doubt").count() == 0

    page.get_by_role("button", name="Data", exact=True).click()
    page.get_by_text("How they are read").wait_for(timeout=90_000)
    assert page.get_by_role("textbox", name="Less the mean").input_value().startswith("0.3")


def test_a_phone_shows_both_steps_without_scrolling_sideways(app, open_page, files):
    page = open_page(f"{app.url}/use-my-model", width=400, height=860)
    page.get_by_text("Bring the model first").wait_for(timeout=60_000)
    bring(page, files)
    main = page.get_by_test_id("stMain")
    assert main.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
