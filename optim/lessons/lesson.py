"""What a lesson is: one idea, one control, one picture, one question. Plain values, nothing drawn.

A lesson says what it is about without computing anything, so that a page can list them all. What
it shows is computed once for every stop of its control (:class:`Shown`); moving the control then
takes no computing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from optim.errors import ConfigError
from optim.quantity import Quantity

if TYPE_CHECKING:
    from optim.lessons.bench import Bench

__all__ = [
    "Frame",
    "Lesson",
    "Line",
    "Matrix",
    "Panel",
    "Question",
    "Readout",
    "Role",
    "Series",
    "Shown",
]

_LOPSIDED = 1.5
"""An interval that reaches so many times further on one side is told by its ends."""

Role = Literal["before", "after", "other", "faint", "warning"]
"""What a series stands for; the page gives each a colour, the same in every lesson."""


@dataclass(frozen=True)
class Series:
    """One set of points of a panel.

    Attributes:
        name: What a reader calls it.
        x: Numbers, or names of categories.
        y: Numbers.
        kind: How it is drawn.
        role: What it stands for.
        low: Lower ends of intervals; empty without.
        high: Upper ends.
        text: What is told of each point; empty for its numbers.
        is_labelled: Whether the name stands beside its last point.
    """

    name: str
    x: Sequence[float | str]
    y: Sequence[float]
    kind: Literal["line", "dots", "bars", "area"] = "line"
    role: Role = "after"
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    text: Sequence[str] = ()
    is_labelled: bool = False


@dataclass(frozen=True)
class Line:
    """A straight line through a panel: a limit, or where the control stands.

    Attributes:
        axis: The axis it stands on.
        at: Where.
        name: Written beside it; empty for none.
        role: What it stands for.
    """

    axis: Literal["x", "y"]
    at: float
    name: str = ""
    role: Role = "faint"


@dataclass(frozen=True)
class Matrix:
    """Numbers as colours: positive, negative, and nothing where they are zero.

    Attributes:
        values: Rows of equal length.
        most: The number with the strongest colour.
    """

    values: Sequence[Sequence[float]]
    most: float


@dataclass(frozen=True)
class Panel:
    """One chart of a picture.

    Attributes:
        title: What it shows, in a few words.
        x: Name of the axis, with its unit.
        y: Name of the axis, with its unit.
        series: What is drawn.
        lines: Straight lines.
        matrix: Numbers as colours, instead of series.
        log: Axes that are logarithmic: any of ``x`` and ``y``.
        x_range: Ends of the axis; the same at every stop, so that nothing jumps.
        y_range: Ends of the axis.
    """

    title: str
    x: str
    y: str
    series: Sequence[Series] = ()
    lines: Sequence[Line] = ()
    matrix: Matrix | None = None
    log: str = ""
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Readout:
    """One figure beside a picture.

    Attributes:
        name: What it is.
        figure: The figure.
        note: What a reader should know of it, in a few words.
    """

    name: str
    figure: Quantity
    note: str = ""


@dataclass(frozen=True)
class Frame:
    """What a lesson shows at one stop of its control.

    Attributes:
        label: The stop, as a reader sees it.
        panels: One or two charts.
        readouts: A few figures.
        link: The recipe of this setting for the Lab, as a link; empty where there is none.
        caption: What is to be seen, in one sentence.
    """

    label: str
    panels: tuple[Panel, ...]
    readouts: tuple[Readout, ...]
    link: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Question:
    """To be answered before the control is moved.

    Attributes:
        text: What is asked.
        options: What may be chosen.
        right: Index of what came out; computed, never known beforehand.
        why: What came out and why, with the figures.
    """

    text: str
    options: tuple[str, ...]
    right: int
    why: str

    def __post_init__(self) -> None:
        if not 0 <= self.right < len(self.options):
            raise ConfigError(
                f"right must be from 0 to {len(self.options) - 1}: got {self.right}.",
                field="right",
            )


@dataclass(frozen=True)
class Shown:
    """What a lesson shows.

    Attributes:
        frames: One a stop of the control, in order.
        start: Index of the stop shown first.
        question: The question.
        basis: What the figures were computed on, in one sentence.
    """

    frames: tuple[Frame, ...]
    start: int
    question: Question
    basis: str

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        data = asdict(self)
        for frame, written in zip(self.frames, data["frames"], strict=True):
            for readout, plain in zip(frame.readouts, written["readouts"], strict=True):
                plain["figure"] = _shown(readout.figure)
        return data


def _shown(figure: Quantity) -> dict[str, Any]:
    """Return a figure as a card shows it: ``text`` large, ``spread`` small beside it."""
    text, spread = str(figure), ""
    if not figure.is_exact:
        up, down = figure.high - figure.value, figure.value - figure.low
        if max(up, down) > _LOPSIDED * min(up, down):
            text, _, spread = figure.with_ends().partition(" (")
            spread = spread.removesuffix(")")
    return {**figure.to_json(), "text": text, "spread": spread}


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    Attributes:
        title: A few words.
        idea: The one idea, in one sentence or two.
        control: Name of the control.
        kind: A slider where the stops lie on a line, else one of a few.
        paper: Where the idea comes from.
        link: Address of the paper.
        source: The file of this program that does it, from the root of the source.
        show: Computes what is shown.
    """

    title: str
    idea: str
    control: str
    kind: Literal["slider", "choice"]
    paper: str
    link: str
    source: str
    show: Callable[[Bench], Shown]
