"""Measure what operators cost on this device, in ONNX Runtime.

One file that needs Python 3.9, numpy and onnxruntime, nothing else, so that it can be copied to a
board and run there::

    python probe.py > device.json

It times some 200 chains of one operator each (convolutions, depthwise convolutions, products, sums,
pools and more, as float32 and as int8) and three small networks in both precisions as a check, in
about a minute, or as long as ``--seconds`` says. Nothing is sent anywhere; what was measured is
written as JSON, to be uploaded on the page *Your own device* or given to ``python -m optim devices
add``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "NETWORKS",
    "SCHEMA",
    "Case",
    "Graph",
    "about_device",
    "cases",
    "chain",
    "main",
    "network",
    "probe",
    "time_file",
]

SCHEMA = "optim.probe/2"
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
"""Element types as ONNX numbers them."""

# --- ONNX files without the onnx package --------------------------------------------------------


def _varint(value: int) -> bytes:
    """Return a number as protocol buffers write it; negative ones take ten bytes."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, value: int | float | str | Sequence[int]) -> bytes:
    body = _text(1, name)
    if isinstance(value, float):
        body += _varint(2 << 3 | 5) + struct.pack("<f", value) + _number(20, 1)
    elif isinstance(value, int):
        body += _number(3, value) + _number(20, 2)
    elif isinstance(value, str):
        body += _text(4, value) + _number(20, 3)
    else:
        body += b"".join(_number(8, v) for v in value) + _number(20, 7)
    return body


def _value(name: str, shape: Sequence[int]) -> bytes:
    sizes = b"".join(_text(1, _number(1, size)) for size in shape)
    return _text(1, name) + _text(2, _text(1, _number(1, _TYPES["float32"]) + _text(2, sizes)))


class Graph:
    """An ONNX graph that is being written."""

    def __init__(self) -> None:
        import numpy as np

        self.body = b""
        self.count = 0
        self.random = np.random.default_rng(0)

    def constant(self, array: Any) -> str:
        """Store an array and return its name."""
        name = f"c{self.count}"
        self.count += 1
        tensor = b"".join(_number(1, size) for size in array.shape)
        tensor += _number(2, _TYPES[str(array.dtype)]) + _text(8, name) + _text(9, array.tobytes())
        self.body += _text(5, tensor)
        return name

    def add(self, kind: str, inputs: Iterable[str], output: str = "", **attributes: Any) -> str:
        """Add an operator and return the name of its output."""
        self.count += 1
        output = output or f"v{self.count}"
        node = b"".join(_text(1, name) for name in inputs) + _text(2, output)
        node += _text(3, f"n{self.count}") + _text(4, kind)
        node += b"".join(_text(5, _attribute(k, v)) for k, v in attributes.items())
        self.body += _text(1, node)
        return output

    def noise(self, *shape: int) -> str:
        """Store small float32 numbers and return their name."""
        return self.constant((self.random.standard_normal(shape) / 16).astype("float32"))

    def file(self, shape: Sequence[int], last: str, result: Sequence[int]) -> bytes:
        """Return the file of a graph from ``x`` of one shape to ``y`` of another."""
        self.add("Identity", [last], "y")
        graph = self.body + _text(2, "probe")
        graph += _text(11, _value("x", shape)) + _text(12, _value("y", result))
        return _number(1, 8) + _text(7, graph) + _text(8, _text(1, "") + _number(2, 17))

    # --- quantization ---

    def grid(self, zero_point: int, dtype: str = "uint8", scale: float = 0.05) -> list[str]:
        """Store scale and zero point of 8-bit values and return their names."""
        import numpy as np

        step = self.constant(np.array(scale, np.float32))
        return [step, self.constant(np.array(zero_point, dtype))]

    def rounded(self, x: str, zero_point: int = 128) -> str:
        """Round a value to uint8 and turn it back, as files with 8-bit activations do."""
        grid = self.grid(zero_point)
        codes = self.add("QuantizeLinear", [x, *grid])
        return self.add("DequantizeLinear", [codes, *grid])

    def weight(self, *shape: int, dtype: str) -> str:
        """Store a weight: float32, or int8 behind a scale for each of the first axis."""
        import numpy as np

        if dtype == "float32":
            return self.noise(*shape)
        codes = self.constant(self.random.integers(-127, 128, shape, dtype=np.int8))
        scales = self.constant(np.full(shape[0], 0.005, np.float32))
        zeros = self.constant(np.zeros(shape[0], np.int8))
        return self.add("DequantizeLinear", [codes, scales, zeros], axis=0)


