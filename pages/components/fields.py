"""Stock widgets made from annotated fields, for pages that are no live panel."""

from __future__ import annotations

from typing import Any

import streamlit as st

from optim.errors import ConfigError
from optim.fields import Choice, Control, Range

__all__ = ["field_widget"]


def field_widget(control: Control, value: Any, key: str) -> Any:
    """Draw the widget of one field and return its value.

    Args:
        control: The field.
        value: What it shows at first.
        key: Of the widget.

    Raises:
        ConfigError: If the field is of a kind that needs more room than a widget.
    """
    kind = control.kind
    if isinstance(kind, Choice):
        return st.selectbox(
            kind.label,
            list(kind.options),
            index=list(kind.options).index(value),
            format_func=lambda option: kind.options[option],
            key=key,
            help=kind.help,
        )
    if not isinstance(kind, Range):
        raise ConfigError(f"{control.name} has no single value.", field=control.name)
    whole = isinstance(control.default, int)
    # What lies between two stops is legal, and must not change by being shown.
    stops = sorted({*(int(stop) if whole else stop for stop in kind.stops()), value})
    found: Any = st.select_slider(
        kind.label,
        stops,
        value,
        format_func=lambda stop: _text(kind, stop),
        key=key,
        help=kind.help,
    )
    return found


def _text(kind: Range, value: float) -> str:
    if kind.scale == "percent":
        return f"{100 * value:g} %"
    return f"{value:g} {kind.unit}".strip()
