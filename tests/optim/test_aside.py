"""Work beside the pages tells how far it is, keeps its result, and says why there is none."""

import io
import json

import pytest

from optim import aside
from optim.aside import Shelf, serve
from optim.errors import ConfigError

SHELF = Shelf("tests", 1)


def asked(**request):
    return io.StringIO(json.dumps({"key": "one", **request}) + "\n")


def test_progress_and_result_lie_under_the_key(own_home):
    def work(request, told, check):
        told(0.5, "half")
        SHELF.keep(request["key"], {"answer": request["question"]})

    serve(SHELF, work, most_s=60, late="", source=asked(question=6))
    assert SHELF.kept("one") == {"answer": 6}
    assert SHELF.told("one") == {"share": 0.5, "what": "half"}
    assert SHELF.kept("two") == {}


def test_an_error_is_told_with_its_hint(own_home):
    def work(request, told, check):
        raise ConfigError("Too much.", hint="Less.")

    serve(SHELF, work, most_s=60, late="", source=asked())
    assert SHELF.told("one")["refused"] == {
        "kind": "ConfigError",
        "message": "Too much.",
        "hint": "Less.",
    }


def test_what_takes_too_long_is_stopped_and_says_so(own_home, monkeypatch):
    now = iter([0.0, 59.0, 61.0])
    monkeypatch.setattr(aside.time, "monotonic", lambda: next(now))

    def work(request, told, check):
        check()
        check()
        pytest.fail("it went on")

    serve(SHELF, work, most_s=60, late="It took more than a minute.", source=asked())
    assert SHELF.told("one")["refused"]["message"] == "It took more than a minute."


def test_a_key_depends_on_all_that_was_asked():
    keys = [SHELF.key("a", "b", 1), SHELF.key("a", "b", 2), SHELF.key("a", "c", 1)]
    assert len(set(keys)) == 3
    assert SHELF.key("a", "b", 1) == keys[0]
    assert Shelf("tests", 2).key("a", "b", 1) != keys[0]
