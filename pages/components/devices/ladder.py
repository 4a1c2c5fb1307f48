"""The ladder itself: which devices, where each model stands on them, and the same as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from optim.data.generated import GENERATED
from optim.models.zoo import ZOO
from optim.quantity import Quantity
from optim.recipe import Recipe
from pages.components import charts
from pages.components.devices.untrained import untrained_note

__all__ = ["chosen_devices", "chosen_model", "rungs", "summary"]

_GROUPS: dict[str, tuple[str, ...]] = {
    "Data centre": ("cloud_gpu", "tpu", "server_cpu", "fpga"),
    "Desktop and laptop": ("desktop_gpu", "desktop_cpu", "laptop_gpu", "laptop_cpu", "laptop_npu"),
    "Phone": ("phone_cpu", "phone_gpu", "phone_npu"),
    "Board": ("sbc", "sbc_gpu", "sbc_npu", "edge_tpu"),
    "Microcontroller": ("mcu", "mcu_accel", "mcu_fpga_softcore"),
}
_EACH, _ALL = "One of each kind", "All"
_PLOT = {"displayModeBar": False}


def chosen_model(present: Recipe) -> Recipe:
    """Draw the choice between the present model and the networks of the zoo; return its recipe."""
    titles = {"": "The present model", **{name: f"{a.title}, untrained" for name, a in ZOO.items()}}
    chosen = st.selectbox(
        "Model on the ladder",
        list(titles),
        format_func=titles.__getitem__,
        key="ladder_model",
        persist_state="session",
        width=420,
        help="Networks of the zoo as reference points: size and speed do not depend on training.",
    )
    return Recipe(chosen, GENERATED) if chosen else present


def summary(found: Mapping[str, Any]) -> None:
    """Say in one line on how many devices the model fits, before and now."""
    devices = found["devices"]
    before, now = (sum(_certainly(row[side]) for row in devices) for side in ("before", "after"))
    open_ = sum(row["after"]["fits"] and not row["after"]["is_certain"] for row in devices)
    needs = found["footprints"]["after"]
    arena = needs["arena_bytes"]
    memory = f", {_bytes(arena)} for activations" if arena is not None else ""
    if not found["is_compressed"]:
        text = f"The original fits **{now} of {len(devices)}** devices."
    else:
        text = (
            f"The model fits **{now} of {len(devices)}** devices as it is set now, "
            f"{before} as the original."
        )
    if open_:
        text += f" For {open_} more too little is known of memory to tell."
    weights = f"{_bytes(needs['weight_bytes'])} for weights"
    if needs["stored_bytes"] < 0.9 * needs["weight_bytes"]:
        weights += f" ({_bytes(needs['stored_bytes'])} as the file stores them, in flash)"
    st.markdown(f"{text} It needs {weights}{memory}.")
    untrained_note(found["omitted"])


def chosen_devices(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Draw the choice of devices and return their rows."""
    chosen = st.segmented_control(
        "Devices",
        [_EACH, *_GROUPS, _ALL],
        default=_EACH,
        key="ladder_group",
        persist_state="session",
        label_visibility="collapsed",
    )
    rows: list[dict[str, Any]] = found["devices"]
    if chosen in _GROUPS:
        return [row for row in rows if row["class"] in _GROUPS[chosen]]
    if chosen == _ALL:
        return rows
    kinds: dict[str, dict[str, Any]] = {}
    for row in rows:
        kinds.setdefault(row["class"], row)
    return list(kinds.values())


def rungs(found: Mapping[str, Any], shown: Sequence[Mapping[str, Any]]) -> None:
    """Draw where original and present model stand on the chosen devices, or the same as a table."""
    with st.container(border=True, key="ladder"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**Latency of one inference**, batch 1", width="content")
            st.badge(
                "estimated",
                color="gray",
                help="From published measurements of other models on these devices, or from data "
                "sheets where there are none. The bar holds four of five such measurements.",
            )
            st.space("stretch")
            as_table = st.toggle("As a table", key="ladder_table")
        if as_table:
            _table(found, shown)
        else:
            rows = [_point(row) for row in [*found["probed"], *shown]]
            st.plotly_chart(
                charts.ladder(rows, both=found["is_compressed"]), key="ladder_chart", config=_PLOT
            )
        for row in found["probed"]:
            if row["substituted"]:
                st.caption(_stood_in(row))


def _point(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a device as the chart takes it."""
    if "class" not in row:  # a probed device runs what ONNX Runtime runs
        return {
            "title": row["title"],
            "before": row["before"],
            "after": row["after"],
            "problem": "",
            "limit": "probed",
        }
    after = row["after"]
    return {
        "title": row["title"],
        "before": row["before"]["latency"] if row["before"]["fits"] else None,
        "after": after["latency"] if after["fits"] else None,
        "problem": "" if after["fits"] else _short(after),
        "limit": after["limit_title"],
    }


def _stood_in(row: Mapping[str, Any]) -> str:
    """Say which operators of a probed device are estimated by another kind."""
    names = row["substituted"]
    named = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return (
        f"{row['title']}: the probe timed no operator like {named}; the nearest kind stands in, "
        "and the interval is wider for it."
    )


def _short(rung: Mapping[str, Any]) -> str:
    if rung["problem"] == "support":
        return "no kernels for it"
    return f"{_bytes(rung['needs'])} of {_bytes(rung['has'])} {rung['limit_title']}"


def _table(found: Mapping[str, Any], shown: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        {
            "Device": row["title"],
            "Kind": row["class_title"],
            "Runtime": row["after"]["runtime"],
            "Fits": _answer(row["after"]),
            "Original": _text(row["before"]),
            "Now": _text(row["after"]),
            "Peak memory": (row["after"]["memory"] or {}).get("text", ""),
            "Limited by": row["after"]["limit_title"],
            "What makes it fit": (row["change"] or {}).get("text", "")
            if not row["after"]["fits"]
            else "",
        }
        for row in shown
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key="ladder_rows",
        placeholder="–",
        column_config={"Fits": st.column_config.TextColumn(width=150)},
    )


def _certainly(rung: Mapping[str, Any]) -> bool:
    return bool(rung["fits"] and rung["is_certain"])


def _answer(rung: Mapping[str, Any]) -> str:
    if not rung["fits"]:
        return f"no: {rung['limit_title']}"
    return "yes" if rung["is_certain"] else "memory not known"


def _text(rung: Mapping[str, Any]) -> str:
    if not rung["fits"]:
        return "does not fit"
    return rung["latency"]["text"] if rung["latency"] else "not known"


def _bytes(count: int) -> str:
    return str(Quantity.exact(count, "bytes"))
