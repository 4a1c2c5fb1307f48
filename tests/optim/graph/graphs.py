"""Graphs that no torch module holds, and how those of modules are opened in the graph lane."""

from dataclasses import replace

import numpy as np
from onnx import ModelProto

from optim.data.task import Classification
from optim.models.bundle import GraphModel, ModelBundle, Provenance
from optim.models.input_spec import InputSpec
from tests.helpers import CLASSES
from tests.optim.models.convert.graphs import graph, node, values
from tests.optim.models.convert.test_exporters import by_torchscript
from tests.optim.models.convert.test_refusals import declared

NOTE = "Kept as an ONNX graph: LSTM 'rnn' is recurrent."


def kept(bundle, model=None):
    """Return a model of the zoo as an ONNX graph that stays one."""
    model = by_torchscript(bundle) if model is None else model
    return replace(bundle, content=GraphModel(model.SerializeToString()))


def bundle_of(model, shape):
    """Return a graph that tells the four classes of the tests."""
    classifier = ModelProto()
    classifier.CopyFrom(model)
    return ModelBundle(
        "graph",
        GraphModel(declared(classifier, len(CLASSES)).SerializeToString()),
        InputSpec(shape),
        Classification(CLASSES),
        Provenance("graph", seen=(), note=NOTE),
    )


def recurrent(op_type="LSTM", gates=4, batch="N"):
    """Return a classifier of six steps of five numbers, read in both directions."""
    hidden = 8
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        node(op_type, "t w r b", "all", name="rnn", hidden_size=hidden, direction="bidirectional"),
        node("Transpose", "all", "a", perm=[2, 0, 1, 3]),
        node("ReduceMean", "a", "m", axes=[1], keepdims=0),
        node("Flatten", "m", "f"),
        node("Gemm", "f k", name="head"),
    ]
    return graph(
        nodes,
        (6, 5),
        batch=batch,
        w=0.3 * values(2, gates * hidden, 5),
        r=0.3 * values(2, gates * hidden, hidden, seed=1),
        b=0.1 * values(2, 2 * gates * hidden, seed=2),
        k=values(2 * hidden, 4, seed=3),
    )


def embedded():
    """Return a classifier of seven words out of twelve, given as floats."""
    nodes = [
        node("Cast", "x", "i", to=7),
        node("Gather", "table i", "e", name="words"),
        node("ReduceMean", "e", "m", axes=[1], keepdims=0),
        node("MatMul", "m k", name="head"),
    ]
    return graph(nodes, (7,), table=values(12, 6), k=values(6, 4, seed=1))


def upsampled():
    """Return a classifier with a transposed convolution between two plain ones."""
    nodes = [
        node("Conv", "x a", "c", name="down", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", "c", "r"),
        node("ConvTranspose", "r u", "d", name="up", strides=[2, 2], kernel_shape=[2, 2]),
        node("BatchNormalization", "d g h m v", "n"),
        node("Conv", "n o", "z", name="out"),
        node("GlobalAveragePool", "z", "p"),
        node("Flatten", "p"),
    ]
    return graph(
        nodes,
        (3, 8, 8),
        a=0.3 * values(6, 3, 3, 3),
        u=0.3 * values(6, 4, 2, 2, seed=1),
        g=values(4, low=0.5),
        h=values(4, seed=2),
        m=values(4, seed=3),
        v=values(4, low=0.5, seed=4),
        o=values(4, 4, 1, 1, seed=5),
    )


def quantized(per_channel=True, kind=np.int8):
    """Return a perceptron whose file stores its first weight as integers."""
    middle = 128 if kind == np.uint8 else 0
    rng = np.random.default_rng(0)
    codes = (rng.integers(-100, 100, (5, 7)) + middle).astype(kind)
    count = 7 if per_channel else 1
    scale = np.linspace(0.01, 0.02, count, dtype=np.float32)
    zero = np.full(count, middle, dtype=kind)
    if not per_channel:
        scale, zero = scale.reshape(()), zero.reshape(())
    nodes = [
        node("DequantizeLinear", "q s z", "w", axis=1),
        node("MatMul", "x w", "h", name="first"),
        node("Relu", "h", "r"),
        node("Gemm", "r k", name="head"),
    ]
    return graph(nodes, (5,), q=codes, s=scale, z=zero, k=values(7, 4))
