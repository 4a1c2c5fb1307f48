"""Steps are refused where they cannot stand, and put in order where their work is undone."""

import itertools

import pytest

from optim.order import OrderError, in_order
from optim.recipe import Entry, Recipe
from optim.techniques import TECHNIQUES

STEPS = {
    "prune": ("prune_channels", {"pruning_ratio": 0.5}),
    "zeros": ("prune_weights", {}),
    "norms": ("reestimate_batchnorm", {}),
    "train": ("distill", {}),
    "again": ("finetune", {}),
    "bits": ("quantize", {}),
    "codes": ("share_weights", {}),
    "aware": ("finetune_quantized", {}),
    "biases": ("correct_bias", {}),
}


def entries(*names, off=()):
    made = []
    for name in names:
        technique, fields = STEPS[name]
        made.append(Entry(name, TECHNIQUES[technique](**fields), name not in off))
    return tuple(made)


def ids(found):
    return [entry.id for entry in found]


def recipe(*names, off=()):
    return Recipe("clutter-resnet8", "cluttered-digits", entries(*names, off=off))


def test_a_usual_recipe_is_in_order_already():
    usual = recipe("prune", "zeros", "norms", "train", "bits", "aware", "biases")
    assert usual.advice == {}
    assert usual.in_order() == usual


@pytest.mark.parametrize(
    ("given", "undone", "ordered"),
    [
        (("norms", "prune", "bits"), {"norms": "'Prune channels'"}, ["prune", "norms", "bits"]),
        (("train", "zeros"), {"train": "'Prune weights'"}, ["zeros", "train"]),
        (("biases", "bits"), {"biases": "'Quantize'"}, ["bits", "biases"]),
    ],
)
def test_work_that_is_undone_belongs_behind_what_undoes_it(given, undone, ordered):
    found = recipe(*given)
    assert found.advice.keys() == undone.keys()
    assert all(text in found.advice[name] for name, text in undone.items())
    assert ids(found.in_order().entries) == ordered
    assert found.in_order().advice == {}


def test_pruning_and_training_may_alternate():
    found = recipe("train", "prune", "again")
    assert found.advice == {}
    assert found.in_order() == found


def test_what_is_switched_off_undoes_nothing():
    assert recipe("norms", "prune", off=("prune",)).advice == {}


def test_what_could_not_be_applied_is_put_in_order_when_asked():
    steps = [entry.to_json() for entry in entries("aware", "bits", "prune")]
    data = {"version": 1, "model": "m", "steps": steps}
    with pytest.raises(OrderError, match="must come after 'Quantize'"):
        Recipe.from_json(data)
    assert ids(Recipe.from_json(data, reorder=True).entries) == ["prune", "bits", "aware"]


def test_every_order_of_the_usual_steps_can_be_put_in_one_without_advice():
    for names in itertools.permutations(("prune", "norms", "bits", "aware", "biases")):
        ordered = in_order(entries(*names))
        assert sorted(ids(ordered)) == sorted(names)
        found = Recipe("m", entries=ordered)  # which checks that it can be applied
        assert found.advice == {}


@pytest.mark.parametrize("names", list(itertools.permutations(("bits", "zeros", "codes"))))
def test_steps_that_exclude_each_other_are_named_whatever_stands_between(names):
    """And not a step that only stands in the way of one of them."""
    with pytest.raises(OrderError, match=r"Only one of '.*' and '.*' can stand") as refused:
        in_order(entries(*names))
    assert "'Quantize'" in refused.value.message
    assert "'Share weights'" in refused.value.message
    assert "'bits'" in refused.value.hint
    assert "'codes'" in refused.value.hint


def test_what_can_be_done_once_is_refused_a_second_time():
    twice = (Entry("a", TECHNIQUES["quantize"]()), Entry("b", TECHNIQUES["quantize"]()))
    with pytest.raises(OrderError, match="'Quantize' stands in the recipe twice") as refused:
        in_order(twice)
    assert refused.value.field == "b"
    one_off = (twice[0], Entry("b", TECHNIQUES["quantize"](), enabled=False))
    assert in_order(one_off) == one_off


def test_conditions_are_those_that_something_is_said_about():
    from optim.order import _AT_FIRST, _REQUIRED, _UNDONE

    known = {*_REQUIRED, *_UNDONE}
    for name, cls in TECHNIQUES.items():
        assert cls.requires | cls.ensures | cls.removes <= known, name
    assert known >= _AT_FIRST
