"""One browser tab without a browser: it speaks Streamlit's protocol and that of the live panel.

It opens the Lab by a link, moves sliders by the keys that ``interactive.py`` presses, as the
panel's script does, and notes how long new numbers take. What the panel knows already, because it
was computed ahead, is shown at once there, and counts as 0 ms here. Everything that arrives is
checked to be its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import websockets
from streamlit.components.v2.bidi_component.main import _make_trigger_id
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from optim.recipe import Recipe

KEYS = (*("ArrowLeft", "ArrowRight") * 3, *("PageUp", "PageDown") * 2, "Home", "End")
"""What is pressed on a slider, each as often as the others; as in ``interactive.py``."""
COMMIT_S = 0.2
"""A released slider is committed after this time, as in panel.js."""
LIMIT_S = 120
_MOST_BYTES = 64 * 2**20


class Foreign(Exception):
    """Something arrived that belongs to another session."""


@dataclass
class Times:
    """What a visitor has waited for, in seconds.

    Attributes:
        shown: From every moved slider to new numbers; 0 where they were known.
        asked: Of these, those that were not known.
        rerun: From every committed recipe to the end of the page's run.
        refused: Runs that said what went wrong instead of drawing the panel.
        open: From the first byte to a page with numbers.
        samples: How many samples the first numbers of a position rested on.
        unanswered: Moves without new numbers within the limit.
    """

    shown: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    rerun: list[float] = field(default_factory=list)
    open: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    unanswered: int = 0


class Page:
    """A page of the app in one session of Streamlit."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._cached: dict[str, ForwardMsg] = {}
        self._hash = ""
        self._query = ""
        self.panel: Any = None
        self.panel_fragment = ""
        self.exceptions: list[str] = []
        self.refusals: list[str] = []

    async def run(
        self, page: str = "", query: str = "", states: tuple[Any, ...] = (), fragment: str = ""
    ) -> None:
        """Run a page, and return when its run has ended.

        Args:
            page: Its address; the present one if empty.
            query: What stands behind the question mark of that address.
            states: Widgets that were touched.
            fragment: Id of the part that runs; all of it if empty.
        """
        if page:
            self._query = query
        self.panel, self.refusals = None, []
        asked = BackMsg()
        client = asked.rerun_script
        client.query_string = query if page else self._query
        client.page_name, client.fragment_id = page, fragment
        client.page_script_hash = "" if page else self._hash
        client.widget_states.widgets.extend(states)
        client.cached_message_hashes.extend(self._cached)
        await self._socket.send(asked.SerializeToString())
        async with asyncio.timeout(LIMIT_S):
            while not self._take(ForwardMsg.FromString(await self._socket.recv())):
                pass

    def _take(self, message: ForwardMsg) -> bool:
        """Take one message; return whether it ends a run."""
        kind = message.WhichOneof("type")
        if kind == "ref_hash":
            message = self._cached[message.ref_hash]
            kind = message.WhichOneof("type")
        elif message.metadata.cacheable and message.hash:
            self._cached[message.hash] = message
        if kind == "navigation":
            self._hash = message.navigation.page_script_hash
        elif kind == "page_info_changed":
            self._query = message.page_info_changed.query_string
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            found = element.WhichOneof("type")
            if found == "exception":
                self.exceptions.append(f"{element.exception.type}: {element.exception.message}")
            if found == "bidi_component" and "live_panel" in element.bidi_component.id:
                self.panel = element.bidi_component
                self.panel_fragment = message.delta.fragment_id
            if found == "alert":
                self.refusals.append(element.alert.body)
        # One that makes way for the next has not drawn what it was asked for.
        early = ForwardMsg.FINISHED_EARLY_FOR_RERUN
        return kind == "script_finished" and message.script_finished != early


