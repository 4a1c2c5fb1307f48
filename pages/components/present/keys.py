"""Arrow keys, Page Up and Down, Home and End, wherever the focus is that does not use them."""

from __future__ import annotations

from functools import cache
from typing import Any

import streamlit as st

__all__ = ["pressed_key"]

_JS = """
export default function (component) {
  const steps = { ArrowRight: "next", PageDown: "next", ArrowLeft: "previous", PageUp: "previous",
    Home: "first", End: "last" };
  const uses = 'input, textarea, select, [role="radio"], [role="slider"], [role="tab"], ' +
    '[contenteditable="true"]';
  const listen = (event) => {
    const go = steps[event.key];
    if (!go || event.altKey || event.ctrlKey || event.metaKey || event.target.closest(uses)) return;
    event.preventDefault();
    component.setTriggerValue("go", go);
  };
  document.addEventListener("keydown", listen);
  return () => document.removeEventListener("keydown", listen);
}
"""


def pressed_key() -> str:
    """Return what a key has just asked for: next, previous, first, last, or nothing."""
    found = _component()(key="present_keys", on_go_change=lambda: None, height=1)
    return str(getattr(found, "go", None) or "")


@cache
def _component() -> Any:
    return st.components.v2.component("optim_keys", html="\n<span></span>\n", js=_JS)
