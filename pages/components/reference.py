"""Tables for the reference pages, made from annotated fields."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from optim.fields import Choice, Config, Kind, Method, Models, PerLayer, Range, controls

__all__ = ["field_rows", "method_rows", "show_tables", "table_of"]


def show_tables(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw tables of sentences, by title, as one part that moves nothing when it comes.

    On a phone their rows are blocks of text: most of a table of Streamlit would lie outside of the
    screen, where a keyboard does not reach.
    """
    st.html("".join(table_of(title, rows) for title, rows in tables.items()))


def table_of(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as HTML; the first column names a row."""
    head = "".join(f'<th role="columnheader">{escape(name)}</th>' for name in rows[0])
    body = "".join(
        '<tr role="row">'
        + "".join(
            f'<td role="cell" data-label="{escape(name)}">{escape(str(value))}</td>'
            for name, value in row.items()
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<table class="optim-rows" role="table"><caption>{escape(title)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
    )


def field_rows(config: type[Config]) -> list[dict[str, Any]]:
    """Return one row a field: name, what is allowed, default, unit and what it does."""
    return [
        {
            "Field": control.name,
            "Allowed": _allowed(control.kind),
            "Default": _default(control.default),
            "What it does": control.kind.help,
        }
        for control in controls(config)
    ]


def method_rows(config: type[Config]) -> dict[str, list[dict[str, Any]]]:
    """Return ``{label of a method field: one row a method}``: name, what it does, fields, paper."""
    return {
        control.kind.label: [
            {
                "Name": name,
                "Method": method.title,
                "What it does": (inspect.getdoc(method) or "").partition("\n")[0],
                "Fields": ", ".join(
                    f"{c.name} ({_allowed(c.kind)}; default {_default(c.default)})"
                    for c in controls(method)
                ),
                "Source": method.paper,
            }
            for name, method in control.kind.family.items()
        ]
        for control in controls(config)
        if isinstance(control.kind, Method)
    }


def _default(value: Any) -> str:
    if value == {}:
        return "none"
    return str(value)


def _allowed(kind: Kind) -> str:
    if isinstance(kind, Range):
        return f"{kind.low:g} to {kind.high:g} {kind.unit}".strip()
    if isinstance(kind, Choice):
        return f"{', '.join(str(option) for option in kind.options)} {kind.unit}".strip()
    if isinstance(kind, Method):
        return ", ".join(kind.family)
    if isinstance(kind, Models):
        return f"original, or 1 to {kind.most} names of trained models"
    assert isinstance(kind, PerLayer)
    return f"{{layer: {kind.overrides}}}"
