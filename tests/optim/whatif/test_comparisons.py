"""Several recipes side by side, answered by the engine."""

from dataclasses import replace

import pytest

from optim.compare.vectors import vector_key
from optim.errors import ConfigError
from optim.quantity import How
from optim.whatif import comparisons
from optim.whatif.comparisons import answered, contest, differing
from optim.whatif.engine import Engine


@pytest.fixture
def original(recipe):
    return replace(recipe, entries=())


def asked(*recipes):
    return [{"recipe": one.to_json(), "card": None} for one in recipes]


def test_answers_are_taken_from_disk_by_another_process(engine, recipe, monkeypatch):
    first = answered(engine, recipe)
    assert first["n"] == first["of"] == 362
    other = Engine(registered_only=True)
    monkeypatch.setattr(
        "optim.whatif.engine.Workbench._predict", lambda *_: pytest.fail("asked twice")
    )
    assert answered(other, recipe) == first


def test_models_are_compared_with_the_reference(engine, recipe, original):
    found = contest(engine, original, asked(original, recipe))
    first, second = found["entries"]
    assert "changes" not in first
    told = second["changes"]["quality"]
    assert told["paired"]
    assert second["common"] == 362
    assert second["figures"]["quality"]["how"] == How.SIMULATED
    assert second["figures"]["file"]["value"] < first["figures"]["file"]["value"]
    assert {row["bits"] for row in first["layers"]} == {32}
    assert {row["bits"] for row in second["layers"]} == {8}
    assert len(second["classes"]) == 10


def test_the_change_is_that_of_the_evaluator(engine, recipe, original):
    from optim.whatif.inspections import inspection

    (_, second) = contest(engine, original, asked(original, recipe))["entries"]
    assert second["changes"]["quality"]["change"] == inspection(engine, recipe)["change"]


def test_a_model_that_is_gone_is_told_about_and_the_others_stand(engine, recipe, original):
    gone = replace(recipe, model="nosuchmodel")
    first, second = contest(engine, original, asked(original, gone))["entries"]
    assert first["problem"] == ""
    assert "nosuchmodel" in second["problem"]
    assert "figures" not in second


def test_samples_that_differ_are_shown(engine, recipe, original):
    harsh = recipe.with_fields("prune_channels", pruning_ratio=0.75)
    found = differing(engine, original, harsh.to_json(), count=3)
    assert found["total"] == sum(found["counts"].values()) >= 3
    assert all(one["before"] != one["after"] and one["image"] for one in found["samples"])


@pytest.mark.parametrize(("number", "reference"), [(0, 0), (9, 0), (2, 2)])
def test_what_cannot_stand_side_by_side_is_refused(engine, original, number, reference):
    with pytest.raises(ConfigError, match="stand side by side"):
        contest(engine, original, asked(*[original] * number), reference)


def test_the_key_names_model_samples_and_number():
    keys = {vector_key(m, s, n) for m in "ab" for s in "cd" for n in (1, 2)}
    assert len(keys) == 8
    assert comparisons.MOST_CONTENDERS == 8
