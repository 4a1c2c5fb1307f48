"""The page of a workshop: joining, entering, who leads, and what only the instructor sees."""

from dataclasses import replace

import pytest

from optim.challenges.challenge import Challenge
from optim.data.added import data_cards
from optim.quantity import Quantity
from optim.search.goals import Limit
from optim.workshop.rooms import Rooms, instructor_key
from pages.components.workshop import editing
from pages.components.workshop.challenges import _text
from tests.optim.workshop.test_workshop import finish
from tests.pages.helpers import MODEL, click, open_app, small_recipe, texts

PAGE = "pages/workshop/workshop.py"
CHALLENGE = Challenge("small", "Small", MODEL, "digits", "error", (Limit("bytes", 50_000.0),))


@pytest.fixture
def rooms(worked):
    return Rooms(worked.store)


@pytest.fixture
def room(rooms, monkeypatch):
    found = rooms.open("Tuesday", [CHALLENGE])
    monkeypatch.setenv("OPTIM_WORKSHOP", found.code)
    monkeypatch.setenv("OPTIM_WORKSHOP_URL", "http://192.168.0.7:8501/workshop")
    return found


def visit():
    return open_app(small_recipe()).switch_page(PAGE).run()


def join(at, room, nickname="Ada"):
    at.text_input(key="workshop_code").set_value(room.code)
    at.text_input(key="workshop_nickname").set_value(nickname)
    return click(at, "Join")


def test_without_a_workshop_the_page_says_how_one_is_held(worked):
    at = visit()
    assert not at.exception
    assert "make workshop" in texts(at)


def test_joining_shows_the_code_that_brings_one_back(room, rooms):
    at = join(visit(), room)
    assert not at.exception
    (who,) = rooms.participants(room.code)
    assert who.nickname == "Ada"
    assert "come back with" in texts(at)
    assert CHALLENGE.rule in texts(at)


def test_a_wrong_room_code_is_said(room, rooms):
    at = visit()
    at.text_input(key="workshop_code").set_value("WRONG1")
    at.text_input(key="workshop_nickname").set_value("Ada")
    click(at, "Join")
    assert "There is no room" in at.error[0].value
    assert rooms.participants(room.code) == []


def test_coming_back_from_another_browser(room, rooms):
    _, own = rooms.join(room.code, "Ada", "guest-elsewhere")
    at = visit()
    at.text_input(key="workshop_back_nickname").set_value("ada")
    at.text_input(key="workshop_back_code").set_value(own)
    click(at, "Go on")
    assert not at.error
    assert CHALLENGE.rule in texts(at)


def test_what_is_entered_waits_is_measured_and_leads(room, rooms, woken, worked):
    at = join(visit(), room)
    click(at, "Enter what the Lab shows")
    assert not at.exception
    assert not at.error
    assert woken
    ((entry, run),) = rooms.entries(room.code)
    assert run.recipe == small_recipe()
    assert "place 1 of 1 in the queue" in texts(at)
    click(at, "Enter what the Lab shows")
    assert "still being measured" in at.error[0].value
    finish(rooms, run, error=4.0, size=40_000)
    at.run()
    assert "accuracy 96" in texts(at)
    assert "(you)" in texts(at)
    assert entry.challenge == "small"


def test_a_recipe_for_another_model_cannot_be_entered(room):
    at = join(
        open_app(small_recipe(model="small-mlp", data="wine", steps=[])).switch_page(PAGE).run(),
        room,
    )
    (button,) = [b for b in at.button if b.label == "Enter what the Lab shows"]
    assert button.disabled


def test_who_changed_more_than_the_steps_is_told_and_gets_back(room):
    at = join(open_app(small_recipe(seed=3)).switch_page(PAGE).run(), room)
    enter = at.button(key="workshop_enter")
    assert enter.disabled
    assert "the recipe has 3" in texts(at)
    at.button(key="workshop_lab").click().run()
    assert not at.exception
    assert at.session_state["history"].present == small_recipe()
    at.switch_page(PAGE).run()
    assert not at.button(key="workshop_enter").disabled


