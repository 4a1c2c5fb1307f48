"""Whether a model and data fit, on a few hundred samples, and what would do better."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optim.data.open import generated_by
from optim.data.options import DataOptions
from optim.data.splits import stratified_order
from optim.data.task import Classification
from optim.first_look.data import open_as_said
from optim.measure.chance import Check, quick_check
from optim.models.bundle import ModelBundle
from optim.models.open import file_ref, open_model, open_registered_model
from optim.models.programs import uploads_are_trusted
from optim.subject import Subject, subject_of

__all__ = ["Pair", "check_pair", "open_pair"]

_SECONDS = 20.0
"""How long the trials of a check may take: somebody waits for it."""
_SAMPLES = 512
"""Samples that are read for a check."""
_OTHER_ORDER = {"RGB": "BGR", "BGR": "RGB"}


@dataclass(frozen=True)
class Pair:
    """A model and data that were opened for each other.

    Attributes:
        bundle: The model as it was opened.
        how: How the data are read.
        subject: Both together; None of inputs that are made for the model.
    """

    bundle: ModelBundle
    how: DataOptions
    subject: Subject | None


def open_pair(
    model: Path | str,
    data: Path | str,
    *,
    architecture: str = "",
    task: str = "",
    options: dict[str, Any],
) -> Pair:
    """Open a model and its data.

    Args:
        model: A file, or the name of a registered model.
        data: A file, or the name of registered data.
        architecture: Name in the zoo; guessed from the shapes if empty.
        task: What the outputs of an ONNX file mean; guessed if empty.
        options: All options by which the data are read.

    Raises:
        OptimError: If one of them cannot be opened, or they do not fit.
    """
    how = DataOptions(**options)
    made = isinstance(data, str) and bool(generated_by(data))
    dataset = None if made else open_as_said(data, how)
    if isinstance(model, str):
        bundle = open_registered_model(model)
    else:
        ref = file_ref(model, architecture, task)
        bundle = open_model(ref, data=dataset, trust=uploads_are_trusted())
    return Pair(bundle, how, None if dataset is None else subject_of(bundle, dataset))


def check_pair(pair: Pair) -> dict[str, Any]:
    """Measure a model on a few hundred samples of its data, and what would do better.

    Returns:
        ``part`` (which samples: never those of test), ``accuracy`` (None where there are no
        classes to judge by), ``is_near_chance``, ``suggestions`` and ``remarks``.

    """
    subject = pair.subject
    if subject is None or not _is_judged_by_classes(subject):
        return {
            "part": subject.part if subject else "all",
            "accuracy": None,
            "is_near_chance": False,
            "suggestions": [],
            "remarks": [],
        }
    samples = subject.data.part(subject.part)
    some = samples.take(stratified_order(samples.targets, subject.seed)[:_SAMPLES])
    found = quick_check(subject.bundle, subject.data, some, seconds=_SECONDS)
    return {
        "part": subject.part,
        "accuracy": found.accuracy.shown(),
        "is_near_chance": found.is_near_chance,
        "suggestions": [_suggestion(check, pair.how) for check in found.suggestions],
        "remarks": [check.sentence for check in found.remarks],
    }


def _is_judged_by_classes(subject: Subject) -> bool:
    tasks = (subject.bundle.task, subject.data.task)
    return all(isinstance(task, Classification) for task in tasks)


def _suggestion(check: Check, how: DataOptions) -> dict[str, Any]:
    """Return a check for a page; channels that are turned round already are turned back."""
    options = dict(check.options)
    if "channel_order" in options:
        options["channel_order"] = _OTHER_ORDER[how.channel_order]
    assert check.accuracy is not None
    return {
        "name": check.name,
        "sentence": check.sentence,
        "accuracy": check.accuracy.shown(),
        "options": options,
    }
