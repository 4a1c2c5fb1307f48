"""Which channels belong together, which are fixed, and what remains when some leave."""

import copy

import pytest
import torch
from torch import nn

from optim.data.task import Classification
from optim.layers.channels import find_channels
from optim.layers.graph import trace
from optim.layers.rewrite import weights_of
from optim.layers.shortcut import ChannelPadShortcut
from optim.layers.slicing import keep_channels, slice_masks
from optim.layers.widths import best_channels
from optim.models.bundle import ModelBundle, Provenance, TorchModel
from optim.models.input_spec import InputSpec
from optim.step import Context
from optim.techniques.prune_channels import PruneChannels
from tests.helpers import TINY, assert_similar, inputs_for


class Concat(nn.Module):
    """Two branches side by side."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 6, 3, padding=1)
        self.merge, self.pool, self.flatten = (
            nn.Conv2d(10, 5, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        both = torch.cat([torch.relu(self.left(x)), torch.relu(self.right(x))], dim=1)
        return self.head(self.flatten(self.pool(torch.relu(self.merge(both)))))


class Grouped(nn.Module):
    """A grouped convolution between two plain ones."""

    def __init__(self, groups=2):
        super().__init__()
        self.first = nn.Conv2d(2, 8, 1)
        self.grouped = nn.Conv2d(8, 12, 3, padding=1, groups=groups)
        self.last, self.pool, self.flatten = (
            nn.Conv2d(12, 4, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.grouped(torch.relu(self.first(x))))
        return self.head(self.flatten(self.pool(self.last(x))))


class Branches(nn.Module):
    """Two branches side by side, read by a grouped convolution; the first makes small numbers."""

    def __init__(self, groups):
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 12, 3, padding=1)
        self.left.weight.data *= 0.1
        self.both = nn.Conv2d(16, 16, 3, groups=groups)
        self.pool, self.flatten, self.head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3)

    def forward(self, x):
        x = torch.relu(self.both(torch.cat([self.left(x), self.right(x)], dim=1)))
        return self.head(self.flatten(self.pool(x)))


class Upwards(nn.Module):
    """A transposed convolution; what it makes is added to what is half as deep."""

    def __init__(self, makes, groups):
        super().__init__()
        self.first, self.down = nn.Conv2d(2, makes, 1), nn.Conv2d(makes, 8, 2, stride=2)
        self.up = nn.ConvTranspose2d(8, makes, 2, stride=2, groups=groups)
        self.last, self.pool, self.flatten = (
            nn.Conv2d(makes, 4, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = torch.relu(x + self.up(torch.relu(self.down(x))))
        return self.head(self.flatten(self.pool(torch.relu(self.last(x)))))


class Onwards(nn.Module):
    """A depthwise layer, transposed or with two filters a channel, between plain ones."""

    def __init__(self, between, width):
        super().__init__()
        self.first, self.between = nn.Conv2d(2, 8, 1), between
        self.last, self.pool, self.flatten = (
            nn.Conv2d(width, 4, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.between(torch.relu(self.first(x))))
        return self.head(self.flatten(self.pool(torch.relu(self.last(x)))))


class Joined(nn.Module):
    """Flattened pictures beside pooled channels."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)
        self.pool, self.flatten, self.mean = nn.MaxPool2d(2), nn.Flatten(), nn.AdaptiveAvgPool2d(1)
        self.last, self.act, self.head = nn.Linear(6 * 9 + 4, 8), nn.ReLU(), nn.Linear(8, 3)

    def forward(self, x):
        x = torch.relu(self.first(x))
        pooled = self.flatten(self.mean(torch.relu(self.second(x))))
        both = torch.cat([self.flatten(self.pool(x)), pooled], dim=1)
        return self.head(self.act(self.last(both)))


AWKWARD = {
    "branches read in two groups": (lambda: Branches(2), {"left", "right"}),
    "branches read one by one": (lambda: Branches(16), set()),
    "up one by one": (lambda: Upwards(8, 8), set()),
    "up in two groups": (lambda: Upwards(6, 2), {"first"}),
    "transposed": (lambda: Onwards(nn.ConvTranspose2d(8, 8, 4, stride=2, groups=8), 8), set()),
    "multiplied": (lambda: Onwards(nn.Conv2d(8, 16, 3, groups=8), 16), {"first"}),
    "flattened and pooled": (Joined, {"first", "second"}),
}


