"""The application as a whole: found as a server, drawn as a script, every page reachable."""

import importlib.util
import tomllib

import pytest
from starlette.routing import WebSocketRoute
from streamlit.runtime.pages_manager import PagesManager

from pages.components import frame
from pages.components.server import evaluator
from tests.pages.helpers import ROOT, open_app, panel_data, serving, small_recipe

PAGES = [
    path.relative_to(ROOT).as_posix()
    for section in (
        "compare",
        "devices",
        "home",
        "inspect",
        "lab",
        "learn",
        "mine",
        "reference",
        "runs",
        "search",
        "share",
        "training",
        "workshop",
    )
    for path in sorted((ROOT / "pages" / section).glob("*.py"))
    if path.name != "__init__.py"
]
"""Page scripts; what they share lies in ``pages/components``."""
HIDDEN = {"pages/lab/data.py", "pages/runs/run.py", "pages/share/present.py"}
"""Pages that links lead to, and not the navigation."""


@pytest.fixture(scope="module")
def served(optim_home):
    with serving(optim_home.parent / "app-home", optim_home / "cache") as home:
        yield home


@pytest.fixture
def app(served, monkeypatch):
    monkeypatch.setenv("OPTIM_HOME", str(served))
    return open_app(small_recipe())


@pytest.fixture
def module(monkeypatch):
    """``app.py`` as Streamlit imports it to find the server."""
    monkeypatch.setattr(PagesManager, "uses_pages_directory", None)
    spec = importlib.util.spec_from_file_location("app_under_test", ROOT / "app.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def settings():
    return tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))


def test_as_a_script_it_draws_the_frame_and_the_first_page(app):
    assert not app.exception
    assert not app.error
    assert panel_data(app)["head"]["model"] == "small-resnet"
    assert len(app.sidebar.page_link) == len(PAGES) - len(HIDDEN)


def test_as_a_module_it_is_a_server_with_the_panels_routes_and_draws_nothing(module, monkeypatch):
    kinds = [type(route) for route in module.app._user_routes]
    assert kinds.count(WebSocketRoute) == 1
    assert len(kinds) >= 4
    assert not hasattr(module, "draw")
    assert PagesManager.uses_pages_directory is False


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_inside_the_frame(app, page):
    app.switch_page(page).run()
    assert not app.exception
    assert not app.error
    assert app.sidebar.selectbox(key="model_picker").value == "small-resnet"


def test_every_page_script_is_in_the_navigation(monkeypatch):
    found = []
    monkeypatch.setattr(frame.st, "Page", lambda path, **options: found.append((path, options)))
    frame._sections()
    assert sorted(path for path, _ in found) == sorted(PAGES)
    assert [options.get("default", False) for _, options in found].count(True) == 1
    assert all(options["title"] and options["icon"] for _, options in found)
    assert {path for path, options in found if options.get("visibility") == "hidden"} == HIDDEN


def test_page_scripts_lie_one_level_down():
    """Directly in ``pages/`` a first deep link on a fresh server would run without the frame."""
    assert not list((ROOT / "pages").glob("*.py"))


def test_a_walk_through_all_pages_and_back_keeps_the_recipe(app):
    before = panel_data(app)["revision"]
    for page in [*PAGES, "pages/lab/lab.py"]:
        app.switch_page(page).run()
        assert not app.exception
    assert panel_data(app)["revision"] == before


def test_the_evaluator_runs_once_for_all_sessions(app):
    first = evaluator()._prompt._process.pid
    open_app(small_recipe(seed=1))
    assert evaluator()._prompt._process.pid == first


def test_the_shipped_settings_listen_to_this_machine_only(settings):
    server = settings["server"]
    assert server["address"] == "127.0.0.1"
    assert set(server["allowedHosts"]) == {"localhost", "127.0.0.1"}
    assert not settings["browser"]["gatherUsageStats"]
    assert settings["client"]["showErrorDetails"] == "none"
    assert "enableXsrfProtection" not in server, "on by default, and left on"
    assert "enableCORS" not in server, "on by default, and left on"