class Visitor:
    """A session that opens the Lab and moves its sliders.

    Args:
        address: Of the server, ``http://...``.
        number: Tells visitors apart; every one uses request ids and links of its own.
        seed: Of what it does.
        jumps: Whether every move goes to any stop of a slider, not as keys do.
    """

    def __init__(self, address: str, number: int, seed: int, *, jumps: bool = False) -> None:
        self._jumps = jumps
        self._stream = f"{address.replace('http', 'ws', 1)}/_stcore/stream"
        self._live = f"{address.replace('http', 'ws', 1)}/optim/live"
        self._random = random.Random(f"{seed}:{number}")
        self._first_id = self._id = 1_000_000 * (number + 1)
        self._answers: dict[str, bool] = {}
        self._asked: dict[int, tuple[list[Any], list[Any]]] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self.times = Times()
        self.moves = 0

    async def visit(self, recipe: Recipe, until: float, pause_s: tuple[float, float]) -> None:
        """Open the Lab on a recipe and move sliders until a time of ``time.monotonic``."""
        async with self.opened(recipe) as (page, live):
            while time.monotonic() < until:
                await asyncio.sleep(self._random.uniform(*pause_s))
                await self._move(page, live)

    async def wander(self, pages: list[str], pause_s: tuple[float, float]) -> list[str]:
        """Look at pages one after the other; return the exceptions that stood on them."""
        async with self._connected(self._stream, subprotocols=["streamlit"]) as stream:
            page = Page(stream)
            for path in pages:
                await page.run(path)
                await asyncio.sleep(self._random.uniform(*pause_s))
            return page.exceptions

    def _connected(self, url: str, **options: Any) -> Any:
        return websockets.connect(
            url, max_size=_MOST_BYTES, open_timeout=LIMIT_S, ping_timeout=LIMIT_S, **options
        )

    @asynccontextmanager
    async def opened(self, recipe: Recipe) -> Iterator[tuple[Page, Any]]:
        """Open the Lab on a recipe; yields its page and its live connection."""
        start = time.monotonic()
        async with self._connected(self._stream, subprotocols=["streamlit"]) as stream:
            page = Page(stream)
            await page.run("lab", f"r={recipe.to_link()}")
            await self._check_panel(page, recipe)
            async with self._connected(self._live) as live:
                self._data = json.loads(page.panel.json)
                self._steps = [
                    {e["technique"]: dict(e["fields"]), "id": e["id"], "enabled": e["enabled"]}
                    for e in self._data["entries"]
                ]
                self._listening = asyncio.create_task(self._listen(live))
                try:
                    await self._ask(live, 0)
                    self.times.open.append(time.monotonic() - start)
                    yield page, live
                finally:
                    self._listening.cancel()
                    # What went wrong while nobody waited for an answer is said here.
                    with contextlib.suppress(asyncio.CancelledError):
                        await self._listening

    async def _move(self, page: Page, live: Any) -> None:
        """Move one slider, wait for numbers, and commit it as a released one is."""
        index = self._random.randrange(len(self._data["quick"]))
        quick = self._data["quick"][index]
        step = next(s for s in self._steps if s["id"] == quick["entry"])
        values = step[quick["entry"]]
        stops = quick["stops"]
        at = stops.index(values[quick["field"]]) if values[quick["field"]] in stops else 0
        ways = range(len(stops)) if self._jumps else [_after(at, k, len(stops)) for k in KEYS]
        values[quick["field"]] = stops[self._random.choice([to for to in ways if to != at])]
        self.moves += 1
        shown = asyncio.create_task(self._ask(live, index))
        await asyncio.sleep(COMMIT_S)
        start = time.monotonic()
        payload = [{"event": "commit", "value": {"id": str(self._id), "steps": self._steps}}]
        told = json.dumps(payload)
        trigger = _make_trigger_id(page.panel.id, "events")
        state = WidgetState(id=trigger, json_trigger_value=told)
        await page.run(states=(state,), fragment=page.panel_fragment)
        self.times.rerun.append(time.monotonic() - start)
        recipe = Recipe.from_json({**self._data["head"], "steps": self._steps})
        await self._check_panel(page, recipe)
        try:
            await shown
        except TimeoutError:
            self.times.unanswered += 1

    async def _ask(self, live: Any, focus: int) -> None:
        """Ask for the present position, and wait for its first numbers unless they are known."""
        start = time.monotonic()
        self._id += 1
        sliders = [
            {"entry": q["entry"], "field": q["field"], "stops": q["stops"]}
            for q in self._data["quick"]
        ]
        steps = json.loads(json.dumps(self._steps))
        key = _key(steps)
        self._asked[self._id] = (steps, sliders)
        is_known = key in self._answers
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[key] = waiting
        await live.send(
            json.dumps(
                {
                    "request_id": self._id,
                    "recipe": {**self._data["head"], "steps": steps},
                    "sliders": sliders,
                    "focus": focus,
                    "latency": self._data["latency"],
                }
            )
        )
        if is_known:
            self.times.shown.append(0.0)
            return
        either = {waiting, self._listening}
        done, _ = await asyncio.wait(either, timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        if self._listening in done:
            await self._listening
        if waiting not in done:
            raise TimeoutError
        self.times.shown.append(time.monotonic() - start)
        self.times.asked.append(time.monotonic() - start)

    async def _listen(self, live: Any) -> None:
        async for text in live:
            message = json.loads(text)
            if message["type"] == "error":
                raise RuntimeError(message["message"])
            if message["type"] != "answer":
                continue
            asked = self._asked.get(message["request_id"])
            if asked is None:
                raise Foreign(f"answer {message['request_id']} to {self._first_id}..{self._id}")
            key = _key(_at_stop(*asked, message["stop"]))
            self._answers[key] = True
            waiting = self._waiting.pop(key, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
                self.times.samples.append(message["n"])

    async def _check_panel(self, page: Page, recipe: Recipe) -> None:
        """Look whether a page is our own; one that asks to try again is tried again."""
        async with asyncio.timeout(LIMIT_S):
            while page.panel is None:
                if not page.refusals:
                    raise RuntimeError(f"The Lab has no panel: {page.exceptions}")
                self.times.refused += page.refusals
                await page.run()
        shown = json.loads(page.panel.json)["revision"]
        if shown != recipe.hash:
            raise Foreign(f"the page shows recipe {shown}, not {recipe.hash}")


def _after(at: int, key: str, stops: int) -> int:
    """Return the stop of a slider after a key, as browsers move it."""
    page = max(1, round(stops / 10))
    wanted = {
        "ArrowLeft": at - 1,
        "ArrowRight": at + 1,
        "PageUp": at + page,
        "PageDown": at - page,
        "Home": 0,
        "End": stops - 1,
    }[key]
    return min(max(wanted, 0), stops - 1)


def _key(steps: list[Any]) -> str:
    return json.dumps(steps, sort_keys=True)


def _at_stop(steps: list[Any], sliders: list[Any], stop: list[Any] | None) -> list[Any]:
    """Return the steps that an answer is about."""
    if not stop:
        return steps
    slider = sliders[stop[0]]
    moved = json.loads(json.dumps(steps))
    step = next(s for s in moved if s["id"] == slider["entry"])
    if slider["field"] == "enabled":
        step["enabled"] = stop[1]
    else:
        next(v for v in step.values() if isinstance(v, dict))[slider["field"]] = stop[1]
    return moved
