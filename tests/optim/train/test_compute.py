"""Layout, precision and compilation change how fast, and hardly what."""

import copy

import pytest
import torch
from torch import nn

from optim.errors import RunError
from optim.train import Compute
from optim.train.compute import _verdict, compiled
from tests.helpers import tiny_bundle

CPU = torch.device("cpu")


@pytest.mark.parametrize("last", [True, False])
def test_batches_and_convolutions_are_in_the_layout_that_was_chosen(last):
    compute, module = Compute(channels_last=last), nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    before = module[0].weight.detach().clone()
    compute.place_module(module, CPU, images=True)
    x = compute.place(torch.randn(2, 3, 8, 8))
    for tensor in (x, module[0].weight):
        assert tensor.is_contiguous(memory_format=torch.channels_last) is last
        assert tensor.is_contiguous() is not last
    assert torch.equal(module[0].weight, before)


def test_a_module_that_sees_no_images_keeps_its_layout():
    module = nn.Sequential(nn.Conv2d(3, 4, 3))
    Compute(channels_last=True).place_module(module, CPU, images=False)
    assert module[0].weight.is_contiguous()
    assert Compute().place(x := torch.randn(2, 5)) is x


def test_bfloat16_multiplies_in_half_the_bits():
    linear = nn.Linear(64, 64)
    x = torch.randn(8, 64)
    with Compute("bfloat16").autocast(CPU):
        half = linear(x)
    with Compute().autocast(CPU):
        whole = linear(x)
    assert (half.dtype, whole.dtype) == (torch.bfloat16, torch.float32)
    assert linear.weight.dtype == torch.float32
    torch.testing.assert_close(half.float(), whole, atol=0.03, rtol=0.03)
    assert not torch.equal(half.float(), whole)


@pytest.mark.parametrize(
    ("cost", "plain", "quick", "verdict"),
    [
        (10.0, 0.2, 0.1, "so it paid off: it takes 100 steps to win that back, of 101."),
        (10.0, 0.2, 0.1001, "so it did not pay off: it takes 100 steps to win that back, of 60."),
        (10.0, 0.1, 0.2, "200.0 ms instead of 100.0 ms: it gained nothing."),
    ],
    ids=["won", "too short", "slower"],
)
def test_the_verdict_on_compilation_by_hand(cost, plain, quick, verdict):
    steps = 101 if "of 101" in verdict else 60
    told = _verdict(cost, plain, quick, steps)
    assert told.startswith("Compiling took 10.0 s; a step then took ")
    assert told.endswith(verdict)


def test_compilation_leaves_the_module_and_the_generator(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module: module)
    module = tiny_bundle("resnet").module.train()
    before = copy.deepcopy(module.state_dict())
    x, targets = torch.randn(8, 3, 16, 16), torch.arange(8) % 4
    state, notes = torch.get_rng_state(), []
    forward = compiled(
        module, lambda f: nn.functional.cross_entropy(f(x), targets), 100, notes.append
    )
    assert forward is module
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert len(notes) == 1


def test_a_compiler_that_does_not_work_is_an_error_with_a_way_out(monkeypatch):
    def broken(module):
        def forward(x):
            raise RuntimeError("no C++ compiler\nwas found")

        return forward

    monkeypatch.setattr(torch, "compile", broken)
    module = nn.Linear(2, 2)
    with pytest.raises(RunError) as caught:
        compiled(module, lambda f: f(torch.ones(3, 2)).sum(), 10, print)
    assert caught.value.message == "torch.compile does not work here: no C++ compiler."
    assert "Train without it" in caught.value.hint
