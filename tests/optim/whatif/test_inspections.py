"""What the evaluator says of both models comes from what they said already."""

from dataclasses import replace

import pytest

from optim.errors import ConfigError
from optim.inspect.confidence import probabilities
from optim.measure.evaluate import predict
from optim.whatif import inspections
from optim.whatif.inspections import flipped, inspection


def both(engine, recipe):
    bench = engine.workbench(recipe)
    result = bench.prepare(recipe, draft=False).bundle
    return [predict(bundle, bench.samples) for bundle in (bench.subject.bundle, result)]


def test_an_inspection_is_of_the_whole_part_of_a_small_model(engine, recipe):
    found = inspection(engine, recipe)
    before, after = both(engine, recipe)
    assert found["n"] == found["of"] == len(after)
    assert found["part"] == "validation"
    assert found["before"]["accuracy"]["value"] == pytest.approx(before.accuracy().value)
    assert found["after"]["accuracy"]["value"] == pytest.approx(after.accuracy().value)
    assert len(found["classes"]) == 10
    assert found["omitted"] == []


def test_of_a_large_model_what_is_soon_known_is_looked_at(
    engine, recipe, small_chunks, monkeypatch
):
    bench = engine.workbench(recipe)
    monkeypatch.setattr(inspections, "_MOST_MACS", 2 * 2 * 32 * bench.macs)
    assert inspection(engine, recipe)["n"] == 64
    for one in (recipe, replace(recipe, entries=())):
        bench.joined(bench.prepare(one, draft=False), 3)
    assert inspection(engine, recipe)["n"] == 96, "as many as are known already"


def test_flipped_samples_come_by_kind_and_page_with_their_picture(engine, recipe):
    before, after = both(engine, recipe)
    first = flipped(engine, recipe, kind="", count=2)
    changed = before.classes != after.classes
    assert sum(first["counts"].values()) == int(changed.sum()) > 2
    kind = max(first["counts"], key=first["counts"].get)
    found = flipped(engine, recipe, kind=kind, count=48)
    assert {sample["kind"] for sample in found["samples"]} == {kind}
    assert len(found["samples"]) == min(48, first["counts"][kind])
    second = flipped(engine, recipe, kind=kind, start=1, count=1)
    assert second["samples"] == found["samples"][1:2]
    sample = found["samples"][0]
    assert changed[sample["index"]]
    assert sample["image"].startswith("data:image/png;base64,")
    names = engine.workbench(recipe).subject.bundle.task.class_names
    assert sample["after_name"] == names[int(after.classes[sample["index"]])]
    shares = probabilities(before.outputs)[sample["index"]]
    assert sample["confidence_before"] == pytest.approx(float(shares.max()))


def test_what_there_is_not_is_refused(engine, recipe):
    with pytest.raises(ConfigError, match=r"kind must be one of lost, won, other: got 'all'"):
        flipped(engine, recipe, kind="all")
    with pytest.raises(ConfigError, match="count from 1 to"):
        flipped(engine, recipe, kind="", count=0)
