"""Proxies: by hand where that can be done, and what holds for every one of them."""

import math
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional

from optim.models.zoo import ARCHITECTURES
from optim.search.nas.families import FAMILIES
from optim.search.nas.proxies import PROXIES, Probe, scores_of
from tests.test_architecture import ROOT, imports_of

SHAPES = {"mlp": (5,), "cnn-1d": (1, 32)}


def probe(inputs, targets, **counts):
    loss = functional.cross_entropy
    return Probe(inputs, targets, loss, counts.get("params", 7), counts.get("macs", 11))


@pytest.fixture
def layer():
    """One dense layer without bias, ``(2 outputs, 2 inputs)``, and two samples for it."""
    linear = nn.Linear(2, 2, bias=False)
    linear.weight.data = torch.tensor([[1.0, -2.0], [0.5, 1.0]])
    inputs = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    return nn.Sequential(linear), probe(inputs, torch.tensor([0, 1]))


def gradient(layer):
    """Return the gradient of the mean cross-entropy by its formula."""
    module, given = layer
    weight = module[0].weight.detach()
    p = torch.softmax(given.inputs @ weight.T, 1)
    wrong = p - functional.one_hot(given.targets, 2)
    return wrong.T @ given.inputs / len(given.inputs), wrong


def test_snip_is_the_sum_of_weights_times_gradients(layer):
    g, _ = gradient(layer)
    expected = float((layer[0][0].weight.detach() * g).abs().sum())
    assert scores_of(*layer)["snip"] == pytest.approx(expected, rel=1e-5)


def test_the_gradient_norm_is_that_of_the_gradient(layer):
    g, _ = gradient(layer)
    assert scores_of(*layer)["grad_norm"] == pytest.approx(float(g.norm()), rel=1e-5)


def test_fisher_is_half_the_mean_square_of_outputs_times_their_gradients(layer):
    module, given = layer
    _, wrong = gradient(layer)
    outputs = module(given.inputs).detach()
    expected = float(((outputs * wrong) ** 2).mean(0).sum() / 2)
    assert scores_of(*layer)["fisher"] == pytest.approx(expected, rel=1e-5)


def test_synflow_is_the_product_along_all_paths():
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    module[0].weight.data = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    module[2].weight.data = torch.tensor([[-1.0, 2.0]])
    # Paths: 1*1 + 2*1 through the first unit, 3*2 through the second; once for each layer.
    found = scores_of(module, probe(torch.ones(2, 2), torch.tensor([0, 0])))
    assert found["synflow"] == pytest.approx(2 * (1 + 2 + 6))


def test_grasp_is_minus_the_weights_times_hessian_times_gradient():
    module = nn.Sequential(nn.Linear(1, 1, bias=False))
    module[0].weight.data = torch.tensor([[3.0]])
    given = Probe(torch.tensor([[1.0]]), torch.zeros(1), lambda y, t: (y**2).sum(), 1, 1)
    # The loss is w^2: g = 2w, H = 2, so -w H g = -4 w^2.
    assert PROXIES["grasp"].score(module, given) == pytest.approx(-4 * 9)


def test_naswot_is_the_logarithm_of_the_determinant_of_agreement():
    module = nn.Sequential(nn.ReLU())
    inputs = torch.tensor([[1.0, 1.0, -1.0], [1.0, -1.0, 1.0]])
    # The samples agree in one unit of three: the determinant of [[3, 1], [1, 3]].
    score = PROXIES["naswot"].score(module, probe(inputs, torch.tensor([0, 1])))
    assert score == pytest.approx(math.log(8))


def test_jacobians_that_are_all_alike_score_least():
    torch.manual_seed(0)
    inputs, targets = torch.randn(6, 5), torch.zeros(6, dtype=torch.long)
    linear = nn.Sequential(nn.Linear(5, 3))
    bent = nn.Sequential(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 3))
    score = PROXIES["jacob_cov"].score
    assert score(linear, probe(inputs, targets)) < score(bent, probe(inputs, targets))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_proxy_has_an_answer_for_every_family_and_leaves_the_network_alone(family):
    shape = SHAPES.get(family, (1, 8, 8))
    module = ARCHITECTURES[family]().build(shape, 3)
    before = deepcopy(module.state_dict())
    torch.manual_seed(0)
    given = probe(torch.randn(8, *shape), torch.arange(8) % 3)
    found = scores_of(module, given)
    assert found.keys() == PROXIES.keys()
    assert (found["params"], found["macs"]) == (7, 11)
    assert found == scores_of(module, given)
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())


def test_what_is_not_finite_is_left_out():
    module = nn.Sequential(nn.Linear(2, 2))
    given = probe(torch.zeros(2, 2), torch.tensor([0, 1]))
    # No activation switches, and no two samples differ.
    assert "naswot" not in scores_of(module, given)


def test_proxies_do_not_import_each_other():
    folder = ROOT / "optim" / "search" / "nas" / "proxies"
    shared = {"__init__", "proxy", "layers"}
    names = {path.stem for path in folder.glob("*.py")} - shared
    assert names == PROXIES.keys()
    for name in names:
        others = {f"optim.search.nas.proxies.{other}" for other in names - {name}}
        assert imports_of(folder / f"{name}.py").isdisjoint(others), name
