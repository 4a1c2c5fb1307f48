"""The page of lessons, and the tour on the first page: what is kept is shown, the rest computed."""

import json

import pytest

from optim.lessons import LESSONS, kept
from pages.components.lessons import waiting
from tests.pages.helpers import keep_lesson, open_app, texts

PAGE = "pages/learn/learn.py"


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch, tmp_path):
    """No lesson was computed before."""
    monkeypatch.setattr("optim.aside.cache_home", lambda: tmp_path)


def lesson(name):
    at = open_app()
    at.query_params["lesson"] = name
    return at.switch_page(PAGE).run()


def component(at, name):
    (found,) = [e for e in at.main if getattr(e, "key", None) == f"lesson_{name}"]
    return json.loads(found.proto.json)


def test_all_lessons_are_listed_in_order(jobs):
    at = open_app().switch_page(PAGE).run()
    labels = [link.label for link in at.main.page_link]
    assert labels == [f"{i}. {one.title}" for i, one in enumerate(LESSONS.values(), 1)]


def test_a_kept_lesson_is_shown_at_once(jobs):
    keep_lesson("outliers")
    at = lesson("outliers")
    assert not at.exception
    data = component(at, "outliers")
    assert data["shown"]["question"]["options"] == ["a", "b"]
    assert data["lab"] == "/lab"
    assert data["kind"] == "slider"
    assert LESSONS["outliers"].source in at.expander[0].label


def test_a_lesson_that_is_not_kept_is_computed_beside_the_page(jobs):
    keep_lesson(kept.TOUR_NAME)
    at = lesson("structure")
    (job,) = jobs
    assert job.command[-1] == "optim.lessons.kept"
    assert json.loads(job.stdin.getvalue())["name"] == "structure"
    keep_lesson("structure")
    job.code = 0
    at.run()
    assert component(at, "structure")["shown"]["basis"] == "b"


def test_what_fails_is_said_and_can_be_tried_again(jobs):
    keep_lesson(kept.TOUR_NAME)
    at = lesson("structure")
    jobs[0].code = 1
    at.run()
    assert at.error[0].value.startswith(waiting.LESSON_JOB.failed)
    assert len(jobs) == 1
    (again,) = [b for b in at.button if b.label == "Try again"]
    again.click().run()
    assert len(jobs) == 2


def test_a_lesson_that_is_not_there_leads_to_the_list(jobs):
    at = lesson("nothing")
    assert "predict, then look" in texts(at)


def test_the_tour_stands_on_the_first_page_and_plays(jobs, worked):
    keep_lesson(kept.TOUR_NAME)
    data = component(open_app(), kept.TOUR_NAME)
    assert data["play_s"] > 0
    assert not jobs


def test_an_audience_may_have_a_lesson_computed_too(jobs):
    at = open_app(presentation=True)
    assert not at.exception
    assert len(jobs) == 1
