"""What stands in the document itself, so that nothing jumps while a page is put together.

The sidebar is there only once a page has run. Until then the page would fill the whole width, and
move aside a moment later: its place is kept free. Parts of every page are scripts that Streamlit
fetches when it first meets them, and draws something of another height until they are there: the
document asks for them at once. Whatever a page sends comes too late for either.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.components.present.deck import is_alone

__all__ = ["FirstPaint"]

_STYLE = (
    "<style>@media (min-width: 769px) { "
    '[data-testid="stAppViewContainer"] > a + div '
    "{ margin-left: 263px; width: calc(100% - 263px); } }</style>"
)
"""Between the link that skips to the content and the content stands the sidebar, once it is there.
To ask for it by ``:has`` would have the browser look through the page at every change of it."""
_PARTS = ("Html", "PageLink", "Selectbox", "ButtonGroup", "Button", "Metric")
"""Scripts of Streamlit that the frame and the head of most pages are drawn with."""
_IMPORTED = re.compile(r"""(?:from|import)\s*["'`]\./([\w.-]+\.js)["'`]""")
_THEME = Path(__file__).parents[2] / "assets" / "theme.css"
_HEAD, _BODY = b"</head>", b"</body>"
_ENCODING = b"accept-encoding"


@cache
def _links() -> str:
    """Return links by which a document asks for those parts, what they import, and the icons.

    Where a later Streamlit names its files otherwise there are none, and pages come as they did.
    """
    static = Path(st.__file__).parent / "static" / "static"
    folder = static / "js"
    wanted = [path.name for part in _PARTS for path in sorted(folder.glob(f"{part}.*.js"))]
    found: dict[str, None] = {}
    while wanted:
        name = wanted.pop()
        if name not in found and not name.startswith("index.") and (folder / name).is_file():
            found[name] = None
            wanted += _IMPORTED.findall((folder / name).read_text(encoding="utf-8"))
    scripts = [f'rel="modulepreload" href="./static/js/{name}"' for name in found]
    icons = [
        f'rel="preload" as="font" type="font/woff2" href="./static/media/{path.name}"'
        for path in sorted((static / "media").glob("MaterialSymbols*.woff2"))
    ]
    return "".join(f"<link crossorigin {what}>" for what in (*icons, *scripts))


@cache
def _theme() -> str:
    """Return the app's own style, behind that of Streamlit, which it changes."""
    return f"<style>{_THEME.read_text(encoding='utf-8')}</style>"


class FirstPaint:
    """Writes styles and links into the documents that it lets through.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        if "text/html" in Headers(scope=scope).get("accept", ""):
            # What is compressed already cannot be written into; a document is eight kilobytes.
            plain = [(name, value) for name, value in scope["headers"] if name != _ENCODING]
            scope = {**scope, "headers": plain}
        start: Message = {}
        body = b""

        async def with_style(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                if not _is_document(Headers(raw=message["headers"]), message["status"]):
                    await send(message)
                    return
                start = message
            elif start and message["type"] == "http.response.body":
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                head = _links() + ("" if _has_no_sidebar(scope) else _STYLE)
                body = body.replace(_HEAD, head.encode() + _HEAD, 1)
                body = body.replace(_BODY, _theme().encode() + _BODY, 1)
                MutableHeaders(scope=start)["content-length"] = str(len(body))
                await send(start)
                await send({**message, "body": body})
            else:
                await send(message)

        await self.app(scope, receive, with_style)


def _has_no_sidebar(scope: Scope) -> bool:
    parameters = parse_qs(scope["query_string"].decode("latin-1"))
    return is_alone(scope["path"].rpartition("/")[2], parameters)


def _is_document(headers: Headers, status: int) -> bool:
    html = headers.get("content-type", "").startswith("text/html")
    return html and status == 200 and "content-encoding" not in headers