def group_of(channels, maker):
    return next(group for group in channels.groups if maker in group.makers)


def silence(module, group, gone):
    """Make channels of a group zero wherever they are made, norms behind them included."""
    with torch.no_grad():
        for member in group.members:
            layer = module.get_submodule(member.layer)
            at = member.index[torch.isin(member.channel, gone)]
            if member.side == "out" and isinstance(layer, ChannelPadShortcut):
                source = layer.source.clone()
                source[at] = -1
                silent = ChannelPadShortcut.from_source(source, layer.in_channels, layer.stride)
                module.set_submodule(member.layer, silent)
            elif member.side == "out":
                layer.weight[at] = 0
                if layer.bias is not None:
                    layer.bias[at] = 0
                if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                    layer.running_mean[at] = 0


def check_removal_is_silence(module, shape):
    """Removing channels computes what setting them to zero computes, for every group alone."""
    channels = find_channels(module, shape)
    assert channels.groups
    x = torch.randn(3, *shape)
    for group in channels.groups:
        runs = group.size // group.blocks
        gone = torch.cat([torch.arange(0, runs, 2) + run * runs for run in range(group.blocks)])
        keep = torch.tensor([i for i in range(group.size) if i not in set(gone.tolist())])
        smaller = keep_channels(module, channels.groups, {group.name: keep})
        silent = copy.deepcopy(module)
        silence(silent, group, gone)
        with torch.inference_mode():
            assert_similar(smaller(x), silent(x), times=20)


@pytest.mark.parametrize(
    "family", ["resnet", "mobilenet", "ds-cnn", "lenet-5", "mlp", "cnn-1d", "cells"]
)
def test_removing_channels_is_the_same_as_silencing_them(family):
    architecture, shape = TINY[family]
    plain = architecture.replace(activation="relu").build(shape, 4).eval()
    check_removal_is_silence(plain, shape)


@pytest.mark.parametrize("module", [Concat(), Grouped(2), Grouped(4)], ids=["concat", "g2", "g4"])
def test_concatenations_and_grouped_layers_keep_their_meaning(module):
    check_removal_is_silence(module.eval(), (2, 6, 6))


@pytest.mark.parametrize("name", AWKWARD)
def test_where_channels_cannot_be_followed_they_stay(name):
    torch.manual_seed(0)
    make, fixed = AWKWARD[name]
    module = make().eval()
    check_removal_is_silence(module, (2, 6, 6))
    protected = find_channels(module, (2, 6, 6)).protected
    assert {layer for layer in protected if layer not in ("head", "up")} == fixed


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("importance", ["magnitude", "fpgm", "bn_scale", "random"])
@pytest.mark.parametrize("ratio", [0.5, 0.9])
def test_every_layer_keeps_a_channel(name, importance, ratio):
    torch.manual_seed(0)
    module = trace(AWKWARD[name][0]().eval())
    bundle = ModelBundle(
        "awkward",
        TorchModel(module, None),
        InputSpec((2, 6, 6)),
        Classification(3),
        Provenance("made for this test", seen=()),
    )
    step = PruneChannels(pruning_ratio=ratio, importance=importance)
    result = step.apply(bundle, Context(None, bundle)).bundle
    assert result.module(torch.zeros(1, 2, 6, 6)).shape == (1, 3)
    assert all(weight.numel() for weight in weights_of(result.module).values())


def test_everything_in_one_residual_stream_goes_together(tiny_cnn):
    channels = find_channels(tiny_cnn.module, tiny_cnn.spec.shape)
    stream = group_of(channels, "conv1")
    assert set(stream.makers) >= {"conv1", "layer1.0.conv2"}
    inner = group_of(channels, "layer1.0.conv1")
    assert inner.makers == ("layer1.0.conv1",)


