"""The parameter-free shortcut, whole and after channels left."""

import pytest
import torch

from optim.errors import UnsupportedModelError
from optim.layers.shortcut import ChannelPadShortcut


def test_it_subsamples_and_pads_on_both_sides():
    x = torch.arange(2 * 4 * 4.0).reshape(1, 2, 4, 4)
    y = ChannelPadShortcut(2, 6, stride=2)(x)
    assert y.shape == (1, 6, 2, 2)
    assert torch.equal(y[:, 2:4], x[:, :, ::2, ::2])
    assert not y[:, :2].any()
    assert not y[:, 4:].any()


def test_it_cannot_lose_channels():
    with pytest.raises(UnsupportedModelError, match=r"in_channels=4, out_channels=3"):
        ChannelPadShortcut(4, 3, 1)


def test_any_channels_can_leave_on_either_side():
    x = torch.randn(3, 4, 6, 6)
    whole = ChannelPadShortcut(4, 8, stride=2)
    keep_in, keep_out = torch.tensor([0, 2, 3]), torch.tensor([1, 2, 4, 5, 7])
    pruned = whole.select(keep_in, keep_out)
    gone = x.clone()
    gone[:, 1] = 0  # what was removed on the way in is missing on the way out
    assert (pruned.in_channels, pruned.out_channels) == (3, 5)
    assert torch.equal(pruned(x[:, keep_in]), whole(gone)[:, keep_out])


def test_channels_can_leave_twice():
    x = torch.randn(2, 6, 4, 4)
    first_in, first_out = torch.tensor([0, 1, 3, 5]), torch.arange(1, 11)
    second_in, second_out = torch.tensor([1, 3]), torch.tensor([0, 2, 4, 6, 9])
    whole = ChannelPadShortcut(6, 12, stride=1)
    twice = whole.select(first_in, first_out).select(second_in, second_out)
    once = whole.select(first_in[second_in], first_out[second_out])
    assert torch.equal(twice.source, once.source)
    kept = x[:, first_in[second_in]]
    assert torch.equal(twice(kept), once(kept))


def test_padding_is_recognised_only_where_it_is_nothing_else():
    assert ChannelPadShortcut(4, 8, 1).padding() == (2, 2)
    scattered = ChannelPadShortcut.from_source(torch.tensor([0, -1, 1]), 2, 1)
    assert scattered.padding() is None
    swapped = ChannelPadShortcut.from_source(torch.tensor([1, 0, -1]), 2, 1)
    assert swapped.padding() is None
    x = torch.randn(1, 2, 3, 3)
    assert torch.equal(scattered(x)[:, [0, 2]], x)
    assert not scattered(x)[:, 1].any()
    assert torch.equal(swapped(x)[:, [1, 0]], x)


def test_a_pass_asks_nothing_that_depends_on_values():
    """Such a question would stop compilation, and wait for a GPU in every pass."""
    module = ChannelPadShortcut(4, 8, stride=2)
    exported = torch.export.export(module, (torch.randn(2, 4, 6, 6),))
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(exported.module()(x), module(x))


def test_the_gaps_of_a_pruned_shortcut_are_moved_with_it(device):
    whole = ChannelPadShortcut(4, 8, stride=1)
    pruned = whole.select(torch.tensor([0, 2]), torch.tensor([1, 2, 4]))
    x = torch.randn(1, 2, 3, 3)
    assert torch.equal(pruned.to(device)(x.to(device)).cpu(), pruned.cpu()(x))
