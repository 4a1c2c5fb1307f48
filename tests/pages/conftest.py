"""One evaluator and one store for all tests of the pages; runs are worked on by nobody."""

import io
from functools import partial

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData
from streamlit.testing.v1 import app_test, local_script_runner

from pages.components import aside, server
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


class Job:
    """Stands for a process beside a page; nothing is really computed."""

    def __init__(self, command, *, stdin, **options):
        self.command, self.options, self.code = command, options, None
        self.stdin = io.StringIO()
        self.stdin.close = lambda: None

    def poll(self):
        return self.code

    @property
    def returncode(self):
        return self.code

    def terminate(self):
        self.code = -15


@pytest.fixture
def jobs(popen_of):
    """The processes that pages started beside them."""
    started = []

    def start(*args, **options):
        started.append(Job(*args, **options))
        return started[-1]

    popen_of(aside, start)
    yield started
    aside._jobs_of.cache_clear()


class Timers:
    """The parts of the page shown last that a browser lets run again by themselves.

    AppTest keeps no time. This notes what the page asks a browser to repeat, and repeats it.
    """

    def __init__(self, monkeypatch):
        self._patch, self._asked = monkeypatch, {}
        runner = local_script_runner.LocalScriptRunner
        forward_msgs = runner.forward_msgs

        def noted(this):
            messages = forward_msgs(this)
            self._note(messages)
            return messages

        monkeypatch.setattr(runner, "forward_msgs", noted)

    def _note(self, messages):
        kinds = [message.WhichOneof("type") for message in messages]
        if "navigation" in kinds:  # the whole page ran, and timers of the one before are gone
            self._asked = {}
        for message, kind in zip(messages, kinds, strict=True):
            if kind == "auto_rerun":
                self._asked[message.auto_rerun.fragment_id] = message.auto_rerun.interval

    @property
    def seconds(self):
        """Between two runs of each part."""
        return sorted(self._asked.values())

    def tick(self, at):
        """Let each part run once; what is shown then is the last of them, or the whole page."""

        class Pages(PagesManager):
            """Knows the pages, as that of a session does; AppTest begins with none."""

            def __init__(self, *args, **options):
                super().__init__(*args, **options)
                self.set_pages_and_resolve(dict(at._registered_pages))

        for fragment in list(self._asked):
            if fragment not in self._asked:
                break  # one before it had the whole page run
            data = partial(RerunData, fragment_id_queue=[fragment], is_auto_rerun=True)
            with self._patch.context() as patch:
                patch.setattr(local_script_runner, "RerunData", data)
                patch.setattr(app_test, "PagesManager", Pages)
                at.run()
            assert not at.exception
        return at


@pytest.fixture
def timers(monkeypatch):
    """What a browser repeats by itself, and a hand to let it."""
    return Timers(monkeypatch)
