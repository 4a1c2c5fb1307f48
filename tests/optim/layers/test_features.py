"""Places and stages of networks, and looking at them while they train."""

import copy

import torch
from torch import nn

from optim.layers.features import (
    ObservedModule,
    Place,
    common_stages,
    observed_graph,
    places_of,
    stages_of,
)
from optim.techniques.prune_channels import PruneChannels
from tests.helpers import context_for, inputs_for


def stages(bundle):
    return stages_of(places_of(bundle.module, bundle.spec.shape))


def test_every_family_has_stages_of_falling_resolution(bundle):
    sizes = [place.size for place in stages(bundle)]
    assert sizes
    counts = [torch.Size(size).numel() for size in sizes]
    assert counts == sorted(counts, reverse=True)
    with_positions = [size for size in sizes if size]
    assert len(set(with_positions)) == len(with_positions)


def test_the_stages_of_a_residual_network_are_its_resolutions(tiny_cnn):
    found = stages(tiny_cnn)
    assert [(place.size, place.channels) for place in found] == [
        ((8, 8), 8),
        ((4, 4), 16),
        ((2, 2), 32),
    ]
    assert [place.node for place in found] == [
        "layer1_0_act2",
        "layer2_0_act2",
        "layer3_0_act2",
    ]


def test_tokens_have_their_channels_last(tiny_transformer):
    (place,) = stages(tiny_transformer)
    assert (place.channels, place.axis) == (16, -1)
    assert len(place.size) == 1


def test_an_observed_graph_gives_the_outputs_and_what_is_on_the_way(bundle):
    places = places_of(bundle.module, bundle.spec.shape)
    x = inputs_for(bundle, 3)
    with torch.no_grad():
        outputs, features = observed_graph(bundle.module, places)(x)
        assert torch.equal(outputs, bundle.module(x))
    assert len(features) == len(places)
    for place, found in zip(places, features, strict=True):
        channels = found.shape[place.axis]
        assert channels == place.channels
        assert found.numel() == 3 * channels * torch.Size(place.size).numel()


def test_training_the_observed_module_trains_the_module(tiny_cnn):
    module = copy.deepcopy(tiny_cnn.module)
    before = copy.deepcopy(module.state_dict())
    observed = ObservedModule(module, stages(tiny_cnn), [nn.Conv2d(8, 4, 1)])
    observed.train()
    outputs = observed(inputs_for(tiny_cnn))
    features = observed.take()
    assert observed.take() == ()
    assert [tuple(f.shape[1:]) for f in features] == [(8, 8, 8), (16, 4, 4), (32, 2, 2)]
    (outputs.sum() + observed.helpers[0](features[0]).sum()).backward()
    assert all(p.grad is not None for p in module.parameters())
    after = module.state_dict()
    assert not torch.equal(after["bn1.running_mean"], before["bn1.running_mean"])
    observed.eval()
    observed(inputs_for(tiny_cnn))
    assert observed.take() == (), "nothing is kept outside training"


def test_dropout_is_part_of_what_trains():
    module = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 2)).eval()
    observed = ObservedModule(module, places_of(module, (4,)), []).train()
    x = torch.ones(2, 4)
    assert not torch.equal(observed(x), observed(x))


def test_a_pruned_network_shares_all_stages_with_its_original(tiny_cnn):
    step = PruneChannels(pruning_ratio=0.5)
    pruned = step.apply(tiny_cnn, context_for(tiny_cnn)).bundle
    pairs = common_stages(stages(pruned), stages(tiny_cnn))
    assert [own.size for own, _ in pairs] == [(8, 8), (4, 4), (2, 2)]
    assert all(own.size == other.size for own, other in pairs)
    assert all(own.channels < other.channels for own, other in pairs)


def test_networks_of_different_depth_are_paired_by_size_and_from_the_end():
    def place(name, *size):
        return Place(name, size, 1, 1)

    student = [place("a", 8), place("b", 4), place("c"), place("d")]
    teacher = [place("A", 16), place("B", 4), place("C")]
    assert [(o.node, t.node) for o, t in common_stages(student, teacher)] == [
        ("b", "B"),
        ("d", "C"),
    ]
    assert common_stages(student, []) == []


def test_every_place_has_a_name_of_its_own(bundle):
    places = places_of(bundle.module, bundle.spec.shape)
    assert len({place.node for place in places}) == len(places)
