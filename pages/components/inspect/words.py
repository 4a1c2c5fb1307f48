"""Figures of both models as the pages say them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from optim.quantity import Comparison, Quantity

__all__ = [
    "COLORS",
    "change_text",
    "class_words",
    "omitted_note",
    "samples_words",
    "text",
    "tile",
    "together",
]

COLORS: dict[str, Any] = {"better": "green", "worse": "red", "same": "gray"}


def text(quantity: Mapping[str, Any] | None) -> str:
    """Return a figure with unit and interval; "not measured" where there is none."""
    return str(Quantity.from_json(dict(quantity))) if quantity else "not measured"


def together(quantity: Mapping[str, Any] | None) -> str:
    """Return a figure that stays on one line."""
    return text(quantity).replace(" ", "\u00a0")


def class_words(name: str) -> str:
    """Return a class as a reader tells it from a figure: a bare number says nothing.

    Example:
        >>> class_words("8"), class_words("frog")
        ('class 8', 'frog')
    """
    return f"class {name}" if name.isdecimal() else name


def change_text(change: Mapping[str, Any]) -> str:
    """Return a change with its sign and interval."""
    found = Comparison.from_json(dict(change)).difference
    return f"+{found}" if found.value > 0 and found.unit != "x" else str(found)


def tile(
    title: str,
    after: Mapping[str, Any] | None,
    before: Mapping[str, Any] | None,
    change: Mapping[str, Any] | None,
    about: str,
    more: str = "",
    *,
    judged: bool = True,
) -> None:
    """Draw one figure of the result, what it was, and the change.

    Args:
        title: Its name.
        after: Of the result.
        before: Of the original; None where the figure compares with it.
        change: Paired; None where the figure compares by itself.
        about: What it says.
        more: What stands below it besides.
        judged: Whether one direction is better than the other.
    """
    how = f":gray-badge[{after['how']}] " if after else ""
    with st.container(border=True, gap="xxsmall", height="stretch"):
        st.metric(
            title,
            text(after),
            change_text(change) if change else None,
            delta_color=COLORS[change["direction"]] if change and judged else "off",
            delta_arrow="off",
            help=about,
        )
        was = f"was {together(before)}" if before else ""
        st.caption(how + ", ".join(part for part in (more, was) if part))


def samples_words(n: int, part: str, of: int = 0) -> str:
    """Say which samples figures are of, and of how many.

    Example:
        >>> samples_words(1200, "validation", 4000)
        '1,200 of 4,000 validation samples'
    """
    count = f"{n:,} of {of:,}" if n < of else f"{n:,}"
    return f"{count} {'validation samples' if part == 'validation' else 'samples'}"


def omitted_note(omitted: Sequence[str]) -> None:
    """Say where training steps were left out."""
    if omitted:
        st.caption(
            "Training steps of the recipe are left out: no trained model is stored for them."
        )
