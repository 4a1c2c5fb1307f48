"""Every operator of the index against ONNX Runtime, in the opsets that changed it."""

import numpy as np
import pytest
from onnx import TensorProto

from optim.models.convert.kinds import QUANTIZERS
from optim.models.convert.operators import OPERATORS
from tests.optim.models.convert.graphs import assert_converts, graph, node, values, whole

IMAGE = (4, 6, 5)
KERNEL = values(6, 4, 3, 3, seed=1)
WINDOW = {"kernel_shape": [3, 2], "strides": [2, 1]}


def axes(op_type, opset, numbers, *, since=13, inputs="x", **attributes):
    """Return a node whose axes are an input from one opset on, and the constants it needs."""
    if opset >= since:
        return node(op_type, f"{inputs} axes", **attributes), {"axes": whole(*numbers)}
    return node(op_type, inputs, axes=numbers, **attributes), {}


def with_axes(op_type, numbers, shape=IMAGE, *, since=13, **attributes):
    def make(opset):
        made, constants = axes(op_type, opset, numbers, since=since, **attributes)
        return graph(made, shape, opset=opset, **constants)

    return make


def plain(op_type, shape=IMAGE, *, inputs="x", constants=None, **attributes):
    def make(opset):
        return graph(node(op_type, inputs, **attributes), shape, opset=opset, **(constants or {}))

    return make


def chain(*nodes, shape=IMAGE, **constants):
    return lambda opset: graph(list(nodes), shape, opset=opset, **constants)


def pads(numbers, mode="constant", value=0.0):
    def make(opset):
        if opset < 11:
            return graph(node("Pad", "x", pads=numbers, mode=mode, value=value), IMAGE, opset=opset)
        fill = np.array(value, dtype=np.float32)
        return graph(
            node("Pad", "x pads fill", mode=mode),
            IMAGE,
            opset=opset,
            pads=whole(*numbers),
            fill=fill,
        )

    return make


def clip(low, high):
    def make(opset):
        if opset < 11:
            bounds = {k: v for k, v in (("min", low), ("max", high)) if v is not None}
            return graph(node("Clip", "x", **bounds), IMAGE, opset=opset)
        given = {"low": low, "high": high}
        names = " ".join(k if v is not None else "_" for k, v in given.items())
        constants = {k: np.array(v, dtype=np.float32) for k, v in given.items() if v is not None}
        return graph(node("Clip", f"x {names}"), IMAGE, opset=opset, **constants)

    return make


def split(sizes):
    def make(opset):
        made = [
            node("Split", "x sizes", "a b", axis=1)
            if opset >= 13
            else node("Split", "x", "a b", axis=1, split=sizes),
            node("Concat", "b a", axis=1),
        ]
        return graph(made, IMAGE, opset=opset, **({"sizes": whole(*sizes)} if opset >= 13 else {}))

    return make


def cut(starts, ends, on, steps):
    def make(opset):
        if opset < 10:
            return graph(node("Slice", "x", starts=starts, ends=ends, axes=on), IMAGE, opset=opset)
        given = {"s": whole(*starts), "e": whole(*ends), "a": whole(*on), "t": whole(*steps)}
        return graph(node("Slice", "x s e a t"), IMAGE, opset=opset, **given)

    return make


def resize(mode, factors, how):
    def make(opset):
        if opset < 9:
            made = node("Upsample", "x", mode=mode, scales=[1.0, 1.0, *map(float, factors)])
            return graph(made, IMAGE, opset=opset)
        scales = np.array([1, 1, *factors], dtype=np.float32)
        if opset < 11:
            op_type = "Resize" if opset == 10 else "Upsample"
            return graph(node(op_type, "x scales", mode=mode), IMAGE, opset=opset, scales=scales)
        near = {"nearest_mode": "floor"} if mode == "nearest" else {}
        made = node("Resize", "x roi scales", mode=mode, coordinate_transformation_mode=how, **near)
        roi = np.zeros(0, dtype=np.float32)
        return graph(made, IMAGE, opset=opset, scales=scales, roi=roi)

    return make


