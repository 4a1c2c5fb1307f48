"""What the pages of both searches have in common: controls, the choice of a search, its story.

Keys of widgets begin with the name of the search, so that each keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, TypeVar

import streamlit as st

from optim.devices.profile import catalogue
from optim.errors import OptimError
from optim.hashing import digest
from optim.runs.run import Run
from optim.search.figures import FIGURES, value_text
from optim.search.target import HERE, HERE_TITLE, device_named, told_of
from pages.components import access, state
from pages.components.runs.words import duration, plain
from pages.components.server import run_store, wake_engine

__all__ = [
    "SAMPLER_TITLES",
    "asked_before",
    "chosen_run",
    "device",
    "limit",
    "limits_text",
    "minutes",
    "searches",
    "share_of",
    "start_button",
    "story",
    "submit",
    "with_value",
]

SAMPLER_TITLES = {
    "tpe": "TPE",
    "nsga2": "Evolution (NSGA-II)",
    "nsga3": "Evolution (NSGA-III)",
    "gp": "Gaussian process",
    "random": "Random",
}
"""Names of the samplers for a reader."""

_Asked = TypeVar("_Asked")
_MINUTES = (1, 2, 3, 5, 10, 15, 30, 60, 120, 240)
_TIME_SHARES = (10, 15, 20, 25, 30, 40, 50, 60, 75, 100)
_NO_DEVICE = "none"
_LIMITS = {
    "bytes": ("File at most, kB", 1000.0),
    "ram": ("RAM at most, kB", 1000.0),
    "flash": ("Flash at most, kB", 1000.0),
    "latency": ("Latency at most, ms", 1.0),
}
"""Label of a limit, and what its unit is times that of the figure."""


def searches(kind: str, is_about: Callable[[Mapping[str, Any]], bool]) -> list[Run]:
    """Return the searches of a kind that may be seen here, newest first.

    Args:
        kind: Of the run.
        is_about: Says of what a search was asked whether it is about what the page shows.
    """
    runs = run_store().runs()
    return [r for r in runs if r.kind == kind and access.may_see_run(r) and is_about(r.spec)]


def asked_before(
    name: str, runs: Callable[[], Sequence[Run]], read: Callable[[Mapping[str, Any]], _Asked]
) -> _Asked | None:
    """Return what the newest search was asked for when a session first came here.

    The controls begin with it: whoever opens the page again finds what the search beside them was
    asked, and not what nobody asked. It stays the same for the session, so that nothing that a hand
    has set moves when another search begins.

    Args:
        name: Of the search.
        runs: Returns the searches, newest first.
        read: Makes what is asked for from plain data.
    """
    key = f"{name}_before"
    if key not in st.session_state:
        newest = next(iter(runs()), None)
        st.session_state[key] = None if newest is None else newest.spec
    spec = st.session_state[key]
    try:
        return None if spec is None else read(spec)
    except OptimError:
        return None  # of a version that asked otherwise


def with_value(options: Iterable[float], value: float) -> tuple[float, ...]:
    """Return the stops of a slider, and where it stands between two of them as well.

    Example:
        >>> with_value((5, 10), 7)
        (5, 7, 10)
    """
    return tuple(sorted({*options, value}))


def minutes(name: str, default: float, about: str) -> float:
    """Draw the budget of time and return its seconds."""
    chosen = st.select_slider(
        "Time",
        with_value(_MINUTES, default),
        default,
        format_func=lambda count: f"{count:g} min" if count < 60 else f"{count / 60:g} h",
        key=f"{name}_minutes",
        persist_state="session",
        help=f"Wall-clock time. {about}",
    )
    return 60.0 * chosen


def limit(
    name: str, limits: MutableMapping[str, Any], figure: str, before: Mapping[str, Any]
) -> None:
    """Draw a limit and note it, if there is one.

    Args:
        name: Of the search.
        limits: It is noted here.
        figure: What is limited.
        before: Limits to begin with.
    """
    label, factor = _LIMITS[figure]
    start = before.get(figure)
    value: float | None = st.number_input(
        label,
        min_value=0.0,
        value=start / factor if isinstance(start, int | float) else None,
        placeholder="no limit",
        key=f"{name}_{figure}",
        persist_state="session",
    )
    if value:
        limits[figure] = factor * value


def device(
    name: str,
    limits: MutableMapping[str, Any],
    figures: Sequence[str],
    about: str,
    *,
    here: bool = False,
    before: Mapping[str, Any],
    start: str = "",
) -> str:
    """Draw the device and its limits; return its name, or an empty text.

    Args:
        name: Of the search.
        limits: Limits of the figures are put here.
        figures: What of a device can be limited; what nobody can tell of it is not offered.
        about: Help.
        here: Whether this computer can be chosen, whose latency is measured.
        before: Limits to begin with.
        start: The device to begin with, by whatever it is called.
    """
    devices = {_NO_DEVICE: "No device", **({HERE: HERE_TITLE} if here else {})}
    devices |= {n: d.title for n, d in catalogue().items()}
    if start and start != HERE:
        start = device_named(start).name
    chosen = st.selectbox(
        "Device",
        list(devices),
        index=list(devices).index(start) if start in devices else 0,
        format_func=devices.__getitem__,
        key=f"{name}_device",
        persist_state="session",
        help=about,
    )
    if chosen == _NO_DEVICE:
        return ""
    if chosen == HERE:
        _share_of_time(name, limits, before)
        return HERE
    told = told_of(chosen)
    for figure in figures:
        if figure in told:
            limit(name, limits, figure, before)
    return str(chosen)


def share_of(bound: object, default: float) -> float:
    """Return the percentage that a bound such as ``"10%"`` means; the default if it is no share."""
    return float(bound.removesuffix("%")) if isinstance(bound, str) else default


def _share_of_time(name: str, limits: MutableMapping[str, Any], before: Mapping[str, Any]) -> None:
    """Draw the limit of latency on this computer: nobody knows its milliseconds beforehand."""
    start = share_of(before.get("latency"), 100)
    percent = st.select_slider(
        "Latency at most",
        with_value(_TIME_SHARES, start),
        start,
        format_func=lambda share: "no limit" if share == 100 else f"{share:g} % of the original's",
        key=f"{name}_time_share",
        persist_state="session",
        help="Of the ONNX file in floating point, one sample on one thread. Eight bits alone often "
        "halve it.",
    )
    if percent < 100:
        limits["latency"] = f"{percent:g}%"


def start_button(name: str, start: Callable[..., None], asked: Any) -> None:
    """Draw the button that starts a search; nothing where nothing may be started."""
    if access.is_presentation():
        return
    st.button(
        "Start",
        type="primary",
        icon=":material/rocket_launch:",
        on_click=start,
        args=(asked,),
        width="stretch",
        key=f"{name}_start",
    )


def submit(kind: str, spec: dict[str, Any], title: str) -> None:
    """Start the run of a search, or say why not."""
    try:
        access.check_run()
        run = run_store().submit(kind, spec, title=title, owner=access.owner())
        access.note("ran", digest(spec), run=run.id)
        wake_engine()
    except OptimError as error:
        state.notice(error)


def chosen_run(name: str, runs: Sequence[Run], label: Callable[[Run], str]) -> Run:
    """Draw the choice among several searches, the newest first, and return the chosen one."""
    if len(runs) == 1:
        return runs[0]
    by_id = {run.id: run for run in runs}
    chosen = st.selectbox(
        "Search",
        list(by_id),
        format_func=lambda run_id: label(by_id[run_id]),
        key=f"{name}_search_{len(runs)}",
    )
    return by_id[chosen]


def limits_text(run: Run) -> list[str]:
    """Return the limits of a search in words."""
    return [
        f"{FIGURES[name].title} ≤ "
        f"{most if isinstance(most, str) else value_text(name, float(most))}"
        for name, most in (run.spec.get("limits") or {}).items()
        if name in FIGURES
    ]


def story(found: dict[str, Any], height: int) -> None:
    """Draw what a search said, newest first."""
    st.markdown("**What it does, and why**, newest first")
    with st.container(height=height, border=False):
        for one in reversed(found["story"]):
            st.caption(f"{duration(one['at'])} · {plain(one['text'])}")
