"""How many channels stay, and which."""

import pytest
import torch

from optim.layers.widths import best_channels, global_shares


@pytest.mark.parametrize("round_to", [1, 4, 8, 16])
@pytest.mark.parametrize("size", [3, 16, 24, 40, 64])
@pytest.mark.parametrize("ratio", [0.05, 0.3, 0.5, 0.75, 0.95])
def test_so_many_channels_stay(size, ratio, round_to):
    scores = torch.rand(size)
    kept = best_channels(scores, ratio, round_to, 1)
    assert len(kept) >= 1
    assert torch.equal(kept, kept.sort().values)
    assert len(set(kept.tolist())) == len(kept)
    if len(kept) < size:
        assert len(kept) % round_to == 0
        gone = [i for i in range(size) if i not in set(kept.tolist())]
        assert scores[kept].min() >= scores[gone].max(), "the most important stay"
    if size >= round_to:
        assert abs(len(kept) - size * (1 - ratio)) <= max(round_to, 1)


@pytest.mark.parametrize("ratio", [0.05, 0.3, 0.5, 0.75, 0.95])
def test_wide_groups_keep_eights_and_narrow_ones_any_number(ratio):
    for size in (16, 24, 40, 64):
        kept, left = len(best_channels(torch.rand(size), ratio, "auto", 1)), size * (1 - ratio)
        multiple = 8 if size >= 24 and left >= 8 else 4
        assert kept % multiple == 0
        assert abs(kept - left) <= max(multiple / 2, 4 - left)
    for size in (3, 6, 10, 15):
        scores = torch.rand(size)
        kept = best_channels(scores, ratio, "auto", 1)
        assert kept.tolist() == best_channels(scores, ratio, 1, 1).tolist()
    heads = best_channels(torch.arange(24.0), 0.4, "auto", 1, 8)
    assert heads.tolist() == list(range(8, 24)), "heads are wide enough as they are"
    assert len(best_channels(torch.rand(24), 0.5, "auto", 2)) == 16


def test_nothing_leaves_at_ratio_zero_whatever_the_rounding():
    assert len(best_channels(torch.rand(7), 0.0, 8, 1)) == 7


def test_of_equal_channels_the_later_go():
    assert best_channels(torch.ones(6), 0.5, 1, 1).tolist() == [0, 1, 2]


def test_the_same_positions_of_every_run_stay():
    scores = torch.tensor([1.0, 9.0, 2.0, 8.0, 3.0, 7.0])  # runs [1 9 2] and [8 3 7]
    assert best_channels(scores, 1 / 3, 1, 2).tolist() == [0, 1, 3, 4]  # means 4.5, 6, 4.5


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 0.9])
def test_global_shares_add_up_to_the_ratio(ratio):
    scores = {"a": torch.rand(30), "b": torch.rand(10) * 3, "c": torch.rand(60) + 0.2}
    shares = global_shares(scores, ratio)
    assert sum(shares[name] * len(s) for name, s in scores.items()) == pytest.approx(100 * ratio)


def test_the_least_important_channel_of_all_goes_first():
    shares = global_shares({"a": torch.tensor([5.0, 4.0]), "b": torch.tensor([3.0, 9.0])}, 0.25)
    assert shares == {"a": 0.0, "b": 0.5}
