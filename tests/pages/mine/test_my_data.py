"""The page that shows what is mine and deletes it."""

import pytest

from optim.belongings.found import belongings, owners
from optim.errors import RunError
from optim.models.cards import model_cards
from optim.runs.snapshots import save_snapshot, snapshots
from pages.components import sharing
from pages.components.server import evaluator
from tests.pages.components.test_access import upload
from tests.pages.helpers import click, open_app, recipe_of, small_recipe, texts

PAGE = "pages/mine/my_data.py"


@pytest.fixture
def told(monkeypatch):
    """How often the evaluator was told to let go of what it has in memory."""
    calls = []
    monkeypatch.setattr(evaluator(), "forget", lambda: calls.append(1))
    return calls


def test_without_anything_there_is_nothing_to_delete(worked, lab):
    lab.switch_page(PAGE).run()
    assert not lab.exception
    assert "Nothing of yours is here" in texts(lab)
    assert not lab.button


def test_one_button_deletes_all_that_is_mine_and_says_what(worked, told):
    at, other = open_app(small_recipe()), open_app(small_recipe())
    name, his = upload(at, seed=21), upload(other, seed=22)
    owner = model_cards()[name].owner
    click(at, "Download verified file")
    worked.store.submit("recipe", {}, owner=owner)
    at.switch_page(PAGE).run()
    assert "1 upload" in texts(at)
    assert "1 run · 1 exported file" in texts(at)
    click(at, "Delete everything")
    assert not at.exception
    assert not at.error
    assert at.info[0].value.startswith("Deleted: 1 model, 1 run, 1 exported file; ")
    assert told == [1]
    assert name not in model_cards()
    assert his in model_cards()
    assert owner not in owners(worked.store)
    assert recipe_of(at).model != name
    at.run()
    assert not at.info
    at.switch_page("pages/lab/lab.py").run()
    assert not at.error


def test_who_only_looks_deletes_nothing(monkeypatch, worked):
    at = open_app(small_recipe())
    name = upload(at, seed=23)
    monkeypatch.setenv("OPTIM_PRESENTATION", "1")
    at.switch_page(PAGE).run()
    assert not [b for b in at.button if b.label == "Delete everything"]
    assert not belongings(model_cards()[name].owner, worked.store).is_empty


@pytest.fixture
def two_saved(worked):
    """A page of somebody who saved two snapshots, and their ids."""
    at = open_app(small_recipe())
    name = upload(at, seed=24)
    owner = model_cards()[name].owner
    saved = [save_snapshot(title, small_recipe(), owner) for title in ("First", "Second")]
    at.switch_page(PAGE).run()
    return at, owner, [one.id for one in saved]


def test_snapshots_are_listed_and_deleted_one_by_one(two_saved):
    at, owner, (first, second) = two_saved
    assert "2 snapshots" in texts(at)
    at.button(key=f"delete_{first}").click().run()
    assert not at.exception
    assert [one.id for one in snapshots(owner)] == [second]
    assert "1 snapshot" in texts(at)


def test_a_snapshot_that_cannot_be_deleted_is_a_sentence(two_saved, monkeypatch):
    at, owner, (first, second) = two_saved

    def fail(snapshot_id):
        raise RunError("The snapshot cannot be deleted: read-only.", hint="Make it writable.")

    monkeypatch.setattr(sharing, "remove_snapshot", fail)
    at.button(key=f"delete_{first}").click().run()
    assert not at.exception
    assert "read-only" in at.error[0].value
    assert [one.id for one in snapshots(owner)] == [first, second]
