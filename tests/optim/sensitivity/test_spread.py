"""Settings of single layers cost no more than the common one, and harm less where it matters."""

import pytest

from optim.errors import ConfigError
from optim.measure.costs import model_costs, variant_costs
from optim.sensitivity.analysis import analyse, weight_bytes
from optim.sensitivity.spread import spread
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


def test_more_than_was_tried_is_refused(profile, costs):
    with pytest.raises(ConfigError, match="saves more than the levels that were tried"):
        spread(profile, "prune_weights", TECHNIQUES["prune_weights"](), 0.99, costs)


def test_a_technique_nothing_is_known_of_is_refused(profile, costs):
    with pytest.raises(ConfigError, match="Nothing is known"):
        spread(profile, "finetune", TECHNIQUES["finetune"](), 0.5, costs)
