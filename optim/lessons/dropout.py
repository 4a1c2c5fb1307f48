"""Dropout and the generalisation gap, on networks trained here from nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optim.lessons.drawn import curve, percent
from optim.lessons.lesson import Frame, Lesson, Line, Panel, Question, Readout, Shown
from optim.lessons.small_data import few_digits, share_of

if TYPE_CHECKING:
    from optim.lessons.bench import Bench

__all__ = ["DROPOUT"]

_RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
_SAMPLES = 60
_EPOCHS = 100
_WIDTH = 256


def _show(bench: Bench) -> Shown:
    from optim.alternatives.alternative import Alternative
    from optim.alternatives.training import train_alternatives
    from optim.models.mlp import MLP
    from optim.techniques.finetune import FineTune

    data = few_digits(_SAMPLES)
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
                Readout("Seen", seen[i], "training samples"),
                Readout("Unseen", unseen[i], "validation samples"),
            ),
            caption="The distance between both lines is the generalisation gap.",
        )
        for i, rate in enumerate(_RATES)
    )
    best = max(range(len(_RATES)), key=lambda i: unseen[i].value)
    gaps = [s.value - u.value for s, u in zip(seen, unseen, strict=True)]
    question = Question(
        "Which rate is right about the most samples it never saw?",
        ("None dropped", "Something in between", "The most"),
        0 if best == 0 else 2 if best == len(_RATES) - 1 else 1,
        f"{percent(_RATES[best])} with {unseen[best]}, against {unseen[0]} without dropout; mind "
        f"the intervals. The gap is smallest at {percent(_RATES[gaps.index(min(gaps))])}: a small "
        "gap alone is no success, since a network that learns nothing has none.",
    )
    return Shown(
        frames,
        0,
        question,
        f"One network with a layer of {_WIDTH} neurons a rate, trained here for {_EPOCHS} "
        f"epochs on {_SAMPLES} digits; one seed.",
    )


DROPOUT = Lesson(
    title="Dropout and the gap",
    idea="A large network learns a few samples by heart. Dropping neurons at random while it "
    "trains "
    "keeps it from relying on any single one.",
    control="Neurons dropped in training",
    kind="slider",
    paper="Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, "
    "JMLR 2014",
    link="https://jmlr.org/papers/v15/srivastava14a.html",
    source="optim/models/mlp.py",
    show=_show,
)
