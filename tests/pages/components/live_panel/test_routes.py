"""What the live panel asks the server for: nothing leaves its folder, nobody foreign gets in."""

import asyncio
import json
import logging

import pytest
from starlette.applications import Starlette
from streamlit import config
from streamlit.web.server.server_util import AUTH_COOKIE_NAME
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from optim.errors import ConfigError, RunError
from optim.export.downloads import keep_export
from pages.components.live_panel import routes
from tests.pages.helpers import small_recipe

ADDRESS = {"host": "localhost:8501", "origin": "http://localhost:8501"}


class Evaluator:
    """Notes what it is told, and answers what a test wants."""

    def __init__(self):
        self.moves, self.open, self.listeners = [], set(), {}
        self.refuse = None

    def listen(self, session, listener):
        self.open.add(session)
        self.listeners[session] = listener

    def move(self, session, message):
        if self.refuse:
            raise self.refuse
        self.moves.append(message)
        self.listeners[session]({"type": "answer", "request_id": message["request_id"]})

    def close(self, session):
        self.open.discard(session)


@pytest.fixture
def evaluator():
    return Evaluator()


@pytest.fixture
def app(evaluator):
    return Starlette(routes=routes.routes(evaluator))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Keep Streamlit from looking up this machine's addresses when an origin is foreign."""
    monkeypatch.setattr("streamlit.net_util.get_external_ip", lambda: None)
    monkeypatch.setattr("streamlit.net_util.get_internal_ip", lambda: None)


@pytest.fixture(autouse=True)
def _hosts(monkeypatch):
    """Allow the hosts that the shipped configuration allows."""
    before = config.get_option("server.allowedHosts")
    config.set_option("server.allowedHosts", ["localhost", "127.0.0.1"])
    yield
    config.set_option("server.allowedHosts", before)


def get(app, path):
    """Fetch a path exactly as written, dots and all; returns status, headers and body."""
    answer = []

    async def fetch():
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost:8501")],
            "server": ("localhost", 8501),
            "client": ("127.0.0.1", 1),
        }

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            answer.append(message)

        await app(scope, receive, send)

    asyncio.run(fetch())
    headers = {k.decode(): v.decode() for k, v in answer[0]["headers"]}
    return answer[0]["status"], headers, b"".join(m.get("body", b"") for m in answer[1:])


def talk(app, *messages, **headers):
    """Open the live connection, send messages, wait for what comes back, and leave."""
    said = []

    async def converse():
        scope = {
            "type": "websocket",
            "http_version": "1.1",
            "scheme": "ws",
            "path": "/optim/live",
            "raw_path": b"/optim/live",
            "query_string": b"",
            "root_path": "",
            "headers": [(k.encode(), v.encode()) for k, v in headers.items() if v is not None],
            "server": ("localhost", 8501),
            "client": ("127.0.0.1", 1),
            "subprotocols": [],
        }
        incoming = [{"type": "websocket.connect"}]
        incoming += [{"type": "websocket.receive", **as_frame(m)} for m in messages]

        async def receive():
            if incoming:
                return incoming.pop(0)
            for _ in range(10):  # lets the sender deliver what was answered
                await asyncio.sleep(0)
            return {"type": "websocket.disconnect", "code": 1000}

        async def send(message):
            said.append(message)

        await app(scope, receive, send)

    asyncio.run(converse())
    return said


def as_frame(message):
    if isinstance(message, bytes):
        return {"bytes": message}
    return {"text": message if isinstance(message, str) else json.dumps(message)}


def answers(said):
    return [json.loads(m["text"]) for m in said if m["type"] == "websocket.send"]


def position(**fields):
    return {"request_id": 1, "recipe": small_recipe().to_json(), "sliders": [], **fields}


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(p.name for p in routes._STATIC.iterdir()))
def test_every_script_of_the_panel_is_served_and_may_be_kept_forever(app, name):
    status, headers, body = get(app, f"/optim/panel/{name}")
    assert status == 200
    assert headers["content-type"].startswith("text/javascript")
    assert "immutable" in headers["cache-control"]
    assert body == (routes._STATIC / name).read_bytes()


