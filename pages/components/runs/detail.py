"""One run: progress, curves and result at the top, everything else one section at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import streamlit as st

from optim.data.added import data_cards
from optim.errors import OptimError
from optim.models.cards import model_cards
from optim.quantity import Comparison, Quantity
from optim.recipe import Recipe
from optim.report.facts import flattened
from optim.report.script import as_command, as_python
from optim.runs.energy import energy_of_run
from optim.runs.figures import Figure, figures_of, verdict_of
from optim.runs.jobs.nas import KIND as NAS
from optim.runs.jobs.search import KIND as SEARCH
from optim.runs.run import ACTIVE, EpochRow, Run, State
from pages.components import access, charts, state
from pages.components.errors import show_error
from pages.components.runs import actions
from pages.components.runs.curves import accuracy_info, epochs_of, loss_info, planned_epochs
from pages.components.runs.polled import polled
from pages.components.runs.reported import report_of
from pages.components.runs.words import STATES, doing, duration, left, plain, subject_of
from pages.components.server import run_store
from pages.components.sharing import sharing

__all__ = ["LAB", "RUNS", "layer_rows", "no_run", "run_detail", "step_rows", "step_titles"]

LAB, RUNS = "pages/lab/lab.py", "pages/runs/runs.py"
"""Scripts of the pages this one leads to."""
_COLORS = {"better": "green", "worse": "red", "same": "gray"}
_PLOT = {"displayModeBar": False}
_GROWING = frozenset({"Steps", "Log"})
"""Sections that change while a run is active."""


_AUTOPILOT = "pages/search/autopilot.py"
_NETWORKS = "pages/search/architectures.py"
_COMPARISONS = {
    "regularisation": "pages/training/regularisation.py",
    "speed": "pages/training/speed.py",
    "distillation": "pages/training/distillation.py",
}
"""Pages that show what came of a comparison, by topic."""


def no_run() -> None:
    """Say that the address names no run, and where there are some."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown("**No run is chosen**")
        st.caption("The address of this page names a run; the list has them all.")
        st.page_link(RUNS, label="Open the list of runs", icon=":material/list:")


def run_detail(run_id: str) -> None:
    """Draw a run.

    Args:
        run_id: What the address names.

    Raises:
        OptimError: If there is no such run.
    """
    run = run_store().get(run_id)
    recipe = _recipe_of(run)
    _header(run, recipe)
    _error(run)
    _figures(run)
    polled(lambda: [run_store().get(run_id)], lambda runs: _live(runs[0], recipe))
    chosen = st.segmented_control(
        "More",
        [name for name in _SECTIONS if name != "Recipe" or recipe is not None],
        default="Steps" if recipe is not None and run.kind != SEARCH else "Log",
        key="run_section",
        persist_state="session",
    )
    if chosen is not None:
        draw = _SECTIONS[chosen]
        with st.container(border=True):
            if chosen in _GROWING:
                polled(lambda: [run_store().get(run_id)], lambda runs: draw(runs[0], recipe))
            else:
                draw(run, recipe)


def _recipe_of(run: Run) -> Recipe | None:
    """Return what a run does; a recipe that this program cannot read is explained."""
    try:
        return run.recipe
    except OptimError as error:
        show_error(error)
        return None


def _header(run: Run, recipe: Recipe | None) -> None:
    look = STATES[run.state]
    with st.container(horizontal=True, vertical_alignment="center", key="run_header"):
        st.subheader(plain(run.title), anchor=False, width="content")
        st.badge(look.title, color=look.color, icon=look.icon, help=look.about)
        if run.deleted:
            st.badge("deleted", color="gray", icon=":material/delete:")
        st.space("stretch")
        for label, icon, can, act in (
            ("Restore", ":material/undo:", actions.can_restore, actions.restore),
            ("Pause", ":material/pause:", actions.can_pause, actions.pause),
            ("Resume", ":material/play_arrow:", actions.can_resume, actions.resume),
            ("Cancel", ":material/stop:", actions.can_cancel, actions.cancel),
        ):
            if can(run):
                st.button(label, icon=icon, on_click=act, args=((run.id,),))
        if recipe is not None and run.state is State.FINISHED and figures_of(run):
            st.download_button(
                "Report",
                partial(report_of, run.id, access.owner()),
                file_name=f"report-{run.id}.zip",
                icon=":material/description:",
                on_click=partial(access.note, "exported", run.id, kind="report"),
                help="One HTML file that needs no network, with the recipe and a program that "
                "checks its figures.",
            )
            with st.popover("Share", icon=":material/link:"):
                sharing(recipe, run.title, f"id={run.id}", confirmed=True)
        if run.kind == NAS and st.button(
            "See the search", icon=":material/account_tree:", type="primary"
        ):
            _show_networks(str(run.spec.get("data")))
        if recipe is not None and run.kind == SEARCH:
            if st.button("See the search", icon=":material/rocket_launch:", type="primary"):
                state.commit(state.with_model(state.recipe(), recipe.model, recipe.data))
                st.switch_page(_AUTOPILOT)
        elif recipe is not None and st.button(
            "Open in the Lab",
            icon=":material/tune:",
            type="primary",
            help="Shows this recipe in the Lab, with everything the run has trained.",
        ):
            state.commit(recipe)
            state.follow(run.id)
            st.switch_page(LAB)
        page = _COMPARISONS.get(str(run.spec.get("topic")))
        if page and st.button("See the comparison", icon=":material/balance:", type="primary"):
            model, data = str(run.spec.get("model")), str(run.spec.get("data"))
            state.commit(state.with_model(state.recipe(), model, data))
            st.switch_page(page)
    about = [subject_of(run, model_cards(), data_cards()), f"id {run.id}"]
    if run.parents:
        about.append(f"continues {', '.join(run.parents)}")
    st.caption(" · ".join(filter(None, about)))


