"""Products of packed 4-bit weights: what they compute, where they stand, and what is refused."""

import numpy as np
import onnx
import pytest
import torch

from optim.errors import ExportError
from optim.export.deliver import deliver
from optim.export.deploy import onnx_bytes
from optim.export.four_bits import four_bit_weights
from optim.export.nbits import check_dense, packed_products
from optim.measure.operators import operators_of
from optim.models.onnx_file import open_onnx
from optim.recipe import Recipe
from optim.runtime.session import InferenceSession
from optim.techniques.quantize import Quantize
from tests.helpers import context_for, data_for, inputs_for, tiny_bundle


def nodes_of(file):
    return [node.op_type for node in onnx.load_from_string(file).graph.node]


@pytest.mark.parametrize("family", ["mlp", "vit", "lenet-5"])
def test_dense_layers_multiply_packed_weights_and_compute_the_same(family):
    bundle = four_bit_weights(tiny_bundle(family))
    file = onnx_bytes(bundle)
    packed = packed_products(file)
    onnx.checker.check_model(onnx.load_from_string(packed))
    dense = [m for m in bundle.module.modules() if isinstance(m, torch.nn.Linear)]
    assert nodes_of(packed).count("MatMulNBits") == len(dense)
    x = inputs_for(bundle, 16).numpy()
    expected, found = (InferenceSession.open(f).run(x) for f in (file, packed))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    kinds = [o.macs for o in operators_of(packed, x[:1]) if o.op == "MatMulNBits"]
    assert sum(kinds) == sum(o.macs for o in operators_of(file, x[:1]) if o.layer == "" and o.macs
                             and o.kind in ("gemm", "matmul"))  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"weight_bits": 4, "granularity": "per_group", "group_size": 16},
        {"weight_bits": 4, "granularity": "per_group", "group_size": 64},
        {"weight_bits": 4, "granularity": "per_group", "group_size": 48},
        {"weight_bits": 4, "granularity": "per_group", "group_size": 48, "weight_scheme": "affine"},
        {"weight_bits": 3, "granularity": "per_channel"},
        {"weight_bits": 2, "granularity": "per_tensor"},
        {"weight_bits": 4, "weight_scheme": "affine"},
        {"weight_bits": "ternary"},
    ],
    ids=lambda fields: " ".join(map(str, fields.values())),
)
def test_every_grid_of_four_bits_or_fewer_is_kept(fields):
    bundle = tiny_bundle("mlp")
    bundle = Quantize(samples=32, **fields).apply(bundle, context_for(bundle)).bundle
    file = onnx_bytes(four_bit_weights(bundle))
    packed = packed_products(file)
    assert "MatMulNBits" in nodes_of(packed)
    x = inputs_for(bundle, 16).numpy()
    expected, found = (InferenceSession.open(f).run(x) for f in (file, packed))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_groups_that_the_kernel_does_not_take_are_refused():
    bundle = tiny_bundle("mlp")
    quantize = Quantize(samples=32, weight_bits=4, granularity="per_group", group_size=8)
    bundle = quantize.apply(bundle, context_for(bundle)).bundle
    with pytest.raises(ExportError, match="groups of 16 weights or multiples of them"):
        packed_products(onnx_bytes(four_bit_weights(bundle)))


def test_a_model_of_convolutions_is_refused_with_the_reason():
    with pytest.raises(
        ExportError, match=r"no such kernel for convolutions: of tiny resnet, \d+ %"
    ):
        check_dense(tiny_bundle("resnet"))
    check_dense(tiny_bundle("mlp"))


def test_the_file_is_verified_and_can_be_opened_again(tmp_path):
    bundle = tiny_bundle("mlp")
    data = data_for(bundle)
    recipe = Recipe("digits-mlp", "digits")
    found = deliver(bundle, recipe, "onnx_nbits", data.part("validation"), more=data.part("train"))
    assert not found.verification.problem
    assert found.verification.runtime.startswith("ONNX Runtime")
    (tmp_path / "packed.onnx").write_bytes(found.data)
    again = open_onnx(tmp_path / "packed.onnx", as_graph=True)
    assert again.content.onnx == found.data
