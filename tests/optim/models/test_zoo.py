"""Parameters and multiply-accumulates of every reference configuration, counted by hand."""

import pytest
import torch

from optim.errors import ConfigError, UnsupportedModelError
from optim.fields import Choice, Range, controls
from optim.measure.macs import layer_costs
from optim.models.blocks import normalisation
from optim.models.open import open_model
from optim.models.zoo import (
    ARCHITECTURES,
    ZOO,
    architecture_from_json,
    architecture_to_json,
)
from tests.helpers import TINY


def conv(inputs, outputs, kernel, side, *, groups=1, norm=True, bias=False):
    """Return (parameters with norm, multiply-accumulates) of a convolution onto side x side."""
    area = kernel if isinstance(kernel, int) and isinstance(side, tuple) else kernel * kernel
    pixels = side[0] if isinstance(side, tuple) else side * side
    weights = outputs * inputs // groups * area
    return weights + 2 * outputs * norm + outputs * bias, weights * pixels


def dense(inputs, outputs):
    return inputs * outputs + outputs, inputs * outputs


def total(*layers):
    return sum(p for p, _ in layers), sum(m for _, m in layers)


def resnet(depth):
    """Three stages of n = (depth - 2) / 6 blocks of two 3x3 layers on 32, 16 and 8 pixels."""
    n = (depth - 2) // 6
    layers = [conv(3, 16, 3, 32)]
    for inputs, width, side in ((16, 16, 32), (16, 32, 16), (32, 64, 8)):
        layers += [conv(inputs, width, 3, side), *[conv(width, width, 3, side)] * (2 * n - 1)]
    return total(*layers, dense(64, 10))


def mobilenet():
    layers = [conv(3, 16, 3, 16, bias=False)]
    inputs, side = 16, 16
    for width, repeats, stride in ((16, 1, 1), (24, 2, 1), (32, 2, 2), (64, 2, 2)):
        for step in (stride, *[1] * (repeats - 1)):
            hidden = 4 * inputs
            layers.append(conv(inputs, hidden, 1, side))
            side //= step
            layers.append(conv(hidden, hidden, 3, side, groups=hidden))
            layers.append(conv(hidden, width, 1, side))
            inputs = width
    return total(*layers, conv(64, 128, 1, side), dense(128, 10))


def ds_cnn():
    # A 10x4 stem of stride 2 on 49x10 gives 25x5 positions.
    stem = (64 * 40 + 2 * 64, 64 * 40 * 125)
    block = [(64 * 9 + 128, 64 * 9 * 125), (64 * 64 + 128, 64 * 64 * 125)]
    return total(stem, *block * 4, dense(64, 10))


def vit():
    # 64 tokens of 64 features; norms have a weight and a bias.
    tokens, width, inner = 64, 64, 128
    embed = (48 * width + width + tokens * width, 48 * width * tokens)
    attention = (4 * (width * width + width), 4 * width * width * tokens + 2 * tokens**2 * width)
    mlp = (width * inner + inner + inner * width + width, 2 * width * inner * tokens)
    norms = (2 * 2 * width, 0)
    return total(embed, *[attention, mlp, norms] * 4, (2 * width, 0), dense(width, 10))


def cnn_1d():
    # 1024 values, stride 8 then four halvings: 128, 64, 32, 16, 8 positions.
    layers = [conv(1, 16, 64, (128,))]
    for inputs, outputs, positions in ((16, 32, 64), (32, 64, 32), (64, 64, 16), (64, 64, 8)):
        layers.append(conv(inputs, outputs, 3, (positions,)))
    return total(*layers, dense(64, 10))


def cells():
    # Three stages of two cells with two 3x3 layers each, and a block of two between stages.
    layers = [conv(3, 16, 3, 32)]
    for width, side in ((16, 32), (32, 16), (64, 8)):
        layers += [conv(width, width, 3, side)] * 4
        if width < 64:
            half = side // 2
            layers += [conv(width, 2 * width, 3, half), conv(2 * width, 2 * width, 3, half)]
    return total(*layers, dense(64, 10))


