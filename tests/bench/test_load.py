"""The benches of load and of hours: what they count, and that a visitor notices what is not his."""

import asyncio
import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from optim.presets import default_recipe

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("load")


@pytest.fixture
def soak(load):
    return importlib.import_module("soak")


@pytest.fixture
def visitor(load):
    return importlib.import_module("visitor")


class Socket:
    """Messages of a server that were written down."""

    def __init__(self, *messages):
        self._messages = [json.dumps(message) for message in messages]

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self._messages:
            raise StopAsyncIteration
        return self._messages.pop(0)


def test_visitors_begin_at_positions_of_their_own(load):
    scattered = {load.recipe_of(number, scattered=True).hash for number in range(30)}
    assert len(scattered) > 20
    assert 1 < len({load.recipe_of(number).hash for number in range(30)}) <= len(load.PRESETS)


@pytest.mark.parametrize(
    ("key", "at", "there"),
    [("ArrowLeft", 0, 0), ("ArrowRight", 3, 4), ("PageUp", 3, 5), ("Home", 9, 0), ("End", 2, 19)],
)
def test_a_key_moves_a_slider_as_browsers_do(visitor, key, at, there):
    assert visitor._after(at, key, 20) == there


def test_an_answer_to_somebody_else_ends_the_visit(visitor):
    guest = visitor.Visitor("http://127.0.0.1:1", 3, 0)
    foreign = Socket({"type": "answer", "request_id": 1_000_001, "stop": None})
    with pytest.raises(visitor.Foreign, match="1000001"):
        asyncio.run(guest._listen(foreign))


def test_a_page_with_another_recipe_ends_the_visit(visitor):
    guest = visitor.Visitor("http://127.0.0.1:1", 3, 0)
    page = SimpleNamespace(panel=SimpleNamespace(json=json.dumps({"revision": "another"})))
    with pytest.raises(visitor.Foreign, match="recipe another"):
        asyncio.run(guest._check_panel(page, default_recipe()))


def test_a_page_that_asks_to_try_again_is_tried_again(visitor):
    guest = visitor.Visitor("http://127.0.0.1:1", 3, 0)
    recipe = default_recipe()
    page = SimpleNamespace(panel=None, refusals=["Try again."], exceptions=[])

    async def run():
        page.panel = SimpleNamespace(json=json.dumps({"revision": recipe.hash}))

    page.run = run
    asyncio.run(guest._check_panel(page, recipe))
    assert guest.times.refused == ["Try again."]
    page.panel, page.refusals = None, []
    with pytest.raises(RuntimeError, match="no panel"):
        asyncio.run(guest._check_panel(page, recipe))


def test_what_was_computed_ahead_is_known(visitor):
    guest = visitor.Visitor("http://127.0.0.1:1", 0, 0)
    steps = [{"quantize": {"weight_bits": 8}, "id": "quantize", "enabled": True}]
    sliders = [{"entry": "quantize", "field": "weight_bits", "stops": [4, 8]}]
    guest._asked[guest._first_id] = (steps, sliders)
    ahead = {"type": "answer", "request_id": guest._first_id, "stop": [0, 4]}
    asyncio.run(guest._listen(Socket(ahead)))
    [known] = map(json.loads, guest._answers)
    assert known[0]["quantize"]["weight_bits"] == 4
    assert steps[0]["quantize"]["weight_bits"] == 8


def test_growth_is_the_slope_and_its_interval_holds_it(soak):
    noise = np.random.default_rng(0).normal(0, 1, 400)
    samples = [(9.0 * i, 200 + 9.0 * i / 3600 * 12 + noise[i], 900.0) for i in range(400)]
    grown = soak.growth(samples)
    assert grown["low"] < 12 < grown["high"]
    assert 0 < grown["high"] - grown["low"] < 6
    flat = soak.growth([(9.0 * i, 200 + noise[i], 900.0) for i in range(400)])
    assert flat["low"] < 0 < flat["high"]


def test_what_nobody_took_care_of_is_found_in_a_log(soak, tmp_path):
    log = tmp_path / "server.log"
    log.write_text("GET /\n2026 Uncaught app execution\nTraceback\nall is well\n")
    assert soak.unhandled(log) == ["2026 Uncaught app execution"]
