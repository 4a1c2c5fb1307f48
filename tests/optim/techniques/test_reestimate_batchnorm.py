"""New statistics are those of the batch, and they win back what pruning cost."""

import pytest
import torch

from optim.layers.rewrite import norm_layers
from optim.measure.evaluate import predict
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm
from tests.helpers import assert_similar, context_for, tiny_bundle


@pytest.fixture
def pruned(tiny_cnn):
    return PruneWeights(sparsity=0.5).apply(tiny_cnn, context_for(tiny_cnn)).bundle


def test_the_first_norm_has_the_statistics_of_its_inputs(pruned, tiny_cnn):
    context = context_for(tiny_cnn)
    module = ReestimateBatchNorm(samples=64).apply(pruned, context).bundle.module
    x, _ = context.calibration(64)
    with torch.no_grad():
        inputs = pruned.module.conv1(x)
    mean, variance = inputs.mean(dim=(0, 2, 3)), inputs.var(dim=(0, 2, 3), unbiased=True)
    assert_similar(module.bn1.running_mean, mean)
    assert_similar(module.bn1.running_var, variance)


def test_every_norm_has_the_statistics_of_what_reaches_it(pruned, tiny_cnn):
    """Each norm normalises by the batch while measuring, as it did when it was trained."""
    context = context_for(tiny_cnn)
    module = ReestimateBatchNorm(samples=64).apply(pruned, context).bundle.module
    x, _ = context.calibration(64)
    seen = {}
    check = torch.nn.Module.register_forward_pre_hook
    handles = [
        check(layer, lambda m, args, name=name: seen.update({name: args[0]}))
        for name, layer in norm_layers(module).items()
    ]
    for layer in norm_layers(module).values():
        layer.train()
        layer.momentum = 0.0
    with torch.no_grad():
        module(x)
    for handle in handles:
        handle.remove()
    for name, layer in norm_layers(module).items():
        assert_similar(layer.running_mean, seen[name].mean(dim=(0, 2, 3)), times=10)
        assert_similar(layer.running_var, seen[name].var(dim=(0, 2, 3)), times=10)


def test_batches_count_alike(tiny_mlp):
    """Statistics are means over batches, so that the order of batches has no weight."""
    data_context = context_for(tiny_mlp)
    pruned = PruneWeights(sparsity=0.5).apply(tiny_mlp, data_context).bundle
    norm = ReestimateBatchNorm(samples=64).apply(pruned, data_context).bundle.module.norm1
    assert norm.num_batches_tracked == 1
    assert norm.momentum == 0.1


def test_the_weights_stay(pruned, tiny_cnn):
    after = ReestimateBatchNorm(samples=64).apply(pruned, context_for(tiny_cnn)).bundle.module
    for name, parameter in pruned.module.named_parameters():
        assert torch.equal(parameter, after.get_parameter(name))


def test_a_model_as_it_was_trained_is_left_alone(tiny_cnn):
    applied = ReestimateBatchNorm().apply(tiny_cnn, context_for(tiny_cnn))
    assert applied.bundle is tiny_cnn
    assert "still right" in applied.report.notes[0]


def test_a_model_without_norms_is_left_alone_and_says_so():
    bundle = tiny_bundle("lenet-5")
    context = context_for(bundle)
    pruned = PruneWeights(sparsity=0.5).apply(bundle, context).bundle
    applied = ReestimateBatchNorm().apply(pruned, context)
    assert applied.bundle is pruned
    assert applied.report.notes == ("The model has no batch norm; nothing was changed.",)


def test_it_wins_back_accuracy_after_pruning(trained):
    bundle, data = trained
    context = context_for(bundle, data=data)
    samples = data.part("validation")
    pruned = PruneWeights(sparsity=0.8).apply(bundle, context).bundle
    settled = ReestimateBatchNorm(samples=512).apply(pruned, context).bundle
    assert predict(settled, samples).accuracy().value > predict(pruned, samples).accuracy().value
