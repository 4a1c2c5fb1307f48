"""The Detection page: offers a detector where there is none, and shows what it finds."""

from optim.recipe import Recipe
from optim.techniques.prune_weights import PruneWeights
from tests.pages.helpers import open_app, small_recipe, texts

DETECTOR = "scenes-detector"


def open_page(recipe):
    at = open_app(recipe)
    return at.switch_page("pages/lab/detection.py").run()


def test_a_model_that_finds_no_objects_offers_one_that_does():
    at = open_page(small_recipe())
    assert "finds no objects" in texts(at)
    assert "Open Single-shot detector" in [button.label for button in at.button]


def test_it_shows_figures_with_their_intervals_and_scenes_of_both_models():
    at = open_page(Recipe(DETECTOR, "digit-scenes").with_step(PruneWeights(sparsity=0.3)))
    assert not at.exception
    assert not at.error
    labels = [metric.label for metric in at.metric]
    assert [label.split(" ")[0] for label in labels] == ["mAP@0.5:0.95", "mAP@0.5"]
    assert all("±" in metric.value for metric in at.metric)
    shown = texts(at)
    assert "**Original**" in shown
    assert "**Compressed**" in shown
    assert "on 1,000 scenes" in shown