def test_plotly_is_the_one_that_is_installed(app):
    status, headers, body = get(app, "/optim/plotly.min.js")
    assert status == 200
    assert headers["content-type"].startswith("text/javascript")
    assert len(body) > 1_000_000


@pytest.mark.parametrize(
    "path",
    [
        "/optim/panel/../routes.py",
        "/optim/panel/..%2froutes.py",
        "/optim/panel/routes.py",
        "/optim/panel/../../../../app.py",
        "/optim/panel//etc/passwd",
        "/optim/panel/..",
        "/optim/panel/.",
        "/optim/panel/panel.js/",
        "/optim/panel/panel.css",
        "/optim/panel/__init__.py",
        "/optim/files/../../etc/passwd",
        "/optim/files/" + "0" * 32 + "/../../etc/passwd",
        "/optim/files/" + "0" * 32 + "/model.onnx",
        "/optim/files/./model.onnx",
        "/optim/files/*/model.onnx",
        "/optim/files/" + "g" * 32 + "/model.onnx",
        "/optim/",
    ],
)
def test_no_path_leads_out_of_the_folders_that_are_served(app, path):
    status, _, body = get(app, path)
    assert status in (307, 404)
    assert b"import" not in body
    assert b"root:" not in body


def test_a_script_asked_for_by_a_path_is_only_ever_the_one_of_that_name(app):
    status, _, body = get(app, "/optim/panel/..\\..\\panel.js")
    assert status == 404 or body == (routes._STATIC / "panel.js").read_bytes()


def test_a_verified_file_is_handed_over_as_it_is_and_never_shown_as_a_page(app):
    token = keep_export(b"<script>alert(1)</script>", "model.onnx")
    status, headers, body = get(app, f"/optim/files/{token}/model.onnx")
    assert (status, body) == (200, b"<script>alert(1)</script>")
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == 'attachment; filename="model.onnx"'
    assert headers["x-content-type-options"] == "nosniff"


def test_a_token_opens_its_own_file_only(app):
    token = keep_export(b"mine", "model.onnx")
    for name in ("other.onnx", "*", ".", "model.onn?"):
        assert get(app, f"/optim/files/{token}/{name}")[0] == 404


def test_a_file_that_is_gone_says_what_to_do(app):
    status, _, body = get(app, f"/optim/files/{'0' * 32}/model.onnx")
    assert status == 404
    assert b"verify it again" in body


def test_the_address_of_the_scripts_changes_with_their_content(tmp_path, monkeypatch):
    before = routes.asset_version()
    for path in routes._STATIC.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(routes, "_STATIC", tmp_path)
    routes.asset_version.cache_clear()
    assert routes.asset_version() == before
    (tmp_path / "panel.js").write_text("changed")
    routes.asset_version.cache_clear()
    assert routes.asset_version() != before
    routes.asset_version.cache_clear()


@pytest.mark.parametrize(
    ("base", "path"), [("", "/optim"), ("studio", "/studio/optim"), ("/a/b/", "/a/b/optim")]
)
def test_routes_follow_the_path_under_which_the_app_is_served(base, path):
    before = config.get_option("server.baseUrlPath")
    config.set_option("server.baseUrlPath", base)
    try:
        assert routes.base_path() == path
    finally:
        config.set_option("server.baseUrlPath", before)


