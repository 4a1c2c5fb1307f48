"""Residual blocks: found where a stream passes them by, and gone without a trace."""

import pytest
import torch
from torch import nn

from optim.layers.residual import find_blocks, influence_of, output_errors, without_blocks
from tests.helpers import assert_similar


class Net(nn.Module):
    """A stream of four numbers with a block, a projected block, and one inside another."""

    def __init__(self):
        super().__init__()
        for name in ("stem", "block", "wide", "wider", "project", "outer", "inner", "head"):
            setattr(self, name, nn.Linear(4, 4))

    def forward(self, x):
        x = self.stem(x).relu()
        x = x + self.block(x)
        x = self.wider(self.wide(x).relu()) + self.project(x)
        y = self.outer(x)
        x = x + (y + self.inner(y))
        return self.head(x)


class Towers(nn.Module):
    """Additions that pass nothing by."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.place = nn.Parameter(torch.ones(1, 4))

    def forward(self, x):
        x = self.place + self.one(x)  # a constant is no shortcut
        return self.two(x) + 1.0


@pytest.fixture
def net():
    return Net().eval()


def test_blocks_are_what_serves_one_side_of_an_addition_alone(net):
    found = {block.name: block.layers for block in find_blocks(net, (4,))}
    assert found == {"block": ("block",), "wide": ("wide", "wider"), "inner": ("inner",)}


def test_what_is_added_to_a_constant_is_no_block():
    assert find_blocks(Towers().eval(), (4,)) == ()


def test_without_a_block_the_shortcut_goes_on_alone(net):
    x = torch.randn(5, 4)
    net.requires_grad_(False)
    blocks = {block.name: block for block in find_blocks(net, (4,))}
    short = without_blocks(net, blocks.values())
    stream = net.project(net.stem(x).relu())
    assert_similar(short(x), net.head(stream + net.outer(stream)))
    assert {name for name, _ in short.named_children()} == {"stem", "project", "outer", "head"}
    assert_similar(without_blocks(net, [])(x), net(x))


def test_neighbouring_blocks_go_together():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            x = x + self.a(x)
            return x + self.b(x)

    two, x = Two().eval(), torch.randn(3, 4)
    assert torch.equal(without_blocks(two, find_blocks(two, (4,)))(x), x)


def test_influence_and_errors_by_hand(net):
    x = torch.randn(200, 4)
    blocks = find_blocks(net, (4,))
    with torch.no_grad():
        net.block.weight.zero_()
        net.block.bias.zero_()
        stream = net.stem(x).relu()
        behind = net.wider(net.wide(stream).relu()) + net.project(stream)
    influence = influence_of(net, blocks, x)
    assert influence["block"] == pytest.approx(0, abs=1e-6)
    cosine = nn.functional.cosine_similarity(net.project(stream), behind)
    assert influence["wide"] == pytest.approx(1 - float(cosine.mean().detach()), rel=1e-4)

    errors = output_errors(net, blocks, {"inner"}, x)
    assert errors.keys() == {"block", "wide"}
    with torch.no_grad():
        wanted, found = net(x), without_blocks(net, blocks[1:])(x)
    by_hand = float((found - wanted).square().sum() / wanted.square().sum())
    assert errors["wide"] == pytest.approx(by_hand, rel=1e-4)
    assert output_errors(net, blocks, (), x)["block"] == pytest.approx(0, abs=1e-12)
