"""Verify a file in its runtime and hand it over: one click, and nothing unverified leaves."""

from __future__ import annotations

from functools import cache
from typing import Any

import streamlit as st

from optim.errors import OptimError
from optim.export.downloads import find_export
from optim.recipe import Recipe
from pages.components import access
from pages.components.errors import show_error
from pages.components.lab.words import samples_of
from pages.components.live_panel.routes import base_path
from pages.components.server import evaluator

__all__ = ["download_button", "request_export", "show_delivery"]

_KEY = "delivery"

_DELIVER_JS = """
export default function (component) {
  const { href, name } = component.data;
  window.__optimDelivered = window.__optimDelivered || new Set();
  if (window.__optimDelivered.has(href)) return;
  window.__optimDelivered.add(href);
  const link = document.createElement("a");
  link.href = new URL(href, window.location.href).href;
  link.download = name;
  link.click();
}
"""


def download_button(recipe: Recipe) -> None:
    """Draw the one button of the first screen."""
    st.button(
        "Download verified file",
        type="primary",
        icon=":material/download:",
        on_click=_ask_for,
        args=(recipe, "onnx"),
        help="Writes the ONNX file, loads it in ONNX Runtime, measures it there, and hands it over "
        "if it does what was simulated.",
    )


def _ask_for(recipe: Recipe, target: str) -> None:
    st.session_state[_KEY] = {"recipe": recipe.hash, "target": target, "result": None}


def request_export(recipe: Recipe, target: str) -> None:
    """Start the delivery of another kind of file."""
    _ask_for(recipe, target)


def show_delivery(recipe: Recipe) -> None:
    """Verify what was asked for and show the result; nothing if nothing was asked for."""
    wanted: dict[str, Any] | None = st.session_state.get(_KEY)
    if wanted is None or wanted["recipe"] != recipe.hash:
        st.session_state.pop(_KEY, None)
        return
    if wanted["result"] is None:
        with st.spinner("Writing the file, loading it in what executes it and measuring it there…"):
            try:
                found = evaluator().ask(
                    "export", recipe, target=wanted["target"], owner=access.owner()
                )
                access.note("exported", found["hash"], kind=wanted["target"], bytes=found["bytes"])
                wanted["result"] = found
            except OptimError as error:
                st.session_state.pop(_KEY)
                show_error(error)
                return
    _show(wanted["result"])


def _show(result: dict[str, Any]) -> None:
    texts, verification = result["verification"]["texts"], result["verification"]
    with st.container(border=True, key="delivery_card"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge("verified", color="green", icon=":material/check:")
            st.markdown(f"**{result['name']}**, {texts['bytes']}")
            st.space("stretch")
            path = find_export(result["token"], result["name"])
            if path is not None:
                st.download_button(
                    "Save again",
                    path.read_bytes(),
                    file_name=result["name"],
                    on_click="ignore",
                    icon=":material/download:",
                )
            st.button("Close", on_click=lambda: st.session_state.pop(_KEY, None), type="tertiary")
        accuracy = verification["accuracy"]
        counted = f"{accuracy['n']:,} of the" if accuracy else "the"
        inference = (
            f"the {result['batch']} samples that the file takes at once"
            if result["batch"] > 1
            else "one sample"
        )
        against = f" Against the simulation, {texts['change']}." if texts["change"] else ""
        st.markdown(
            f"In {verification['runtime']}, on {counted} "
            f"{samples_of(result['part'], generated=result['generated'])}: **{texts['found']}**, "
            f"outputs at most {verification['largest_difference']:.2g} apart.{against} "
            f"**{texts['latency']}** for {inference} on one thread."
        )
        for note in result["notes"]:
            st.caption(note)
        if result["omitted"]:
            st.caption(
                "Distillation is not in the file: no trained student is stored for these settings. "
                "Recover accuracy trains one."
            )
    _deliver_component()(
        key=f"deliver_{result['token']}",
        data={
            "href": f"{base_path()}/files/{result['token']}/{result['name']}",
            "name": result["name"],
        },
        height=1,
    )


@cache
def _deliver_component() -> Any:
    return st.components.v2.component("optim_deliver", html="\n<span></span>\n", js=_DELIVER_JS)
