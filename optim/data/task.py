"""What is to be predicted, and in which terms it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from optim.errors import ConfigError

__all__ = [
    "NO_LABEL",
    "Classification",
    "Detection",
    "Guess",
    "ModelTask",
    "Outputs",
    "Regression",
    "Task",
    "Unlabelled",
    "task_from_json",
    "task_to_json",
]

NO_LABEL = -1
"""Target of a sample of which nobody says what it is."""


@dataclass(frozen=True)
class Classification:
    """One class per sample; judged by accuracy, resampled by sample.

    Attributes:
        class_names: Names in the order of the model's outputs.
    """

    class_names: tuple[str, ...]
    kind: ClassVar[str] = "classification"
    primary_metric: ClassVar[str] = "accuracy"

    @property
    def n_classes(self) -> int:
        """Number of outputs a model for this task has."""
        return len(self.class_names)

    @property
    def n_outputs(self) -> int:
        """The same: one output a class."""
        return len(self.class_names)

    @property
    def n_numbers(self) -> int:
        """Numbers of one answer: again one a class."""
        return len(self.class_names)


@dataclass(frozen=True)
class Detection:
    """Objects of each image, a box and a class each; judged by mean average precision, by image.

    The image is covered by square *places*. A model answers ``(channels, rows, columns)`` numbers
    for an image, flattened: for each place one logit a class, then how far to the right and below
    its middle that of the box it sees lies, and the logarithms of width and height, all in places.
    :mod:`optim.data.boxes` makes boxes of them. Targets are ``(N, objects, 5)`` integers: left,
    top, right and bottom in pixels, and the class; rows of :data:`NO_LABEL` where there are fewer.

    Attributes:
        class_names: Names in the order of the model's channels.
        size: Height and width of an image in pixels, multiples of the stride.
        stride: Side of a place in pixels.
    """

    class_names: tuple[str, ...]
    size: tuple[int, int]
    stride: int = 8

    def __post_init__(self) -> None:
        if self.stride < 1 or any(side < 1 or side % self.stride for side in self.size):
            raise ConfigError(
                f"Height and width must be multiples of the stride: got {self.size} and "
                f"{self.stride}.",
                field="size",
            )

    kind: ClassVar[str] = "detection"
    primary_metric: ClassVar[str] = "map"

    @property
    def n_classes(self) -> int:
        """Number of classes that are told apart."""
        return len(self.class_names)

    @property
    def n_outputs(self) -> int:
        """Channels of a model for this task: one a class, and four of the box."""
        return len(self.class_names) + 4

    @property
    def raster(self) -> tuple[int, int]:
        """Rows and columns of places."""
        return self.size[0] // self.stride, self.size[1] // self.stride

    @property
    def n_numbers(self) -> int:
        """Numbers of one answer: all channels of all places."""
        return self.n_outputs * self.raster[0] * self.raster[1]


@dataclass(frozen=True)
class Regression:
    """Quantities of each sample; judged by the share of their variance that is explained.

    Attributes:
        names: What is predicted, in the order of the model's outputs.
    """

    names: tuple[str, ...] = ("output",)
    kind: ClassVar[str] = "regression"
    primary_metric: ClassVar[str] = "r2"
    class_names: ClassVar[tuple[str, ...]] = ()
    n_classes: ClassVar[int] = 0

    @property
    def n_outputs(self) -> int:
        """Number of outputs a model for this task has."""
        return len(self.names)

    @property
    def n_numbers(self) -> int:
        """Numbers of one answer: one a quantity."""
        return len(self.names)


Guess = Literal["dense", "detection", "sequence", "other"]
"""What outputs look like: a value for every place of the input, boxes, a value for every step of a
sequence, or none of these."""


@dataclass(frozen=True)
class Outputs:
    """Numbers whose meaning the model does not tell; judged by fidelity to the original model.

    Attributes:
        guess: What they look like; for the reader only.
    """

    guess: Guess = "other"
    kind: ClassVar[str] = "outputs"
    primary_metric: ClassVar[str] = "sqnr"
    class_names: ClassVar[tuple[str, ...]] = ()
    n_classes: ClassVar[int] = 0


@dataclass(frozen=True)
class Unlabelled:
    """Samples of which nobody says what they are; judged by agreement with the original model.

    Their targets are :data:`NO_LABEL`. Nothing can be learned from such labels: what trains or
    measures accuracy refuses them.
    """

    kind: ClassVar[str] = "unlabelled"
    primary_metric: ClassVar[str] = "agreement"
    class_names: ClassVar[tuple[str, ...]] = ()
    n_classes: ClassVar[int] = 0


Task = Classification | Regression | Detection | Unlabelled
"""What the labels of data say."""

ModelTask = Classification | Regression | Detection | Outputs
"""What the outputs of a model mean."""


def task_to_json(task: ModelTask) -> dict[str, Any]:
    """Return plain data from which :func:`task_from_json` makes the task again."""
    if isinstance(task, Classification):
        return {"kind": task.kind, "class_names": list(task.class_names)}
    if isinstance(task, Regression):
        return {"kind": task.kind, "names": list(task.names)}
    if isinstance(task, Detection):
        names, size = list(task.class_names), list(task.size)
        return {"kind": task.kind, "class_names": names, "size": size, "stride": task.stride}
    return {"kind": task.kind, "guess": task.guess}


def task_from_json(data: Mapping[str, Any]) -> ModelTask:
    """Read what :func:`task_to_json` wrote.

    Raises:
        ConfigError: If there is no such task.
    """
    kind = data.get("kind")
    if kind == Classification.kind:
        return Classification(tuple(map(str, data["class_names"])))
    if kind == Regression.kind:
        return Regression(tuple(map(str, data["names"])))
    if kind == Detection.kind:
        height, width = map(int, data["size"])
        return Detection(tuple(map(str, data["class_names"])), (height, width), int(data["stride"]))
    if kind == Outputs.kind and data.get("guess") in get_args(Guess):
        return Outputs(data["guess"])
    raise ConfigError(f"There is no task {kind!r} of that form.", field="task")
