"""Refitted weights solve a regression, for every kind of layer, and nothing else moves."""

import copy

import pytest
import torch
from torch import nn

from optim.layers.channels import find_channels
from optim.layers.graph import fork
from optim.layers.reconstruction import most_samples, original_outputs, refitted
from optim.layers.slicing import keep_channels, kept_positions


def cut(module, shape, share=0.5):
    """Return a module without the last channels of every group, and where they were."""
    groups = find_channels(module, shape).groups
    keep = {g.name: torch.arange(max(1, int(g.size * (1 - share)))) for g in groups}
    return keep_channels(module, groups, keep), kept_positions(module, groups, keep)


def placed(module, layers):
    changed = fork(module)
    for name, layer in layers.items():
        changed.set_submodule(name, layer)
    return changed.eval()


def refit(module, shape, inputs, masks=None):
    pruned, kept = cut(module, shape)
    wanted = original_outputs(module, inputs)
    layers = refitted(pruned, inputs, wanted, kept, masks or {})
    return pruned.eval(), placed(pruned, layers), layers


def error(module, other, inputs):
    with torch.no_grad():
        return float((module(inputs) - other(inputs)).square().mean())


MODULES = {
    "dense": lambda: (nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4)), (6,)),
    "norm": lambda: (
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * 16, 4),
        ),
        (3, 8, 8),
    ),
    "series": lambda: (
        nn.Sequential(
            nn.Conv1d(2, 8, 5, dilation=2, padding=4),
            nn.ReLU(),
            nn.Conv1d(8, 6, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(6 * 15, 4),
        ),
        (2, 32),
    ),
    "tokens": lambda: (nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 4)), (5, 6)),
}


@pytest.fixture(params=MODULES)
def case(request):
    module, shape = MODULES[request.param]()
    inputs = torch.randn(400, *shape)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2.0)
            nn.init.normal_(layer.bias)
            layer.momentum = None
    module.train()
    module(inputs)  # batch norms know their inputs, as in a trained network
    return module.eval(), shape, inputs


def test_outputs_come_nearer_to_the_original_also_on_other_samples(case):
    module, shape, inputs = case
    pruned, fitted, _ = refit(module, shape, inputs)
    others = torch.randn(200, *shape)
    assert error(module, fitted, inputs) < 0.8 * error(module, pruned, inputs)
    assert error(module, fitted, others) < 0.9 * error(module, pruned, others)


def test_statistics_of_norms_are_those_of_their_inputs(case):
    module, shape, inputs = case
    _, fitted, layers = refit(module, shape, inputs)
    again = copy.deepcopy(fitted)
    for layer in again.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    again.train()
    with torch.no_grad():
        again(inputs)
    assert error(fitted, again.eval(), inputs) < 1e-4 * error(module, fitted, inputs)
    assert {type(layer) for layer in layers.values()} <= {
        nn.Linear,
        nn.Conv1d,
        nn.Conv2d,
        nn.BatchNorm2d,
    }


def test_a_dense_layer_is_the_solution_of_the_regression():
    module, shape = MODULES["dense"]()
    inputs = torch.randn(500, *shape)
    _, fitted, _ = refit(module, shape, inputs)
    hidden = fitted[1](fitted[0](inputs)).detach()
    columns = torch.cat([hidden, torch.ones(500, 1)], dim=1)
    wanted = module(inputs).detach()
    best = torch.linalg.lstsq(columns, wanted).solution
    assert torch.allclose(fitted[2].weight, best[:-1].T, atol=0.05)
    least = float((columns @ best - wanted).square().mean())
    assert least <= error(module, fitted, inputs) < 1.01 * least


def test_redundant_channels_are_made_up_for_exactly():
    module, shape = MODULES["dense"]()
    with torch.no_grad():  # the second half of the channels repeats the first
        module[0].weight[6:] = module[0].weight[:6]
        module[0].bias[6:] = module[0].bias[:6]
    inputs = torch.randn(500, *shape)
    pruned, fitted, _ = refit(module, shape, inputs)
    assert error(module, fitted, inputs) < 1e-3 * error(module, pruned, inputs)


def test_masked_weights_stay_zero():
    module, shape = MODULES["dense"]()
    pruned, kept = cut(module, shape)
    mask = torch.rand_like(pruned[2].weight) > 0.5
    with torch.no_grad():
        pruned[2].weight.mul_(mask)
    inputs = torch.randn(100, *shape)
    layers = refitted(pruned, inputs, original_outputs(module, inputs), kept, {"2": mask})
    assert not layers["2"].weight[~mask].any()
    assert layers["2"].weight[mask].all()


def test_layers_with_the_original_inputs_are_left_alone(case):
    module, shape, inputs = case
    pruned, fitted, layers = refit(module, shape, inputs)
    assert "0" not in layers
    assert torch.equal(pruned[0].weight, fitted[0].weight)


def test_what_was_fitted_can_be_trained_further(case):
    module, shape, inputs = case
    _, fitted, _ = refit(module, shape, inputs)
    fitted(inputs).square().sum().backward()
    assert all(p.grad is not None for p in fitted.parameters())


def test_neither_module_is_changed(case):
    module, shape, inputs = case
    pruned, kept = cut(module, shape)
    before = copy.deepcopy([module.state_dict(), pruned.state_dict()])
    refitted(pruned, inputs, original_outputs(module, inputs), kept, {})
    for old, new in zip(before, [module.state_dict(), pruned.state_dict()], strict=True):
        assert all(torch.equal(old[name], new[name]) for name in old)


def test_large_activations_allow_fewer_samples():
    module = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Flatten())
    assert most_samples(module, (3, 8, 8)) > 1000
    assert most_samples(module, (3, 512, 512)) == 8