def test_a_depthwise_layer_goes_with_what_it_filters():
    architecture, shape = TINY["ds-cnn"]
    module = architecture.build(shape, 4).eval()
    channels = find_channels(module, shape)
    assert "depthwise1" in group_of(channels, "stem").makers
    keep = torch.tensor([0, 3, 5])
    smaller = keep_channels(module, channels.groups, {group_of(channels, "stem").name: keep})
    assert smaller.depthwise1.groups == 3
    assert smaller.depthwise1.weight.shape[0] == 3
    assert torch.equal(smaller.depthwise1.weight, module.depthwise1.weight[keep])


def test_groups_of_a_grouped_layer_stay_equally_large():
    group = group_of(find_channels(Grouped(4).eval(), (2, 6, 6)), "grouped")
    assert group.blocks == 4
    kept = best_channels(torch.rand(12), 0.5, 1, group.blocks)
    assert torch.bincount(kept // 3).tolist() in ([1, 1, 1, 1], [2, 2, 2, 2])


@pytest.mark.parametrize(
    ("family", "classifier"),
    [
        ("resnet", "linear"),
        ("mobilenet", "classifier"),
        ("ds-cnn", "classifier"),
        ("lenet-5", "fc2"),
        ("vit", "head"),
        ("mlp", "head"),
        ("cnn-1d", "classifier"),
        ("cells", "classifier"),
    ],
)
def test_the_classes_are_protected(family, classifier):
    architecture, shape = TINY[family]
    channels = find_channels(architecture.build(shape, 4).eval(), shape)
    assert channels.protected[classifier] == "its outputs are the model's outputs"
    assert all(classifier not in group.makers for group in channels.groups)


def test_the_numbers_of_an_attention_head_go_together(tiny_transformer):
    channels = find_channels(tiny_transformer.module, tiny_transformer.spec.shape)
    heads = group_of(channels, "blocks.0.attention.query")
    assert heads.makers == tuple(f"blocks.0.attention.{n}" for n in ("query", "key", "value"))
    assert (heads.size, heads.together) == (16, 8)
    assert group_of(channels, "blocks.0.mlp.fc1").makers == ("blocks.0.mlp.fc1",)
    assert best_channels(torch.arange(24.0), 0.4, 1, 1, 8).tolist() == list(range(8, 24))
    assert best_channels(torch.arange(24.0), 0.9, 16, 1, 8).tolist() == list(range(8, 24))


def test_every_layer_is_in_a_group_or_protected(bundle):
    channels = find_channels(bundle.module, bundle.spec.shape)
    makers = [maker for group in channels.groups for maker in group.makers]
    assert len(makers) == len(set(makers))
    assert set(makers) | set(channels.protected) == set(weights_of(bundle.module))
    assert set(makers).isdisjoint(channels.protected)


def test_the_sizes_of_all_layers_follow(bundle):
    channels = find_channels(bundle.module, bundle.spec.shape)
    keep = {g.name: best_channels(torch.rand(g.size), 0.5, 1, g.blocks) for g in channels.groups}
    smaller = keep_channels(bundle.module, channels.groups, keep)
    for layer in smaller.modules():
        if isinstance(layer, nn.Linear):
            assert layer.weight.shape == (layer.out_features, layer.in_features)
        elif isinstance(layer, nn.Conv1d | nn.Conv2d):
            assert layer.weight.shape[:2] == (
                layer.out_channels,
                layer.in_channels // layer.groups,
            )
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert layer.running_mean.shape == layer.weight.shape == (layer.num_features,)
    with torch.inference_mode():
        assert smaller(inputs_for(bundle)).shape == (16, bundle.task.n_numbers)


def test_masks_are_cut_with_their_weights(bundle):
    channels = find_channels(bundle.module, bundle.spec.shape)
    keep = {g.name: best_channels(torch.rand(g.size), 0.5, 1, g.blocks) for g in channels.groups}
    # A mask that marks its weight: cutting both has to give the same.
    masks = {name: weight > 0 for name, weight in weights_of(bundle.module).items()}
    cut = slice_masks(bundle.module, masks, channels.groups, keep)
    smaller = keep_channels(bundle.module, channels.groups, keep)
    for name, weight in weights_of(smaller).items():
        assert torch.equal(cut[name], weight > 0), name


class SmallUNet(nn.Module):
    """Down, up by a transposed convolution, and beside what came in."""

    def __init__(self):
        super().__init__()
        self.enter, self.down = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 8, 2, stride=2)
        self.norm, self.slope = nn.InstanceNorm2d(8, affine=True), nn.PReLU(8)
        self.up = nn.ConvTranspose2d(8, 5, 2, stride=2)
        self.join = nn.Conv2d(11, 7, 3, padding=1)
        self.leave = nn.Conv2d(7, 3, 1)

    def forward(self, x):
        wide = torch.relu(self.enter(x))
        deep = self.up(self.slope(self.norm(self.down(wide))))
        return self.leave(torch.relu(self.join(torch.cat([deep, wide], dim=1))))


