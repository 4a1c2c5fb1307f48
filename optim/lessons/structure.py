"""Magnitude pruning, and why structure matters: zeros that stay, and channels that go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.lessons.drawn import matrix_rows, nearest, percent
from optim.lessons.lesson import Frame, Lesson, Matrix, Panel, Question, Readout, Shown
from optim.measure.scorecard import ratio

if TYPE_CHECKING:
    from optim.lessons.bench import Bench

__all__ = ["STRUCTURE"]

_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_START = 0.3
_ASKED = 0.5
_COLUMNS = 90
"""So many weights of a channel are drawn."""
_HALF, _SOME = 0.75, 0.95
"""A file below this share of the original is about half as large, or somewhat smaller."""


def _show(bench: Bench) -> Shown:
    from optim.techniques.prune_channels import PruneChannels
    from optim.techniques.prune_weights import PruneWeights
    from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm

    # A block's first layer makes values that nobody else adds to: its channels can go.
    layer = bench.work.layers[1].name
    whole = bench.weight(layer)
    most = float(whole.abs().max())
    columns, rows = min(_COLUMNS, whole[0].numel()), len(whole)

    def panel(title: str, values: tuple[tuple[float, ...], ...]) -> Panel:
        return Panel(
            title,
            f"First {columns} weights of a channel",
            "Channel",
            matrix=Matrix(values, most),
            x_range=(-0.5, columns - 0.5),
            y_range=(rows - 0.5, -0.5),
        )

    frames = []
    for share in _SHARES:
        adjust = ReestimateBatchNorm()
        zeros = bench.recipe(PruneWeights(sparsity=share), adjust) if share else bench.original
        gone = bench.recipe(PruneChannels(pruning_ratio=share), adjust) if share else bench.original
        frames.append(
            Frame(
                percent(share),
                (
                    panel(
                        f"Zeros: {layer}, its smallest weights are 0",
                        matrix_rows(bench.weight(layer, zeros), columns),
                    ),
                    panel(
                        f"Channels: {layer}, its weakest rows are gone",
                        matrix_rows(bench.weight(layer, gone), columns),
                    ),
                ),
                (
                    Readout("Zeros: accuracy", bench.accuracy(zeros)),
                    Readout("Zeros: ONNX file", bench.file(zeros)),
                    Readout("Channels: accuracy", bench.accuracy(gone)),
                    Readout("Channels: ONNX file", bench.file(gone)),
                ),
                (gone if share else bench.original).to_link(),
                "Left, the matrix keeps its size and gets holes. Right, it becomes smaller. "
                "Nothing "
                "was trained again.",
            )
        )
    return Shown(tuple(frames), nearest(_SHARES, _START), _question(bench, frames), bench.basis)


def _question(bench: Bench, frames: list[Frame]) -> Question:
    asked = frames[nearest(_SHARES, _ASKED)]
    figures = {readout.name: readout.figure for readout in asked.readouts}
    share = figures["Zeros: ONNX file"].value / bench.file(bench.original).value
    change = ratio(bench.file(bench.original), figures["Channels: ONNX file"])
    return Question(
        f"Set {percent(_ASKED)} of the weights to zero. How large is the ONNX file then?",
        ("About half as large", "Somewhat smaller", "As large as before"),
        0 if share < _HALF else 1 if share < _SOME else 2,
        f"{figures['Zeros: ONNX file']} with the zeros, {figures['Channels: ONNX file']} "
        f"({change.verdict()}) with channels removed. A dense file writes every zero out, and a "
        "dense kernel multiplies it. Zeros help where an encoding leaves them out; structure helps "
        f"everywhere, and costs more accuracy: {figures['Channels: accuracy']} against "
        f"{figures['Zeros: accuracy']} before training again.",
    )


STRUCTURE = Lesson(
    title="Pruning, and why structure matters",
    idea="Small weights can be set to zero at little cost, but a zero still takes its place. Only "
    "whole channels make the matrix, and its work, smaller.",
    control="Share removed",
    kind="slider",
    paper="Han et al., Learning both Weights and Connections for Efficient Neural Networks, 2015, "
    "arXiv:1506.02626; Li et al., Pruning Filters for Efficient ConvNets, 2017, arXiv:1608.08710",
    link="https://arxiv.org/abs/1608.08710",
    source="optim/techniques/prune_channels.py",
    show=_show,
)
