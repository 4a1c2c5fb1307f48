"""The report as a file: whole, harmless, and true to the facts."""

import ast
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from optim.export.archive import files_of
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.report.chart import trade_off
from optim.report.facts import Point, facts_of
from optim.report.page import report_html, report_zip

_EMPTY = {"meta", "br", "line", "circle"}


class Reader(HTMLParser):
    """Reads a page, and that every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.words = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def run(worked):
    worked.finished("Another", accuracy=0.9)
    return worked.finished()


@pytest.fixture
def facts(run, worked):
    return facts_of(run, worked.store.runs())


def test_it_asks_nobody_and_runs_nothing(facts, run):
    page = Reader(report_html(facts, run.result))
    assert "script" not in page.tags
    assert all(link.startswith("data:text/plain;base64,") for link in page.links)
    assert "default-src 'none'" in report_html(facts, run.result)
    assert "url(" not in report_html(facts, run.result)


def test_it_says_verdict_figures_steps_and_limits(facts, run):
    text = " ".join(" ".join(Reader(report_html(facts, run.result)).words).split())
    for said in (facts.verdict, "loses 1.4 ± 0.9 points", "simulated", *facts.limits):
        assert said in text
    assert all(step.title in text for step in facts.steps)
    assert "Small dots: another finished run of the same model and data." in text


def test_names_from_anybody_stay_text(facts, run):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    changed = replace(
        facts,
        title=evil,
        model=evil,
        data=evil,
        environment={evil: evil},
        points=(*facts.points, replace(facts.points[0], title=evil)),
    )
    page = Reader(report_html(changed, run.result))
    assert not {"script", "img"} & set(page.tags)


def test_the_archive_holds_report_recipe_and_program(facts, run):
    files = files_of(report_zip(facts, run.result))
    assert list(files) == ["report.html", "recipe.yaml", "reproduce.py"]
    assert Recipe.from_yaml(files["recipe.yaml"].decode()) == run.recipe
    program = ast.parse(files["reproduce.py"])
    values = {
        node.targets[0].id: node.value for node in program.body if isinstance(node, ast.Assign)
    }
    assert Recipe.from_yaml(values["RECIPE"].value) == run.recipe
    reported = json.loads(values["REPORTED"].args[0].value)
    assert reported["result"]["file"] == run.result["result"]["file"]


def points(*values):
    return [
        Point(title, Quantity.exact(size, "bytes"), Quantity(v, "fraction", v - 0.01, v + 0.01, 9))
        for title, size, v in values
    ]


def test_smaller_files_lie_left_and_better_ones_above():
    drawn = trade_off(
        points(("original", 1e6, 0.9), ("result", 1e5, 0.8), ("Other", 5e5, 0.85)), "Accuracy"
    )
    found = {
        kind: (float(x), float(y))
        for kind, x, y in re.findall(r'<circle class="(\w+)" cx="([\d.]+)" cy="([\d.]+)"', drawn)
    }
    assert found["result"][0] < found["other"][0] < found["original"][0]
    assert found["result"][1] > found["other"][1] > found["original"][1]
    assert "<title>Other: 85 ± 1 %, 500 kB</title>" in drawn


@pytest.mark.parametrize(
    "given", [[], [("original", 1e6, 0.9)], [("original", 1e6, 0.9), ("result", 1e6, 0.9)]]
)
def test_few_or_equal_points_are_no_trouble(given):
    assert bool(trade_off(points(*given), "Accuracy")) == (len(given) > 1)


def test_paper_is_light_whatever_the_screen():
    from optim.report import page
    from optim.share import page as shared

    for style in (page._STYLE, shared._STYLE):
        assert "color-scheme: light;" in style.partition("@media print")[2]
        assert style.index("prefers-color-scheme: dark") < style.index("@media print")
