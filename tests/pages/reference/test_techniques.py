"""The reference page: every technique with its fields, and no evaluator needed."""

import re
from html import unescape

import pytest
from streamlit.testing.v1 import AppTest

from optim.fields import controls
from optim.techniques import TECHNIQUES
from pages.components.reference import method_rows
from pages.components.server import evaluator
from tests.pages.helpers import ROOT, texts


def names_in(table):
    """Return the first cells of a table's rows."""
    return [unescape(name) for name in re.findall(r'<tr role="row"><td[^>]*>([^<]*)</td>', table)]


@pytest.fixture
def page():
    at = AppTest.from_file(str(ROOT / "pages" / "reference" / "techniques.py")).run()
    assert not at.exception
    return at


def test_the_first_technique_is_shown_at_once(page):
    name, technique = next(iter(TECHNIQUES.items()))
    assert f"**{technique.title}** `{name}`" in texts(page)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_every_technique_shows_its_fields_methods_and_source(page, name):
    page.segmented_control(key="technique").set_value(name).run()
    technique = TECHNIQUES[name]
    assert not page.exception
    assert technique.about in texts(page)
    [drawn] = page.get("html")
    fields, *methods = map(names_in, drawn.proto.body.split("<table")[1:])
    assert fields == [c.name for c in controls(technique)]
    assert methods == [[row["Name"] for row in rows] for rows in method_rows(technique).values()]
    assert technique.paper in texts(page)


def test_it_asks_the_evaluator_nothing(page, monkeypatch):
    monkeypatch.setattr(evaluator(), "ask", lambda *a, **k: pytest.fail("asked the evaluator"))
    page.run()
    assert not page.exception
