"""One evaluator and one store for all tests of the pages; runs are worked on by nobody."""

import pytest

from pages.components import server
from pages.components.server import evaluator
from tests.pages.helpers import open_app, serving, small_recipe
from tests.pages.worked import Worked


@pytest.fixture(scope="session")
def served(optim_home):
    """The store whose evaluator runs."""
    with serving(optim_home.parent / "pages-home", optim_home / "cache") as home:
        yield home


@pytest.fixture(autouse=True)
def page_home(served, monkeypatch):
    """Let pages look where the evaluator does."""
    monkeypatch.setenv("OPTIM_HOME", str(served))
    return served


@pytest.fixture
def lab():
    """The Lab on the quick model."""
    return open_app(small_recipe())


@pytest.fixture
def questions(monkeypatch):
    """What pages asked the evaluator, as it comes in."""
    asked, ask = [], evaluator().ask

    def noted(question, recipe, *args, **kwargs):
        asked.append(question)
        return ask(question, recipe, *args, **kwargs)

    monkeypatch.setattr(evaluator(), "ask", noted)
    return asked


@pytest.fixture(autouse=True)
def woken(monkeypatch):
    """Whenever the engine of runs is woken; none is started."""
    calls = []

    class Nobody:
        def ensure(self):
            calls.append("ensure")

    monkeypatch.setattr(server, "engine", Nobody)
    return calls


@pytest.fixture
def worked(tmp_path, monkeypatch):
    """An empty store of runs that the pages use, and the hands of a worker."""
    monkeypatch.setenv("OPTIM_STORE", f"sqlite:///{tmp_path / 'runs.db'}")
    yield Worked(server.run_store())
    server.run_store().database.close()


@pytest.fixture
def no_store(monkeypatch, tmp_path):
    """A store of runs that cannot be opened."""
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("OPTIM_STORE", f"sqlite:///{tmp_path / 'file' / 'runs.db'}")
