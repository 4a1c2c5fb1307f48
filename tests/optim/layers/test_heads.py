"""Attention heads: found where they can leave, and gone without changing the others."""

import pytest
import torch
from torch import nn

from optim.layers.channels import find_channels
from optim.layers.heads import find_attention
from optim.layers.slicing import keep_channels
from optim.models.blocks import SelfAttention
from tests.helpers import assert_similar


class Stated(SelfAttention):
    """States how many heads there are."""

    def forward(self, x):
        q, k, v = (
            layer(x).unflatten(-1, (4, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        weights = torch.softmax(torch.matmul(q, k.transpose(-2, -1)), dim=-1)
        return self.project(torch.matmul(weights, v).transpose(1, 2).flatten(2))


class Mixed(SelfAttention):
    """Reads the heads number by number instead of one by one."""

    def forward(self, x):
        q, k, v = (
            layer(x).unflatten(-1, (-1, self.head)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        weights = torch.softmax(torch.matmul(q, k.transpose(-2, -1)), dim=-1)
        return self.project(torch.matmul(weights, v).transpose(1, 3).flatten(2))


class Watched(SelfAttention):
    """Uses the queries for something else as well."""

    def forward(self, x):
        return super().forward(x) + self.query(x)


class Net(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.stem, self.attention, self.head = nn.Linear(6, 12), kind(12, 4), nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.attention(self.stem(x)).mean(1))


def test_heads_of_a_known_size_are_found():
    (found,) = find_attention(Net(SelfAttention).eval())
    assert found.makers == ("attention.query", "attention.key", "attention.value")
    assert (found.project, found.head) == ("attention.project", 3)


@pytest.mark.parametrize("kind", [Stated, Mixed, Watched])
def test_heads_that_could_not_leave_are_not(kind):
    assert find_attention(Net(kind).eval()) == ()


def test_without_a_head_the_others_say_what_they_said():
    net, x = Net(SelfAttention).eval().requires_grad_(False), torch.randn(5, 7, 6)
    (group,) = [g for g in find_channels(net, (7, 6)).groups if g.together == 3]
    silent = Net(SelfAttention).eval()
    silent.load_state_dict(net.state_dict())
    with torch.no_grad():
        silent.attention.project.weight[:, 3:6] = 0
    keep = torch.tensor([0, 1, 2, 6, 7, 8, 9, 10, 11])
    smaller = keep_channels(net, [group], {group.name: keep})
    assert smaller.attention.query.weight.shape == (9, 12)
    assert smaller.attention.project.weight.shape == (12, 9)
    assert_similar(smaller(x), silent(x).detach())
