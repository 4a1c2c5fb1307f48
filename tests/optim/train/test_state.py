"""Copies that are copies, and generators that go on where they were."""

import pytest
import torch
from torch import nn

from optim.train.state import (
    copied,
    is_finite,
    overwrite_,
    random_state,
    restore_random,
    tensors_of,
)

CPU = torch.device("cpu")


def test_a_copy_shares_no_tensor_at_any_depth():
    x = torch.ones(2, requires_grad=True)
    value = {"a": [x, ({"b": x}, 3)], "c": None}
    found = copied(value)
    with torch.no_grad():
        x.zero_()
    assert found["a"][0].tolist() == found["a"][1][0]["b"].tolist() == [1, 1]
    assert not found["a"][0].requires_grad
    assert (found["a"][1][1], found["c"], type(found["a"][1])) == (3, None, tuple)


def test_tensors_are_all_parameters_and_buffers():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    assert tensors_of(module).keys() == module.state_dict().keys()


def test_overwriting_keeps_the_parameters_themselves():
    module, other = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    with torch.no_grad():
        other.weight.fill_(5)
        other.num_batches_tracked += 4
    weight = module.weight
    overwrite_(module, tensors_of(other))
    assert module.weight is weight
    assert weight.tolist() == [5, 5, 5]
    assert module.num_batches_tracked == 4
    assert weight.requires_grad


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["weight", "running_var"])
def test_one_value_that_is_no_number_is_found(name, value):
    module = nn.BatchNorm1d(3)
    assert is_finite(module)
    with torch.no_grad():
        getattr(module, name)[1] = value
    assert not is_finite(module)


def test_generators_go_on_where_they_were():
    own = torch.Generator().manual_seed(3)
    torch.manual_seed(4)
    state = copied(random_state(own, CPU))
    expected = torch.rand(3, generator=own), torch.rand(3)
    other = torch.Generator().manual_seed(99)
    torch.manual_seed(99)
    restore_random(state, other, CPU)
    assert torch.equal(torch.rand(3, generator=other), expected[0])
    assert torch.equal(torch.rand(3), expected[1])
