"""Cross-entropy with smoothing and weights by hand; the loss of distillation is in test_distill."""

import math

import pytest
import torch
from torch.nn import functional

from optim.errors import CalibrationError
from optim.train import balanced_weights, classification_loss

OUTPUTS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
X = torch.zeros(2, 1)


def log_shares():
    return OUTPUTS.log_softmax(1)


def test_smoothing_spreads_part_of_the_label_over_all_classes():
    targets = torch.tensor([0, 1])
    logs = log_shares()
    expected = 0.0
    for row, target in zip(logs, targets, strict=True):
        wanted = [0.1 / 3 + (0.9 if k == target else 0.0) for k in range(3)]
        assert sum(wanted) == pytest.approx(1)
        expected -= sum(w * float(v) for w, v in zip(wanted, row, strict=True)) / 2
    found = classification_loss(0.1)(OUTPUTS, targets, X)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_the_smallest_smoothed_loss_is_reached_at_the_smoothed_shares():
    targets = torch.tensor([1])
    wanted = torch.tensor([[0.1, 0.8, 0.1]])
    outputs = wanted.log().requires_grad_()
    classification_loss(0.3)(outputs, targets, X).backward()
    assert outputs.grad.abs().max() < 1e-6


def test_soft_targets_are_the_mixture_of_the_losses():
    a, b = torch.tensor([0, 2]), torch.tensor([1, 0])
    share = 0.3
    mixed = share * functional.one_hot(a, 3) + (1 - share) * functional.one_hot(b, 3)
    loss = classification_loss(0.1)
    expected = share * loss(OUTPUTS, a, X) + (1 - share) * loss(OUTPUTS, b, X)
    assert loss(OUTPUTS, mixed, X).item() == pytest.approx(expected.item(), rel=1e-6)


def test_weights_count_samples_of_a_class_more():
    weights = torch.tensor([3.0, 0.5, 1.0])
    targets = torch.tensor([0, 1])
    logs = log_shares()
    expected = -(3.0 * logs[0, 0] + 0.5 * logs[1, 1]) / 2
    found = classification_loss(0.0, weights)(OUTPUTS, targets, X)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_weights_of_hard_and_soft_targets_agree():
    weights, targets = torch.tensor([3.0, 0.5, 1.0]), torch.tensor([2, 1])
    loss = classification_loss(0.2, weights)
    soft = functional.one_hot(targets, 3).float()
    assert loss(OUTPUTS, soft, X).item() == pytest.approx(loss(OUTPUTS, targets, X).item())


def test_equal_weights_change_nothing():
    targets = torch.tensor([2, 1])
    plain = classification_loss(0.1)(OUTPUTS, targets, X)
    weighted = classification_loss(0.1, torch.ones(3))(OUTPUTS, targets, X)
    assert weighted.item() == pytest.approx(plain.item(), rel=1e-6)


def test_samples_without_a_class_have_no_balanced_weights():
    with pytest.raises(CalibrationError, match="got -1"):
        balanced_weights(torch.tensor([0, 1, -1]), 2)


def test_balanced_weights_by_hand():
    targets = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 3])
    found = balanced_weights(targets, 4)
    assert found.tolist() == pytest.approx([9 / 18, 9 / 6, 0.0, 9 / 3])
    assert float(found[targets].mean()) == pytest.approx(1)
    sums = torch.zeros(4).index_add_(0, targets, found[targets])
    assert sums[[0, 1, 3]].tolist() == pytest.approx([3.0] * 3), "every class counts the same"


def test_a_constant_answer_is_best_at_even_shares_when_classes_are_balanced():
    targets = torch.tensor([0] * 9 + [1])
    weights = balanced_weights(targets, 2)

    def gradient(weights):
        outputs = torch.zeros(10, 2, requires_grad=True)
        classification_loss(0.0, weights)(outputs, targets, X).backward()
        return outputs.grad.sum(0)

    assert gradient(weights).abs().max() < 1e-6
    assert gradient(None)[0] == pytest.approx(-0.4)


def test_a_uniform_answer_costs_the_logarithm_of_the_classes():
    outputs = torch.zeros(4, 7)
    for smoothing in (0.0, 0.2):
        loss = classification_loss(smoothing)(outputs, torch.arange(4), torch.zeros(4, 1))
        assert loss.item() == pytest.approx(math.log(7), rel=1e-6)
