"""Topics: the baseline with one thing changed, named after the change, by the fields alone."""

from dataclasses import replace

import pytest
import torch

from optim.alternatives.topics import TOPICS, baseline, offers, varied
from optim.data.added import DataCard
from optim.errors import ConfigError, UnsupportedModelError
from optim.fields import Choice, Range, controls
from optim.models.cnn1d import CNN1D
from optim.models.detector import Detector
from optim.models.mlp import MLP
from optim.models.resnet import ResNet
from optim.models.zoo import ARCHITECTURES
from optim.techniques.finetune import FineTune

PICTURES = DataCard("pictures", "Pictures", (3, 32, 32), 10)
SERIES = DataCard("series", "Series", (1, 1024), 4)
TABLE = DataCard("table", "Table", (13,), 3)
OF_IMAGES = {"shift", "flip", "cutout", "cutmix", "layout", "start_resolution"}
CLASSIFIERS = {n: a for n, a in ARCHITECTURES.items() if a.kind == "classification"}


def find(topic, base, name):
    return next(offer for offer in offers(TOPICS[topic], base, PICTURES) if offer.name == name)


def names_of(architecture, data, *topics):
    asked = topics or TOPICS.values()
    return {o.name for topic in asked for o in offers(topic, baseline(architecture), data)}


@pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)
@pytest.mark.parametrize("architecture", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_everything_offered_changes_one_field_to_a_legal_value(topic, architecture):
    base = baseline(architecture())
    found = offers(topic, base, PICTURES)
    assert found
    titles = set()
    for offer in found:
        other = varied(topic, base, offer, offer.suggested)
        place = getattr(other, offer.place)
        assert getattr(place, offer.name) == offer.suggested != offer.baseline
        assert (other.architecture == base.architecture) == (offer.place == "training")
        titles.add(other.title)
    assert len(titles) == len(found)


@pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)
def test_every_field_of_a_topic_exists_and_can_be_chosen_on_a_page(topic):
    known = {control.name: control.kind for control in controls(FineTune)}
    for name in topic.training:
        assert isinstance(known[name], Range | Choice)
    everywhere = {c.name for cls in ARCHITECTURES.values() for c in controls(cls)}
    assert topic.architecture.keys() <= everywhere


def test_a_title_names_field_and_value_with_unit():
    base = baseline(ResNet())
    topic = TOPICS["regularisation"]
    titles = {
        name: varied(topic, base, find("regularisation", base, name), value).title
        for name, value in {"dropout": 0.25, "normalisation": "group", "cutout": 6}.items()
    }
    assert titles == {
        "dropout": "Dropout: 25 %",
        "normalisation": "Normalisation: Group norm",
        "cutout": "Cutout: 6 pixels",
    }


def test_stopping_early_keeps_the_best_epoch():
    base = baseline(ResNet())
    offer = find("regularisation", base, "patience")
    assert varied(TOPICS["regularisation"], base, offer, 2).training.keep == "best"


def test_momentum_is_offered_only_where_there_is_batch_norm():
    assert "momentum" not in names_of(MLP(), TABLE)
    assert "momentum" in names_of(MLP(normalisation="batch"), TABLE)


def test_what_only_images_have_is_offered_for_images_alone():
    assert names_of(ResNet(), PICTURES) >= OF_IMAGES
    for architecture, data in ((MLP(), TABLE), (CNN1D(), SERIES)):
        found = names_of(architecture, data)
        assert not found & OF_IMAGES
        assert {"dropout", "weight_decay", "mixup", "batch_size"} <= found


@pytest.mark.parametrize("architecture", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_a_first_resolution_is_offered_where_images_may_be_smaller(architecture):
    shape = architecture.spec.shape
    shape = shape if len(shape) == 3 else (3, 32, 32)
    try:
        module = architecture().build(shape, 4).eval()
    except UnsupportedModelError:
        pytest.skip("it takes no images")
    takes_smaller = True
    try:
        module(torch.zeros(1, shape[0], shape[1] // 2, shape[2] // 2))
    except RuntimeError:
        takes_smaller = False
    data = DataCard("images", "Images", shape, 4)
    assert ("start_resolution" in names_of(architecture(), data)) is takes_smaller


def test_what_is_not_judged_by_accuracy_is_refused():
    with pytest.raises(ConfigError, match=r"tells no classes.* Choose a classifier"):
        names_of(Detector(), PICTURES)
    with pytest.raises(ConfigError, match="Pictures has no classes"):
        names_of(ResNet(), replace(PICTURES, n_classes=0))


def test_a_smaller_architecture_is_half_as_wide():
    offer = find("speed", baseline(ResNet(width=24)), "width")
    assert offer.suggested == 12


def test_the_smallest_architecture_has_no_smaller_one():
    names = names_of(ResNet(width=4, depth=8), PICTURES, TOPICS["speed"])
    assert not {"width", "depth"} & names


def test_the_value_of_the_baseline_is_no_alternative():
    base = baseline(ResNet())
    with pytest.raises(ConfigError, match="Dropout is 0 % in the baseline"):
        varied(TOPICS["regularisation"], base, find("regularisation", base, "dropout"), 0.0)


def test_an_illegal_value_is_refused():
    base = baseline(ResNet())
    with pytest.raises(ConfigError, match="dropout"):
        varied(TOPICS["regularisation"], base, find("regularisation", base, "dropout"), 2.0)
