"""What a runtime executes for one inference, operator by operator: data, computed elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["KINDS", "Operator"]

KINDS: dict[str, str] = {
    "conv": "convolution",
    "depthwise": "depthwise convolution",
    "gemm": "product with one row",
    "matmul": "product with several rows",
    "attention": "product of two activations",
    "recurrent": "recurrent layer",
    "add": "sum or product of two values",
    "relu": "cheap function of every value",
    "gelu": "expensive function of every value",
    "softmax": "softmax",
    "layer_norm": "normalisation",
    "max_pool": "pool over windows",
    "global_pool": "pool over all positions",
    "concat": "concatenation",
    "pad": "copy in another shape",
    "transpose": "transposition",
    "convert": "conversion between floats and integers",
    "view": "another view of the same bytes",
    "other": "something else",
}
"""Kinds of operators, with their names for a reader."""


@dataclass(frozen=True)
class Operator:
    """One kernel of one inference with one sample.

    Attributes:
        name: As the runtime calls it.
        kind: One of ``KINDS``.
        dtype: What it computes with: ``"float32"``, ``"float16"`` or ``"int8"``.
        layer: Layer of the model it belongs to; empty if none.
        inputs: Channels, or columns, that are read.
        outputs: Channels, or columns, that are written.
        rows: Positions (height times width) or rows that are written.
        kernel: Values of a window: 9 for 3 x 3.
        groups: Of a convolution.
        macs: Multiply-accumulates.
        read_bytes: Activations that are read.
        written_bytes: Activations that are written.
        weight_bytes: Weights that are read.
        shared_bytes: Of these, what an operator before this one reads as well.
        fused: Whether the operator before it does the work on runtimes that block channels.
        op: The operator's own name, such as ``QLinearConv``.
        two_of_four: Whether two of every four weights along the inputs are zero.
        bits: Of weights and activations, where they are on grids; a runtime may widen them.
    """

    name: str
    kind: str
    dtype: str
    layer: str = ""
    inputs: int = 1
    outputs: int = 1
    rows: int = 1
    kernel: int = 1
    groups: int = 1
    macs: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    weight_bytes: int = 0
    shared_bytes: int = 0
    fused: bool = False
    op: str = ""
    two_of_four: bool = False
    bits: tuple[int, int] | None = None

    @property
    def owner(self) -> str:
        """Its layer, or its own name where it belongs to none."""
        return self.layer or self.name

    @property
    def weight_count(self) -> int:
        """Weights that it multiplies with, without biases; 0 where it multiplies activations."""
        held = self.kind in ("conv", "depthwise", "gemm", "matmul")
        return self.inputs * self.outputs * self.kernel // self.groups if held else 0

    @property
    def is_free(self) -> bool:
        """Whether it takes no time: another operator does it, or nothing is done."""
        return self.fused or self.kind == "view"

    @property
    def moved_bytes(self) -> int:
        """All bytes that are read or written."""
        return self.read_bytes + self.written_bytes + self.weight_bytes

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        bits = data.get("bits")
        return cls(**{**data, "bits": None if bits is None else tuple(bits)})
