"""The samples that get another class from the compressed model, as they look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from optim.errors import MeasurementError
from optim.recipe import Recipe
from pages.components import charts
from pages.components.inspect.words import omitted_note, samples_words, text
from pages.components.server import evaluator

__all__ = ["flipped_samples", "show_flips"]

_PAGE = 12
_KINDS = {
    "lost": "Right before, wrong now",
    "won": "Wrong before, right now",
    "other": "Wrong in another way",
    "changed": "Another class",
}


def flipped_samples(recipe: Recipe) -> None:
    """Draw how many samples get another class, and those samples."""
    try:
        with st.spinner("Looking at every sample"):
            first = evaluator().ask("flipped", recipe, kind="", start=0, count=_PAGE)
    except MeasurementError as error:
        with st.container(border=True):
            st.markdown("**No sample has a class**")
            st.caption(error.message)
        return
    st.markdown(
        f"**{text(first['share'])} get another class** than from the original, of "
        f"{samples_words(first['n'], first['part'], first['of'])}"
    )
    omitted_note(first["omitted"])
    there = [kind for kind, count in first["counts"].items() if count]
    if not there:
        with st.container(border=True):
            st.markdown("**Every sample keeps its class**")
            st.caption("Compress the model more, and samples that change stand here.")
        return
    kind = st.segmented_control(
        "Kind",
        there,
        default=first["kind"],
        format_func=lambda one: f"{_KINDS[one]} · {first['counts'][one]:,}",
        required=True,
        key=f"flip_kind_{'_'.join(there)}",
        label_visibility="collapsed",
    )
    total = first["counts"][kind]
    start = 0
    if total > _PAGE:
        pages = -(-total // _PAGE)
        start = _PAGE * (st.pagination(pages, key=f"flip_page_{kind}_{pages}") - 1)
    found = first
    if (kind, start) != (first["kind"], 0):
        found = evaluator().ask("flipped", recipe, kind=kind, start=start, count=_PAGE)
    show_flips(found["samples"])
    st.caption(
        "Those that lost most of the probability of their old class come first; percent are the "
        "probability of the class that was chosen, and below stands the right one."
    )


def show_flips(samples: list[dict[str, Any]]) -> None:
    """Draw samples with the class before, the class now, and the right one."""
    if "image" in samples[0]:
        with st.grid(6, min_column_width=150):
            for sample in samples:
                with st.container(border=True, gap="xxsmall", height="stretch"):
                    st.image(sample["image"], width=96, alt=f"Sample {_truth(sample)}")
                    st.markdown(_change(sample))
                    st.caption(_truth(sample))
        return
    if len(samples[0]["values"][0]) > 1 and len(samples[0]["values"]) <= 3:
        labelled = [{**s, "label": f"{s['before_name']} → {s['after_name']}"} for s in samples]
        st.plotly_chart(
            charts.small_lines(labelled), key="flipped_lines", config={"displayModeBar": False}
        )
    st.dataframe(
        pd.DataFrame(
            {
                "Sample": sample["id"],
                "Class": sample["target_name"] or "not known",
                "Original": sample["before_name"],
                "Sure, %": 100 * sample["confidence_before"],
                "Now": sample["after_name"],
                "Sure now, %": 100 * sample["confidence_after"],
            }
            for sample in samples
        ),
        hide_index=True,
        key="flipped_rows",
    )


def _change(sample: Mapping[str, Any]) -> str:
    before, after = sample["confidence_before"], sample["confidence_after"]
    return (
        f"{_plain(sample['before_name'])} ({100 * before:.0f} %) → "
        f"**{_plain(sample['after_name'])}** ({100 * after:.0f} %)"
    )


def _truth(sample: Mapping[str, Any]) -> str:
    name = sample["target_name"]
    return f"no. {sample['id']}" + (f" · {_plain(name)}" if name is not None else "")


def _plain(name: str) -> str:
    """Return a name that Markdown shows as it is written: names come from files."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|~$:" else c for c in name)
