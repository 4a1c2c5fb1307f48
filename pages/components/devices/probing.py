"""Probe a device: the file to run there, what was uploaded, and this machine."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pandas as pd
import streamlit as st

from optim.devices import probe
from optim.devices.calibration import Probe
from optim.devices.checked import Checked, checks_here
from optim.devices.own import calibration_of, keep_probe, probe_here, probes_of, remove_probe
from optim.errors import OptimError, RunError
from pages.components import access
from pages.components.errors import show_error

__all__ = ["instructions", "own_devices", "this_machine"]

_PROBE = Path(probe.__file__)
_EVERY_S = 1.0


def instructions() -> None:
    """Draw the three steps from a board to a calibrated device."""
    st.markdown("**1 · Take the probe to the device**")
    st.caption("One file that needs Python, numpy and onnxruntime; it sends nothing anywhere.")
    st.download_button(
        "Download probe.py",
        _PROBE.read_bytes(),
        file_name="probe.py",
        mime="text/x-python",
        icon=":material/download:",
        on_click="ignore",
    )
    st.markdown("**2 · Run it there**, about a minute")
    st.code("pip install numpy onnxruntime\npython probe.py > device.json", language=None)
    st.markdown("**3 · Bring back what it wrote**")
    if access.is_presentation():
        st.caption("Nothing can be uploaded in a presentation.")
        return
    uploads = st.session_state.setdefault("probe_uploads", 0)
    uploaded = st.file_uploader(
        "device.json", type="json", key=f"probe_{uploads}", max_upload_size=1
    )
    if uploaded is not None:
        try:
            kept = keep_probe(uploaded.getvalue(), access.owner())
        except OptimError as error:
            show_error(error)
            return
        access.note("uploaded", kept.id, kind="device")
        st.session_state["probe_uploads"] += 1
        st.rerun()


def own_devices() -> None:
    """Draw the devices that were uploaded, each with how well its probe explains itself."""
    st.markdown("**Your devices**")
    found = probes_of(access.owner())
    if not found:
        st.caption("None yet. What you bring appears here and on the ladder, for you alone.")
        return
    for one in found:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{_plain(one.device.name)}", width="content")
            st.caption(_about(one))
            st.space("stretch")
            if not access.is_presentation():
                st.button(
                    "Remove",
                    icon=":material/delete:",
                    type="tertiary",
                    key=f"remove_{one.id}",
                    on_click=remove_probe,
                    args=(one.id, access.owner()),
                )


def _about(one: Probe) -> str:
    error = calibration_of(one.id, access.owner()).error
    threads = f"{one.threads} thread{'s' if one.threads != 1 else ''}"
    return (
        f"{one.runtime.name} {one.runtime.version}, {threads}, {one.date}; networks of the probe "
        f"are predicted to within {100 * error:.0f} %"
    )


def _plain(text: str) -> str:
    return text.replace("\\", "").replace("[", "(").replace("]", ")").replace("*", "")


# --- this machine -------------------------------------------------------------------------------


def this_machine() -> None:
    """Draw the probe of this machine: a button, its progress, and predicted against measured."""
    st.markdown("**This machine**")
    job = _jobs().get("here")
    if job is not None and job.poll() is None:
        _wait()
        return
    if job is not None and job.returncode:  # said to every session, until it is probed again
        show_error(
            RunError(
                "This machine could not be probed.",
                hint="The server's log has the details. Try: python -m optim devices probe --here",
            )
        )
    here = probe_here()
    if here is None:
        st.caption(
            "Probe it to have latencies here predicted operator by operator, and explanations "
            "checked against what is measured. It takes about two minutes and a whole core."
        )
    else:
        st.caption(
            f"{_plain(here.device.name)}, {here.runtime.name} {here.runtime.version}, "
            f"probed {here.date}."
        )
        _checks(checks_here(calibration_of(here.id)))
    if not access.is_presentation():
        st.button(
            "Probe this machine" if here is None else "Probe again",
            icon=":material/speed:",
            on_click=_start,
            key="probe_here",
        )


def _start() -> None:
    """Probe in a process of its own: the server goes on answering."""
    running = _jobs().get("here")
    if running is None or running.poll() is not None:
        _jobs()["here"] = subprocess.Popen(
            [sys.executable, "-m", "optim", "devices", "probe", "--here"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )


@cache
def _jobs() -> dict[str, subprocess.Popen[bytes]]:
    """Return the probes that run; there is one machine, and so one at most."""
    return {}


@st.fragment(run_every=_EVERY_S)
def _wait() -> None:
    job = _jobs().get("here")
    if job is None or job.poll() is not None:
        st.rerun()
    st.caption("Probing: single operators first, then every network of the zoo.")
    st.skeleton(height=48)


def _checks(rows: list[Checked]) -> None:
    if not rows:
        return
    errors = sorted(abs(row.error) for row in rows)
    inside = sum(row.is_inside for row in rows)
    st.markdown(
        f"Predicted against measured, {len(rows)} networks: median error "
        f"**{100 * errors[len(errors) // 2]:.0f} %**; {inside} of them lie in their interval."
    )
    table = pd.DataFrame(
        {
            "Network": row.name,
            "Predicted": str(row.predicted),
            "Measured": str(row.measured),
            "Error": 100 * row.error,
        }
        for row in rows
    )
    st.dataframe(
        table,
        hide_index=True,
        key="checks",
        column_config={"Error": st.column_config.NumberColumn(format="%+.0f %%")},
    )
