"""Four sizes of the same weights, really encoded."""

import pytest

from optim.errors import Cancelled
from optim.measure.macs import layer_costs
from optim.measure.size import SIZES, encoded_sizes, layer_sizes
from optim.quantity import How
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from tests.helpers import context_for


def weights_and_biases(bundle):
    """Return the numbers of the deployed model: norms become biases."""
    return sum(c.params for c in layer_costs(bundle.module, bundle.spec.shape))


def test_the_dense_size_is_four_bytes_a_number_and_small_headers(bundle):
    sizes = encoded_sizes(bundle)
    layers = len(layer_sizes(bundle))
    rest = sum(s.bytes["dense"] for s in layer_sizes(bundle) if not s.name)
    numbers = 4 * weights_and_biases(bundle) + rest
    assert 0 <= sizes["dense"].value - numbers <= 64 * layers
    assert sizes["dense"].how is How.MEASURED
    assert sizes["dense"].is_exact
    assert set(sizes) == set(SIZES)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_bit_width_is_that_of_the_weights(bits, bundle, context):
    quantized = Quantize(weight_bits=bits, activation_bits="float").apply(bundle, context).bundle
    float_sizes = {s.name: s for s in layer_sizes(bundle)}
    for size in layer_sizes(quantized):
        if not size.name:
            continue
        weight = bundle.module.get_parameter(f"{size.name}.weight")
        channels = len(weight)
        packed = weight.numel() * bits / 8 + 4 * channels
        bias = 4 * channels if f"{size.name}" else 0
        assert packed <= size.bytes["bit_width"] <= packed + bias + 64
        assert size.bits == bits
        assert size.bytes["bit_width"] < float_sizes[size.name].bytes["bit_width"]
        # Dense always means float32.
        assert size.bytes["dense"] == float_sizes[size.name].bytes["dense"]


def test_every_scale_costs_four_bytes(tiny_cnn):
    context = context_for(tiny_cnn)
    sizes = {}
    for granularity in ("per_tensor", "per_channel"):
        step = Quantize(activation_bits="float", granularity=granularity)
        for size in layer_sizes(step.apply(tiny_cnn, context).bundle):
            sizes.setdefault(size.name, []).append(size.bytes["bit_width"])
    for name, (one, many) in sizes.items():
        if name:
            channels = len(tiny_cnn.module.get_parameter(f"{name}.weight"))
            assert many - one == 4 * (channels - 1)


def test_zeros_make_only_the_last_two_sizes_smaller(bundle, context):
    sparse = PruneWeights(sparsity=0.9).apply(bundle, context).bundle
    before, after = encoded_sizes(bundle), encoded_sizes(sparse)
    assert after["dense"] == before["dense"]
    assert after["bit_width"] == before["bit_width"]
    assert after["sparse"].value < 0.6 * before["sparse"].value
    assert after["entropy"].value < 0.6 * before["entropy"].value


def test_sparsity_is_that_of_the_weights(bundle, context):
    sparse = PruneWeights(sparsity=0.75, scope="local").apply(bundle, context).bundle
    for size in layer_sizes(sparse):
        if size.name:
            total = sparse.module.get_parameter(f"{size.name}.weight").numel()
            assert size.sparsity == pytest.approx(0.75, abs=1 / total)


@pytest.mark.parametrize("settings", [{"weight_scheme": "affine"}, {"granularity": "per_group"}])
def test_every_way_of_sharing_scales_can_be_encoded(settings, bundle, context):
    step = Quantize(weight_bits=4, activation_bits="float", **settings)
    sizes = encoded_sizes(step.apply(bundle, context).bundle)
    assert sizes["bit_width"].value < sizes["dense"].value


@pytest.mark.parametrize("size", [8, 64, 256])
def test_zeros_that_fill_up_groups_are_not_counted(size, tiny_cnn):
    """Of affine grids as well, where every group has a zero point of its own."""
    fields = {"weight_bits": 4, "activation_bits": "float", "weight_scheme": "affine"}
    step = Quantize(granularity="per_group", group_size=size, **fields)
    quantized = step.apply(tiny_cnn, context_for(tiny_cnn)).bundle
    for layer in layer_sizes(quantized):
        if layer.name:
            scales = len(quantized.table.weights[layer.name].scale)
            weight = tiny_cnn.module.get_parameter(f"{layer.name}.weight")
            packed = (weight.numel() + scales) / 2 + 4 * scales + 4 * len(weight)
            assert packed - 4 * len(weight) <= layer.bytes["bit_width"] <= packed + 64
            assert layer.sparsity < 0.5


def test_encoding_can_be_stopped(tiny_cnn):
    def stop():
        raise Cancelled

    with pytest.raises(Cancelled):
        encoded_sizes(tiny_cnn, stop)