def detector():
    # 64x64 pixels on places of 8x8; here ten channels, six classes and a box.
    layers = [conv(3, 24, 3, 32), conv(24, 48, 3, 16), conv(48, 48, 3, 16), conv(48, 72, 3, 8)]
    return total(*layers, *[conv(72, 72, 3, 8)] * 2, conv(72, 10, 1, 8, norm=False, bias=True))


EXPECTED = {
    "mlp": total(dense(30, 64), dense(64, 64), dense(64, 10)),
    "lenet-300-100": total(dense(784, 300), dense(300, 100), dense(100, 10)),
    "lenet-5": total(
        conv(1, 20, 5, 24, norm=False, bias=True),
        conv(20, 50, 5, 8, norm=False, bias=True),
        dense(800, 500),
        dense(500, 10),
    ),
    **{f"resnet{depth}": resnet(depth) for depth in (8, 20, 32, 44, 56)},
    "mobilenetv2": mobilenet(),
    "ds-cnn": ds_cnn(),
    "vit-tiny": vit(),
    "cnn-1d": cnn_1d(),
    "cells": cells(),
    "detector": detector(),
}

PUBLISHED = {
    "lenet-300-100": 266_610,  # Han et al. 2015: 267 k
    "lenet-5": 431_080,  # Caffe's LeNet, Han et al. 2015: 431 k
    "resnet20": 0.27e6,  # He et al. 2015, table 6
    "resnet32": 0.46e6,
    "resnet44": 0.66e6,
    "resnet56": 0.85e6,
}


@pytest.mark.parametrize("name", ZOO)
def test_parameters_and_macs_of_the_reference_configuration(name):
    architecture = ZOO[name]
    module = architecture.build(architecture.spec.shape, 10).eval()
    params = sum(p.numel() for p in module.parameters())
    macs = sum(cost.macs for cost in layer_costs(module, architecture.spec.shape))
    assert (params, macs) == EXPECTED[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name):
    assert EXPECTED[name][0] == pytest.approx(PUBLISHED[name], rel=0.015)


def test_the_figures_themselves():
    """So that a mistake in both ways of counting shows as well."""
    assert EXPECTED == {
        "mlp": (6_794, 6_656),
        "lenet-300-100": (266_610, 266_200),
        "lenet-5": (431_080, 2_293_000),
        "resnet8": (75_290, 12_239_488),
        "resnet20": (269_722, 40_551_040),
        "resnet32": (464_154, 68_862_592),
        "resnet44": (658_586, 97_174_144),
        "resnet56": (853_018, 125_485_696),
        "mobilenetv2": (89_370, 5_530_880),
        "ds-cnn": (23_050, 2_656_640),
        "vit-tiny": (141_898, 10_683_008),
        "cnn-1d": (34_410, 721_536),
        "cells": (265_050, 35_832_448),
        "detector": (157_570, 16_634_880),
    }


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_field_does_something_and_everything_it_allows_can_be_built(name):
    cls = ARCHITECTURES[name]
    tiny = {type(a): (a, shape) for a, shape in TINY.values()}
    architecture, shape = tiny.get(cls, (cls(), cls.spec.shape))
    if len(shape) == 3:
        shape = (shape[0], 32, 32)
    base = str(architecture.build(shape, 4))
    for control in controls(cls):
        kind = control.kind
        if isinstance(kind, Range):
            # The small ends; the large ones of width and depth are minutes of memory.
            values = [v for v in kind.stops()[:2] if not (control.name == "width" and v > 300)]
        else:
            assert isinstance(kind, Choice)
            values = list(kind.options)
        forms = set()
        for value in values:
            if isinstance(value, float) and value.is_integer() and kind.step >= 1:
                value = int(value)
            changed = architecture.replace(**{control.name: value})
            with torch.device("meta"):
                module = changed.compose(shape, 4)
            forms.add(str(module))
        heads_share_the_width = control.name == "heads"
        assert len(forms | {base}) > 1 or heads_share_the_width, control.name


