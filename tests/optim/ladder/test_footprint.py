"""What a deployed model asks of a device."""

import numpy as np
import pytest

from optim.export.deploy import onnx_bytes
from optim.ladder.footprint import footprint_of
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.subject import open_subject
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize


def test_two_of_four_zeros_are_found_where_they_were_made():
    recipe = Recipe("digits-resnet8", "digits").with_step(PruneWeights(pattern="2:4"))
    pruned, _ = apply_recipe(recipe, open_subject(recipe))
    sample = np.zeros((1, *pruned.spec.shape), np.float32)
    found = footprint_of(pruned, onnx_bytes(pruned), sample)
    assert len(found.zeros) > 1
    assert {o.layer for o in found.operators if o.two_of_four} == set(found.zeros)


def test_other_zeros_are_no_pattern():
    recipe = Recipe("digits-resnet8", "digits").with_step(PruneWeights(sparsity=0.5))
    pruned, _ = apply_recipe(recipe, open_subject(recipe))
    sample = np.zeros((1, *pruned.spec.shape), np.float32)
    found = footprint_of(pruned, onnx_bytes(pruned), sample)
    assert found.zeros
    assert not any(o.two_of_four for o in found.operators)


@pytest.mark.parametrize(
    ("fields", "bits", "unpacked"),
    [
        (None, 32, 0),
        ({}, 8, 0),
        ({"weight_bits": 4}, 4, 1),
        ({"weight_bits": 4, "activation_bits": "float"}, 4, 4),
        ({"activation_bits": "float"}, 8, 4),
    ],
    ids=["float", "8", "4", "4 weights", "8 weights"],
)
def test_flash_holds_weights_as_stored_and_ram_what_is_unpacked(fields, bits, unpacked):
    recipe = Recipe("digits-resnet8", "digits")
    recipe = recipe if fields is None else recipe.with_step(Quantize(**fields))
    bundle, _ = apply_recipe(recipe, open_subject(recipe))
    sample = np.zeros((1, *bundle.spec.shape), np.float32)
    found = footprint_of(bundle, onnx_bytes(bundle), sample)
    weights = [o.weight_count for o in found.operators if o.macs]
    # Biases, scales and zero points come on top.
    assert 0 < found.stored_bytes - sum(weights) * bits / 8 < 0.2 * sum(weights)
    assert found.unpacked_bytes == max(weights) * unpacked