# --- the live connection: who may come in -------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(ADDRESS, id="own page"),
        pytest.param({"host": "127.0.0.1:8501", "origin": "http://127.0.0.1:8501"}, id="by number"),
        pytest.param({"host": "localhost:8501", "origin": None}, id="no browser"),
    ],
)
def test_our_own_page_is_let_in(app, headers):
    assert talk(app, **headers)[0]["type"] == "websocket.accept"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({**ADDRESS, "origin": "http://evil.example"}, id="foreign origin"),
        pytest.param({**ADDRESS, "origin": "http://localhost.evil.example"}, id="lookalike"),
        pytest.param({**ADDRESS, "origin": "null"}, id="sandboxed frame"),
        pytest.param(
            {"host": "evil.example:8501", "origin": "http://evil.example:8501"}, id="rebound name"
        ),
        pytest.param({"host": "evil@localhost", "origin": "http://evil@localhost"}, id="user info"),
        pytest.param({"host": None, "origin": None}, id="no host"),
    ],
)
def test_foreign_pages_are_refused_before_anything_is_read(app, evaluator, headers):
    said = talk(app, position(), **headers)
    assert [m["type"] for m in said] == ["websocket.close"]
    assert said[0]["code"] == 4403
    assert not evaluator.moves
    assert not evaluator.listeners


# --- where people sign in -----------------------------------------------------------------------


@pytest.fixture
def with_sign_in(monkeypatch):
    """Let the operator have set up sign-in; returns what makes a cookie of a user."""
    monkeypatch.setattr(routes, "get_secrets_auth_section", lambda: {"client_id": "studio"})
    monkeypatch.setattr(routes, "get_cookie_secret", lambda: "a secret long enough")

    def cookie(content, secret="a secret long enough"):
        value = create_signed_value(secret, AUTH_COOKIE_NAME, json.dumps(content))
        return f"{AUTH_COOKIE_NAME}={value.decode()}"

    return cookie


def test_the_live_connection_is_for_who_has_signed_in(app, evaluator, with_sign_in):
    cookie = with_sign_in({"is_logged_in": True, "sub": "ann"})
    assert talk(app, position(), **ADDRESS, cookie=cookie)[0]["type"] == "websocket.accept"
    assert evaluator.moves


@pytest.mark.parametrize(
    "content",
    [None, {"is_logged_in": False}, {"sub": "ann"}, {"is_logged_in": "yes"}, "forged", "unsigned"],
)
def test_nobody_else_is_answered(app, evaluator, with_sign_in, content):
    known = {"is_logged_in": True}
    cookies = {
        "forged": with_sign_in(known, secret="another secret, as long"),
        "unsigned": f"{AUTH_COOKIE_NAME}={json.dumps(known)}",
    }
    cookie = cookies[content] if isinstance(content, str) else content and with_sign_in(content)
    said = talk(app, position(), **ADDRESS, cookie=cookie)
    assert [m["type"] for m in said] == ["websocket.close"]
    assert not evaluator.moves
    token = keep_export(b"hers", "model.onnx")
    status, _, body = get(app, f"/optim/files/{token}/model.onnx")
    assert (status, b"hers" in body) == (403, False)


# --- the live connection: what is said ----------------------------------------------------------


def test_a_position_goes_to_the_evaluator_and_its_answer_comes_back(app, evaluator):
    said = talk(app, position(request_id=17), **ADDRESS)
    assert answers(said) == [{"type": "answer", "request_id": 17}]
    (move,) = evaluator.moves
    assert move["recipe"] == small_recipe().to_json()


def test_a_closed_tab_is_forgotten(app, evaluator):
    talk(app, position(), **ADDRESS)
    assert not evaluator.open


def test_only_known_keys_are_passed_on_and_numbers_stay_within_limits(app, evaluator):
    talk(
        app,
        position(
            path="/etc/passwd",
            focus="quantize",
            latency={"batch_size": 10**9, "threads": -4, "file": "x"},
            sliders=[{"entry": "a", "field": "b", "stops": list(range(200)), "x": 1}] * 40,
        ),
        **ADDRESS,
    )
    (move,) = evaluator.moves
    assert set(move) == {"request_id", "recipe", "sliders", "focus", "latency"}
    assert move["latency"] == {"batch_size": 256, "threads": 1}
    assert move["focus"] is None
    assert len(move["sliders"]) == 32
    assert all(
        len(s["stops"]) == 128 and set(s) == {"entry", "field", "stops"} for s in move["sliders"]
    )


