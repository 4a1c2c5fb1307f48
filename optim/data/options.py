"""How somebody's own data are to be read: plain data, guessed first and editable later.

The same fields are the query of a file's name (``samples.npz?layout=NHWC``), what a data card
keeps, and what a page edits.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from optim.data.class_names import can_be_shown
from optim.errors import ConfigError, DataError
from optim.fields import Config

__all__ = [
    "NO_LABELS",
    "DataOptions",
    "Layout",
    "Normalisation",
    "check_no_choice",
    "joined_names",
]

Layout = Literal["", "NCHW", "NHWC", "NHW", "NCL", "NLC", "NF"]
"""Axes of stored arrays: samples, channels, height, width, length, features; empty: guessed."""

NO_LABELS = "none"
"""As target: the data are read without labels."""

MAX_SIDE = 4096
"""Largest height or width that samples are scaled to."""


def _listed(convert: Callable[[str], Any]) -> BeforeValidator:
    """Read ``"1,2"`` as two values: an address and a command line have only text."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            return tuple(convert(piece.strip()) for piece in value.split(",")) if value else ()
        return tuple(value) if isinstance(value, list) else value

    return BeforeValidator(read)


def _names_of(value: Any) -> Any:
    """Read a line of names with commas between; one that has a comma itself stands in quotes."""
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    try:
        pieces = next(csv.reader([value], skipinitialspace=True), [])
    except csv.Error as error:
        raise ValueError("must be one line of names with commas between.") from error
    return tuple(piece.strip() for piece in pieces)


def joined_names(names: Sequence[str]) -> str:
    """Return names as one line that is read as the same names."""
    return ", ".join(_quoted(name) if "," in name or '"' in name else name for name in names)


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be numbers with commas between: got {text!r}.") from None


def _finite(values: tuple[float, ...]) -> tuple[float, ...]:
    if not all(abs(value) < 1e30 for value in values):
        raise ValueError("must be numbers that are finite.")
    return values


def _side(text: str) -> int:
    if not text.isdigit():
        raise ValueError(f"must be whole numbers, as in 32,32: got {text!r}.")
    return int(text)


def _sides(values: tuple[int, ...]) -> tuple[int, ...]:
    most = MAX_SIDE if len(values) == 2 else MAX_SIDE * MAX_SIDE
    if len(values) > 2 or any(not 1 <= side <= most for side in values):
        raise ValueError(
            f"must be height and width from 1 to {MAX_SIDE}, or one length from 1 to "
            f"{MAX_SIDE * MAX_SIDE}: got {','.join(map(str, values))[:80]}."
        )
    return values


def _names(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise ValueError("must be different names.")
    if not all(name and can_be_shown(name) for name in values):
        raise ValueError("must be names that can be shown.")
    return values


@dataclass(frozen=True)
class Normalisation:
    """How a model's input is made from these data, where the model does not say it itself.

    Attributes:
        scale: Raw values are divided by this first; 0 keeps the model's.
        mean: Subtracted per channel after scaling; empty keeps the model's.
        std: Divided by after that.
    """

    scale: float = 0.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def or_else(self, own: Normalisation) -> Normalisation:
        """Return what is said here, completed by what a model says."""
        mean, std = (self.mean, self.std) if self.mean else (own.mean, own.std)
        return Normalisation(self.scale or own.scale, mean, std)


class DataOptions(Config):
    """What a file does not say about itself.

    Attributes:
        target: Column, array or level of labels; guessed if empty, ``none`` to leave them out.
        layout: Axes of stored arrays; guessed if empty.
        channel_order: ``BGR`` where the file stores blue first; samples are then turned round.
        resize: ``(height, width)`` images are scaled to, or the length series are cut or padded to.
        class_names: Names in the order of the model's outputs. If all names that the data bring are
            among them, classes are numbered by name; if none is, they are renamed in order.
        split: ``made`` draws train, validation and test by class where the data have no parts.
        seed: Decides that draw.
        scale: What raw values are divided by; 0 for what the model says.
        mean: Mean of each channel after scaling; empty for what the model says.
        std: Standard deviation of each channel; as many as ``mean``.
    """

    target: str = ""
    layout: Layout = ""
    channel_order: Literal["RGB", "BGR"] = "RGB"
    resize: Annotated[tuple[int, ...], _listed(_side), AfterValidator(_sides)] = ()
    class_names: Annotated[tuple[str, ...], BeforeValidator(_names_of), AfterValidator(_names)] = ()
    split: Literal["given", "made"] = "given"
    seed: int = 0
    scale: float = 0.0
    mean: Annotated[tuple[float, ...], _listed(_number), AfterValidator(_finite)] = ()
    std: Annotated[tuple[float, ...], _listed(_number), AfterValidator(_finite)] = ()

    def model_post_init(self, context: Any, /) -> None:
        """Check what fields say together."""
        if len(self.mean) != len(self.std):
            raise ConfigError(
                f"mean and std must have the same length: got {len(self.mean)} and "
                f"{len(self.std)} values.",
                field="mean",
            )
        if not 0 <= self.scale < 1e30 or any(value <= 0 for value in self.std):
            raise ConfigError(
                f"scale and std must be above 0: got scale={self.scale:g}, std={self.std}.",
                field="scale" if not 0 <= self.scale < 1e30 else "std",
            )
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed must be from 0 to 2147483647: got {self.seed}.", field="seed")

    @property
    def normalisation(self) -> Normalisation | None:
        """What replaces the model's own input, if anything does."""
        found = Normalisation(self.scale, self.mean, self.std)
        return None if found == Normalisation() else found


def check_no_choice(where: str, options: DataOptions) -> None:
    """Refuse to choose among labels where there is one kind of them at most.

    Args:
        where: Name of the data.
        options: How they shall be read.

    Raises:
        DataError: If a target is named that is not ``none``.
    """
    if options.target not in ("", NO_LABELS):
        raise DataError(
            f"{where} has no labels of several kinds to choose from: got "
            f"target={options.target[:80]!r}.",
            hint="Leave target out, or say target=none to read the samples without labels.",
        )
