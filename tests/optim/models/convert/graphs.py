"""Small ONNX graphs, and what has to hold for every module made of one."""

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import fx

from optim.layers.graph import nodes_of, trace
from optim.layers.table import CompressionTable
from optim.models.convert.converter import convert
from optim.models.convert.parity import runtime_outputs
from optim.models.convert.program import build, describe
from optim.runtime.emit import emit_onnx
from tests.helpers import assert_similar

IR_VERSIONS = {7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8}
"""Oldest file format of an opset; the newer ones take format 10."""


def values(*shape, seed=0, low=None):
    """Return random float32 values; above ``low`` if that is given."""
    drawn = np.random.default_rng(seed).standard_normal(shape)
    drawn = drawn if low is None else np.abs(drawn) + low
    return np.asarray(drawn, dtype=np.float32)


def whole(*numbers):
    return np.array(numbers, dtype=np.int64)


def node(op_type, inputs, outputs="y", **attributes):
    """Return a node; names are separated by spaces, ``_`` leaves an input out."""
    names = ["" if name == "_" else name for name in inputs.split()]
    return helper.make_node(op_type, names, outputs.split(), **attributes)


def graph(nodes, shape, *, opset=17, batch="N", as_inputs=False, output="y", **constants):
    """Return a model with one input ``x`` of floats and one output.

    Args:
        nodes: One node, or several in the order of execution.
        shape: Sizes of one sample.
        opset: Version of the operators.
        batch: Size or name of the first dimension.
        as_inputs: Whether initializers are repeated among the inputs, as old files do.
        output: Name of the output.
        constants: Initializers by name; a double underscore stands for a dot.
    """
    nodes = nodes if isinstance(nodes, list) else [nodes]
    tensors = [
        numpy_helper.from_array(array, name.replace("__", ".")) for name, array in constants.items()
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])]
    if as_inputs:
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            inputs,
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            tensors,
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=IR_VERSIONS.get(opset, 10),
    )
    return model


def assert_converts(model, *, times=1.0, low=None, samples=3) -> fx.GraphModule:
    """Convert a graph and compare it with ONNX Runtime, stored and emitted anew as well."""
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
    module = convert(model).module
    x = torch.from_numpy(values(samples, *shape, seed=7, low=low))
    expected = runtime_outputs(model.SerializeToString(), x)
    with torch.no_grad():
        assert_similar(module(x), torch.from_numpy(expected), times=times)
    rebuilt = build(describe(module), max_parameters=10**6)
    rebuilt.load_state_dict(module.state_dict())
    with torch.no_grad():
        assert torch.equal(rebuilt(x), module(x))
    assert describe(rebuilt) == describe(module)
    assert [n.name for n in nodes_of(rebuilt)] == [n.name for n in nodes_of(module)]
    again = emit_onnx(trace(module), CompressionTable(), tuple(shape), {})
    emitted = runtime_outputs(again.SerializeToString(), x)
    assert_similar(torch.from_numpy(emitted), torch.from_numpy(expected), times=times)
    return module


def layers_of(module) -> dict:
    """Return the layers that are called, by path."""
    called = [str(n.target) for n in module.graph.nodes if n.op == "call_module"]
    return {path: module.get_submodule(path) for path in called}