@pytest.mark.parametrize("act", ["relu", "relu6", "gelu", "silu", "hardswish", "mish"])
@pytest.mark.parametrize("norm", ["batch", "group", "layer", "none"])
def test_every_activation_and_normalisation_runs(act, norm):
    architecture = ZOO["resnet8"].replace(width=4, activation=act, normalisation=norm)
    module = architecture.build((3, 8, 8), 3).eval()
    with torch.inference_mode():
        assert torch.isfinite(module(torch.randn(2, 3, 8, 8))).all()


@pytest.mark.parametrize("width", [1, 2, 6, 8, 16])
def test_no_group_of_a_table_is_one_value_if_it_can_be_more(width):
    norm = normalisation("group", width, 0)
    assert width // norm.num_groups >= min(2, width)
    if width > 1:  # in training, a batch of one sample is refused where a group is one value
        assert torch.isfinite(norm.train()(torch.randn(1, width))).all()


@pytest.mark.parametrize("family", ["resnet", "mobilenet", "ds-cnn", "mlp", "cnn-1d", "cells"])
def test_dropout_in_blocks_is_there_in_training_and_gone_when_deployed(family):
    architecture, shape = TINY[family]
    module = architecture.replace(block_dropout=0.5).build(shape, 4)
    x = torch.rand(4, *shape)
    assert not torch.equal(module(x), module(x))
    module.eval()
    plain = architecture.build(shape, 4).eval()
    plain.load_state_dict(module.state_dict())
    assert torch.equal(module(x), plain(x))


def test_without_dropout_a_block_is_the_published_one():
    names = dict(TINY["resnet"][0].build((3, 16, 16), 4).named_modules())
    assert not any("drop" in name for name in names if name != "dropout")


def test_momentum_reaches_every_batch_norm():
    module = ZOO["mobilenetv2"].replace(momentum=0.3).build((3, 32, 32), 4)
    found = {m.momentum for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert found == {0.3}


def test_a_seed_decides_the_weights_and_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    first, again, other = (ZOO["mlp"].build((30,), 2, seed=s).fc1.weight for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ZOO)
def test_an_architecture_comes_back_from_plain_data(name):
    data = architecture_to_json(ZOO[name])
    assert architecture_from_json(data) == ZOO[name]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "An architecture is"),
        ({"mlp": {}, "vit": {}}, "An architecture is"),
        ({"gpt": {}}, "family must be one of mlp"),
        ({"mlp": {"width": 5_000}}, "between 4 and 1024: got 5000"),
        ({"mlp": {"colour": 1}}, "no field 'colour'"),
    ],
)
def test_an_illegal_architecture_is_refused(data, reason):
    with pytest.raises(ConfigError, match=reason):
        architecture_from_json(data)


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("resnet8", (12,), r"takes inputs of shape \(channels, height, width\): got \(12,\)"),
        ("cnn-1d", (3, 8, 8), r"takes inputs of shape \(channels, length\)"),
        ("vit-tiny", (3, 30, 30), "multiple of 4: got 30x30"),
        ("vit-tiny", (3, 32, 16), "square images"),
        ("lenet-5", (1, 8, 8), "at least 16x16 pixels: got 8x8"),
    ],
)
def test_inputs_an_architecture_has_no_place_for_are_refused(name, shape, reason):
    with pytest.raises(UnsupportedModelError, match=reason):
        ZOO[name].build(shape, 10)


@pytest.mark.parametrize(("depth", "file"), [(20, "resnet20.th"), (32, "resnet32.th")])
def test_published_cifar_weights_fit_without_a_change(depth, file, shared):
    bundle = open_model(f"resnet{depth}:{shared(f'weights/{file}')}")
    assert bundle.provenance.seen is None
    assert sum(p.numel() for p in bundle.module.parameters()) == EXPECTED[f"resnet{depth}"][0]