def test_channels_that_are_silent_leave_a_u_net_without_a_trace():
    torch.manual_seed(0)
    module = SmallUNet().eval()
    groups = {g.name: g for g in find_channels(module, (2, 8, 8)).groups}
    assert groups.keys() == {"enter", "down", "join"}
    with torch.no_grad():
        for layer in (module.enter, module.down, module.join):
            layer.weight[1::2] = 0
            layer.bias[1::2] = 0
        module.norm.bias[1::2] = 0
    keep = {name: torch.arange(0, group.size, 2) for name, group in groups.items()}
    pruned = keep_channels(module, list(groups.values()), keep)
    x = torch.randn(2, 2, 8, 8)
    with torch.no_grad():
        assert_similar(pruned(x), module(x))
    assert tuple(pruned.up.weight.shape) == (4, 5, 2, 2)
    assert (pruned.up.in_channels, pruned.join.in_channels) == (4, 5 + 3)
    assert pruned.slope.num_parameters == 4


class Shuffled(nn.Module):
    """Channels in two halves that change places, as in ShuffleNet."""

    def __init__(self):
        super().__init__()
        self.enter, self.depthwise = nn.Conv2d(2, 8, 1), nn.Conv2d(8, 8, 3, groups=8)
        self.inner, self.leave = nn.Conv2d(8, 6, 1), nn.Conv2d(6, 3, 1)

    def forward(self, x):
        x = self.enter(x).reshape(-1, 2, 4, 6, 6).permute(0, 2, 1, 3, 4).reshape(-1, 8, 6, 6)
        return self.leave(self.inner(self.depthwise(x)))


def test_shuffled_channels_stay_and_those_behind_them_may_leave():
    channels = find_channels(Shuffled().eval(), (2, 6, 6))
    assert [g.name for g in channels.groups] == ["inner"]
    assert channels.protected.keys() == {"enter", "depthwise", "leave"}
    assert channels.protected["depthwise"] == "its inputs are rearranged channels"


def test_flattened_tokens_keep_their_channels():
    layers = [nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 6), nn.Flatten(), nn.Linear(30, 4)]
    module = nn.Sequential(*layers).eval()
    channels = find_channels(module, (5, 6))
    assert [group.name for group in channels.groups] == ["0"]
    assert "flattened" in channels.protected["2"]
    pruned = keep_channels(module, channels.groups, {"0": torch.arange(8)})
    assert pruned(torch.randn(2, 5, 6)).shape == (2, 4)


@pytest.mark.parametrize(
    "norm",
    [
        lambda: nn.BatchNorm2d(8, affine=False),
        lambda: nn.GroupNorm(2, 8, affine=False),
        lambda: nn.InstanceNorm2d(8),
    ],
)
def test_norms_without_weights_become_narrower(norm):
    module = nn.Sequential(nn.Conv2d(3, 8, 3), norm(), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()
    channels = find_channels(module, (3, 10, 10))
    keep = {g.name: torch.tensor([0, 1, 4, 5]) for g in channels.groups}
    smaller = keep_channels(module, channels.groups, keep)
    x = torch.randn(2, 3, 10, 10)
    with torch.no_grad():
        hidden = module[2](module[1](module[0](x)))
        hidden[:, [2, 3, 6, 7]] = 0
        if not isinstance(module[1], nn.GroupNorm):  # whose groups are others now
            assert torch.allclose(smaller(x), module[3](hidden), atol=1e-5)
        assert smaller(x).shape == (2, 4, 6, 6)
    assert getattr(smaller[1], "num_features", 4) == 4
