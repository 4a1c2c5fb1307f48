"""Challenges, and what an entry is found to be."""

from dataclasses import replace

import pytest

from optim.challenges.challenge import Challenge, first_challenges
from optim.challenges.measured import measure_entry
from optim.errors import ConfigError
from optim.presets import preset_recipe
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.search.goals import Limit
from optim.step import NoResume

SMALL = Challenge(
    "small",
    "Most accurate within 60 kB",
    "digits-mlp",
    "digits",
    "error",
    (Limit("bytes", 60e3),),
    "nucleo-l4r5zi",
)


def tracker(entry):
    return NoResume(), lambda figures: None


def entered(recipe, challenge=SMALL):
    return measure_entry(recipe, challenge, tracker=tracker)


@pytest.fixture(scope="module")
def found(optim_home):
    recipe = Recipe.from_json(
        {"version": 1, "model": "digits-mlp", "data": "digits", "steps": [{"quantize": {}}]}
    )
    return entered(recipe)


def test_challenges_come_back_from_plain_data():
    for challenge in (*first_challenges(), SMALL):
        assert Challenge.from_json(challenge.to_json()) == challenge
        assert challenge.rule.endswith(".")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "No Spaces"}, "small letters"),
        ({"title": ""}, "1 to 120"),
        ({"objective": "training"}, "may be about"),
        ({"limits": {"error": 3.0}}, "counts once"),
        ({"device": "toaster"}, "device must be one of"),
        ({"device": "", "limits": {"ram": 1000}}, "none is named"),
        ({"limits": {"bytes": "many"}}, "must be a number"),
        ({"budget_s": 0}, "budget_s"),
    ],
)
def test_illegal_challenges_are_refused(fields, words):
    with pytest.raises(ConfigError, match=words):
        Challenge.from_json({**SMALL.to_json(), **fields})


def test_an_entry_is_measured_here(found):
    figures = {name: Quantity.from_json(data) for name, data in found["figures"].items()}
    assert found["part"] == "validation"
    assert 0 < figures["error"].value < 20
    assert figures["error"].value == pytest.approx(100 * (1 - found["accuracy"]["value"]))
    assert 1_000 < figures["bytes"].value < 60_000
    assert figures["bytes"].how == "measured"
    assert figures["latency"].how == "estimated"
    assert found["kept"]
    assert not found["misses"]


def test_the_same_entry_is_found_to_be_the_same_again(found):
    recipe = Recipe.from_json(
        {"version": 1, "model": "digits-mlp", "data": "digits", "steps": [{"quantize": {}}]}
    )
    again = entered(recipe)
    assert again["figures"] == found["figures"]


def test_limits_that_are_missed_are_said():
    challenge = Challenge.from_json({**SMALL.to_json(), "limits": {"bytes": 10.0}})
    assert not challenge.misses({"bytes": Quantity.exact(9, "bytes")})
    (miss,) = challenge.misses({"bytes": Quantity.exact(1000, "bytes")})
    assert "10 B allowed" in miss.text
    assert challenge.misses({})


def test_the_start_of_a_challenge_is_about_its_own_data():
    challenge = Challenge("x", "X", "digits-resnet8", "cluttered-digits", "bytes")
    challenge.check(challenge.start())
    assert challenge.start().data == "cluttered-digits"


def test_a_recipe_is_brought_in_with_its_steps_where_they_are_about_the_model():
    elsewhere = preset_recipe("gentle", "digits-mlp", "wine", seed=3)
    found = SMALL.brought_in(replace(elsewhere, split="train"))
    SMALL.check(found)
    assert found.entries == elsewhere.entries
    assert SMALL.brought_in(preset_recipe("gentle", "wine-mlp", "wine")) == SMALL.start()


def test_quality_is_called_what_it_is():
    assert SMALL.quality == "accuracy"
    detector = Challenge("d", "D", "scenes-detector", "digit-scenes", "error")
    assert detector.rule == "The highest mAP wins."


def test_a_recipe_about_something_else_is_refused():
    with pytest.raises(ConfigError, match="about model 'digits-mlp'"):
        SMALL.check(preset_recipe("gentle", "wine-mlp", "wine"))
    with pytest.raises(ConfigError, match="about seed 0"):
        SMALL.check(preset_recipe("gentle", "digits-mlp", "digits", seed=3))
