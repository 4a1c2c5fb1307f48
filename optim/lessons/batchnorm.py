"""Batch norm remembers statistics, and pruning makes them wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.lessons.drawn import curve, nearest, percent
from optim.lessons.lesson import Frame, Lesson, Line, Panel, Question, Readout, Shown

if TYPE_CHECKING:
    from optim.lessons.bench import Bench
    from optim.recipe import Recipe

__all__ = ["BATCHNORM"]

_RATIOS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
_ASKED = 0.3
_MUCH = 10.0
"""Points that are called many."""


def _show(bench: Bench) -> Shown:
    from optim.techniques.prune_channels import PruneChannels
    from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm

    def recipe(ratio: float, *, again: bool) -> Recipe:
        if not ratio:
            return bench.original
        steps = (PruneChannels(pruning_ratio=ratio), ReestimateBatchNorm())
        return bench.recipe(*steps[: 1 + again])

    old = [bench.accuracy(recipe(ratio, again=False)) for ratio in _RATIOS]
    new = [bench.accuracy(recipe(ratio, again=True)) for ratio in _RATIOS]
    stops = [100 * ratio for ratio in _RATIOS]
    frames = []
    for i, ratio in enumerate(_RATIOS):
        change = bench.change(recipe(ratio, again=True), recipe(ratio, again=False))
        frames.append(
            Frame(
                percent(ratio),
                (
                    Panel(
                        "The same weights, with old and with new statistics",
                        "Channels removed, %",
                        "Accuracy, %",
                        (
                            curve("Old statistics", stops, old, "before"),
                            curve("Measured again", stops, new, "after"),
                        ),
                        (Line("x", 100 * ratio, "now"),),
                        x_range=(-3, 63),
                        y_range=(0, 102),
                    ),
                ),
                (
                    Readout("Old statistics", old[i]),
                    Readout("Measured again", new[i]),
                    Readout("What it brings", change.difference, "no weight was changed"),
                ),
                recipe(ratio, again=True).to_link(),
                "Both lines are the very same weights. Only means and variances differ.",
            )
        )
    change = bench.change(recipe(_ASKED, again=True), recipe(_ASKED, again=False))
    gained = change.difference.value if change.direction == "better" else 0.0
    question = Question(
        f"Remove {percent(_ASKED)} of the channels and let a few samples run through, without any "
        "training. What does that bring?",
        ("Nothing that could be told from noise", "A few points", f"More than {_MUCH:g} points"),
        2 if gained > _MUCH else 1 if gained > 0 else 0,
        f"Measured: {change.verdict()}. A batch norm subtracts the mean that it saw in training. "
        f"With "
        "channels gone, every later layer sees other values; measuring mean and variance again "
        "takes one pass and no labels.",
    )
    return Shown(tuple(frames), nearest(_RATIOS, 0.1), question, bench.basis)


BATCHNORM = Lesson(
    title="Batch norm remembers",
    idea="A batch norm keeps the mean and variance of what it saw in training. Change the layers "
    "before it, and they are wrong; measuring them again costs one pass.",
    control="Channels removed",
    kind="slider",
    paper="Ioffe and Szegedy, Batch Normalization, 2015, arXiv:1502.03167; Li et al., EagleEye, "
    "2020, arXiv:2007.02491",
    link="https://arxiv.org/abs/2007.02491",
    source="optim/techniques/reestimate_batchnorm.py",
    show=_show,
)
