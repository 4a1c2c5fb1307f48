"""What each step brings on a device: a verdict, reasons in numbers, and what is faster instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from optim.devices.own import HERE, OWN, probe_here, probes_of
from optim.devices.profile import catalogue
from optim.quantity import How, Quantity
from pages.components import access, charts
from pages.components.devices.untrained import untrained_note

__all__ = ["device_picker", "effects"]

_PLOT = {"displayModeBar": False}


def device_picker() -> str:
    """Draw the choice of a device and return its name for the evaluator."""
    titles = {HERE: "This machine"} if probe_here() else {}
    titles |= {f"{OWN}{p.id}": p.device.name for p in probes_of(access.owner())}
    titles |= {name: d.title for name, d in catalogue().items() if d.has_rate}
    chosen: str = st.selectbox(
        "Device",
        list(titles),
        format_func=titles.__getitem__,
        key="speed_device",
        persist_state="session",
        width=420,
    )
    if HERE not in titles:
        st.caption(
            "This machine was not probed yet; once it is, explanations are checked against what is "
            "measured here."
        )
        st.page_link(
            "pages/devices/own_device.py", label="Probe this machine", icon=":material/speed:"
        )
    return chosen


def effects(found: Mapping[str, Any]) -> None:
    """Draw every step of the recipe with what it brings on a device."""
    if found["unknown_rates"]:
        st.caption(
            f"How fast {found['title']} multiplies in {' and '.join(found['unknown_rates'])} is "
            "not known; its highest known rate stands in. What that precision gains or loses is "
            "not in these times."
        )
    untrained_note(found["omitted"])
    idle = [s["title"] for s in found["steps"] if not s.get("changes_work", True)]
    for step in found["steps"]:
        if step["title"] in idle:
            continue
        with st.container(border=True, key=f"effect_{step['entry']}"):
            if "refused" in step:
                st.markdown(f"**{step['title']}**")
                st.caption(f"Cannot be judged alone: {step['refused']}")
                continue
            _verdict(step)
            _reasons(step)
            _instead(step)
            if st.toggle("Layer by layer", key=f"layers_{step['entry']}"):
                _layers(step)

    if idle:
        st.caption(
            f"{', '.join(idle)}: changes the values of weights, not what is computed; an inference "
            "takes as long as without."
        )


def _verdict(step: Mapping[str, Any]) -> None:
    speedup = step["speedup"]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{step['title']}**", width="content")
        if step["brings_speed"]:
            st.badge(f"{speedup:.2f}x faster", color="green", icon=":material/trending_up:")
        elif speedup < 1 / 1.05:
            st.badge(f"{1 / speedup:.2f}x slower", color="red", icon=":material/trending_down:")
        else:
            st.badge("no faster", color="orange", icon=":material/trending_flat:")
        st.badge("estimated", color="gray")
    before, after = (_time(step[side]) for side in ("before_ms", "after_ms"))
    text = f"{before} without the step, {after} with it."
    if step["bound"] is not None:
        text += (
            f" Were what it changes free of charge, it would be {step['bound']:.3g}x: that is "
            f"{100 * step['touched']:.0f} % of the time."
        )
    st.markdown(text)
    if step["untrained"]:
        st.caption(
            f"{', '.join(step['untrained'])} would have to be trained again without the step, and "
            "is not in the time without it."
        )
    if measured := step.get("measured"):
        st.markdown(
            f"Measured here, in turns: {measured['before']['text']} without, "
            f"{measured['after']['text']} with it; {measured['ratio']['text']} of the time."
        )


def _reasons(step: Mapping[str, Any]) -> None:
    if not step["reasons"]:
        st.caption(
            "Nothing stands in its way."
            if step["brings_speed"]
            else "None of the reasons that are known explains it."
        )
        return
    st.caption("Where the rest of the time goes")
    for reason in step["reasons"]:
        st.markdown(f"- **{reason['title']}.** {reason['text']}")


def _instead(step: Mapping[str, Any]) -> None:
    if step["instead"]:
        tried = "; ".join(
            f"{row['text'].lower()}: {_time(row['ms'])} ({row['speedup']:.2f}x)"
            for row in step["instead"]
        )
        st.markdown(f"**Faster instead**, tried on the same device: {tried}.")


def _layers(step: Mapping[str, Any]) -> None:
    measured = step.get("measured", {}).get("layers", {})
    st.plotly_chart(
        charts.layer_times(step["layers"], measured), key=f"times_{step['entry']}", config=_PLOT
    )
    st.caption(
        "Bars are estimated"
        + (
            "; crosses were measured by ONNX Runtime's profiler, whose clock counts whole "
            "microseconds and costs about one itself."
            if measured
            else "."
        )
    )


def _time(ms: float) -> str:
    return str(Quantity.exact(ms, "ms", How.ESTIMATED))
