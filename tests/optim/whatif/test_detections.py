"""What the page of detections asks: objects that are found, missed and made up, of both models."""

import base64
from dataclasses import replace

import numpy as np
import pytest
import torch

from optim.data.boxes import Boxes, matches
from optim.errors import ConfigError
from optim.recipe import Recipe
from optim.subject import subject_of
from optim.techniques import TECHNIQUES
from optim.whatif.detections import detections, scene
from optim.whatif.engine import Engine, Workbench
from tests.helpers import data_for, tiny_bundle

RECIPE = Recipe("tiny", "tiny").with_step(TECHNIQUES["prune_weights"](sparsity=0.9))


@pytest.fixture(scope="module")
def engine():
    """An engine that knows one tiny detector, whatever it is asked about."""
    bundle = tiny_bundle("detector")
    with torch.no_grad():  # a fresh head finds nothing at all
        bundle.module.head.bias[: bundle.task.n_classes] = -2
        bundle.module.head.weight *= 30
    engine = Engine()
    bench = Workbench(subject_of(bundle, data_for(bundle)), engine)
    engine.workbench = lambda recipe: bench
    return engine


def test_a_box_takes_the_free_object_of_its_class_it_overlaps_most():
    objects = np.array([[0, 0, 8, 8, 1], [2, 0, 10, 8, 1], [20, 0, 28, 8, 0]])
    boxes = Boxes(
        np.array([[0, 0, 8, 8], [0, 0, 8, 8], [20, 0, 28, 8], [20, 0, 24, 2]], float),
        np.array([0.9, 0.8, 0.7, 0.6]),
        np.array([1, 1, 1, 0]),
    )
    found = matches(boxes, objects)
    # The second takes the neighbour, 6 / 10; the third has another class, the last too little.
    assert found.is_right.tolist() == [True, True, False, False]
    assert found.missed.tolist() == [False, False, True]


def test_counts_add_up_to_the_objects_that_are_there(engine):
    answer = detections(engine, RECIPE, 0.05)
    for counts in answer["counts"].values():
        assert counts["found"]["value"] + counts["missed"]["value"] == 64
    assert sum(answer["counts"]["original"][name]["value"] for name in ("found", "false")) > 0
    assert [figure["name"] for figure in answer["figures"]] == ["map", "map50"]
    assert sum(kind["count"] for kind in answer["scenes"].values()) == 64


def test_an_untouched_model_changes_no_scene(engine):
    answer = detections(engine, replace(RECIPE, entries=()), 0.05)
    assert answer["scenes"]["same"]["count"] == 64
    assert answer["change"]["direction"] == "same"
    assert answer["counts"]["original"] == answer["counts"]["compressed"]


def test_scenes_and_counts_tell_the_same(engine):
    counts = detections(engine, RECIPE, 0.05)["counts"]
    shown = [scene(engine, RECIPE, index, 0.05) for index in range(64)]
    for model, of in counts.items():
        assert sum(len(each[model]["missed"]) for each in shown) == of["missed"]["value"]
        false = [not box["is_right"] for each in shown for box in each[model]["boxes"]]
        assert sum(false) == of["false"]["value"]


def test_a_scene_has_its_picture_its_objects_and_no_box_below_the_score(engine):
    answer = scene(engine, RECIPE, 3, 0.3)
    assert base64.b64decode(answer["picture"]).startswith(b"\x89PNG")
    assert answer["objects"] == [{"corners": [4, 4, 12, 12], "name": answer["objects"][0]["name"]}]
    boxes = answer["original"]["boxes"] + answer["compressed"]["boxes"]
    assert all(box["score"] >= 0.3 for box in boxes)


@pytest.mark.parametrize("index", [-1, 64])
def test_a_scene_that_is_not_there_is_refused(engine, index):
    with pytest.raises(ConfigError, match="index must be from 0 to 63"):
        scene(engine, RECIPE, index, 0.3)


def test_a_score_that_is_none_is_refused(engine):
    with pytest.raises(ConfigError, match="score must be from 0 to 1"):
        detections(engine, RECIPE, 1.5)


def test_a_classifier_finds_no_objects():
    bundle = tiny_bundle("resnet")
    engine = Engine()
    bench = Workbench(subject_of(bundle, data_for(bundle)), engine)
    engine.workbench = lambda recipe: bench
    with pytest.raises(ConfigError, match="finds no objects"):
        detections(engine, RECIPE, 0.3)