# --- what is measured ---------------------------------------------------------------------------

Case = dict[str, Any]
"""``kind, dtype, inputs, outputs, height, width, kernel, stride, count``; see :func:`cases`."""


_CONVS = (
    *((3, c, c, s) for c, s in ((4, 32), (8, 32), (16, 32), (16, 16), (32, 16), (64, 8))),
    *((3, c, c, s) for c, s in ((12, 32), (20, 24), (48, 16), (64, 28), (96, 7), (128, 14))),
    # Widths that pruning leaves behind: no multiple of what kernels take at once.
    *((3, 11, 11, 32), (3, 13, 21, 16), (3, 29, 29, 16), (3, 51, 51, 8), (1, 29, 29, 16)),
    *((3, 8, 24, 16), (3, 16, 64, 8), (3, 64, 128, 14), (5, 16, 16, 16), (5, 32, 48, 8)),
    *((1, 16, 16, 32), (1, 16, 96, 16), (1, 32, 64, 28), (1, 24, 144, 28), (1, 96, 96, 4)),
    *((1, 64, 64, 8), (1, 64, 256, 14), (1, 160, 320, 7), (1, 10, 30, 20), (7, 8, 16, 28)),
)
"""Kernel, channels in and out, height and width."""
_STRIDED = ((3, 3, 16, 32), (3, 16, 32, 16), (3, 32, 64, 8), (1, 16, 32, 16))
_ONE_AXIS = ((9, 16, 128), (5, 24, 256), (3, 48, 64))
"""Kernel, channels and length of windows over one axis, as of sensors and sound."""
_DEPTHWISE = (
    *((3, c, s) for c, s in ((16, 32), (64, 16), (96, 28), (144, 14), (192, 8), (384, 4))),
    *((3, c, s) for c, s in ((40, 20), (10, 28), (29, 16), (77, 8))),
    *((5, 32, 16), (5, 120, 14)),
)
_PRODUCTS = ((16, 16), (64, 64), (100, 300), (256, 256), (400, 120), (784, 300), (1024, 1024))
_TOKENS = ((32, 96, 16), (64, 64, 64), (64, 192, 49), (128, 256, 65))
"""Columns in and out, and rows."""
_IMAGES = ((16, 16), (16, 32), (64, 16), (64, 32), (8, 8), (128, 28))
"""Channels, height and width."""
_FUNCTIONS = ["relu", "gelu", "softmax", "layer_norm", "transpose", "convert", "pad", "attention"]


def _case(kind: str, dtype: str, inputs: int, outputs: int, size: int, **more: int) -> Case:
    case = {"kind": kind, "dtype": dtype, "inputs": inputs, "outputs": outputs}
    return {**case, "height": size, "width": size, "kernel": 1, "stride": 1, "count": 4, **more}


def cases() -> Iterator[Case]:
    """Yield what is measured, the kinds mixed, so that a run that is cut short has all of them.

    ``inputs`` and ``outputs`` are channels, or columns of a product; ``height`` and ``width`` are
    those of the value that is written; ``count`` is how often the operator stands in its chain.
    """
    found: list[list[Case]] = []
    for dtype in ("float32", "int8"):
        found += [
            [_case("conv", dtype, i, o, s, kernel=k) for k, i, o, s in _CONVS],
            [_case("conv", dtype, i, o, s, kernel=k, stride=2, count=1) for k, i, o, s in _STRIDED],
            [_case("conv", dtype, 1, 16, 28, kernel=5, count=1)],
            [_case("conv", dtype, c, c, n, kernel=k, height=1) for k, c, n in _ONE_AXIS],
            [_case("depthwise", dtype, c, c, s, kernel=k) for k, c, s in _DEPTHWISE],
            [_case("gemm", dtype, i, o, 1) for i, o in _PRODUCTS],
            [_case("matmul", dtype, i, o, 1, height=n) for i, o, n in _TOKENS],
            [_case("add", dtype, c, c, s) for c, s in _IMAGES],
            [_case("max_pool", dtype, c, c, s, kernel=3) for c, s in _IMAGES[:4]],
            [_case("global_pool", dtype, c, c, s, count=1) for c, s in _IMAGES[:4]],
            [_case("concat", dtype, c, 2 * c, s, count=1) for c, s in _IMAGES[:5]],
        ]
    for kind in _FUNCTIONS:
        found.append([_case(kind, "float32", c, c, s) for c, s in ((16, 8), *_IMAGES[:4])])
    for group in itertools.zip_longest(*found):
        yield from (case for case in group if case is not None)


