"""The server around the pages: one evaluator, its life, the routes."""

import asyncio

import pytest
from starlette.routing import Route, WebSocketRoute
from streamlit import net_util
from streamlit.runtime.pages_manager import PagesManager
from streamlit.web.server.server_util import is_url_from_allowed_origins

from optim.belongings.removal import Removed
from optim.errors import RunError
from pages.components import server


class Recorder:
    def __init__(self):
        self.calls = []

    def start(self):
        self.calls.append("start")

    def stop(self):
        self.calls.append("stop")

    def forget(self):
        self.calls.append("forget")


@pytest.fixture
def recorder(monkeypatch):
    found = Recorder()
    monkeypatch.setattr(server, "evaluator", lambda: found)
    return found


def serve():
    async def once():
        async with server.lifespan(None):
            pass

    asyncio.run(once())


def test_there_is_one_evaluator():
    assert server.evaluator() is server.evaluator()


def test_the_evaluator_lives_as_long_as_the_server(recorder):
    async def serve():
        async with server.lifespan(None):
            assert recorder.calls == ["start"]

    asyncio.run(serve())
    assert recorder.calls == ["start", "stop"]


def test_the_evaluator_is_stopped_when_the_server_fails(recorder):
    async def serve():
        async with server.lifespan(None):
            raise RuntimeError("port taken")

    with pytest.raises(RuntimeError, match="port taken"):
        asyncio.run(serve())
    assert recorder.calls == ["start", "stop"]


def test_all_routes_lie_under_one_path_of_their_own(recorder):
    routes = server.panel_routes()
    assert all(route.path.startswith("/optim/") for route in routes)
    assert [type(route) for route in routes].count(WebSocketRoute) == 1
    assert {m for route in routes if isinstance(route, Route) for m in route.methods} == {
        "GET",
        "HEAD",
    }


def test_the_folder_of_pages_is_not_streamlits_own_page_list(monkeypatch):
    monkeypatch.setattr(PagesManager, "uses_pages_directory", None)
    server.pages_come_from_navigation()
    assert PagesManager.uses_pages_directory is False


# --- runs ---------------------------------------------------------------------------------------


def test_runs_that_wait_go_on_when_the_server_starts(recorder, woken):
    serve()
    assert woken == ["ensure"]


def test_a_server_whose_engine_cannot_start_serves_all_the_same(recorder, monkeypatch, caplog):
    def refuse():
        raise RunError("The folder for runs cannot be used.", hint="Make it writable.")

    monkeypatch.setattr(server, "engine", refuse)
    serve()
    assert recorder.calls == ["start", "stop"]
    assert "runs have to wait" in caplog.text


def serve_until(holds):
    async def some_time():
        async with server.lifespan(None):
            async with asyncio.timeout(30):
                while not holds():
                    await asyncio.sleep(0.01)

    asyncio.run(some_time())


def test_while_there_is_work_somebody_is_on_it(recorder, worked, woken, monkeypatch):
    monkeypatch.setattr(server, "WATCH_S", 0.01)
    run = worked.queued()
    serve_until(lambda: len(woken) >= 4)
    worked.store.cancel(run.id)
    looked, has_active = [], server.run_store().has_active
    monkeypatch.setattr(server.run_store(), "has_active", lambda: looked.append(1) or has_active())
    woken.clear()
    serve_until(lambda: len(looked) >= 4)
    assert woken == ["ensure"]  # once, when the server starts


def test_a_store_that_fails_for_a_while_is_told_once_and_asked_again(
    recorder, worked, woken, monkeypatch, caplog
):
    monkeypatch.setattr(server, "WATCH_S", 0.01)
    asked = []

    def fails_at_first():
        asked.append(1)
        if len(asked) <= 5:
            raise RunError("The run store is locked.")
        return True

    monkeypatch.setattr(server.run_store(), "has_active", fails_at_first)
    serve_until(lambda: len(woken) >= 3)
    assert caplog.text.count("The run store is locked.") == 1


def test_there_is_one_store_for_each_address(worked, tmp_path, monkeypatch):
    first = server.run_store()
    assert server.run_store() is first
    monkeypatch.setenv("OPTIM_STORE", f"sqlite:///{tmp_path / 'other.db'}")
    assert server.run_store() is not first
    server.run_store().database.close()


def test_a_store_that_could_not_be_opened_is_tried_again(no_store, tmp_path):
    with pytest.raises(RunError):
        server.run_store()
    (tmp_path / "file").unlink()
    assert server.run_store().runs() == []
    server.run_store().database.close()


# --- what nobody uses ---------------------------------------------------------------------------


def test_the_server_sweeps_when_it_starts_and_every_day(recorder, monkeypatch):
    swept = []
    monkeypatch.setenv("OPTIM_RETENTION_DAYS", "30")
    monkeypatch.setattr(server, "SWEEP_S", 0.01)
    monkeypatch.setattr(server, "sweep", lambda store, days: swept.append(days) or Removed())
    serve_until(lambda: len(swept) >= 3)
    assert set(swept) == {30}


def test_after_something_was_removed_the_evaluator_lets_go_of_it(recorder, monkeypatch):
    monkeypatch.setattr(server, "sweep", lambda store, days: Removed(models=1))
    serve_until(lambda: "forget" in recorder.calls)


def test_a_sweep_that_fails_is_told_and_stops_nothing(recorder, monkeypatch, caplog):
    monkeypatch.setenv("OPTIM_RETENTION_DAYS", "soon")
    serve_until(lambda: "OPTIM_RETENTION_DAYS" in caplog.text)
    assert recorder.calls == ["start", "stop"]


def test_to_refuse_a_foreign_page_the_internet_is_not_asked(monkeypatch):
    for name in ("get_external_ip", "get_internal_ip"):
        monkeypatch.setattr(net_util, name, lambda: pytest.fail("asked"))
    server.ask_nobody()
    assert not is_url_from_allowed_origins("http://evil.example")
    assert is_url_from_allowed_origins("http://localhost:8501")
