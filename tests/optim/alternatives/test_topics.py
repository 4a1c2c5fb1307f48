"""Topics: the baseline with one thing changed, named after the change, by the fields alone."""

import pytest

from optim.alternatives.topics import TOPICS, baseline, offers, varied
from optim.errors import ConfigError
from optim.fields import Choice, Range, controls
from optim.models.mlp import MLP
from optim.models.resnet import ResNet
from optim.models.zoo import ARCHITECTURES
from optim.techniques.finetune import FineTune


def find(topic, base, name):
    return next(offer for offer in offers(TOPICS[topic], base) if offer.name == name)


@pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)
@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_everything_offered_changes_one_field_to_a_legal_value(topic, architecture):
    base = baseline(architecture())
    found = offers(topic, base)
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
    names = [o.name for o in offers(TOPICS["regularisation"], baseline(MLP()))]
    assert "momentum" not in names
    names = [o.name for o in offers(TOPICS["regularisation"], baseline(MLP(normalisation="batch")))]
    assert "momentum" in names


def test_a_smaller_architecture_is_half_as_wide():
    offer = find("speed", baseline(ResNet(width=24)), "width")
    assert offer.suggested == 12


def test_the_smallest_architecture_has_no_smaller_one():
    names = [o.name for o in offers(TOPICS["speed"], baseline(ResNet(width=4, depth=8)))]
    assert not {"width", "depth"} & set(names)


def test_the_value_of_the_baseline_is_no_alternative():
    base = baseline(ResNet())
    with pytest.raises(ConfigError, match="Dropout is 0 % in the baseline"):
        varied(TOPICS["regularisation"], base, find("regularisation", base, "dropout"), 0.0)


def test_an_illegal_value_is_refused():
    base = baseline(ResNet())
    with pytest.raises(ConfigError, match="dropout"):
        varied(TOPICS["regularisation"], base, find("regularisation", base, "dropout"), 2.0)