def test_an_illegal_recipe_is_answered_with_its_field_and_goes_no_further(app, evaluator):
    recipe = small_recipe().to_json()
    recipe["steps"][2]["quantize"]["weight_bits"] = 99
    (answer,) = answers(talk(app, position(request_id=5, recipe=recipe), **ADDRESS))
    assert (answer["type"], answer["request_id"]) == ("error", 5)
    assert answer["field"] == "quantize.weight_bits"
    assert "99" in answer["message"]
    assert not evaluator.moves


def test_what_the_evaluator_refuses_is_answered(app, evaluator):
    evaluator.refuse = ConfigError("No such model.", hint="Choose one.", field="model")
    (answer,) = answers(talk(app, position(), **ADDRESS))
    assert (answer["message"], answer["hint"], answer["field"]) == (
        "No such model.",
        "Choose one.",
        "model",
    )


def test_a_message_that_is_too_large_is_refused_unread(app, evaluator):
    (answer,) = answers(talk(app, position(padding="x" * 70_000), **ADDRESS))
    assert answer["type"] == "error"
    assert "too large" in answer["message"]
    assert not evaluator.moves


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut short"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param("{}", id="no keys"),
        pytest.param('{"request_id": 1}', id="no recipe"),
        pytest.param(position(request_id="one"), id="request_id is text"),
        pytest.param(position(request_id=float("inf")), id="request_id is infinite"),
        pytest.param(position(sliders=[1]), id="sliders are numbers"),
        pytest.param(position(latency=[1]), id="latency is a list"),
        pytest.param(position(latency={"threads": float("inf")}), id="infinite threads"),
        pytest.param("[" * 60_000, id="nested deeply"),
        pytest.param(b"\x00\xff", id="binary"),
    ],
)
def test_a_message_that_cannot_be_read_is_logged_and_the_connection_goes_on(
    app, evaluator, message, caplog
):
    with caplog.at_level(logging.WARNING, logger=routes.__name__):
        said = talk(app, message, position(request_id=2), **ADDRESS)
    assert "cannot be read" in caplog.text
    assert answers(said) == [{"type": "answer", "request_id": 2}]


def test_after_a_restart_of_the_evaluator_the_position_is_sent_again(app, evaluator):
    def restart(session, message):
        evaluator.moves.append(message)
        if len(evaluator.moves) == 1:
            evaluator.listeners[session]({"type": "restarted"})

    evaluator.move = restart
    said = talk(app, position(request_id=3), **ADDRESS)
    assert [m["request_id"] for m in evaluator.moves] == [3, 3]
    assert answers(said) == [{"type": "restarted"}]


def test_a_position_the_evaluator_dies_of_again_and_again_is_given_up(app, evaluator):
    def die(session, message):
        evaluator.moves.append(message)
        evaluator.listeners[session]({"type": "restarted"})

    evaluator.move = die
    said = answers(talk(app, position(request_id=3), **ADDRESS))
    assert [m["request_id"] for m in evaluator.moves] == [3, 3, 3]
    (refused,) = [m for m in said if m["type"] == "error"]
    assert refused["request_id"] == 3
    assert "stopped 3 times" in refused["message"]


def test_an_evaluator_that_cannot_be_restarted_is_said_and_the_connection_goes_on(app, evaluator):
    def fail(session, message):
        evaluator.moves.append(message)
        if len(evaluator.moves) == 2:
            raise RunError("The evaluator cannot be started.")
        evaluator.listeners[session](
            {"type": "restarted" if len(evaluator.moves) == 1 else "answer"}
        )

    evaluator.move = fail
    said = answers(talk(app, position(request_id=1), position(request_id=3), **ADDRESS))
    assert {m["type"] for m in said} == {"restarted", "error", "answer"}
    assert [m["message"] for m in said if m["type"] == "error"] == [
        "The evaluator cannot be started."
    ]


def test_two_tabs_hear_only_their_own_answers(app, evaluator):
    first = answers(talk(app, position(request_id=1), **ADDRESS))
    second = answers(talk(app, position(request_id=2), **ADDRESS))
    assert [a["request_id"] for a in first + second] == [1, 2]
    assert len(evaluator.listeners) == 2
