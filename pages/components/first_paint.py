"""Keep the place of the sidebar free from the first paint on, so that nothing jumps when it comes.

The sidebar is there only once a page has run. Until then the page would fill the whole width, and
move aside a moment later. The style has to be in the document itself: whatever a page sends comes
too late.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.components.present.deck import is_alone

__all__ = ["FirstPaint"]

_STYLE = (
    "<style>@media (min-width: 769px) { "
    '[data-testid="stAppViewContainer"]:not(:has([data-testid="stSidebar"])) '
    '> :has(> [data-testid="stMain"]) { margin-left: 263px; width: calc(100% - 263px); } }</style>'
)
_BEFORE = b"</head>"
_ENCODING = b"accept-encoding"


class FirstPaint:
    """Writes the style into the documents that it lets through.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "GET" or _has_no_sidebar(scope):
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
                body = body.replace(_BEFORE, _STYLE.encode() + _BEFORE, 1)
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
