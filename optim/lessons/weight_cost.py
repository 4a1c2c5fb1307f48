"""What a weight costs: bytes once, and work as often as it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.lessons.lesson import Frame, Lesson, Panel, Question, Readout, Series, Shown
from optim.quantity import Quantity

if TYPE_CHECKING:
    from optim.lessons.bench import Bench
    from optim.recipe import Recipe

__all__ = ["WEIGHT_COST"]

_BITS = (32, 16, 8, 6, 4, 3, 2)
_FLOAT = 32
_START = 8
_EVEN = 1.25
"""Shares that differ by less than this factor count as the same."""


def _show(bench: Bench) -> Shown:
    from optim.measure.size import encoded_sizes
    from optim.techniques.quantize import Quantize

    def recipe(bits: int) -> Recipe:
        if bits == _FLOAT:
            return bench.original
        return bench.recipe(Quantize(weight_bits=bits, activation_bits="float"))

    layers = bench.work.layers
    names = tuple(layer.name for layer in layers)
    kilobytes = [layer.params * _FLOAT / 8e3 for layer in layers]
    macs = Series("MACs", names, tuple(layer.macs / 1e6 for layer in layers), "bars", "other")
    frames = []
    for bits in _BITS:
        made = recipe(bits)
        sizes = encoded_sizes(bench.prepared(made).bundle)
        weights = tuple(layer.params * bits / 8e3 for layer in layers)
        frames.append(
            Frame(
                f"{bits} bits",
                (
                    Panel(
                        "Where the bytes are",
                        "",
                        "Weights, kB",
                        (Series("Weights", names, weights, "bars", "after"),),
                        y_range=(0, 1.08 * max(kilobytes)),
                    ),
                    Panel(
                        "Where the work is",
                        "",
                        "MACs for one sample, millions",
                        (macs,),
                        y_range=(0, 1.08 * max(macs.y)),
                    ),
                ),
                (
                    Readout("Parameters", bench.static(made).params, "the same at any bits"),
                    Readout(
                        "Weights",
                        sizes["dense" if bits == _FLOAT else "bit_width"],
                        "really packed",
                    ),
                    Readout("ONNX file", bench.file(made), "bits widen to what ONNX can store"),
                    Readout("MACs", bench.static(made).macs, "the same at any bits"),
                ),
                made.to_link(),
                "Each bit less makes every bar on the left lower. The work on the right stays.",
            )
        )
    return Shown(tuple(frames), _BITS.index(_START), _question(bench), bench.basis)


def _question(bench: Bench) -> Question:
    layers = bench.work.layers
    heavy = max(layers, key=lambda layer: layer.params)
    params = heavy.params / sum(layer.params for layer in layers)
    work = heavy.macs / sum(layer.macs for layer in layers)
    right = 1 if 1 / _EVEN <= work / params <= _EVEN else 2 if work > params else 0
    shares = (Quantity.exact(share, "fraction") for share in (params, work))
    holds, does = shares
    return Question(
        f"The layer {heavy.name} holds {holds} of all parameters. What share of the work does it "
        "do?",
        ("Clearly less than that", "About as much", "Clearly more"),
        right,
        f"It does {does} of the MACs. A weight is stored once and used at every place of the "
        "image: early layers see many places with few weights, late layers few places with many. "
        "To save "
        "bytes, look at the late layers; to save time, at the early ones.",
    )


WEIGHT_COST = Lesson(
    title="What a weight costs",
    idea="A weight costs its bits once, in the file, and one multiplication each time it is used. "
    "The two are not in the same place.",
    control="Bits of a weight",
    kind="slider",
    paper="Sze et al., Efficient Processing of Deep Neural Networks: A Tutorial and Survey, 2017, "
    "arXiv:1703.09039",
    link="https://arxiv.org/abs/1703.09039",
    source="optim/measure/size.py",
    show=_show,
)
