"""What a deployed model asks of a device."""

import numpy as np

from optim.export.deploy import onnx_bytes
from optim.ladder.footprint import footprint_of
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.subject import open_subject
from optim.techniques.prune_weights import PruneWeights


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
