"""Runs side by side. Every change stands as the run stored it: no two figures are subtracted."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from optim.data.added import data_cards
from optim.errors import OptimError
from optim.models.cards import model_cards
from optim.runs.figures import Figure, figures_of
from optim.runs.run import Run
from pages.components.errors import show_error
from pages.components.runs.words import STATES, duration, subject_of
from pages.components.server import run_store

__all__ = ["COMPARE", "MOST", "compare_button", "comparison_rows", "show_comparison"]

COMPARE = "compare"
"""Query parameter with the ids of the compared runs."""
MOST = 6
"""As many runs as stand side by side."""


def compare_button(run_ids: Sequence[str]) -> None:
    """Draw the button that puts selected runs side by side."""
    enough = 2 <= len(run_ids) <= MOST
    if st.button(
        "Compare",
        icon=":material/compare_arrows:",
        disabled=not enough,
        help=f"Puts 2 to {MOST} selected runs side by side.",
    ):
        st.query_params[COMPARE] = ",".join(run_ids)
        st.rerun()


def show_comparison() -> None:
    """Draw the runs that the address names side by side; nothing if it names none."""
    run_ids = [part for part in st.query_params.get(COMPARE, "").split(",") if part][:MOST]
    if not run_ids:
        return
    runs = []
    for run_id in run_ids:
        try:
            runs.append(run_store().get(run_id))
        except OptimError as error:
            show_error(error)
    with st.container(border=True, key="runs_comparison"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**Side by side**")
            st.space("stretch")
            st.button(
                "Close",
                type="tertiary",
                icon=":material/close:",
                on_click=lambda: st.query_params.pop(COMPARE, None),
                key="comparison_close",
            )
        if runs:
            st.table(comparison_rows(runs), border="horizontal", hide_index=True)
            st.caption(
                "Each change is that of the run's result against its own original, on the same "
                "samples; ± is a 95 % interval."
            )


def comparison_rows(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return one row a property and one column a run."""
    columns = _columns(runs)
    found = [figures_of(run) for run in runs]
    names = list(dict.fromkeys(figure.name for figures in found for figure in figures))
    models, data = model_cards(), data_cards()
    rows = [
        _row("Model", columns, [subject_of(run, models, data) or "none" for run in runs]),
        _row("State", columns, [STATES[run.state].title for run in runs]),
        _row("Time", columns, [duration(run.seconds) for run in runs]),
    ]
    for name in names:
        own = [next((f for f in figures if f.name == name), None) for figures in found]
        result = _row(f"{name}, result", columns, [f.reached if f else "not measured" for f in own])
        if any(f.is_relative for f in own if f):
            rows.append(result)
            continue
        rows += [
            _row(f"{name}, original", columns, [_text(f and f.before) for f in own]),
            result,
            _row(f"{name}, change", columns, [_change(f) for f in own]),
        ]
    return rows


def _columns(runs: Sequence[Run]) -> list[str]:
    """Return a heading a run, each its own."""
    titles = [run.title for run in runs]
    return [
        f"{run.title} ({run.id[:4]})" if titles.count(run.title) > 1 else run.title for run in runs
    ]


def _row(name: str, columns: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    return {"": name, **dict(zip(columns, values, strict=True))}


def _text(value: object) -> str:
    return "not measured" if value is None else str(value)


def _change(figure: Figure | None) -> str:
    return figure.change.verdict() if figure and figure.change else "not compared"
