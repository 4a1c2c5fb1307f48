"""A layer is the product of its weight with its columns, whatever its shape."""

from math import prod

import pytest
import torch
from torch import nn

from optim.layers.columns import at_places, columns_at, outputs_of, places_of, sampled_places

LAYERS = {
    "plain": (nn.Conv2d(4, 6, 3), (4, 9, 8)),
    "every option": (
        nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
        (4, 11, 17),
    ),
    "grouped, reflecting": (
        nn.Conv2d(4, 8, 3, padding="same", groups=2, padding_mode="reflect"),
        (4, 9, 8),
    ),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), (4, 8, 8)),
    "series": (nn.Conv1d(4, 8, 3, 2, 1), (4, 9)),
    "dense": (nn.Linear(5, 7), (5,)),
    "dense on tokens": (nn.Linear(5, 7), (6, 5)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_are_products_of_weight_and_columns(kind):
    layer, shape = LAYERS[kind]
    x = torch.randn(3, *shape)
    outputs = outputs_of(layer, layer(x))
    assert prod(places_of(layer, x)) == outputs.shape[2]
    places = torch.randint(outputs.shape[2], (3, 20))
    groups = getattr(layer, "groups", 1)
    weight = layer.weight.flatten(1).unflatten(0, (groups, -1))
    columns = columns_at(layer, x, places).unflatten(1, (groups, -1))
    products = torch.einsum("god,ngdp->ngop", weight, columns).flatten(1, 2)
    found = products + layer.bias[:, None]
    torch.testing.assert_close(found, at_places(outputs, places), rtol=1e-4, atol=1e-5)


def test_places_are_all_or_the_same_sample_of_them():
    assert sampled_places("a", 2, 3, 4).tolist() == [[0, 1, 2]] * 2
    first, again, other = (sampled_places(name, 5, 100, 8) for name in ("a", "a", "b"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (5, 8)
    assert not torch.equal(first[0], first[1]), "every sample has its own"
