"""The place of the sidebar is kept free in documents, and nothing else is changed."""

import asyncio
import re
from pathlib import Path

import httpx
import streamlit
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route

from pages.components import first_paint
from pages.components.first_paint import FirstPaint

DOCUMENT = "<html><head><title>x</title></head><body>" + "y" * 2000 + "</body></html>"


def get(path="/", **headers):
    async def document(request):
        return HTMLResponse(DOCUMENT)

    async def script(request):
        return PlainTextResponse("</head>", media_type="text/javascript")

    async def lost(request):
        return HTMLResponse(DOCUMENT, status_code=404)

    routes = [
        Route("/", document),
        Route("/present", document),
        Route("/script", script),
        Route("/lost", lost),
    ]
    app = FirstPaint(GZipMiddleware(Starlette(routes=routes), minimum_size=10))

    async def fetch():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(fetch())


def test_a_document_brings_the_style_and_its_true_length():
    answer = get(accept="text/html", **{"accept-encoding": "gzip"})
    assert answer.text.index("263px") < answer.text.index("</head>")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.text.endswith("</style></body></html>")
    assert "st-key-navigation" in answer.text


def test_a_document_asks_for_the_scripts_of_streamlit_that_every_page_needs():
    text = get(accept="text/html").text
    named = re.findall(r'href="\./static/js/([^"]+)"', text)
    assert {name.partition(".")[0] for name in named} >= {"PageLink", "Selectbox", "Html"}
    folder = Path(streamlit.__file__).parent / "static" / "static" / "js"
    assert all((folder / name).is_file() for name in named)
    assert len(named) == len(set(named))


def test_a_page_without_a_sidebar_keeps_no_place_for_it():
    style = "263px"
    assert style not in get("/present?snapshots=abc", accept="text/html").text
    assert style in get("/present", accept="text/html").text
    assert style in get("/?snapshots=abc", accept="text/html").text


def test_scripts_and_errors_are_left_as_they_are():
    assert get("/script").text == "</head>"
    assert get("/lost").text == DOCUMENT


def test_what_was_asked_for_compressed_stays_so():
    answer = get(accept="*/*", **{"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text == DOCUMENT


def test_no_style_has_the_browser_look_through_the_page_at_every_change():
    """What asks for anything below an element by ``:has`` does; what asks for a child does not."""
    styles = [first_paint._STYLE, first_paint._THEME.read_text(encoding="utf-8")]
    asked = re.findall(r"([^\s,{}]*):has\((?!>)", "".join(styles))
    assert set(asked) <= {'[data-testid="stCaptionContainer"]'}
