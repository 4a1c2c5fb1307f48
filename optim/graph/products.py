"""The layers of a graph that are plain products, as torch layers that compute the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from optim.graph.layers import GraphLayer, attribute_of, graph_layers
from optim.graph.plan import runs_on_integers

__all__ = ["Product", "products_of"]


@dataclass(frozen=True, eq=False)
class Product:
    """A convolution or dense layer.

    Attributes:
        name: Of the layer.
        value: Name of the value it reads.
        layer: Computes the same of a padded input; its own weight has no numbers.
        pads: Zeros before and after each position axis, the last axis first.
    """

    name: str
    value: str
    layer: nn.Module
    pads: tuple[int, ...] = ()

    def padded(self, given: Tensor) -> Tensor:
        """Return the input that :attr:`layer` takes."""
        return nn.functional.pad(given, self.pads) if self.pads else given


def products_of(model: onnx.ModelProto) -> list[Product]:
    """Return the layers that are products of their weight with each of their inputs alone.

    Left out are convolutions of three dimensions, those that leave padding to the runtime, products
    with a constant on the left, transposed convolutions, embeddings and recurrences.
    """
    found = []
    for layer in graph_layers(model):
        node = model.graph.node[layer.node]
        if not runs_on_integers(node, layer):
            continue
        if layer.kind == "linear":
            outputs, inputs = layer.sizes
            dense = nn.Linear(inputs, outputs, bias=False, device="meta")
            found.append(Product(layer.name, node.input[0], dense))
        elif (product := _convolution(node, layer)) is not None:
            found.append(product)
    return found


def _convolution(node: onnx.NodeProto, layer: GraphLayer) -> Product | None:
    outputs, inputs = layer.sizes[:2]
    kernel: Any = layer.sizes[2:]
    dims = len(kernel)
    automatic = attribute_of(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
    if dims > 2 or automatic:
        return None
    ones, groups = [1] * dims, attribute_of(node, "group", 1)
    pads = attribute_of(node, "pads", [0] * 2 * dims)
    conv = (nn.Conv1d if dims == 1 else nn.Conv2d)(
        inputs * groups,
        outputs,
        kernel,
        stride=tuple(attribute_of(node, "strides", ones)),
        dilation=tuple(attribute_of(node, "dilations", ones)),
        groups=groups,
        bias=False,
        device=torch.device("meta"),
    )
    sides = [end for axis in reversed(range(dims)) for end in (pads[axis], pads[axis + dims])]
    return Product(layer.name, node.input[0], conv, tuple(sides))
