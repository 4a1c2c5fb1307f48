"""Dropout and the generalisation gap, on networks trained here from nothing.

Some of the samples are called another digit than they are: what a network says of those tells
whether it has learned by heart. Clean digits can be learned by heart, and no harm done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.lessons.drawn import curve, percent
from optim.lessons.lesson import Frame, Lesson, Line, Panel, Question, Readout, Shown
from optim.lessons.small_data import few_digits, share_of

if TYPE_CHECKING:
    from optim.lessons.bench import Bench

__all__ = ["DROPOUT"]

_RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
_SAMPLES = 300
_WRONG = 0.3
_EPOCHS = 60
_WIDTH = 256


def _show(bench: Bench) -> Shown:
    from optim.alternatives.alternative import Alternative
    from optim.alternatives.training import train_alternatives
    from optim.models.mlp import MLP
    from optim.techniques.finetune import FineTune

    data = few_digits(_SAMPLES, _WRONG)
    training = FineTune(
        epochs=_EPOCHS, batch_size=16, learning_rate=0.02, shift=0, weight_decay=0.0
    )
    ways = [
        Alternative(percent(rate), MLP(depth=1, width=_WIDTH, dropout=rate), training)
        for rate in _RATES
    ]
    cells = list(train_alternatives(ways, data, seeds=[0]))
    seen = [share_of(cell.train_accuracy, data.parts["train"]) for cell in cells]
    unseen = [share_of(cell.accuracy, data.parts["validation"]) for cell in cells]
    stops = [100 * rate for rate in _RATES]
    frames = tuple(
        Frame(
            percent(rate),
            (
                Panel(
                    "Seen and unseen samples",
                    "Neurons dropped in training, %",
                    "Accuracy, %",
                    (
                        curve("Samples it learned from", stops, seen, "before"),
                        curve("Samples it never saw", stops, unseen, "after"),
                    ),
                    (Line("x", 100 * rate, "now"),),
                    x_range=(-4, 84),
                    y_range=(0, 104),
                ),
            ),
            (
                Readout("Seen", seen[i], "training samples, labels as they are"),
                Readout("Unseen", unseen[i], "validation samples"),
            ),
            caption="The distance between both lines is the generalisation gap. Above "
            f"{1 - _WRONG:.0%} of what it learned from, wrong labels were learned by heart.",
        )
        for i, rate in enumerate(_RATES)
    )
    best = max(range(len(_RATES)), key=lambda i: unseen[i].value)
    said = (
        f"{percent(_RATES[best])} with {unseen[best]}, against {unseen[0]} without dropout"
        if best
        else f"None: {unseen[0]} without dropout is the most, and {unseen[1]} come next to it"
    )
    question = Question(
        "Which rate is right about the most samples it never saw?",
        ("None dropped", "Something in between", "The most"),
        0 if best == 0 else 2 if best == len(_RATES) - 1 else 1,
        f"{said}; mind the intervals. Without dropout the network repeats {seen[0]} of the labels "
        f"it was given, the wrong ones among them. A small gap alone is no success: a network that "
        "learns nothing has none.",
    )
    return Shown(
        frames,
        0,
        question,
        f"One network with a layer of {_WIDTH} neurons a rate, trained here for {_EPOCHS} "
        f"epochs on {_SAMPLES} digits, {_WRONG:.0%} of which are called another digit; one seed.",
    )


DROPOUT = Lesson(
    title="Dropout and the gap",
    idea="A large network learns a few samples by heart, and their mistakes with them. Dropping "
    "neurons at random while it trains keeps it from relying on any single one.",
    control="Neurons dropped in training",
    kind="slider",
    paper="Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, "
    "JMLR 2014",
    link="https://jmlr.org/papers/v15/srivastava14a.html",
    source="optim/models/mlp.py",
    show=_show,
)