def resize_to(sizes, mode):
    made = node("Resize", "x _ _ sizes", mode=mode, coordinate_transformation_mode="half_pixel")
    return lambda opset: graph(made, IMAGE, opset=opset, batch=1, sizes=whole(1, 4, *sizes))


def batch_norm(shape):
    def make(opset):
        old = {"spatial": 1} if opset < 9 else {}
        return graph(
            node("BatchNormalization", "x w b m v", epsilon=1e-3, momentum=0.8, **old),
            shape,
            opset=opset,
            w=values(shape[0]),
            b=values(shape[0], seed=1),
            m=values(shape[0], seed=2),
            v=values(shape[0], seed=3, low=0.5),
        )

    return make


def group_norm(opset):
    size = 2 if opset < 21 else 4
    made = node("GroupNormalization", "x w b", num_groups=2)
    return graph(made, IMAGE, opset=opset, w=values(size), b=values(size, seed=1))


def token(opset):
    """A class token as exporters write it: repeated by the number of samples of the input."""
    made = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "n"),
        node("Unsqueeze", "n zeros", "n1")
        if opset >= 13
        else node("Unsqueeze", "n", "n1", axes=[0]),
        node("Concat", "n1 rest", "target", axis=0),
        node("Expand", "token target", "many"),
        node("Concat", "many x", axis=1),
    ]
    constants = {"zero": np.array(0), "rest": whole(1, 5), "token": values(1, 1, 5)}
    if opset >= 13:
        constants["zeros"] = whole(0)
    return graph(made, (3, 5), opset=opset, **constants)


def flatten_by_shape(opset):
    """``x.view(x.size(0), -1)`` as exporters write it."""
    made = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "n"),
        node("Unsqueeze", "n zeros", "n1")
        if opset >= 13
        else node("Unsqueeze", "n", "n1", axes=[0]),
        node("Concat", "n1 rest", "target", axis=0),
        node("Reshape", "x target"),
    ]
    constants = {"zero": np.array(0), "rest": whole(-1)}
    if opset >= 13:
        constants["zeros"] = whole(0)
    return graph(made, IMAGE, opset=opset, **constants)


FLOAT = TensorProto.FLOAT
COMPARED = ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
SMALL = values(4, 1, 1, seed=5)

