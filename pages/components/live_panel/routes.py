"""What the live panel asks the web server for: its scripts, Plotly, and a live connection.

The connection carries slider positions to the evaluator and its answers back, past Streamlit's
rerun, so that numbers can follow a drag. Everything that arrives is checked here; recipes may name
registered models and data only. Where people sign in, nobody else is answered: Streamlit guards its
own routes, and these are ours.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
import uuid
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket
from streamlit import config
from streamlit.auth_util import get_cookie_with_chunks, get_secrets_auth_section
from streamlit.web.server.server_util import (
    AUTH_COOKIE_NAME,
    get_cookie_secret,
    is_url_from_allowed_origins,
)
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from optim.errors import ConfigError, OptimError, RunError
from optim.export.downloads import find_export
from optim.hashing import digest_file
from optim.recipe import Recipe
from optim.whatif.evaluators import Evaluators

__all__ = ["asset_version", "base_path", "routes"]

_LOG = logging.getLogger(__name__)
_STATIC = Path(__file__).parent / "static"
_MAX_MESSAGE_BYTES = 65_536
_UNREADABLE = (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError)
"""What text that is no message of ours may raise: other types, infinities, endless nesting."""
_DEATHS, _SOON_S = 3, 60.0
"""So often may the evaluator end this soon after a position was sent, before it is given up."""
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


def routes(evaluator: Evaluators) -> list[BaseRoute]:
    """Return the routes of the panel, under the app's base path."""
    base = base_path()

    async def live(socket: WebSocket) -> None:
        await _Connection(socket, evaluator).serve()

    return [
        Route(f"{base}/panel/{{name:str}}", _script),
        Route(f"{base}/plotly.min.js", _plotly),
        Route(f"{base}/files/{{token:str}}/{{name:str}}", _file),
        WebSocketRoute(f"{base}/live", live),
    ]


def base_path() -> str:
    """Return the path under which the routes of this app live."""
    parts = [config.get_option("server.baseUrlPath").strip("/"), "optim"]
    return "/" + "/".join(filter(None, parts))


@cache
def asset_version() -> str:
    """Return a hash of the panel's scripts; it is part of their address, so they can be cached."""
    return "".join(digest_file(path)[:4] for path in sorted(_STATIC.iterdir()))


async def _script(request: Request) -> Response:
    path = _STATIC / Path(request.path_params["name"]).name
    if path.suffix != ".js" or not path.is_file():
        return Response(status_code=404)
    return FileResponse(path, media_type="text/javascript", headers=_FOREVER)


async def _plotly(request: Request) -> Response:
    path = files("plotly") / "package_data" / "plotly.min.js"
    return FileResponse(str(path), media_type="text/javascript", headers=_FOREVER)


async def _file(request: Request) -> Response:
    if not _is_known(request.cookies):
        return Response("Sign in to fetch this file.", status_code=403)
    path = find_export(request.path_params["token"], request.path_params["name"])
    if path is None:
        return Response("This file is no longer here; verify it again.", status_code=404)
    return FileResponse(
        path,
        filename=path.name,
        media_type="application/octet-stream",
        headers={"X-Content-Type-Options": "nosniff"},
    )


class _Connection:
    """One panel in one browser tab."""

    def __init__(self, socket: WebSocket, evaluator: Evaluators) -> None:
        self.socket = socket
        self.evaluator = evaluator
        self.session = uuid.uuid4().hex
        self.outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.position: dict[str, Any] | None = None
        self._sent = -math.inf
        self._deaths = 0

    async def serve(self) -> None:
        """Carry messages until the tab goes away."""
        headers = self.socket.headers
        is_ours = _is_allowed(headers.get("host"), headers.get("origin"))
        if not (is_ours and _is_known(self.socket.cookies)):
            await self.socket.close(code=4403)
            return
        await self.socket.accept()
        loop = asyncio.get_running_loop()
        self.evaluator.listen(
            self.session,
            lambda message: loop.call_soon_threadsafe(self.outgoing.put_nowait, message),
        )
        sender = asyncio.create_task(self._send())
        try:
            while (message := await self.socket.receive())["type"] != "websocket.disconnect":
                self._receive(message.get("text") or "")
        finally:
            sender.cancel()
            self.evaluator.close(self.session)

    async def _send(self) -> None:
        while True:
            message = await self.outgoing.get()
            if message["type"] == "restarted" and self.position is not None:
                self._again(self.position)
            await self.socket.send_text(json.dumps(message, separators=(",", ":")))

    def _receive(self, text: str) -> None:
        """Check one message and pass it on; what is wrong with it goes back as an answer."""
        request_id: Any = None
        try:
            if len(text) > _MAX_MESSAGE_BYTES:
                raise ConfigError("The message is too large.")
            message = json.loads(text)
            request_id = message["request_id"]
            self.position = _checked(message)
            self._deaths = 0
        except OptimError as error:
            self._refuse(request_id, error)
        except _UNREADABLE:
            _LOG.warning("a panel sent a message that cannot be read")
        else:
            self._move(self.position)

    def _again(self, position: dict[str, Any]) -> None:
        """Send a position to the next evaluator, unless one after the other dies of it."""
        is_soon = time.monotonic() - self._sent < _SOON_S
        self._deaths = self._deaths + 1 if is_soon else 1
        if self._deaths < _DEATHS:
            self._move(position)
            return
        self.position = None
        self._refuse(
            position["request_id"],
            RunError(
                f"The evaluator stopped {_DEATHS} times at this position.",
                hint="Choose another position or another model; the server's log has the details.",
            ),
        )

    def _move(self, position: dict[str, Any]) -> None:
        self._sent = time.monotonic()
        try:
            self.evaluator.move(self.session, position)
        except OptimError as error:
            self._refuse(position["request_id"], error)

    def _refuse(self, request_id: Any, error: OptimError) -> None:
        self.outgoing.put_nowait(
            {
                "type": "error",
                "request_id": request_id,
                "message": error.message,
                "hint": error.hint,
                "field": getattr(error, "field", ""),
            }
        )


def _checked(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a move with a legal recipe and only known keys.

    Raises:
        ConfigError: If a value is illegal.
    """
    recipe = Recipe.from_json(message["recipe"])
    latency = message.get("latency") or {}
    return {
        "request_id": int(message["request_id"]),
        "recipe": recipe.to_json(),
        "sliders": [
            {"entry": str(s["entry"]), "field": str(s["field"]), "stops": list(s["stops"])[:128]}
            for s in list(message.get("sliders", ()))[:32]
        ],
        "focus": message.get("focus") if isinstance(message.get("focus"), int) else None,
        "latency": {
            "batch_size": min(256, max(1, int(latency.get("batch_size", 1)))),
            "threads": min(64, max(1, int(latency.get("threads", 1)))),
        },
    }


def _is_allowed(host: str | None, origin: str | None) -> bool:
    """Whether a connection comes from our own page, as Streamlit decides for its own."""
    if not is_host_allowed(host):
        return False
    return origin is None or urlparse(origin).netloc == host or is_url_from_allowed_origins(origin)


def _is_known(cookies: Mapping[str, str]) -> bool:
    """Whether somebody has signed in, by the cookie Streamlit signs; all are if nobody must."""
    if not get_secrets_auth_section():
        return True

    def signed(name: str) -> bytes | None:
        value = cookies.get(name, "").encode("latin-1", "replace")
        return decode_signed_value(get_cookie_secret(), name, value)

    try:
        found = json.loads(get_cookie_with_chunks(signed, AUTH_COOKIE_NAME) or b"{}")
    except ValueError:
        return False
    return found.get("is_logged_in") is True
