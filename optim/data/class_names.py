"""What a class may be called: what can be shown, sent and stored wherever its name goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from optim.errors import DataError

__all__ = ["MAX_LENGTH", "can_be_shown", "check_class_names"]

MAX_LENGTH = 120
"""Characters of the longest name."""


def can_be_shown(name: str) -> bool:
    """Whether a name is printable and not too long."""
    return name.isprintable() and len(name) <= MAX_LENGTH


def check_class_names(names: Iterable[str], where: Callable[[str], str]) -> None:
    """Refuse names that cannot be shown.

    Args:
        names: Of the classes.
        where: Says where a name stands, as the subject of a sentence.

    Raises:
        DataError: Naming the first of them, and where it stands.
    """
    for name in names:
        if not can_be_shown(name):
            raise DataError(
                f"{where(name)} holds no name of a class that can be shown: {name[:40]!r} has "
                f"{len(name):,} characters; {MAX_LENGTH} printable ones are allowed.",
                hint="Rename the class, or read the data without labels: target=none.",
            )
