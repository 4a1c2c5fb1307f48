"""Batch norms that are measured again: on whatever samples there are, and nothing else changes."""

import pytest
import torch
from torch import nn

from optim.layers.norms import measure_norms_


def dense():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval()


def test_statistics_are_those_of_the_samples():
    module, x = dense(), torch.randn(64, 3)
    measure_norms_(module, x.split(32))
    hidden = module[0](x).detach()
    assert torch.allclose(module[1].running_mean, hidden.mean(0), atol=1e-5)
    assert not module[1].training


@pytest.mark.parametrize("count", [65, 33])
def test_a_last_batch_of_one_sample_is_left_out(count):
    module, alike, x = dense(), dense(), torch.randn(count, 3)
    alike.load_state_dict(module.state_dict())
    measure_norms_(module, x.split(32))
    measure_norms_(alike, x[:-1].split(32))
    assert torch.equal(module[1].running_var, alike[1].running_var)


@pytest.mark.parametrize("x", [torch.randn(1, 3), torch.randn(0, 3)[:0]])
def test_one_sample_alone_or_none_leaves_what_does_not_vary_as_it_was(x):
    module = dense()
    before = module[1].running_var.clone()
    measure_norms_(module, [x] if len(x) else [])
    assert torch.equal(module[1].running_var, before)


def test_the_places_of_one_picture_do_vary():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()
    x = torch.randn(1, 1, 8, 8)
    measure_norms_(module, [x])
    assert torch.allclose(module[1].running_mean, module[0](x).mean((0, 2, 3)), atol=1e-5)
