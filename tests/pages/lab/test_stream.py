"""The page of the sensor: offers a model that hears series, and holds both against the deadline."""

from optim.recipe import Recipe
from optim.techniques.prune_weights import PruneWeights
from tests.pages.helpers import click, open_app, recipe_of, small_recipe, texts

LISTENER = "bearing-cnn1d"


def open_page(recipe):
    at = open_app(recipe)
    return at.switch_page("pages/lab/stream.py").run()


def test_a_model_that_takes_no_series_offers_one_that_does():
    at = open_page(small_recipe())
    assert "takes no series" in texts(at)
    click(at, "Open 1-D CNN")
    assert recipe_of(at).model == LISTENER
    assert recipe_of(at).data == "bearing"


def test_the_deadline_follows_rate_and_hop():
    at = open_page(Recipe(LISTENER, "bearing").with_step(PruneWeights(sparsity=0.5)))
    assert not at.exception
    assert not at.error
    assert [metric.label.split(":")[0] for metric in at.metric] == ["Original", "Compressed"]
    assert all("85.3 ms" in metric.delta for metric in at.metric)
    assert "Missed deadlines" in texts(at)
    at.select_slider(key="stream_hop").set_value(16).run()
    at.select_slider(key="stream_rate").set_value(2_000_000).run()
    assert all("8.00 µs" in metric.delta for metric in at.metric)
    assert "100" in texts(at), "nothing answers within eight microseconds"
