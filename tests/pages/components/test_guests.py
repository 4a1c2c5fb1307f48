"""The cookie of a guest: given with a page, once, and of use nowhere else."""

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from streamlit import config

from pages.components.guests import COOKIE, GuestCookie, is_token, new_token


def get(path="/", cookie="", scheme="http"):
    """Return the cookies that a request is answered with."""

    async def page(request):
        return HTMLResponse("<p>")

    async def script(request):
        return PlainTextResponse("1")

    app = GuestCookie(Starlette(routes=[Route("/", page), Route("/script", script)]))
    answer = []

    async def fetch():
        headers = [(b"cookie", cookie.encode())] if cookie else []
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": scheme,
            "headers": headers,
            "server": ("localhost", 1),
            "client": ("127.0.0.1", 1),
        }

        async def receive():
            return {"type": "http.request"}

        async def send(message):
            answer.append(message)

        await app(scope, receive, send)

    asyncio.run(fetch())
    return [v.decode() for k, v in answer[0]["headers"] if k == b"set-cookie"]


def test_a_browser_without_it_is_given_one_with_the_page():
    (cookie,) = get()
    name, _, value = cookie.split(";")[0].partition("=")
    assert name == COOKIE
    assert is_token(value)
    assert get() != [cookie]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= attributes
    assert "secure" not in attributes


def test_over_tls_it_never_travels_in_the_clear():
    assert "secure" in get(scheme="https")[0].lower()


def test_who_has_one_keeps_it_and_scripts_bring_none():
    assert get(cookie=f"{COOKIE}={new_token()}") == []
    assert get("/script") == []


def test_under_a_path_it_belongs_to_that_path():
    before = config.get_option("server.baseUrlPath")
    config.set_option("server.baseUrlPath", "studio")
    try:
        assert "Path=/studio" in get()[0]
    finally:
        config.set_option("server.baseUrlPath", before)


@pytest.mark.parametrize("text", ["", "x", "a" * 42, "a" * 44, "é" * 43, "a" * 42 + ";"])
def test_what_a_browser_made_up_is_no_token(text):
    assert not is_token(text)
