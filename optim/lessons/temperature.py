"""The soft teacher: what its answer says beside the right class, and what temperature does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optim.lessons.lesson import Frame, Lesson, Panel, Question, Readout, Series, Shown
from optim.quantity import Quantity

if TYPE_CHECKING:
    from optim.lessons.bench import Bench

__all__ = ["TEMPERATURE"]

_STOPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_ASKED = 4.0
_RATIO, _EPOCHS = 0.5, 12
"""Of the student that the link to the Lab opens."""


def _show(bench: Bench) -> Shown:
    from optim.techniques.distill import Distill
    from optim.techniques.prune_channels import PruneChannels

    teacher = bench.predictions(bench.original)
    row = _telling(teacher.outputs, teacher.targets)
    logits = teacher.outputs[row].astype(np.float64)
    names = tuple(bench.bundle.task.class_names)
    label = Series(
        "Label",
        names,
        tuple(100.0 * (i == teacher.targets[row]) for i in range(len(names))),
        "bars",
        "faint",
    )
    frames = []
    for temperature in _STOPS:
        shares = _softmax(logits / temperature)
        entropy = float(-(shares * np.log(shares)).sum())
        student = bench.recipe(
            PruneChannels(pruning_ratio=_RATIO),
            Distill(epochs=_EPOCHS, temperature=temperature),
        )
        frames.append(
            Frame(
                f"{temperature:g}",
                (
                    Panel(
                        "What the teacher finds likely, for one sample",
                        "Class",
                        "Share, %",
                        (
                            label,
                            Series(
                                "Teacher",
                                names,
                                tuple(round(100 * float(s), 3) for s in shares),
                                "bars",
                                "after",
                            ),
                        ),
                        y_range=(0, 102),
                    ),
                ),
                (
                    Readout(
                        "For its choice",
                        Quantity.exact(float(shares.max()), "fraction"),
                        names[int(shares.argmax())],
                    ),
                    Readout(
                        "For all others",
                        Quantity.exact(1 - float(shares.max()), "fraction"),
                        "what a label does not say",
                    ),
                    Readout("Entropy", Quantity.exact(entropy, "nats"), "0 for a label"),
                ),
                student.to_link(),
                "Grey is the label, all or nothing. The teacher also says which wrong classes are "
                "nearly right; temperature makes that louder.",
            )
        )
    return Shown(
        tuple(frames),
        0,
        _question(logits, names),
        f"{bench.bundle.name} about one sample that it gets right without being sure.",
    )


def _telling(outputs: np.ndarray, targets: np.ndarray) -> int:
    """Return the sample with a right and the least certain answer that still leads clearly."""
    shares = _softmax(outputs.astype(np.float64))
    right = outputs.argmax(axis=1) == targets
    top = shares.max(axis=1)
    return int(np.where(right, np.abs(top - 0.8), np.inf).argmin())


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def _question(logits: np.ndarray, names: tuple[str, ...]) -> Question:
    plain, soft = _softmax(logits), _softmax(logits / _ASKED)
    kept = bool((np.argsort(plain) == np.argsort(soft)).all())
    second = names[int(np.argsort(plain)[-2])]
    before, after = (Quantity.exact(float(np.sort(s)[-2]), "fraction") for s in (plain, soft))
    return Question(
        f"Raise the temperature from {_STOPS[0]:g} to {_ASKED:g}. What happens to the order of the "
        "classes?",
        ("It stays", "It changes"),
        0 if kept else 1,
        f"Dividing all logits by one number {'keeps' if kept else 'changes'} their order. The "
        f"second class, {second}, rises from {before} to {after}: now the student hears of it. "
        "Very high temperatures make all classes alike, and the lesson fades.",
    )


TEMPERATURE = Lesson(
    title="The soft teacher",
    idea="A label says which class is right. A teacher also says which wrong ones are close, and "
    "temperature decides how loudly.",
    control="Temperature",
    kind="slider",
    paper="Hinton et al., Distilling the Knowledge in a Neural Network, 2015, arXiv:1503.02531",
    link="https://arxiv.org/abs/1503.02531",
    source="optim/techniques/distill.py",
    show=_show,
)