def _show_networks(data: str) -> None:
    """Show the page of a search for architectures: on the data that it is about."""
    present = state.recipe()
    if present.data != data:
        model = next((card.name for card in model_cards().values() if card.data == data), "")
        state.commit(state.with_model(present, model or present.model, data))
    state.searched_data(data)
    st.switch_page(_NETWORKS)


# --- what moves while the run is active -----------------------------------------------------------


def _live(run: Run, recipe: Recipe | None) -> None:
    _progress(run)
    rows = run_store().epochs(run.id)
    planned = planned_epochs(recipe)
    if not rows:
        if run.state in ACTIVE and planned:
            st.caption("Curves appear with the first epoch of training.")
        return
    titles = step_titles(recipe)
    accuracy, loss = accuracy_info(rows, titles, planned), loss_info(rows, titles, planned)
    figure = next(iter(figures_of(run)), None)
    if figure and figure.before and accuracy["curves"]:
        text = f"original {_percent(figure.before)}"
        accuracy["reference"] = {"value": 100 * figure.before.value, "text": text}
    left_side, right_side = st.columns(2)
    with left_side, st.container(border=True):
        st.markdown("**Accuracy** after every epoch")
        if accuracy["curves"]:
            st.plotly_chart(
                charts.epoch_curves(accuracy, "Accuracy, %", " %"), key="run_accuracy", config=_PLOT
            )
        else:
            st.caption("Not measured: the steps of this run do not look at validation samples.")
    with right_side, st.container(border=True):
        st.markdown("**Loss** after every epoch")
        if loss["curves"]:
            st.plotly_chart(charts.epoch_curves(loss, "Loss"), key="run_loss", config=_PLOT)
        else:
            st.caption("Not recorded.")


def _progress(run: Run) -> None:
    if run.state in (State.RUNNING, State.QUEUED):
        words = (f"{100 * run.progress:.0f} %", doing(run), left(run), _attempt(run))
        st.progress(min(1.0, run.progress), text=" · ".join(filter(None, words)))
        return
    words = [f"{duration(run.seconds)} of work" if run.seconds else "", _attempt(run)]
    if run.state is not State.FINISHED:
        words.insert(0, f"stands at {100 * run.progress:.0f} %")
    if energy := energy_of_run(run):
        text = str(energy) if energy.is_exact else energy.with_ends()
        words.append(f"{text} :gray-badge[{energy.how}]")
    st.caption(" · ".join(filter(None, words)))


def _attempt(run: Run) -> str:
    return f"attempt {run.attempt} of {run.max_attempts}" if run.attempt > 1 else ""


def _percent(value: Quantity) -> str:
    return str(value).replace(" ", "\u00a0")


# --- what came of it ----------------------------------------------------------------------------


def _error(run: Run) -> None:
    if run.error is None:
        return
    message, hint = run.error.get("message", ""), run.error.get("hint", "")
    st.error(f"{message}\n\n{hint}".strip(), icon=":material/error:")


def _figures(run: Run) -> None:
    figures = figures_of(run)
    if not figures:
        return
    st.markdown(f"**{verdict_of(run)}**")
    with st.grid(4, min_column_width=220):
        for figure in figures:
            _card(figure)


def _card(figure: Figure) -> None:
    after, change = figure.after, figure.change
    how = f" :gray-badge[{after.how}]" if after is not None else ""
    with st.container(border=True, gap="xxsmall", height="stretch"):
        st.metric(
            f"{figure.name}{how}",
            figure.reached,
            _short(change) if change else None,
            delta_color=_COLORS[change.direction] if change else "off",
            delta_arrow="off",
            help=figure.about,
        )
        st.caption(_before(figure))


def _before(figure: Figure) -> str:
    if figure.is_relative:
        return "original and result, compared"
    return "not measured before" if figure.before is None else f"was {figure.before}"


def _short(change: Comparison) -> str:
    """Return a verdict that no card cuts off; the comparison of runs has it in full."""
    certain = change.difference.is_exact or change.beyond_noise
    return change.verdict() if certain else "within noise"


# --- sections -----------------------------------------------------------------------------------


