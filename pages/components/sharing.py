"""What can be handed on of a recipe: a link, one file that works offline, a snapshot."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import streamlit as st

from optim.hashing import digest
from optim.recipe import Recipe
from optim.runs.jobs.share import KIND, SHARED
from optim.runs.run import ACTIVE, Run, State
from optim.runs.snapshots import remove_snapshot, save_snapshot
from pages.components import access
from pages.components.runs import actions
from pages.components.server import run_store, wake_engine

__all__ = ["forget_snapshot", "is_local", "sharing"]

_RUN, _PRESENT = "pages/runs/run.py", "pages/share/present.py"
_TITLE = "snapshot_title"
_ASKED = "offline_pages"
"""State of the session: hashes of what an offline page was asked for."""


def sharing(recipe: Recipe, name: str, query: str, *, confirmed: bool) -> None:
    """Draw everything that can be handed on.

    Args:
        recipe: The recipe shown.
        name: What is shown, for a reader.
        query: What the address of this page has to say to show it again.
        confirmed: Whether somebody looked at how the data are read.
    """
    base = (st.context.url or "").split("?")[0]
    _links(f"{base}?{query}")
    if access.is_presentation() or not confirmed:
        return
    st.divider()
    _snapshot(recipe, name)
    st.divider()
    _offline(recipe, name)


def forget_snapshot(snapshot_id: str) -> bool:
    """Delete a snapshot; return whether it is gone. What stands in the way is shown."""

    def remove() -> None:
        access.refuse_presentation()
        remove_snapshot(snapshot_id)

    return actions.noticed(remove)


def is_local(address: str) -> bool:
    """Whether an address leads to the machine itself, whoever opens it.

    Example:
        >>> is_local("http://localhost:8501/lab"), is_local("http://192.168.1.7:8501/lab")
        (True, False)
    """
    host = urlsplit(address).hostname or "localhost"
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _links(address: str) -> None:
    if is_local(address):
        st.caption(
            "This server answers on this machine only: there is no link for others. To have one, "
            "set `server.address` to `0.0.0.0` and name the machine in `server.allowedHosts` "
            "(`.streamlit/config.toml`), or put a proxy in front; `docs/deploy.md` says how. Here, "
            "this address shows the same numbers:"
        )
    else:
        st.caption("Open this address in another browser to see the same numbers.")
    st.code(address, language=None, wrap_lines=True)
    st.caption("For an audience: the same to look at, with nothing to upload or train.")
    st.code(f"{address}&{access.PRESENTATION}=1", language=None, wrap_lines=True)


def _snapshot(recipe: Recipe, name: str) -> None:
    def save() -> None:
        def keep() -> None:
            access.refuse_presentation()
            title = str(st.session_state.get(_TITLE) or name)
            save_snapshot(title, recipe, access.owner())

        if actions.noticed(keep):
            st.session_state[_TITLE] = ""
            st.toast("Snapshot saved.", icon=":material/photo_camera:")

    st.text_input("Title of the snapshot", key=_TITLE, placeholder=name)
    with st.container(horizontal=True):
        st.button(
            "Save snapshot",
            icon=":material/photo_camera:",
            on_click=save,
            help="Keeps the recipe as it stands, to present it or to compare it.",
        )
        if st.button("Present", icon=":material/slideshow:", type="tertiary"):
            st.switch_page(_PRESENT)


def _offline(recipe: Recipe, name: str) -> None:
    spec = {"recipe": recipe.to_json()}
    asked = st.session_state.setdefault(_ASKED, {})
    # Whoever never asked for a page needs no store of runs.
    run = _found(spec) if digest(spec) in asked else None
    st.caption(
        "One HTML file whose sliders work offline, over positions that are computed ahead; the run "
        "says how long it takes."
    )
    if run is not None and run.state is State.FINISHED:
        file = next((f for f in run_store().artefacts(run.id) if f.name == SHARED), None)
        if file is not None:
            st.download_button(
                "Download offline page",
                run_store().read(file),
                file_name=SHARED,
                mime="text/html",
                icon=":material/download:",
                on_click="ignore",
            )
            return
    if run is not None:
        st.page_link(
            _RUN,
            label=f"{100 * run.progress:.0f} %, {run.message or 'waiting'}",
            query_params={"id": run.id},
            icon=":material/hourglass:",
        )
        return

    def start() -> None:
        def submit() -> None:
            if _found(spec) is None:
                access.check_run()
                title = f"Offline page of {name}"
                found = run_store().submit(KIND, spec, title=title, owner=access.owner())
                access.note("ran", digest(spec), run=found.id)
                wake_engine()
            asked[digest(spec)] = True

        actions.noticed(submit)

    st.button("Make offline page", icon=":material/web:", on_click=start)


def _found(spec: dict[str, object]) -> Run | None:
    """Return the newest run that makes, or made, the page of this recipe."""
    for run in run_store().runs(states=[*ACTIVE, State.PAUSED, State.FINISHED]):
        if run.kind == KIND and run.spec == spec and access.may_see_run(run):
            return run
    return None
