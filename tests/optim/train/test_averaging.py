"""The moving average by hand."""

import pytest
import torch
from torch import nn

from optim.train import Average


class Point(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([float(value)]))
        self.register_buffer("steps", torch.tensor(0))


def move(module, value):
    with torch.no_grad():
        module.weight.fill_(value)
        module.steps += 1


def test_three_steps_by_hand():
    module = Point(10)
    average = Average(module, 0.25)
    expected = 10.0
    # While n is small, (1 + n) / (10 + n) is the smaller decay: 2/11, 3/12 and then 0.25.
    for value, decay in ((4.0, 2 / 11), (-2.0, 0.25), (8.0, 0.25)):
        move(module, value)
        average.update(module)
        expected = decay * expected + (1 - decay) * value
        assert average.values["weight"].item() == pytest.approx(expected)


def test_a_slow_average_forgets_the_initial_weights():
    module = Point(100)
    average = Average(module, 0.999)
    share = 1.0
    for n in range(1, 101):
        move(module, 1.0)
        average.update(module)
        share *= (1 + n) / (10 + n)
    assert average.values["weight"].item() == pytest.approx(1 + 99 * share, rel=1e-5)
    assert share < 1e-6


def test_counters_are_taken_over_and_statistics_averaged():
    module = nn.BatchNorm1d(2)
    average = Average(module, 0.5)
    with torch.no_grad():
        module.running_mean.fill_(11.0)
        module.num_batches_tracked += 7
    average.update(module)
    assert average.values["num_batches_tracked"] == 7
    torch.testing.assert_close(average.values["running_mean"], torch.full((2,), 9.0))


def test_weights_that_were_masked_only_now_are_zero_in_the_average():
    module = nn.Sequential(nn.Linear(3, 2))
    average = Average(module, 0.9)
    mask = torch.tensor([[True, False, True], [False, True, True]])
    average.mask({"0": mask})
    assert torch.equal(average.values["0.weight"], module[0].weight.detach() * mask)
    assert torch.equal(average.values["0.bias"], module[0].bias.detach())


def test_the_module_has_the_average_for_a_while_and_then_its_own_weights():
    module = Point(1)
    average = Average(module, 0.5)
    move(module, 12.0)
    average.update(module)
    kept = average.values["weight"].item()
    with average.applied(module):
        assert module.weight.item() == kept != 12.0
    assert module.weight.item() == 12.0
    assert average.values["weight"].item() == kept


def test_it_goes_on_from_its_state():
    module = Point(1)
    whole, first = Average(module, 0.9), Average(module, 0.9)
    for value in (3.0, 5.0):
        move(module, value)
        whole.update(module)
        first.update(module)
    second = Average(Point(99), 0.9)
    second.load(first.state())
    move(module, -4.0)
    whole.update(module)
    second.update(module)
    assert second.steps == 3
    assert torch.equal(second.values["weight"], whole.values["weight"])


def test_the_module_has_its_own_weights_back_after_an_error():
    module = Point(1)
    average = Average(module, 0.5)
    move(module, 12.0)

    def fail():
        with average.applied(module):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert module.weight.item() == 12.0