def step_titles(recipe: Recipe | None) -> dict[str, str]:
    """Return ``{entry id: title}`` of the active steps; a number tells repeated ones apart."""
    if recipe is None:
        return {}
    found: dict[str, str] = {}
    for entry in recipe.active:
        title, again = entry.step.title, list(found.values())
        number = sum(t == title or t.startswith(f"{title} (") for t in again) + 1
        found[entry.id] = title if number == 1 else f"{title} ({number})"
    return found


def step_rows(
    recipe: Recipe, reports: Mapping[str, Any], rows: list[EpochRow]
) -> list[dict[str, str]]:
    """Return one row an active step: what it did, how long it trained, what it reached."""
    titles, planned = step_titles(recipe), planned_epochs(recipe)
    found = []
    for entry in recipe.active:
        own = epochs_of(rows, entry.id)
        accuracy = own[-1].figures.get("accuracy") if own else None
        row = {"Step": titles[entry.id], "Epochs": "–", "Training time": "–"}
        if own:
            row["Epochs"] = f"{own[-1].epoch} of {planned.get(entry.id, own[-1].epoch)}"
            row["Training time"] = duration(sum(r.figures.get("seconds", 0.0) for r in own))
        row["Validation accuracy"] = "–" if accuracy is None else f"{100 * accuracy:.1f} %"
        if reports:
            report = reports.get(entry.id)
            row["What it did"] = report["summary"] if report else "not reported"
        found.append(row)
    return found


def _steps(run: Run, recipe: Recipe | None) -> None:
    if recipe is None:
        st.caption("This run follows no recipe.")
        return
    reports: Mapping[str, Any] = (run.result or {}).get("steps") or {}
    st.markdown("**Steps** in order")
    st.table(
        step_rows(recipe, reports, run_store().epochs(run.id)), border="horizontal", hide_index=True
    )
    titles = step_titles(recipe)
    for entry_id, report in reports.items():
        for note in report.get("notes") or ():
            st.caption(f"{titles.get(entry_id, entry_id)}: {note}")
    if layers := layer_rows(titles, reports):
        with st.expander("What each step did to each layer"):
            st.dataframe(layers, hide_index=True, key="run_layers")


def layer_rows(titles: Mapping[str, str], reports: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return one row a step and layer: what was done to it, or why it was left alone."""
    return [
        {
            "Step": titles.get(entry_id, entry_id),
            "Layer": layer["layer"],
            "Changed": "yes" if layer["touched"] else "no",
            "Detail": layer["detail"],
        }
        for entry_id, report in reports.items()
        for layer in report.get("layers") or ()
    ]


def _log(run: Run, recipe: Recipe | None) -> None:
    events = run_store().events(run.id)
    st.markdown("**Log**, newest first")
    st.table(
        [
            {"Time": _clock(e.at), "Level": e.level, "What happened": e.message}
            for e in reversed(events)
        ],
        border="horizontal",
        hide_index=True,
    )
    if run.error is not None and run.error.get("traceback"):
        with st.expander("Traceback"):
            st.code(run.error["traceback"], language="python")


def _files(run: Run, recipe: Recipe | None) -> None:
    store = run_store()
    artefacts = store.artefacts(run.id)
    if not artefacts:
        st.caption("No files yet: they are written and verified at the end of the run.")
        return
    st.markdown("**Files** of this run")
    for artefact in artefacts:
        with st.container(horizontal=True, vertical_alignment="center"):
            size = Quantity.exact(artefact.bytes, "bytes")
            st.markdown(f"**{artefact.name}** · {size}")
            st.space("stretch")
            if store.has(artefact):
                st.download_button(
                    "Download",
                    partial(store.read, artefact),
                    file_name=artefact.name,
                    key=f"artefact_{artefact.hash}_{artefact.name}",
                    on_click=partial(access.note, "exported", artefact.hash, run=run.id),
                    icon=":material/download:",
                )
            else:
                st.caption("is no longer on this machine", width="content")


def _recipe(run: Run, recipe: Recipe | None) -> None:
    assert recipe is not None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Recipe**")
        st.space("stretch")
        with st.popover("Copy as command", icon=":material/terminal:"):
            st.code(as_command(recipe), language="bash")
        with st.popover("Copy as Python", icon=":material/code:"):
            st.code(as_python(recipe), language="python")
    st.code(recipe.to_yaml(), language="yaml")


def _environment(run: Run, recipe: Recipe | None) -> None:
    if not run.environment:
        st.caption("Known as soon as a worker has started on the run.")
        return
    st.markdown("**Environment** of the last attempt")
    flat = flattened(run.environment)
    st.table(
        [{"Name": name, "Value": value} for name, value in flat.items()],
        border="horizontal",
        hide_index=True,
    )
    times = {
        "submitted": run.created_at,
        "started": run.started_at,
        "ended": run.finished_at,
    }
    st.caption(" · ".join(f"{name} {_clock(at)}" for name, at in times.items() if at))


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


_SECTIONS: dict[str, Callable[[Run, Recipe | None], None]] = {
    "Steps": _steps,
    "Log": _log,
    "Files": _files,
    "Recipe": _recipe,
    "Environment": _environment,
}
