"""What the newest comparison of a topic shows: curves while it trains, then what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

import streamlit as st

from optim.alternatives.outcomes import Cell, times_to
from optim.quantity import Comparison, Quantity
from optim.runs.jobs.alternatives import cell_name
from optim.runs.run import ACTIVE, EpochRow, Run, State
from pages.components import access, charts, state
from pages.components.alternatives.chooser import KIND
from pages.components.runs import actions
from pages.components.runs.polled import polled
from pages.components.runs.words import STATES, doing, left
from pages.components.server import run_store

__all__ = ["comparisons", "curves_info", "outcome_rows", "results"]

_RUN = "pages/runs/run.py"
_TWO_SEEDS = (
    " Two seeds tell little: with them an interval is 13 standard errors to each side, with three "
    "4. Where it would reach what cannot be, such as more than 100 %, it is cut there, and both "
    "ends are named."
)
_PLOT = {"displayModeBar": False}


def comparisons(name: str) -> list[Run]:
    """Return the comparisons of a topic about the present model and data, newest first."""
    present = state.recipe()
    return [
        run
        for run in run_store().runs()
        if run.kind == KIND
        and access.may_see_run(run)
        and run.spec.get("topic") == name
        and (run.spec.get("model"), run.spec.get("data")) == (present.model, present.data)
    ]


def results(name: str) -> None:
    """Draw the newest comparison, or what to do to have one."""
    found = comparisons(name)
    if not found:
        with st.container(border=True, horizontal_alignment="center"):
            st.markdown("**Nothing compared yet**")
            st.caption(
                "Choose what to change, and press *Train*. The first curves are here in seconds."
            )
        return
    run = found[0]
    if len(found) > 1:
        by_id = {run.id: run for run in found}
        chosen = st.selectbox(
            "Comparison",
            list(by_id),
            format_func=lambda run_id: _label(by_id[run_id]),
            key=f"{name}_comparison_{len(found)}",
        )
        run = by_id[chosen]
    polled(lambda: [run_store().get(run.id)], lambda runs: _live(runs[0]))
    if run.state is State.FINISHED and run.result is not None:
        _outcomes(name, run)


def _label(run: Run) -> str:
    titles = [alternative["title"] for alternative in run.spec["alternatives"][1:]]
    return ", ".join(titles)


def _live(run: Run) -> None:
    """Draw state, progress and curves."""
    look = STATES[run.state]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**Accuracy after every epoch**, mean over seeds", width="content")
            st.badge(look.title, color=look.color, icon=look.icon, help=look.about)
            st.space("stretch")
            if actions.can_cancel(run):
                st.button(
                    "Cancel", icon=":material/stop:", on_click=actions.cancel, args=([run.id],)
                )
            if actions.can_resume(run):
                st.button(
                    "Resume",
                    icon=":material/play_arrow:",
                    on_click=actions.resume,
                    args=([run.id],),
                )
            st.page_link(_RUN, label="Details", query_params={"id": run.id})
        if run.state in ACTIVE:
            words = [f"{100 * run.progress:.0f} %", doing(run), left(run)]
            st.progress(min(1.0, run.progress), text=" · ".join(filter(None, words)))
        if run.error is not None and run.state is not State.FINISHED:
            st.markdown(f"{run.error.get('message', '')} {run.error.get('hint', '')}".strip())
        info = curves_info(run, run_store().epochs(run.id))
        if info:
            st.plotly_chart(charts.side_by_side(info), key=f"curves_{run.id}", config=_PLOT)
            st.caption("Solid: validation samples. Dotted: training samples, while they are seen.")
        elif run.state in ACTIVE:
            st.caption("The first epoch has not ended yet.")


def curves_info(run: Run, rows: Sequence[EpochRow]) -> list[dict[str, Any]]:
    """Return one entry an alternative: title, and mean accuracy over seeds by epoch, in percent."""
    found = []
    for alternative in run.spec["alternatives"]:
        title = alternative["title"]
        names = {cell_name(title, seed) for seed in run.spec["seeds"]}
        own = [row for row in rows if row.step in names]
        curves = {
            kind: _by_epoch([(row.epoch, row.figures[kind]) for row in own if kind in row.figures])
            for kind in ("accuracy", "train_accuracy")
        }
        if own:
            found.append({"title": title, **curves})
    return found


def _by_epoch(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the mean of each epoch that every seed has: of the better ones alone it is no mean."""
    values: dict[int, list[float]] = {}
    for epoch, value in points:
        values.setdefault(epoch, []).append(value)
    seeds = max(map(len, values.values()), default=0)
    return [(e, 100 * mean(own)) for e, own in sorted(values.items()) if len(own) == seeds]