def chain(case: Case) -> tuple[bytes, tuple[int, ...]]:
    """Return the file of a case and the shape of its input."""
    import numpy as np

    g = Graph()
    kind, dtype, count = case["kind"], case["dtype"], case["count"]
    inputs, outputs, kernel, stride = (case[k] for k in ("inputs", "outputs", "kernel", "stride"))
    height, width = case["height"], case["width"]
    if kind in ("gemm", "matmul"):
        shape: tuple[int, ...] = (1, inputs) if kind == "gemm" else (1, height, inputs)
    else:
        shape = (1, inputs, height * stride, width * stride)
    quantized = dtype == "int8"
    x, now, grid = "x", list(shape), [""]
    if quantized:
        x = g.rounded(x)
    for index in range(count):
        # Out and back again, so that a chain has one kind of operator and any number of them.
        forward = index % 2 == 0
        i, o = (inputs, outputs) if forward else (outputs, inputs)
        if kind in ("conv", "depthwise"):
            groups = i if kind == "depthwise" else 1
            tall = 1 if height == 1 < width else kernel
            weight = g.weight(o, i // groups, tall, kernel, dtype=dtype)
            pads, strides = [tall // 2, kernel // 2] * 2, [stride] * 2
            x = g.add("Conv", [x, weight], pads=pads, strides=strides, group=groups)
            now = [1, o, height, width]
        elif kind == "gemm":
            x = g.add("Gemm", [x, g.weight(o, i, dtype=dtype)], transB=1)
            now = [1, o]
        elif kind == "matmul":
            if quantized:
                codes = g.constant(g.random.integers(-127, 128, (i, o), dtype=np.int8))
                scale, zero = (
                    g.constant(np.array(np.float32(0.005))),
                    g.constant(np.array(np.int8(0))),
                )
                weight = g.add("DequantizeLinear", [codes, scale, zero])
            else:
                weight = g.noise(i, o)
            x = g.add("MatMul", [x, weight])
            now = [1, height, o]
        elif kind == "add":
            # Both sides are computed: a constant side might be folded into what stands before.
            x = g.add("Add", [x, x if quantized else g.noise(*now)])
        elif kind == "max_pool":
            x = g.add("MaxPool", [x], kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])
        elif kind == "global_pool":
            x = g.add("GlobalAveragePool", [x])
            now = [1, i, 1, 1]
        elif kind == "concat":
            x = g.add("Concat", [x, x], axis=1)
            now = [1, 2 * i, height, width]
        elif kind == "relu":
            # A sigmoid cannot be fused, and two rectifiers in a row might be.
            x = g.add("Relu", [x]) if forward else g.add("Neg", [x])
        elif kind == "gelu":
            x = g.add("Erf", [x])
        elif kind == "softmax":
            x = g.add("Softmax", [x], axis=-1)
        elif kind == "layer_norm":
            x = g.add("LayerNormalization", [x, g.noise(now[-1]), g.noise(now[-1])], axis=-1)
        elif kind == "transpose":
            x = g.add("Transpose", [x], perm=[0, 2, 3, 1])
            now = [now[0], now[2], now[3], now[1]]
        elif kind == "convert":
            # Two grids in turns, of another type and scale: runtimes drop what rounds again alike.
            if forward:
                grid = g.grid(0, "int8", 0.06) if index % 4 else g.grid(128)
            x = g.add("QuantizeLinear" if forward else "DequantizeLinear", [x, *grid])
        elif kind == "pad":
            pads = [0, 0, 0, 0, 0, 2, 0, 0]
            x = g.add("Pad", [x, g.constant(np.array(pads, np.int64))])
            now[1] += 2
        elif kind == "attention":
            x = g.add("MatMul", [x, g.add("Transpose", [x], perm=[0, 1, 3, 2])])
        if quantized:
            x = g.rounded(x)
    return g.file(shape, x, now), shape


def network(name: str, dtype: str) -> tuple[bytes, tuple[int, ...], list[Case]]:
    """Return a small network of many kinds of operators: the check of what the chains say.

    Returns:
        Its file, the shape of its input, and the operators in it, those that runtimes fuse into
        others left out.
    """
    g = Graph()
    quantized = dtype == "int8"
    cases: list[Case] = []

    def stored(x: str, zero_point: int = 128) -> str:
        return g.rounded(x, zero_point) if quantized else x

    def rectified(x: str) -> str:
        # Where zero is the smallest code, rounding rectifies, and runtimes drop the rectifier.
        return stored(g.add("Relu", [x]), 0)

    def conv(x: str, i: int, o: int, k: int, size: int, stride: int = 1, groups: int = 1) -> str:
        kind = "depthwise" if groups > 1 else "conv"
        cases.append(_case(kind, dtype, i, o, size, kernel=k, stride=stride, count=1))
        weight = g.weight(o, i // groups, k, k, dtype=dtype)
        return g.add("Conv", [x, weight], pads=[k // 2] * 4, strides=[stride] * 2, group=groups)

    def gemm(x: str, i: int, o: int) -> str:
        cases.append(_case("gemm", dtype, i, o, 1, count=1))
        return g.add("Gemm", [x, g.weight(o, i, dtype=dtype)], transB=1)

    def added(x: str, y: str, channels: int, size: int) -> str:
        if quantized:  # as float32 it is fused into the convolution before it
            cases.append(_case("add", dtype, channels, channels, size, count=1))
        return g.add("Add", [x, y])

    if name == "perceptron":
        shape: tuple[int, ...] = (1, 256)
        x = stored("x")
        for i, o in ((256, 128), (128, 128), (128, 10)):
            x = rectified(gemm(x, i, o))
        return g.file(shape, x, (1, 10)), shape, cases
    shape, channels, size = (1, 3, 32, 32), 16, 32
    if quantized:
        cases.append(_case("convert", "float32", 3, 3, 32, count=1))
    x = rectified(conv(stored("x"), 3, channels, 3, size))
    for width in (16, 24, 40, 64):
        stride = 1 if width == channels else 2
        before, size = size, size // stride
        if name == "residual":
            inner = rectified(conv(x, channels, width, 3, size, stride))
            inner = stored(conv(inner, width, width, 3, size))
            side = x if stride == 1 else stored(conv(x, channels, width, 1, size, stride))
            x = rectified(added(inner, side, width, size))
        else:
            wide = 6 * channels
            inner = rectified(conv(x, channels, wide, 1, before))
            inner = rectified(conv(inner, wide, wide, 3, size, stride, wide))
            inner = stored(conv(inner, wide, width, 1, size))
            x = stored(added(inner, x, width, size)) if stride == 1 else inner
        channels = width
    cases.append(_case("global_pool", dtype, channels, channels, size, count=1))
    x = stored(g.add("Flatten", [stored(g.add("GlobalAveragePool", [x]))]))
    x = stored(gemm(x, channels, 10))
    return g.file(shape, x, (1, 10)), shape, cases


NETWORKS = tuple(
    (n, d) for n in ("residual", "inverted", "perceptron") for d in ("float32", "int8")
)

# --- measuring ----------------------------------------------------------------------------------


def time_file(file: bytes, shape: tuple[int, ...], threads: int, seconds: float) -> list[float]:
    """Return milliseconds of an inference: the nine deciles of its times."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Sums of 32 bits on every processor, as wherever networks are measured.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    fed = {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
    for _ in range(2):
        start = time.perf_counter()
        session.run(None, fed)
        once = time.perf_counter() - start
    # Blocks of a millisecond: on a machine that does other things as well some are undisturbed.
    repeats = max(1, min(1000, int(0.001 / max(once, 1e-6))))
    found: list[float] = []
    begin = time.perf_counter()
    while len(found) < 5 or (len(found) < 200 and time.perf_counter() - begin < seconds):
        start = time.perf_counter()
        for _ in range(repeats):
            session.run(None, fed)
        found.append((time.perf_counter() - start) / repeats * 1e3)
        if time.perf_counter() - begin > 3 * seconds:
            break
    found.sort()
    return [float(f"{found[len(found) * tenth // 10]:.4g}") for tenth in range(1, 10)]


def about_device() -> dict[str, Any]:
    """Return what the system says of itself; no names of users, hosts or files."""
    name = platform.processor() or platform.machine()
    told, processors = Path("/proc/device-tree/model"), Path("/proc/cpuinfo")
    if told.is_file():
        name = told.read_text(encoding="utf-8").strip("\0\n ") or name
    elif processors.is_file():
        lines = processors.read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
        name = names[0] if names else name
    memory: int | None = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "name": name,
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "memory_bytes": memory,
    }


def probe(threads: int = 1, seconds: float = 60.0, told: Any = None) -> dict[str, Any]:
    """Measure everything and return what is written as JSON.

    Args:
        threads: Threads of one inference.
        seconds: Time for all of it; loading files comes on top.
        told: Called with the share that is done, in 0..1.
    """
    import onnxruntime as ort

    wanted = list(cases())
    each = seconds / (len(wanted) + 3 * len(NETWORKS))
    start = time.perf_counter()
    empty = Graph()
    overhead = time_file(empty.file((1, 16), "x", (1, 16)), (1, 16), threads, each)
    found, left_out, networks = [], [], []
    for index, case in enumerate(wanted):
        if told:
            told(index / len(wanted))
        if time.perf_counter() - start > 3 * seconds:
            left_out.append({**case, "why": "time was up"})
            continue
        try:
            found.append({**case, "ms": time_file(*chain(case), threads, each)})
        except Exception as error:  # onnxruntime's errors share no base
            left_out.append({**case, "why": str(error).splitlines()[0][:200]})
    for name, dtype in NETWORKS:
        try:
            file, shape, _ = network(name, dtype)
            times = time_file(file, shape, threads, 3 * each)
            networks.append({"name": name, "dtype": dtype, "ms": times})
        except Exception as error:
            left_out.append({"name": name, "dtype": dtype, "why": str(error).splitlines()[0][:200]})
    return {
        "schema": SCHEMA,
        "device": about_device(),
        "runtime": {"name": "ONNX Runtime", "version": ort.__version__, "provider": "CPU"},
        "threads": threads,
        "overhead_ms": overhead,
        "operators": found,
        "networks": networks,
        "left_out": left_out,
        "seconds": round(time.perf_counter() - start, 1),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the probe from the command line."""
    parser = argparse.ArgumentParser(description="Measure what operators cost on this device.")
    parser.add_argument("--threads", type=int, default=1, help="threads of one inference")
    parser.add_argument("--seconds", type=float, default=60.0, help="time for the measuring")
    parser.add_argument("--name", default="", help="how the device shall be called")
    wanted = parser.parse_args(arguments)
    if wanted.threads < 1 or not 1 <= wanted.seconds <= 3600:
        parser.error("threads must be at least 1, and seconds between 1 and 3600")
    try:
        import numpy  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        parser.error(f"{error}. Run: pip install numpy onnxruntime")

    def told(share: float) -> None:
        sys.stderr.write(f"\r{share:4.0%} ")
        sys.stderr.flush()

    found = probe(wanted.threads, wanted.seconds, told)
    if wanted.name:
        found["device"]["name"] = wanted.name[:80]
    sys.stderr.write(f"\r{len(found['operators'])} operators in {found['seconds']} s\n")
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
