"""Valid files of every format, small, made here: what the fuzzer damages."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import zipfile
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Seed:
    """A valid file.

    Attributes:
        format: What it is, for a reader and for the choice of mutators.
        kind: What opens it: see ``tests.fuzz.parser``.
        filename: What it is called.
        content: Its bytes.
        options: What else it is opened with.
    """

    format: str
    kind: str
    filename: str
    content: bytes = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict)


FORMATS = (
    *("state dict", "safetensors", "checkpoint", "onnx", "packed", "images", "numpy", "table"),
    *("idx", "cifar", "recipe", "link", "card"),
)
"""Known without making any, so that tests are found at once."""


@cache
def seeds() -> dict[str, list[Seed]]:
    """Return the corpus by format."""
    made = [*_models(), *_data(), *_texts()]
    assert {seed.format for seed in made} == set(FORMATS)
    return {name: [seed for seed in made if seed.format == name] for name in FORMATS}


# --- models ---------------------------------------------------------------------------------------


def _models():
    from safetensors.torch import save

    from optim.data import open_data
    from optim.models.checkpoint import serialise
    from optim.models.open import fresh_model
    from optim.models.zoo import ZOO

    wine = fresh_model(ZOO["mlp"], open_data("wine"))
    state = wine.module.state_dict()
    plain = _saved(state)
    wrapped = _saved({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}})
    old = _saved(state, _use_new_zipfile_serialization=False)
    own, as_mlp = {"data": "wine"}, {"data": "wine", "architecture": "mlp"}
    yield Seed("state dict", "model", "plain.pt", plain, as_mlp)
    yield Seed("state dict", "model", "wrapped.pth", wrapped, as_mlp)
    yield Seed("state dict", "model", "old.th", old, as_mlp)
    yield Seed("safetensors", "model", "weights.safetensors", save(dict(state)), as_mlp)
    yield Seed("checkpoint", "model", "float.safetensors", serialise(wine), own)
    quantized = _pruned_and_quantized()
    yield Seed(
        "checkpoint", "model", "pruned.safetensors", serialise(quantized), {"data": "digits"}
    )

    from optim.export.deploy import onnx_bytes

    yield Seed("onnx", "model", "mlp.onnx", onnx_bytes(wine), own)
    yield Seed("onnx", "model", "qdq.onnx", onnx_bytes(quantized), {"data": "digits"})
    yield Seed("onnx", "model", "foreign.onnx", _foreign_onnx(), {"data": "digits"})

    from optim.graph.packed import pack_onnx

    yield Seed("packed", "packed", "mlp.opack", pack_onnx(onnx_bytes(wine)))
    yield Seed("packed", "packed", "qdq.opack", pack_onnx(onnx_bytes(quantized)))


def _saved(content, **how):
    import torch

    file = io.BytesIO()
    torch.save(content, file, **how)
    return file.getvalue()


def _pruned_and_quantized():
    """Return what is left of a residual network for the digits, with all that a table can hold."""
    from optim.data import open_data
    from optim.models.open import fresh_model
    from optim.models.resnet import ResNet
    from optim.step import Context
    from optim.techniques import TECHNIQUES

    data = open_data("digits")
    bundle = fresh_model(ResNet(depth=8, width=4), data)
    quantized = bundle
    for name, fields in (
        ("prune_channels", {"pruning_ratio": 0.3}),
        ("prune_weights", {"sparsity": 0.5}),
        ("quantize", {"weight_bits": 4}),
    ):
        context = Context(data=data, reference=bundle, step_id=name, sample_limit=64)
        quantized = TECHNIQUES[name](**fields).apply(quantized, context).bundle
    return quantized


def _foreign_onnx():
    """Return a convolutional network written as other programs write theirs."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)

    def weights(name, *shape):
        values = rng.normal(0, 0.3, shape).astype(np.float32)
        return numpy_helper.from_array(values, name)

    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1], strides=[1, 1]),
        helper.make_node("BatchNormalization", ["c1", "s", "b", "m", "v"], ["n1"], epsilon=1e-5),
        helper.make_node("Clip", ["n1", "low", "high"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], group=2, pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["a"]),
        helper.make_node("MaxPool", ["a"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Shape", ["p"], ["size"]),
        helper.make_node("Gather", ["size", "zero"], ["count"], axis=0),
        helper.make_node("Unsqueeze", ["count", "axes"], ["rows"]),
        helper.make_node("Concat", ["rows", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["p", "wanted"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["y"], axis=1),
    ]
    integers = {"zero": 0, "axes": [0], "rest": [-1]}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])],
        [
            *(weights("w1", 4, 1, 3, 3), weights("b1", 4), weights("w2", 4, 2, 3, 3)),
            *(numpy_helper.from_array(np.ones(4, np.float32), name) for name in "sv"),
            *(weights("b", 4), weights("m", 4), weights("w3", 10, 64), weights("b3", 10)),
            *(numpy_helper.from_array(np.array(v, np.int64), n) for n, v in integers.items()),
            *(numpy_helper.from_array(np.float32(v), n) for n, v in {"low": 0, "high": 6}.items()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


# --- data -----------------------------------------------------------------------------------------


def _data():
    pictures = _pictures()
    x = np.arange(24 * 9).reshape(24, 3, 3).astype(np.uint8)
    y = np.arange(24) % 2
    yield Seed("images", "data", "pictures.zip", zipped(pictures))
    yield Seed("images", "data", "split.zip", zipped(_split(pictures)))
    yield Seed("images", "data", "pictures.tar", _tarred(pictures, "w"))
    yield Seed("images", "data", "pictures.tar.gz", _tarred(pictures, "w:gz"))
    yield Seed("numpy", "data", "arrays.npz", _npz(x=x, y=y))
    yield Seed("numpy", "data", "array.npy", _npy(x))
    yield Seed("numpy", "data", "floats.npy", _npy(np.linspace(0, 1, 60).reshape(20, 3)))
    pairs = {"x_train.npy": _npy(x), "y_train.npy": _npy(y)}
    pairs |= {"x_test.npy": _npy(x), "y_test.npy": _npy(y)}
    yield Seed("numpy", "data", "pairs.zip", zipped(pairs))
    yield Seed("table", "data", "table.csv", _table(","))
    yield Seed("table", "data", "table.tsv", _table("\t"))
    if parquet := _parquet():
        yield Seed("table", "data", "table.parquet", parquet)
    yield Seed("idx", "data", "digits.idx", _idx(x))
    mnist = {
        f"{part}-{role}": gzip.compress(_idx(values), mtime=0)
        for part in ("train", "t10k")
        for role, values in (("images-idx3-ubyte.gz", x), ("labels-idx1-ubyte.gz", y))
    }
    yield Seed("idx", "data", "mnist.zip", zipped(mnist))
    yield Seed("idx", "data", "mnist.tar", _tarred(mnist, "w"))
    names = "\n".join(f"kind {i}" for i in range(10)).encode()
    batches = {"data_batch_1.bin": _batch(), "test_batch.bin": _batch()}
    yield Seed("cifar", "data", "cifar-binary.zip", zipped({**batches, "batches.meta.txt": names}))
    meta = pickle.dumps({b"label_names": [b"kind %d" % i for i in range(10)]}, 2)
    batches = {"data_batch_1": _pickled(), "test_batch": _pickled(), "batches.meta": meta}
    yield Seed("cifar", "data", "cifar-python.zip", zipped(batches))
    meta = pickle.dumps({b"fine_label_names": [b"kind %d" % i for i in range(100)]}, 2)
    batches = {"train": _pickled(fine=True), "test": _pickled(fine=True, protocol=4), "meta": meta}
    yield Seed("cifar", "data", "cifar-100.tar.gz", _tarred(batches, "w:gz"))


def zipped(files, method=zipfile.ZIP_DEFLATED):
    """Return files as a zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def _tarred(files, mode):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def _pictures():
    from PIL import Image

    kinds = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
    files = {}
    for i, kind in enumerate(kinds * 2):
        file = io.BytesIO()
        shades = np.full((6, 5, 3), 17 * i, np.uint8)
        shades[i % 6, :, i % 3] = 255
        Image.fromarray(shades).convert("RGB").save(file, kind)
        files[f"{'cat' if i < len(kinds) else 'dog'}/{i}.{kind.lower()}"] = file.getvalue()
    return files


def _split(files):
    return {f"{part}/{name}": data for part in ("train", "test") for name, data in files.items()}


def _npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _npz(**arrays):
    return zipped({f"{name}.npy": _npy(values) for name, values in arrays.items()})


def _table(separator):
    rows = [["mass", "colour", "day", "kind"]]
    for i in range(30):
        rows.append([f"{i}.5", ("red", "blue", "")[i % 3], f"2024-01-{i + 1:02d}", "ab"[i % 2]])
    return "\n".join(separator.join(row) for row in rows).encode()


def _parquet():
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return None
    file = io.BytesIO()
    columns = {"mass": [i / 2 for i in range(30)], "kind": ["ab"[i % 2] for i in range(30)]}
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def _idx(array):
    sides = b"".join(side.to_bytes(4, "big") for side in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sides + array.astype(np.uint8).tobytes()


def _batch():
    rows = np.random.default_rng(0).integers(0, 256, (4, 3073), np.uint8)
    rows[:, 0] = range(4)
    return rows.tobytes()


def _pickled(*, fine=False, protocol=2):
    pixels = np.frombuffer(_batch(), np.uint8).reshape(4, 3073)[:, 1:].copy()
    labels = {b"fine_labels": [0, 1, 2, 3], b"coarse_labels": [0, 0, 1, 1]}
    return pickle.dumps(
        {b"data": pixels, **(labels if fine else {b"labels": [0, 1, 2, 3]})}, protocol
    )


# --- what is written as text ----------------------------------------------------------------------


def _texts():
    from optim.recipe import Recipe
    from optim.storage import ASSETS

    plain = {
        "version": 1,
        "model": "digits-resnet8",
        "data": "digits",
        "split": "auto",
        "seed": 3,
        "steps": [
            {"prune_channels": {"pruning_ratio": 0.3, "importance": "magnitude"}},
            {"reestimate_batchnorm": {}, "enabled": False},
            {"finetune": {"epochs": 2}, "id": "tune"},
            {"quantize": {"weight_bits": 8, "activation_bits": 8}},
        ],
    }
    recipe = Recipe.from_json(plain)
    yield Seed("recipe", "recipe", "recipe.yaml", recipe.to_yaml().encode())
    yield Seed("recipe", "recipe", "recipe.json", json.dumps(plain).encode())
    yield Seed("link", "link", "link.txt", recipe.to_link().encode())
    card = (ASSETS / "models" / "wine-mlp.json").read_bytes()
    yield Seed("card", "model card", "my-model.json", card, {"folder": "models"})
    card = {
        "name": "my-data",
        "title": "Mine",
        "input_shape": [13],
        "n_classes": 3,
        "path": "/nowhere/data.npz",
        "listed": True,
        "options": {"target": "kind", "resize": [8, 8], "mean": [0.5], "std": [0.2]},
    }
    content = json.dumps(card).encode()
    yield Seed("card", "data card", "my-data.json", content, {"folder": "data"})
