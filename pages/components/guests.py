"""A cookie by which a browser is known again, so that a reload loses nothing of its own.

It is a random text that means nothing elsewhere. Scripts cannot read it, and no other site is sent
it; where people sign in, it is not used.
"""

from __future__ import annotations

import re
import secrets
from http.cookies import SimpleCookie

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config

__all__ = ["COOKIE", "GuestCookie", "is_token", "new_token"]

COOKIE = "optim_guest"
_YEAR_S = 365 * 24 * 3600
_TOKEN = re.compile(r"[\w-]{43}", re.ASCII)


def new_token() -> str:
    """Return a text of 256 random bits."""
    return secrets.token_urlsafe(32)


def is_token(text: str) -> bool:
    """Whether a text has the form of our tokens; what a browser made up itself has another."""
    return _TOKEN.fullmatch(text) is not None


class GuestCookie:
    """Gives the cookie to browsers that open a page without one.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or COOKIE in HTTPConnection(scope).cookies:
            await self.app(scope, receive, send)
            return

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", _cookie(is_secure=scope["scheme"] == "https"))
            await send(message)

        await self.app(scope, receive, with_cookie)


def _cookie(*, is_secure: bool) -> str:
    cookie: SimpleCookie = SimpleCookie()
    cookie[COOKIE] = new_token()
    cookie[COOKIE]["path"] = "/" + config.get_option("server.baseUrlPath").strip("/")
    cookie[COOKIE]["max-age"] = _YEAR_S
    cookie[COOKIE]["httponly"] = True
    cookie[COOKIE]["samesite"] = "Lax"
    cookie[COOKIE]["secure"] = is_secure
    return cookie[COOKIE].OutputString()
