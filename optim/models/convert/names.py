"""Names for layers: what the exporter called them, as dotted paths of a module."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from torch import nn

__all__ = ["Names", "module_path"]

_GENERATED = re.compile(
    r"^(onnx::.*|\d+|.*::.*_\d+|node_.*|val_\d+|const_fold_opt__\d+|.*__\d+|n\d+|[A-Za-z]\d*)$"
)
_WEIGHT = re.compile(r"[._/](weight|weights|kernel|w|W|gamma|scale)(:0)?$")
_READS = re.compile(r"/(ReadVariableOp|read)(:\d+)?$")
_RESERVED = frozenset(dir(nn.Module())) | {"input", "output", "self", "forward"}


def module_path(weight: str, node: str, op_type: str) -> str:
    """Return the dotted path an exporter had in mind, or an empty string.

    Args:
        weight: Name of the constant that holds the layer's weight; may be empty.
        node: Name of the node.
        op_type: Its operator.

    Example:
        >>> module_path("layer1.0.conv1.weight", "node_conv2d", "Conv")
        'layer1.0.conv1'
        >>> module_path("onnx::Conv_193", "/layer1/layer1.0/conv1/Conv", "Conv")
        'layer1.0.conv1'
        >>> module_path("model/dense/MatMul/ReadVariableOp:0", "model/dense/MatMul", "MatMul")
        'model.dense'
        >>> module_path("Parameter5", "Convolution28", "Conv")
        'Convolution28'
    """
    plain = _READS.sub("", weight)
    if _WEIGHT.search(plain):
        return _dotted(_WEIGHT.sub("", plain))
    if "/" in node.strip("/"):
        path = _dotted(node)
        head, _, tail = path.rpartition(".")
        is_operator = re.fullmatch(rf"({op_type}|MatMul|Conv2D|BiasAdd|Gemm)(_\d+)?", tail)
        return head if is_operator and head else path
    return "" if not node or _GENERATED.match(node) else _dotted(node)


def _dotted(text: str) -> str:
    """Join the scopes of a name; a scope that repeats the one before only goes on from it."""
    path: list[str] = []
    for scope in text.strip("/").split("/"):
        parts = scope.split(".")
        if path and parts[: len(path)] == path:
            path = parts
        elif path and len(parts) > 1 and parts[:-1] == path[-len(parts) + 1 :]:
            path = [*path, parts[-1]]
        else:
            path = [*path, *parts]
    clean = [re.sub(r"[^0-9A-Za-z_]", "_", part).strip("_") for part in path]
    return ".".join(part for part in clean if part)


class Names:
    """Hands out paths so that every one is new and none lies inside a layer."""

    def __init__(self) -> None:
        self._leaves: set[str] = set()
        self._branches: Counter[str] = Counter()

    def take(self, wanted: str, fallback: str) -> str:
        """Return ``wanted``, or something like it that is still free.

        Args:
            wanted: Dotted path; may be empty.
            fallback: What the layer is called if nothing is wanted.
        """
        base = self._legal(wanted or fallback)
        if self._branches[base] > 0:
            base = f"{base}.{fallback}"
        path, count = base, 1
        while not self._is_free(path):
            path, count = f"{base}_{count}", count + 1
        self._leaves.add(path)
        self._branches.update(_ancestors(path))
        return path

    def release(self, path: str) -> None:
        """Make a path free again."""
        self._leaves.discard(path)
        self._branches.subtract(_ancestors(path))

    def _is_free(self, path: str) -> bool:
        taken = path in self._leaves or self._branches[path] > 0
        return not taken and not any(above in self._leaves for above in _ancestors(path))

    def _legal(self, path: str) -> str:
        parts = [f"{part}_" if part in _RESERVED else part for part in path.split(".")]
        while any(above in self._leaves for above in _ancestors(".".join(parts))):
            parts = ["_".join(parts[:2]), *parts[2:]]
        return ".".join(parts)


def _ancestors(path: str) -> Iterable[str]:
    parts = path.split(".")
    return (".".join(parts[:i]) for i in range(1, len(parts)))
