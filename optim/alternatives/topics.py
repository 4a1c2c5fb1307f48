"""What is worth comparing side by side: regularisation, and what makes training faster.

A topic offers fields of the architecture and of the training; one alternative is the baseline with
one field changed. What the fields may be, and what they are called, is written at the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optim.alternatives.alternative import Alternative
from optim.data.added import DataCard
from optim.data.task import Classification
from optim.errors import ConfigError
from optim.fields import Choice, Config, Control, Range, controls
from optim.models.architecture import Architecture
from optim.techniques.finetune import FineTune
from optim.techniques.training import ONLY_IMAGES

__all__ = ["TOPICS", "Offer", "Topic", "baseline", "offers", "varied"]


@dataclass(frozen=True)
class Topic:
    """A question that is answered by training side by side.

    Attributes:
        title: Name for a reader.
        about: The question, in one or two sentences.
        architecture: ``{field: value to try first}`` of the architecture.
        training: The same of the training.
        together: Further fields that go with one of them: ``{field: {other field: value}}``.
    """

    title: str
    about: str
    architecture: Mapping[str, Any]
    training: Mapping[str, Any]
    together: Mapping[str, Mapping[str, Any]]


TOPICS: dict[str, Topic] = {
    "regularisation": Topic(
        "Regularisation",
        "What keeps a network from learning its samples by heart, and what it costs. Every "
        "alternative is the baseline with one thing changed.",
        {
            "dropout": 0.3,
            "block_dropout": 0.1,
            "normalisation": "none",
            "momentum": 0.02,
            "activation": "silu",
        },
        {
            "weight_decay": 0.005,
            "l1": 0.0001,
            "label_smoothing": 0.1,
            "shift": 0,
            "flip": True,
            "cutout": 8,
            "mixup": 0.2,
            "cutmix": 1.0,
            "average": 1.0,
            "patience": 3,
        },
        {"patience": {"keep": "best"}},
    ),
    "speed": Topic(
        "Faster training",
        "What shortens training on this machine, and what it costs in accuracy. Times are those "
        "of short trials, taken in turns.",
        {"width": None, "depth": None},
        {
            "batch_size": 512,
            "precision": "bfloat16",
            "layout": "contiguous",
            "compile": True,
            "freeze": 0.5,
            "start_resolution": 0.5,
        },
        {},
    ),
}
"""Topics by name."""


@dataclass(frozen=True)
class Offer:
    """A field that can be changed.

    Attributes:
        control: The field.
        place: ``"architecture"`` or ``"training"``.
        baseline: What it is in the baseline.
        suggested: What to try first.
    """

    control: Control
    place: str
    baseline: Any
    suggested: Any

    @property
    def name(self) -> str:
        """Name of the field."""
        return self.control.name


def baseline(architecture: Architecture, *, epochs: int = 5) -> Alternative:
    """Return what others are compared with: the architecture, trained with the defaults."""
    return Alternative("Baseline", architecture, FineTune(epochs=epochs))


def offers(topic: Topic, base: Alternative, data: DataCard) -> list[Offer]:
    """Return the fields of a topic that change something, in the topic's order.

    They are those that the architecture has, and that have a meaning for such data.

    Raises:
        ConfigError: If there are no classes, so that no accuracy can be compared.
    """
    _check_classes(base.architecture, data)
    without = _without_effect(base.architecture, data)
    found = []
    for place, config, wanted in (
        ("architecture", base.architecture, topic.architecture),
        ("training", base.training, topic.training),
    ):
        known = {control.name: control for control in controls(type(config))}
        for name, suggested in wanted.items():
            if name in without or name not in known or not _has_effect(known[name], config):
                continue
            present = getattr(config, name)
            value = _smaller(known[name], present) if suggested is None else suggested
            if value != present:
                found.append(Offer(known[name], place, present, value))
    return found


def varied(topic: Topic, base: Alternative, offer: Offer, value: Any) -> Alternative:
    """Return the baseline with one field changed, named after the change.

    Raises:
        ConfigError: If the value is illegal, or that of the baseline.
    """
    if value == offer.baseline:
        raise ConfigError(
            f"{offer.control.kind.label} is {_words(offer.control, value)} in the baseline.",
            hint="Choose another value.",
            field=offer.name,
        )
    title = f"{offer.control.kind.label}: {_words(offer.control, value)}"
    if offer.place == "architecture":
        architecture = base.architecture.replace(**{offer.name: value})
        return Alternative(title, architecture, base.training)
    also = topic.together.get(offer.name, {})
    return Alternative(
        title, base.architecture, base.training.replace(**{offer.name: value, **also})
    )


def _check_classes(architecture: Architecture, data: DataCard) -> None:
    """Refuse what is not judged by accuracy.

    Raises:
        ConfigError: Saying what to choose.
    """
    if architecture.kind != Classification.kind:
        raise ConfigError(
            f"Alternatives are compared by accuracy, and {architecture.title} tells no classes of "
            "samples.",
            hint="Choose a classifier on the left; the Lab can still compress and train this one.",
            field="model",
        )
    if not data.n_classes:
        raise ConfigError(
            f"Alternatives are compared by accuracy, and {data.title} has no classes.",
            hint="Choose data whose samples are of classes on the left.",
            field="data",
        )


def _without_effect(architecture: Architecture, data: DataCard) -> frozenset[str]:
    """Return the fields of a training that change nothing, or cannot be, for such data."""
    if len(data.input_shape) != 3:
        return frozenset(ONLY_IMAGES)
    return frozenset({"start_resolution"} if architecture.is_of_one_size else ())


def _has_effect(control: Control, config: Config) -> bool:
    """Return whether a field does anything with the other fields as they are."""
    return all(getattr(config, name) in values for name, values in control.kind.when.items())


def _smaller(control: Control, present: Any) -> Any:
    """Return the next smaller value of a field that decides how large a network is."""
    kind = control.kind
    if isinstance(kind, Choice):
        values = list(kind.options)
        return values[max(0, values.index(present) - 1)]
    assert isinstance(kind, Range)
    half = max(kind.low, present / 2)
    return type(present)(kind.low + kind.step * round((half - kind.low) / kind.step))


def _words(control: Control, value: Any) -> str:
    """Return a value as a reader writes it."""
    kind = control.kind
    if isinstance(kind, Choice):
        return kind.options[value]
    if isinstance(kind, Range) and kind.scale == "percent":
        return f"{100 * value:g} %"
    return f"{value:g} {kind.unit}".strip()
