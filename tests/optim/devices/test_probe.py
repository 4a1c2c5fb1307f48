"""The probe: one file for any board, whose files are what ONNX says they are."""

import ast
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from optim.devices import probe
from optim.devices.calibration import read_probe
from optim.devices.probe import NETWORKS, cases, chain, network
from optim.measure.operators import operators_of

CASES = list(cases())
SOME = {(c["kind"], c["dtype"], c["stride"], c["height"] == 1): c for c in CASES}


def test_it_needs_nothing_but_numpy_and_onnxruntime():
    tree = ast.parse(Path(probe.__file__).read_text(encoding="utf-8"))
    names = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - set(sys.stdlib_module_names) == {"numpy", "onnxruntime"}


@pytest.mark.parametrize("case", SOME.values(), ids=lambda c: f"{c['kind']}-{c['dtype']}")
def test_files_written_by_hand_are_valid_and_run(case):
    file, shape = chain(case)
    model = onnx.load_from_string(file)
    onnx.checker.check_model(model, full_check=True)
    declared = [d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim]
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": np.ones(shape, np.float32)})
    assert list(result.shape) == declared
    assert np.isfinite(result).all()


@pytest.mark.parametrize("case", SOME.values(), ids=lambda c: f"{c['kind']}-{c['dtype']}")
def test_a_chain_holds_its_operator_as_often_as_it_says(case):
    ops = {
        "conv": "Conv", "depthwise": "Conv", "gemm": "Gemm", "matmul": "MatMul", "add": "Add",
        "max_pool": "MaxPool", "global_pool": "GlobalAveragePool", "concat": "Concat",
        "gelu": "Erf", "softmax": "Softmax", "layer_norm": "LayerNormalization",
        "transpose": "Transpose", "pad": "Pad", "attention": "MatMul",
    }  # fmt: skip
    counted = Counter(node.op_type for node in onnx.load_from_string(chain(case)[0]).graph.node)
    if case["kind"] in ops:
        assert counted[ops[case["kind"]]] == case["count"]


@pytest.mark.parametrize("case", [c for c in CASES if c["kind"] == "convert"])
def test_a_chain_of_conversions_has_nothing_else_and_none_is_left_out(case):
    file, shape = chain(case)
    run = [o.op for o in operators_of(file, np.ones(shape, np.float32)) if o.kind != "view"]
    assert run == ["QuantizeLinear", "DequantizeLinear"] * (case["count"] // 2)


@pytest.mark.parametrize(("name", "dtype"), NETWORKS)
def test_networks_run_and_list_the_operators_they_have(name, dtype):
    file, shape, listed = network(name, dtype)
    model = onnx.load_from_string(file)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.ones(shape, np.float32)})[0].shape == (1, 10)
    in_file = Counter(node.op_type for node in model.graph.node)
    in_list = Counter(case["kind"] for case in listed)
    assert in_list["conv"] + in_list["depthwise"] == in_file["Conv"]
    assert in_list["gemm"] == in_file["Gemm"]


@pytest.mark.parametrize("name", ["residual", "inverted", "perceptron"])
def test_int8_networks_run_on_integers(name):
    file, shape, _ = network(name, "int8")
    convs = [o for o in operators_of(file, np.ones(shape, np.float32)) if o.macs]
    assert convs
    assert {o.dtype for o in convs} == {"int8"}


def test_a_short_probe_writes_what_can_be_read_again():
    done = subprocess.run(
        [sys.executable, probe.__file__, "--seconds", "1", "--name", "A board"],
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    found = read_probe(done.stdout)
    assert found.device.name == "A board"
    assert len(found.operators) + len(json.loads(done.stdout)["left_out"]) >= len(CASES)
    assert len(found.networks) == len(NETWORKS)


def test_wrong_arguments_are_said():
    done = subprocess.run([sys.executable, probe.__file__, "--threads", "0"], capture_output=True)
    assert done.returncode == 2
    assert b"threads must be at least 1" in done.stderr