def test_map_is_not_called_accuracy():
    figure = Quantity(53.6, "points", 50, 57, 400)
    assert _text("error", figure, "mAP").startswith("mAP 46")


def test_the_instructor_freezes_exports_and_helps(room, rooms):
    rooms.join(room.code, "Bob", "guest-b")
    at = visit()
    at.text_input(key="workshop_key").set_value("wrong").run()
    assert "not the key" in at.error[0].value
    at.text_input(key="workshop_key").set_value(instructor_key(room.code)).run()
    assert not at.exception
    assert "http://192.168.0.7:8501/workshop" in texts(at)
    assert "1 in the room" in texts(at)
    at.selectbox(key="workshop_lost").set_value("bob").run()
    click(at, "Give a new code")
    assert "comes back with" in texts(at)
    click(at, "Freeze")
    assert rooms.get(room.code).is_frozen
    click(at, "Open again")
    assert not rooms.get(room.code).is_frozen


def lead(at, room):
    at.text_input(key="workshop_key").set_value(instructor_key(room.code)).run()
    return at


def test_the_instructor_changes_what_is_played_for(room, rooms):
    at = lead(visit(), room)
    assert at.button(key="workshop_remove_small").disabled, "one is always left"
    at.text_input(key="workshop_new_title").set_value("Small, and quick!").run()
    at.selectbox(key="workshop_new_objective").set_value("latency").run()
    at.multiselect(key="workshop_new_limits").set_value(["bytes"]).run()
    at.number_input(key="workshop_new_bytes").set_value(40.0).run()
    board = at.selectbox(key="workshop_new_device").value
    at.button(key="workshop_add").click().run()
    assert not at.exception
    assert not at.error
    first, second = rooms.get(room.code).challenges
    assert first == CHALLENGE
    assert (second.name, second.objective, second.device) == ("small-and-quick", "latency", board)
    assert second.limits == (Limit("bytes", 40_000.0),)
    assert second.model == MODEL
    at.button(key="workshop_remove_small").click().run()
    assert rooms.get(room.code).challenges == (second,)
    assert not at.exception


def test_no_challenge_is_about_what_others_cannot_open(room, monkeypatch):
    cards = {n: replace(c, owner="guest-a") for n, c in data_cards().items() if n == "digits"}
    monkeypatch.setattr(editing, "data_cards", lambda: cards)
    at = lead(visit(), room)
    assert at.button(key="workshop_add").disabled
    assert "others cannot open an upload" in texts(at)


def test_a_challenge_that_is_none_is_refused_and_what_was_typed_stays(room, rooms):
    at = lead(visit(), room)
    at.button(key="workshop_add").click().run()
    assert "title must be a text" in at.error[0].value
    at.text_input(key="workshop_new_title").set_value("Nothing").run()
    at.multiselect(key="workshop_new_limits").set_value(["bytes"]).run()
    at.number_input(key="workshop_new_bytes").set_value(0.0).run()
    at.button(key="workshop_add").click().run()
    assert "The limit of size must be a positive number" in at.error[0].value
    assert at.text_input(key="workshop_new_title").value == "Nothing"
    assert rooms.get(room.code).challenges == (CHALLENGE,)


def test_nobody_else_sees_what_the_instructor_sees(room):
    at = join(visit(), room)
    assert "Freeze" not in [b.label for b in at.button]
    assert "Results" not in texts(at)


def test_the_navigation_of_a_workshop_is_short(room):
    labels = {link.label for link in visit().sidebar.page_link}
    assert {"Lab", "Learn", "Workshop", "Runs"} <= labels
    assert not {"Autopilot", "Use my model", "My data"} & labels


def test_a_room_that_is_gone_is_said(worked, monkeypatch):
    monkeypatch.setenv("OPTIM_WORKSHOP", "GONE42")
    assert "There is no room" in visit().error[0].value
