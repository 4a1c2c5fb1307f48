"""One lesson as a component: what it shows is sent once, and moving its control asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import plotly
import streamlit as st

from optim.lessons.lesson import Lesson
from pages.components import live_panel
from pages.components.live_panel.routes import asset_version, base_path

__all__ = ["draw_lesson"]

_FOLDER = Path(__file__).parent
_HTML = '\n<div class="optim-lab optim-lesson"></div>\n'
_LOADER = """
export default async function (component) {
  const { base, version } = component.data;
  const url = new URL(`${base}/panel/lesson.js?v=${version}`, window.location.href);
  const { mount } = await import(url.href);
  return mount(component);
}
"""


def draw_lesson(name: str, lesson: Lesson, shown: Mapping[str, Any], *, play_s: float = 0) -> None:
    """Draw a lesson.

    Args:
        name: Tells it from others.
        lesson: What it is about.
        shown: ``Shown.to_json()``.
        play_s: Seconds after which the next stop follows when it plays; 0 if it does not.
    """
    base = base_path()
    _component()(
        key=f"lesson_{name}",
        data={
            "base": base,
            "version": asset_version(),
            "plotly": plotly.__version__,
            "key": name,
            "kind": lesson.kind,
            "control": lesson.control,
            "shown": dict(shown),
            "lab": base.removesuffix("/optim") + "/lab",
            "play_s": play_s,
        },
    )


@cache
def _component() -> Callable[..., Any]:
    panel = Path(live_panel.__file__).parent / "panel.css"
    styles = [panel, _FOLDER / "lesson.css"]
    return st.components.v2.component(
        "optim_lesson",
        html=_HTML,
        css="\n" + "\n".join(path.read_text(encoding="utf-8") for path in styles),
        js=_LOADER,
        isolate_styles=False,
    )
