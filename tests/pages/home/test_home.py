"""The first page: ways in, the latest runs, and links from before the Lab had its own address."""

from pages.components.home.latest import _MOST
from tests.pages.helpers import open_app, panel_data, recipe_of, small_recipe, texts


def test_the_first_visit_shows_ways_in_and_what_would_make_a_run(worked):
    at = open_app()
    assert not at.exception
    assert not at.error
    assert "What you train stands here" in texts(at)
    assert {"Open the Lab", "Open the slides"} <= {link.label for link in at.main.page_link}


def test_a_recipe_in_the_plain_address_opens_the_lab():
    recipe = small_recipe(seed=3)
    at = open_app(recipe)
    assert panel_data(at)["head"]["seed"] == 3
    assert recipe_of(at) == recipe


def test_such_a_link_for_an_audience_stays_one():
    at = open_app(small_recipe(), presentation=True)
    assert at.session_state["presentation"]
    assert panel_data(at)["head"]["model"] == "small-resnet"


def test_the_latest_runs_are_listed_and_no_more_than_fit(worked):
    for number in range(_MOST + 1):
        worked.store.submit("recipe", {"recipe": small_recipe().to_json()}, title=f"Run {number}")
    at = open_app()
    shown = [link.label for link in at.main.page_link if link.label.startswith("Run ")]
    assert shown == [f"Run {number}" for number in range(_MOST, 0, -1)]
    assert "Small ResNet · Digits" in texts(at)


def test_a_store_that_cannot_be_opened_is_said_and_the_ways_in_are_there(no_store):
    at = open_app()
    assert not at.exception
    assert at.error
    assert "Open the Lab" in [link.label for link in at.main.page_link]
