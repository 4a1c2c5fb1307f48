"""Exact counts, whole tensors, and N of every M."""

import pytest
import torch

from optim.layers.masks import global_masks, lowest_mask, n_of_m_mask


@pytest.mark.parametrize("count", [0, 1, 7, 23, 24])
@pytest.mark.parametrize("ties", [False, True])
def test_exactly_so_many_go(count, ties):
    scores = torch.zeros(4, 6) if ties else torch.randperm(24).reshape(4, 6).float()
    mask = lowest_mask(scores, count)
    assert int((~mask).sum()) == count
    if not ties:
        assert (scores[~mask] < count).all()


def test_of_equal_scores_the_first_go():
    assert lowest_mask(torch.ones(5), 2).tolist() == [False, False, True, True, True]


def test_all_tensors_are_compared_with_each_other():
    scores = {"a": torch.tensor([1.0, 5.0, 2.0]), "b": torch.tensor([[3.0, 0.5], [4.0, 6.0]])}
    masks = global_masks(scores, 3)
    assert masks["a"].tolist() == [False, True, False]
    assert masks["b"].tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8)])
@pytest.mark.parametrize("shape", [(3, 8), (5, 16, 3, 3), (2, 8, 7)])
def test_n_of_every_m_inputs_stay(n, m, shape):
    scores = torch.rand(shape)
    mask = n_of_m_mask(scores, n, m)
    runs = mask.movedim(1, -1).reshape(-1, m)
    assert (runs.sum(dim=1) == n).all()
    kept = scores.movedim(1, -1).reshape(-1, m)
    lowest_kept = kept.masked_fill(~runs, torch.inf).min(dim=1).values
    highest_gone = kept.masked_fill(runs, -torch.inf).max(dim=1).values
    assert (lowest_kept >= highest_gone).all(), "the larger ones stay"


def test_equal_weights_go_in_order():
    mask = n_of_m_mask(torch.ones(1, 4), 2, 4)
    assert mask.tolist() == [[False, False, True, True]]


def test_inputs_that_do_not_divide_have_no_pattern():
    assert n_of_m_mask(torch.rand(4, 6), 2, 4) is None
    assert n_of_m_mask(torch.rand(4, 3, 3, 3), 1, 4) is None
