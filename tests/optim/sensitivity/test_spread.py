"""Settings of single layers cost no more than the common one, and harm less where it matters."""

import json
import random
from dataclasses import replace

import pytest

from optim.errors import ConfigError
from optim.measure.costs import model_costs, variant_costs
from optim.quantity import Quantity
from optim.sensitivity.analysis import analyse, weight_bytes
from optim.sensitivity.profile import Profile
from optim.sensitivity.settings import settings_of_layers
from optim.sensitivity.spread import spread
from optim.sensitivity.times import timed
from optim.sensitivity.trials import everywhere
from optim.subject import subject_of
from optim.techniques import TECHNIQUES
from tests.helpers import context_for, data_for, tiny_bundle


@pytest.fixture(scope="module")
def one():
    bundle = tiny_bundle("resnet")
    return subject_of(bundle, data_for(bundle))


@pytest.fixture(scope="module")
def profile(one):
    *_, last = analyse(one, samples=64)
    return last


@pytest.fixture
def costs(one):
    layers = model_costs(one.bundle)

    def asked(step):
        bundle = step.apply(one.bundle, context_for(one.bundle)).bundle
        return sum(cost.macs for cost in variant_costs(layers, bundle)), weight_bytes(bundle)

    return asked


@pytest.mark.parametrize(
    ("name", "level", "unit"),
    [("quantize", 4, "bytes"), ("prune_weights", 0.6, "bytes"), ("prune_channels", 0.4, "macs")],
)
def test_costs_no_more_and_harms_less(profile, costs, name, level, unit):
    step = TECHNIQUES[name]()
    found = spread(profile, name, step, level, costs)
    position = ("macs", "bytes").index(unit)
    assert found.unit == unit
    assert found.target == costs(everywhere(step, level))[position]
    assert found.reached == costs(found.step)[position] <= found.target
    assert found.reached > 0.7 * found.target  # eight channels go by the eighth
    assert len(set(found.levels.values())) > 1


def test_the_layer_that_suffers_most_keeps_most(profile, costs):
    found = spread(profile, "quantize", TECHNIQUES["quantize"](), 3, costs)
    harm = {c.layer: c.harm.value for c in profile.cells_of("quantize") if c.level == 2}
    size = {c.layer: profile.bytes - c.bytes for c in profile.cells_of("quantize") if c.level == 2}
    hardest = max(harm, key=lambda layer: harm[layer] / size[layer])
    assert found.levels[hardest] == max(found.levels.values())


def test_a_block_goes_as_a_whole_or_stays(profile, costs):
    step = TECHNIQUES["drop_blocks"]()
    found = spread(profile, "drop_blocks", step, 0.5, costs)
    assert set(found.levels.values()) <= {0.0, 0.9}
    assert found.reached == costs(found.step)[0] <= found.target


def test_for_equal_time_the_slow_layers_go(profile, costs):
    """Of two blocks that harm alike the one goes that takes the time; MACs are not asked."""
    rows = [row.layer for row in profile.rows_of("drop_blocks")]
    times = {layer: 0.95 for layer in rows} | {rows[0]: 0.6}
    cells = [
        replace(
            cell, time=Quantity.exact(times[cell.layer], "x"), harm=Quantity.exact(1.0, "fraction")
        )
        for cell in profile.cells_of("drop_blocks")
    ]
    known = replace(profile, cells=tuple(cells))

    def time(step):
        gone = step.layers or dict.fromkeys(rows[1:], 0.9)
        return 1 - sum(1 - times[layer] for layer, share in gone.items() if share >= 0.5)

    step = TECHNIQUES["drop_blocks"]()
    found = spread(known, "drop_blocks", step, 0.5, costs, time)
    assert found.unit == "time"
    assert [layer for layer, share in found.levels.items() if share] == [rows[0]]
    assert found.reached <= found.target
    assert "of the original's time" in found.summary()


def test_no_time_can_be_held_equal_where_none_was_measured_or_none_is_gained(profile, costs):
    step = TECHNIQUES["prune_channels"]()
    with pytest.raises(ConfigError, match="Nothing is known of the time"):
        spread(profile, "prune_channels", step, 0.5, costs, lambda step: 0.5)
    cells = [replace(c, time=Quantity.exact(1.0, "x")) for c in profile.cells]
    known = replace(profile, cells=tuple(cells))
    with pytest.raises(ConfigError, match="no time is gained"):
        spread(known, "prune_channels", step, 0.5, costs, lambda step: 1.1)


def test_layers_are_timed_by_techniques_that_take_work_away(one, profile):
    *_, found = timed(profile, one)
    assert set(found.structural) >= {"prune_channels", "drop_blocks"}
    for name in found.structural:
        assert found.is_timed(name)
    assert not found.is_timed("quantize")
    assert all(cell.time.value > 0 for cell in found.cells_of("drop_blocks"))
    assert Profile.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert not list(timed(found, one))  # nothing is left to time


def test_settings_are_asked_of_the_model_itself(one, profile, costs):
    step = TECHNIQUES["prune_channels"]()
    found = settings_of_layers(one, profile, step, 0.4)
    assert found == spread(profile, "prune_channels", step, 0.4, costs)


def test_more_than_was_tried_is_refused(profile, costs):
    with pytest.raises(ConfigError, match="saves more than the levels that were tried"):
        spread(profile, "prune_weights", TECHNIQUES["prune_weights"](), 0.99, costs)


def test_a_technique_nothing_is_known_of_is_refused(profile, costs):
    with pytest.raises(ConfigError, match="Nothing is known"):
        spread(profile, "finetune", TECHNIQUES["finetune"](), 0.5, costs)


@pytest.mark.parametrize("seed", [48, 63, 65])
def test_never_more_harmful_than_the_common_level(profile, seed):
    """Sizes of no common divisor: nothing but the common width takes all that may be taken."""
    draw = random.Random(seed)
    rows = [row.layer for row in profile.rows_of("quantize")][:3]
    size = {layer: draw.randrange(100_001, 900_000, 2) for layer in rows}
    whole = 32 * sum(size.values())
    cells = tuple(
        replace(
            cell,
            bytes=whole - size[cell.layer] * (32 - cell.level),
            harm=Quantity.exact(draw.uniform(0.2, 5) * 4.0**-cell.level, "fraction"),
        )
        for cell in profile.cells_of("quantize")
        if cell.layer in rows
    )
    shown = tuple(row for row in profile.rows_of("quantize") if row.layer in rows)
    known = replace(profile, cells=cells, rows=shown, bytes=whole)

    def costs(step):
        bits = {**dict.fromkeys(rows, step.weight_bits), **step.layers}
        return 0, sum(size[layer] * bits[layer] for layer in rows)

    found = spread(known, "quantize", TECHNIQUES["quantize"](), 3, costs)
    harm = {(cell.layer, cell.level): cell.harm.value for cell in cells}
    assert found.reached <= found.target
    assert sum(harm[each] for each in found.levels.items()) <= sum(harm[x, 3] for x in rows)
