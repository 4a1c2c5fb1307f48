"""The student learns from the original, keeps its masks, and never sees the test part."""

from dataclasses import replace

import pytest
import torch

from optim.data import trained_on
from optim.errors import CalibrationError
from optim.layers.rewrite import weights_of
from optim.measure.evaluate import predict
from optim.techniques.distill import Distill
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.training import _in_proportion
from optim.train import distillation_loss
from tests.helpers import context_for, data_for, tiny_bundle


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    torch.manual_seed(0)
    module = tiny_bundle("mlp").module
    x, targets = torch.randn(8, 12), torch.zeros(8, dtype=torch.int64)
    for temperature in (1.0, 4.0, 10.0):
        outputs = module(x).detach().requires_grad_()
        loss = distillation_loss(module, temperature, 1.0)(outputs, targets, x)
        (gradient,) = torch.autograd.grad(loss, outputs)
        assert loss.item() == pytest.approx(0, abs=1e-6)
        assert gradient.abs().max() < 1e-6


def test_the_loss_by_hand():
    teacher = torch.nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        teacher.weight.copy_(torch.tensor([[0.0], [2.0]]))
    x = torch.tensor([[1.0]])  # teacher says (0, 2): at temperature 2 (0, 1)
    outputs = torch.tensor([[0.0, 0.0]])
    soft = torch.tensor([0.0, 1.0]).softmax(0)
    divergence = float((soft * (soft.log() - torch.tensor(0.5).log())).sum())
    expected = 0.7 * 4 * divergence + 0.3 * float(torch.tensor(2.0).log())
    found = distillation_loss(teacher, 2.0, 0.7)(outputs, torch.tensor([0]), x)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_without_soft_weight_it_is_the_cross_entropy():
    teacher = torch.nn.Linear(3, 4)
    x, outputs, targets = torch.randn(5, 3), torch.randn(5, 4), torch.arange(5) % 4
    found = distillation_loss(teacher, 3.0, 0.0)(outputs, targets, x)
    assert found.item() == pytest.approx(
        torch.nn.functional.cross_entropy(outputs, targets).item(), rel=1e-6
    )


def test_pruned_weights_stay_zero_while_training(tiny_cnn):
    context = context_for(tiny_cnn)
    sparse = PruneWeights(sparsity=0.6).apply(tiny_cnn, context).bundle
    student = Distill(epochs=2, batch_size=32).apply(sparse, context).bundle
    for name, weight in weights_of(student.module).items():
        assert not weight[~sparse.table.masks[name]].any()
    assert student.sparsity == pytest.approx(sparse.sparsity, abs=0.01)


def test_the_student_declares_what_it_has_seen(tiny_mlp):
    context = context_for(tiny_mlp)
    student = Distill(epochs=1, batch_size=32).apply(tiny_mlp, context).bundle
    assert student.provenance.seen == trained_on(context.data)


def test_test_samples_are_never_read(tiny_mlp):
    data = data_for(tiny_mlp)
    Distill(epochs=1, batch_size=32).apply(tiny_mlp, context_for(tiny_mlp, data=data))
    assert set(data._loaded) == {"train", "validation"}


def test_unsplit_data_cannot_train(tiny_mlp):
    data = data_for(tiny_mlp)
    unsplit = replace(data, parts={"all": 64}, load=lambda part: data.part("train"))
    with pytest.raises(CalibrationError, match="no training part"):
        Distill(epochs=1).apply(tiny_mlp, context_for(tiny_mlp, data=unsplit))


def test_progress_is_told_after_every_epoch(tiny_mlp):
    told = []
    context = replace(
        context_for(tiny_mlp), progress=lambda share, what: told.append((share, what))
    )
    Distill(epochs=3, batch_size=32).apply(tiny_mlp, context)
    assert [share for share, _ in told] == pytest.approx([1 / 3, 2 / 3, 1])
    assert told[0][1].startswith("epoch 1 of 3, loss ")


def test_a_student_wins_back_what_pruning_cost(trained):
    bundle, data = trained
    context = context_for(bundle, data=data)
    samples = data.part("validation")
    pruned = PruneWeights(sparsity=0.9).apply(bundle, context).bundle
    student = Distill(epochs=2, batch_size=64, shift=0).apply(pruned, context).bundle
    change = predict(student, samples).against(predict(pruned, samples))
    assert change.direction == "better"


def test_images_are_shifted_in_proportion_to_their_size():
    def shift(pixels, size):
        return _in_proportion(pixels, torch.zeros(2, 1, *size))

    assert shift(3, (32, 32)) == 3
    assert shift(8, (32, 32)) == 8
    assert shift(3, (28, 28)) == 3
    assert shift(3, (8, 8)) == 1
    assert shift(4, (64, 96)) == 8
    assert shift(0, (8, 8)) == 0
    assert _in_proportion(3, torch.zeros(2, 13)) == 0
