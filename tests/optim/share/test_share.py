"""The grid of a recipe's sliders, and the page that needs no server."""

import json
import re

import pytest

from optim.errors import ConfigError, RunError
from optim.recipe import Recipe
from optim.share import page
from optim.share.grid import MOST_POINTS, axes_of, evaluated
from optim.share.page import shared_html
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from optim.whatif.engine import Engine


@pytest.fixture(scope="module")
def recipe():
    base = Recipe("wine-mlp", "wine").with_step(PruneWeights(sparsity=0.5))
    return base.with_step(Quantize(weight_bits=4))


@pytest.fixture(scope="module")
def found(recipe):
    return evaluated(Engine(registered_only=True), recipe)


def test_sliders_are_those_of_the_recipe_and_start_at_its_values(recipe):
    bits, zeros = axes_of(recipe)
    assert (bits.values, bits.start) == ((8, 6, 4, 3), 2)
    assert (zeros.values, zeros.start) == ((0.0, 0.5, 0.75), 1)
    own = axes_of(recipe.with_fields("prune_weights", sparsity=0.6))[1]
    assert own.values[own.start] == 0.6
    (only,) = axes_of(recipe.with_enabled("quantize", False))
    assert only.field == "sparsity"


def test_a_recipe_without_sliders_is_refused():
    with pytest.raises(ConfigError, match="no step with a slider"):
        axes_of(Recipe("wine-mlp", "wine"))


def test_there_are_never_too_many_positions():
    every = Recipe("wine-mlp", "wine").with_step(PruneChannels(pruning_ratio=0.33))
    every = every.with_step(PruneWeights(sparsity=0.4)).with_step(Quantize(weight_bits=5))
    total = 1
    for axis in axes_of(every):
        total *= len(axis.values)
    assert total <= MOST_POINTS


def test_every_position_is_what_the_engine_says_of_it(recipe, found):
    assert len(found["points"]) == 12
    engine = Engine(registered_only=True)
    at = recipe.with_fields("quantize", weight_bits=3).with_fields("prune_weights", sparsity=0.75)
    bench = engine.workbench(at)
    prepared = bench.prepare(at, draft=False)
    last = found["points"][-1]
    assert last["quality"]["value"] == bench.joined(prepared, bench.n_chunks).accuracy().value
    assert last["file"]["value"] == engine.static(prepared).file.value


def test_the_file_holds_its_points_asks_nobody_and_says_precomputed(found):
    text = shared_html(found)
    held = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert json.loads(held[1]) == json.loads(json.dumps(found))
    addresses = set(re.findall(r"https?://[^\"' ]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}, "a name, never asked for"
    assert "default-src 'none'" in text
    assert "precomputed" in text
    assert len(text) < 100_000


def test_names_of_others_cannot_end_the_script(found):
    text = shared_html({**found, "model": "</script><img src=x onerror=alert(1)>"})
    assert "<img" not in text


def test_a_file_that_is_too_large_is_refused(found, monkeypatch):
    monkeypatch.setattr(page, "MOST_BYTES", 1000)
    with pytest.raises(RunError, match="1,000 are the most"):
        shared_html(found)


def test_progress_says_the_time_that_is_left(recipe):
    told = []
    evaluated(Engine(registered_only=True), recipe, told=lambda share, what: told.append(what))
    assert told[0] == "point 1 of 12"
    assert re.fullmatch(r"point 12 of 12, about \d+ s left", told[-1])