CASES = {
    # --- layers ---
    "Conv": (plain("Conv", inputs="x w b", constants={"w": KERNEL, "b": values(6)}), (7, 13, 21)),
    "Conv strided": (
        plain("Conv", inputs="x w", constants={"w": KERNEL}, pads=[1, 2, 1, 2], strides=[2, 1]),
        (11,),
    ),
    "Conv uneven": (plain("Conv", inputs="x w", constants={"w": KERNEL}, pads=[0, 1, 1, 2]), (11,)),
    "Conv same": (
        plain("Conv", inputs="x w", constants={"w": KERNEL}, auto_pad="SAME_UPPER", strides=[2, 2]),
        (11,),
    ),
    "Conv same lower": (
        plain("Conv", inputs="x w", constants={"w": KERNEL}, auto_pad="SAME_LOWER", strides=[2, 2]),
        (11,),
    ),
    "Conv valid": (plain("Conv", inputs="x w", constants={"w": KERNEL}, auto_pad="VALID"), (11,)),
    "Conv groups": (
        plain("Conv", inputs="x w", constants={"w": values(8, 2, 3, 3)}, group=2, dilations=[1, 2]),
        (11,),
    ),
    "Conv depthwise": (
        plain("Conv", inputs="x w", constants={"w": values(4, 1, 3, 3)}, group=4),
        (11,),
    ),
    "Conv 1d": (plain("Conv", (4, 9), inputs="x w", constants={"w": values(6, 4, 3)}), (11,)),
    "ConvTranspose": (
        plain(
            "ConvTranspose",
            inputs="x w b",
            constants={"w": values(4, 3, 3, 3), "b": values(3)},
            strides=[2, 2],
            pads=[1, 1, 1, 1],
            output_padding=[1, 0],
        ),
        (7, 11, 22),
    ),
    "ConvTranspose groups": (
        plain("ConvTranspose", inputs="x w", constants={"w": values(4, 3, 2, 2)}, group=2),
        (11,),
    ),
    "ConvTranspose same": (
        plain(
            "ConvTranspose",
            inputs="x w",
            constants={"w": values(4, 3, 3, 3)},
            strides=[2, 2],
            auto_pad="SAME_UPPER",
        ),
        (11,),
    ),
    "ConvTranspose 1d": (
        plain("ConvTranspose", (4, 5), inputs="x w", constants={"w": values(4, 3, 3)}, strides=[2]),
        (11,),
    ),
    "Gemm": (
        plain(
            "Gemm", (5,), inputs="x w b", constants={"w": values(3, 5), "b": values(3)}, transB=1
        ),
        (7, 9, 13),
    ),
    "Gemm plain": (plain("Gemm", (5,), inputs="x w", constants={"w": values(5, 3)}), (11, 13)),
    "Gemm scaled": (
        plain(
            "Gemm",
            (5,),
            inputs="x w b",
            constants={"w": values(5, 3), "b": values(1, 3)},
            alpha=0.5,
            beta=2.0,
        ),
        (7, 13),
    ),
    "Gemm one bias": (
        plain("Gemm", (5,), inputs="x w b", constants={"w": values(5, 3), "b": values(1)}),
        (7, 13),
    ),
    "MatMul": (plain("MatMul", (2, 5), inputs="x w", constants={"w": values(5, 3)}), (7, 13)),
    "MatMul from the left": (
        plain("MatMul", (5, 2), inputs="w x", constants={"w": values(3, 5)}),
        (9, 13),
    ),
    "MatMul of itself": (
        chain(node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t"), shape=(3, 4)),
        (7, 13),
    ),
    "BatchNormalization": (batch_norm(IMAGE), (7, 9, 14, 15)),
    "BatchNormalization 1d": (batch_norm((4, 7)), (9, 15)),
    "BatchNormalization 0d": (batch_norm((4,)), (9, 15)),
    "LayerNormalization": (
        plain(
            "LayerNormalization",
            (3, 5),
            inputs="x w b",
            constants={"w": values(5), "b": values(5, seed=1)},
            epsilon=1e-3,
        ),
        (17, 21),
    ),
    "LayerNormalization of two": (
        plain("LayerNormalization", (3, 5), inputs="x w", constants={"w": values(3, 5)}, axis=1),
        (17,),
    ),
    "InstanceNormalization": (
        plain("InstanceNormalization", inputs="x w b", constants={"w": values(4), "b": values(4)}),
        (7, 22),
    ),
    "GroupNormalization": (group_norm, (18, 21)),
    "LRN": (plain("LRN", size=3, alpha=0.02, beta=0.6, bias=1.5), (7, 13)),
    "Dropout": (plain("Dropout"), (7, 12, 13)),
    # --- activation functions ---
    "Relu": (plain("Relu"), (7, 14)),
    "LeakyRelu": (plain("LeakyRelu", alpha=0.2), (7, 16)),
    "Elu": (plain("Elu", alpha=0.7), (7, 22)),
    "Celu": (plain("Celu", alpha=1.5), (12,)),
    "Sigmoid": (plain("Sigmoid"), (7, 13)),
    "Tanh": (plain("Tanh"), (7, 13)),
    "Softplus": (plain("Softplus"), (7, 22)),
    "Softsign": (plain("Softsign"), (7, 22)),
    "HardSwish": (plain("HardSwish"), (14, 22)),
    "Mish": (plain("Mish"), (18, 22)),
    "Gelu": (plain("Gelu"), (20,)),
    "Gelu tanh": (plain("Gelu", approximate="tanh"), (20,)),
    "HardSigmoid": (plain("HardSigmoid"), (7, 22)),
    "HardSigmoid of torch": (plain("HardSigmoid", alpha=1 / 6, beta=0.5), (7, 22)),
    "Swish": (chain(node("Sigmoid", "x", "s"), node("Mul", "x s")), (7, 14)),
    "Clip": (clip(-0.5, 1.0), (7, 11, 13)),
    "Clip below": (clip(0.0, None), (7, 11, 13)),
    "Clip above": (clip(None, 0.25), (11, 13)),
    "Clip six": (clip(0.0, 6.0), (7, 11, 13)),
    "PRelu": (plain("PRelu", inputs="x w", constants={"w": SMALL}), (7, 9, 16)),
    "PRelu of one": (plain("PRelu", inputs="x w", constants={"w": values(1)}), (9, 16)),
    "Softmax": (plain("Softmax", (5,)), (7, 11, 13)),
    "Softmax over channels": (plain("Softmax", axis=1), (7, 11, 13)),
    "LogSoftmax": (plain("LogSoftmax", (5,)), (7, 13)),
    # --- pooling ---
    "MaxPool": (plain("MaxPool", pads=[1, 0, 1, 0], **WINDOW), (7, 8, 10, 12)),
    "MaxPool uneven": (plain("MaxPool", pads=[0, 0, 1, 1], **WINDOW), (7, 12)),
    "MaxPool ceil": (plain("MaxPool", ceil_mode=1, **WINDOW), (10, 12)),
    "MaxPool dilated": (plain("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), (10, 12)),
    "MaxPool same": (plain("MaxPool", auto_pad="SAME_UPPER", **WINDOW), (7, 12)),
    "MaxPool 1d": (plain("MaxPool", (4, 9), kernel_shape=[3], strides=[2]), (7, 12)),
    "AveragePool": (plain("AveragePool", **WINDOW), (7, 11, 19)),
    "AveragePool padded": (plain("AveragePool", pads=[1, 1, 1, 1], **WINDOW), (7, 11)),
    "AveragePool counted": (
        plain("AveragePool", pads=[1, 1, 1, 1], count_include_pad=1, **WINDOW),
        (7, 11),
    ),
    "AveragePool same": (plain("AveragePool", auto_pad="SAME_UPPER", **WINDOW), (7, 11)),
    "AveragePool uneven": (
        plain("AveragePool", pads=[0, 0, 1, 1], count_include_pad=1, **WINDOW),
        (7, 11),
    ),
    "GlobalAveragePool": (plain("GlobalAveragePool"), (7, 22)),
    "GlobalAveragePool 1d": (plain("GlobalAveragePool", (4, 9)), (7,)),
    "GlobalMaxPool": (plain("GlobalMaxPool"), (7, 22)),
    # --- value by value ---
    **{
        name: (plain(name, inputs="x c", constants={"c": values(4, 1, 1, low=0.5)}), (7, 13))
        for name in ("Add", "Sub", "Mul", "Div")
    },
    **{
        f"{name} a number": (plain(name, inputs="c x", constants={"c": values(1, low=1)}), (7, 13))
        for name in ("Add", "Sub", "Mul", "Div")
    },
    "Pow": (plain("Pow", inputs="x c", constants={"c": np.array(3, np.float32)}), (7, 12, 15)),
    **{
        name: (
            chain(node(name, "x c", "b"), node("Cast", "b", to=FLOAT), c=values(4, 1, 1)),
            (9, 16),
        )
        for name in ("Less", "Greater")
    },
    **{
        name: (chain(node(name, "x c", "b"), node("Cast", "b", to=FLOAT), c=values(1)), (16,))
        for name in COMPARED
    },
    **{
        name: (
            chain(
                node("Less", "x c", "a"),
                node("Greater", "x d", "b"),
                node(name, "a b", "z"),
                node("Cast", "z", to=FLOAT),
                c=values(1),
                d=values(1, seed=4),
            ),
            (9, 13),
        )
        for name in ("And", "Or", "Xor")
    },
    "Not": (
        chain(
            node("Less", "x c", "a"), node("Not", "a", "b"), node("Cast", "b", to=FLOAT), c=SMALL
        ),
        (9, 13),
    ),
    **{
        name: (plain(name, inputs="x c x", constants={"c": SMALL}), (8, 13))
        for name in ("Min", "Max", "Sum", "Mean")
    },
    "Max of a number": (plain("Max", inputs="x c", constants={"c": values(1)}), (8, 13)),
    "Min of a number": (plain("Min", inputs="c x", constants={"c": values(1)}), (8, 13)),
    **{
        name: (plain(name), (9, 13))
        for name in ("Neg", "Abs", "Exp", "Erf", "Floor", "Ceil", "Sign", "Sin", "Cos")
    },
    "Round": (plain("Round"), (11, 22)),
    "Sqrt": (plain("Sqrt"), (7, 13)),
    "Log": (plain("Log"), (7, 13)),
    "Reciprocal": (plain("Reciprocal"), (7, 13)),
    "Where": (
        chain(node("Less", "x c", "b"), node("Where", "b x c"), c=values(4, 1, 1)),
        (9, 16),
    ),
    "Cast": (chain(node("Cast", "x", "h", to=FLOAT), node("Abs", "h")), (9, 13)),
    "CastLike": (plain("CastLike", inputs="x c", constants={"c": SMALL}), (15,)),
    "Einsum": (
        plain(
            "Einsum", (3, 4), inputs="x c", equation="nij,jk->nik", constants={"c": values(4, 2)}
        ),
        (12,),
    ),
    # --- shapes ---
    "Identity": (plain("Identity"), (7, 16)),
    "Reshape": (plain("Reshape", inputs="x s", constants={"s": whole(0, 4, 30)}), (7, 13, 21)),
    "Reshape the rest": (plain("Reshape", inputs="x s", constants={"s": whole(-1, 120)}), (7, 14)),
    "Reshape by size": (flatten_by_shape, (9, 13)),
    "Reshape a number": (
        chain(
            node("ReduceMax", "x", "m", axes=[1, 2, 3], keepdims=0),
            node("Reshape", "m s"),
            s=whole(-1, 1),
        ),
        (7, 13),
    ),
    "Flatten": (plain("Flatten"), (7, 13)),
    "Squeeze": (with_axes("Squeeze", [2], (4, 1, 5)), (7, 13)),
    "Squeeze all": (lambda o: graph(node("Squeeze", "x"), (4, 1, 5), opset=o), (7, 13)),
    "Unsqueeze": (with_axes("Unsqueeze", [2, 3], (4,)), (7, 13)),
    "Unsqueeze first": (with_axes("Unsqueeze", [1], (4, 3)), (7, 13)),
    "Transpose": (plain("Transpose", perm=[0, 2, 3, 1]), (7, 13)),
    "Slice": (cut([1, 0], [3, 4], [1, 2], [1, 1]), (7, 10, 13)),
    "Slice with steps": (cut([0, -4], [2**60, -1], [1, 2], [2, 1]), (10, 13)),
    "Split": (split([1, 3]), (7, 11, 13, 18)),
    "Gather": (plain("Gather", inputs="x i", axis=1, constants={"i": whole(2, 0, -1)}), (7, 13)),
    "Gather one": (plain("Gather", inputs="x i", axis=1, constants={"i": np.array(-2)}), (7, 13)),
    "Gather a table": (
        plain("Gather", inputs="x i", axis=1, constants={"i": whole(0, 1, 2, 3).reshape(2, 2)}),
        (13,),
    ),
    "Concat": (plain("Concat", inputs="x x", axis=-1), (11, 13)),
    "Concat a token": (token, (9, 13)),
    "Expand": (
        plain("Expand", (4, 1, 5), inputs="x s", constants={"s": whole(1, 1, 3, 1)}),
        (8, 13),
    ),
    "Tile": (plain("Tile", inputs="x r", constants={"r": whole(1, 2, 1, 3)}), (7, 13)),
    "Pad": (pads([0, 0, 1, 2, 0, 0, 3, 0], value=0.5), (7, 11, 18)),
    "Pad channels": (pads([0, 1, 0, 0, 0, 2, 0, 0]), (7, 13)),
    "Pad reflect": (pads([0, 0, 1, 2, 0, 0, 3, 0], "reflect"), (7, 13)),
    "Pad edge": (pads([0, 0, 1, 2, 0, 0, 3, 0], "edge"), (7, 13)),
    "Upsample": (resize("nearest", (2, 3), ""), (7, 9)),
    "Resize nearest": (resize("nearest", (2, 3), "asymmetric"), (10, 11, 18)),
    "Resize linear": (resize("linear", (2, 3), "half_pixel"), (11, 13, 18)),
    "Resize to corners": (resize("linear", (2, 3), "align_corners"), (11, 18)),
    "Resize cubic": (resize("cubic", (2, 2), "half_pixel"), (11, 18)),
    "Resize to sizes": (resize_to((9, 4), "linear"), (13, 19)),
    "DepthToSpace": (plain("DepthToSpace", (8, 3, 2), blocksize=2), (7, 13)),
    "DepthToSpace CRD": (plain("DepthToSpace", (8, 3, 2), blocksize=2, mode="CRD"), (11, 13)),
    "SpaceToDepth": (plain("SpaceToDepth", (3, 6, 4), blocksize=2), (7, 13)),
    # --- reductions ---
    "ReduceMean": (with_axes("ReduceMean", [2, 3], since=18, keepdims=0), (7, 13, 18)),
    "ReduceMean of tokens": (with_axes("ReduceMean", [1], (3, 5), since=18, keepdims=0), (7, 18)),
    **{
        name: (with_axes(name, [1, -1], since=18), (11, 13, 18))
        for name in ("ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare")
    },
    "ReduceSum": (with_axes("ReduceSum", [1, -1]), (7, 11, 13)),
    "ReduceLogSumExp": (with_axes("ReduceLogSumExp", [2], since=18), (7, 18)),
    "ArgMax": (
        chain(node("ArgMax", "x", "i", axis=1, keepdims=0), node("Cast", "i", to=FLOAT)),
        (7, 13),
    ),
    "CumSum": (plain("CumSum", inputs="x a", constants={"a": np.array(2)}), (11, 14)),
}

POSITIVE = {"Sqrt", "Log", "Reciprocal"}
RUNS = [
    pytest.param(name, make, opset, id=f"{name}, opset {opset}")
    for name, (make, opsets) in CASES.items()
    for opset in opsets
]


@pytest.mark.parametrize(("name", "make", "opset"), RUNS)
def test_a_module_computes_what_the_file_computes(name, make, opset):
    assert_converts(make(opset), low=0.1 if name in POSITIVE else None)


@pytest.mark.parametrize("name", [name for name in CASES if name != "Squeeze all"])
def test_a_file_for_one_sample_becomes_a_module_for_any_number(name):
    make, opsets = CASES[name]
    model = make(opsets[-1])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    assert_converts(model, low=0.1 if name in POSITIVE else None)


def test_every_operator_of_the_index_is_tried():
    tried = {n.op_type for make, opsets in CASES.values() for n in make(opsets[-1]).graph.node}
    tried |= {n.op_type for make, opsets in CASES.values() for n in make(opsets[0]).graph.node}
    # Swish is an operator from opset 24 on; ReduceProd is there to be refused. Quantizers give no
    # calls: test_quantized_files tries them.
    assert OPERATORS.keys() - tried == {"Swish", "ReduceProd", *QUANTIZERS}