def _outcomes(name: str, run: Run) -> None:
    """Draw what a finished comparison came to."""
    assert run.result is not None
    cells = [Cell.from_json(cell) for cell in run.result["cells"]]
    left_side, right_side = st.columns(2)
    with left_side, st.container(border=True):
        st.markdown("**Generalisation gap**, training minus validation accuracy")
        st.plotly_chart(charts.gaps(run.result["outcomes"]), key=f"gap_{run.id}", config=_PLOT)
    with right_side, st.container(border=True):
        st.markdown("**Accuracy against training time**")
        st.plotly_chart(
            charts.accuracy_by_time(run.result["outcomes"]), key=f"time_{run.id}", config=_PLOT
        )
    with st.container(border=True):
        best = max(outcome["accuracy"]["value"] for outcome in run.result["outcomes"])
        target = st.slider(
            "Target accuracy, %",
            10,
            100,
            max(10, int(100 * best) - 1),
            key=f"{name}_target_{run.id}",
            width=320,
            help="Time is counted until the validation accuracy first reached this.",
        )
        st.table(outcome_rows(run.result["outcomes"], cells, target / 100), border="horizontal")
        seeds = len(run.spec["seeds"])
        st.caption(
            f"Means over {seeds} seeds; ± is a 95 % interval over seeds (Student's t). Changes are "
            "taken seed by seed; *noise*: the interval includes no change. All measured on this "
            "machine, accuracy on validation samples. *Chosen on these samples*: they have said "
            "which epoch is kept, so its accuracy is a little too high."
            + (_TWO_SEEDS if seeds == 2 else "")
        )


def outcome_rows(
    outcomes: Sequence[dict[str, Any]], cells: Sequence[Cell], target: float
) -> list[dict[str, str]]:
    """Return the rows of the table.

    Args:
        outcomes: As the run stored them.
        cells: All trainings.
        target: Accuracy in 0..1 whose time is shown.
    """
    times = times_to(cells, target)
    return [
        {
            "Alternative": outcome["title"],
            "Accuracy": _mean_text(Quantity.from_json(outcome["accuracy"])),
            "Against baseline": _change(
                outcome["accuracy_change"], is_selected=outcome.get("is_selected", False)
            ),
            "Gap": str(Quantity.from_json(outcome["gap"])),
            "Time": _mean_text(Quantity.from_json(outcome["seconds"])),
            "Time against baseline": _change(outcome["speed"]),
            f"To {100 * target:.0f} %": _reached(*times[outcome["title"]]),
        }
        for outcome in outcomes
    ]


def _mean_text(mean: Quantity) -> str:
    """Return a share or a time; where ± would tell of what cannot be, with both ends."""
    reach = mean.value + mean.half_width
    is_cut = mean.half_width > mean.value or (mean.unit == "fraction" and reach > 1)
    return mean.with_ends() if is_cut else str(mean)


def _change(data: dict[str, Any] | None, *, is_selected: bool = False) -> str:
    if data is None:
        return "–"
    change = Comparison.from_json(data)
    if is_selected:
        return f"{change.difference} (chosen on these samples)"
    return f"{change.difference}" + ("" if change.beyond_noise else " (noise)")


def _reached(time: Quantity | None, missed: int) -> str:
    if time is None:
        return "not reached"
    text = _mean_text(time)
    return f"{text}, {missed} seed{'s' if missed > 1 else ''} never" if missed else text
