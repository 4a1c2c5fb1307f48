"""Whole blocks removed: those that matter least, and no others."""

import pytest
import torch

from optim.errors import ConfigError
from optim.layers.residual import find_blocks
from optim.measure.costs import static_costs
from optim.measure.evaluate import predict
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.step import apply_step, outline_step
from optim.techniques.drop_blocks import DropBlocks
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from tests.helpers import assert_similar, context_for, inputs_for, outputs_of, tiny_bundle


@pytest.fixture
def residual():
    """Three blocks; the middle one does next to nothing, the last little."""
    from optim.models.bundle import ModelBundle, Provenance, TorchModel
    from optim.models.input_spec import InputSpec
    from optim.models.resnet import ResNet

    architecture = ResNet(depth=20, width=4)
    spec = InputSpec((3, 8, 8), (0.5,), (0.25,), 255.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = architecture.build(spec.shape, 4).eval()
    with torch.no_grad():
        for name, share in {"layer1.1": 1e-3, "layer2.2": 1e-2, "layer3.1": 0.1}.items():
            module.get_submodule(f"{name}.bn2").weight.mul_(share)
    task = tiny_bundle("resnet").task
    return ModelBundle("tiny", TorchModel(module, architecture), spec, task, Provenance("test"))


def gone(applied):
    return {entry.layer.rsplit(".", 1)[0] for entry in applied.report.layers if entry.touched}


@pytest.mark.parametrize("criterion", ["outputs", "influence"])
def test_what_does_least_goes_first(residual, criterion):
    context = context_for(residual)
    order = [
        gone(DropBlocks(ratio=ratio, criterion=criterion).apply(residual, context))
        for ratio in (0.1, 0.2, 0.35)
    ]
    assert order == [{"layer1.1"}, {"layer1.1", "layer2.2"}, {"layer1.1", "layer2.2", "layer3.1"}]


def test_by_outputs_less_is_lost_than_at_random(residual):
    context = context_for(residual)
    x = inputs_for(residual, 64)
    wanted = outputs_of(residual, x)

    def lost(step):
        return float((outputs_of(step.apply(residual, context).bundle, x) - wanted).square().sum())

    assert lost(DropBlocks(ratio=0.3)) < 0.1 * lost(DropBlocks(ratio=0.3, criterion="random"))


def test_weights_refitted_make_up_for_blocks_that_did_something(residual):
    context = context_for(residual)
    x = inputs_for(residual, 64)
    wanted = outputs_of(residual, x)
    step = DropBlocks(ratio=0.0, layers={"layer1.0.conv1": 0.9, "layer2.1.conv1": 0.9})
    plain, refitted = (step.replace(reconstruct=refit) for refit in (False, True))

    def lost(step):
        return float((outputs_of(step.apply(residual, context).bundle, x) - wanted).square().sum())

    assert lost(refitted) < 0.5 * lost(plain)
    first, last = residual.module, refitted.apply(residual, context).bundle.module
    assert torch.equal(first.conv1.weight, last.conv1.weight), "nothing before the block changes"
    assert not torch.equal(
        first.get_submodule("layer1.1.conv1").weight, last.get_submodule("layer1.1.conv1").weight
    )
    assert refitted.apply(residual, context).report.notes
    assert static_costs(refitted.outline(residual, context)) == static_costs(
        plain.apply(residual, context).bundle
    )


def test_single_blocks_are_named_by_any_of_their_layers(residual):
    context = context_for(residual)
    named = DropBlocks(ratio=0.0, layers={"layer2.1.conv2": 0.9, "layer1.1.conv1": 0.0})
    assert gone(named.apply(residual, context)) == {"layer2.1"}
    kept = DropBlocks(ratio=0.25, layers={"layer1.1.conv1": 0.0})
    assert gone(kept.apply(residual, context)) == {"layer2.2", "layer3.1"}
    assert DropBlocks(ratio=0.0, layers={"layer1.1.conv1": 0.4}).is_neutral
    assert not named.is_neutral


def test_a_layer_outside_of_blocks_is_refused_with_the_blocks_there_are(residual):
    with pytest.raises(ConfigError, match="conv1 is part of no residual block") as caught:
        DropBlocks(layers={"conv1": 0.9}).apply(residual, context_for(residual))
    assert "layer1.0.conv1" in caught.value.hint
    with pytest.raises(ConfigError, match="no layer 'layer9'"):
        DropBlocks(layers={"layer9": 0.9}).apply(residual, context_for(residual))


def test_a_model_without_blocks_says_so(tiny_mlp):
    applied = DropBlocks(ratio=0.9).apply(tiny_mlp, context_for(tiny_mlp))
    assert applied.bundle is tiny_mlp
    assert applied.report.notes


def test_the_result_goes_on_as_any_model(residual, tmp_path):
    context = context_for(residual)
    short = DropBlocks(ratio=0.4).apply(residual, context).bundle
    assert static_costs(short)[1].value < static_costs(residual)[1].value
    assert len(find_blocks(short.module, short.spec.shape)) == 5
    again = load_checkpoint(save_checkpoint(short, tmp_path / "short.safetensors"))
    x = inputs_for(short)
    assert_similar(outputs_of(again, x), outputs_of(short, x))
    narrow = PruneChannels(pruning_ratio=0.5).apply(short, context).bundle
    assert len(predict(narrow, context.data.part("validation"))) == 64


@pytest.mark.parametrize(
    "step",
    [
        PruneChannels(pruning_ratio=0.0, layers={"layer1.1.conv1": 0.5, "layer2.1.conv1": 0.5}),
        PruneWeights(sparsity=0.0, layers={"layer1.1.conv1": 0.5, "layer2.1.conv1": 0.5}),
    ],
)
def test_settings_of_layers_that_are_gone_are_left_out_and_told(residual, step):
    context = context_for(residual)
    dropped = DropBlocks(ratio=0.1).apply(residual, context).bundle
    applied = apply_step(step, dropped, context)
    told = [note for note in applied.report.notes if "layer1.1.conv1" in note]
    assert "An earlier step removed layer1.1.conv1" in told[0]
    same = apply_step(step.replace(layers={"layer2.1.conv1": 0.5}), dropped, context)
    assert applied.bundle.hash == same.bundle.hash
    assert outline_step(step, dropped, context) is not None
    wrong = step.replace(layers={"layer7.1.conv1": 0.5})
    with pytest.raises(ConfigError, match=r"no (prunable )?layer 'layer7\.1\.conv1'"):
        apply_step(wrong, dropped, context)
