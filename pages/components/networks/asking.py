"""What a search for architectures is asked for: space, limits, budget, and the button."""

from __future__ import annotations

from typing import Any

import streamlit as st

from optim.data.added import open_registered_data
from optim.data.generated import GENERATED
from optim.data.task import Classification
from optim.devices.profile import catalogue
from optim.errors import ConfigError, OptimError
from optim.hashing import digest
from optim.models.zoo import ARCHITECTURES
from optim.runs.jobs.nas import KIND
from optim.search.nas.asked import PRECISIONS, Asked
from optim.search.nas.families import families_for
from optim.search.nas.proxies import PROXIES
from optim.search.samplers import SAMPLERS
from pages.components import access, state
from pages.components.errors import show_error
from pages.components.server import run_store, wake_engine

__all__ = ["asking", "start"]

_MINUTES = (1, 2, 3, 5, 10, 15, 30, 60, 120, 240)
_EPOCHS = (9, 18, 27, 36, 54, 72, 108, 180)
_NO_DEVICE = "none"
_NO_PROXY = "none"
_SAMPLERS = {
    "nsga2": "Evolution (NSGA-II)",
    "nsga3": "Evolution (NSGA-III)",
    "tpe": "TPE",
    "gp": "Gaussian process",
    "random": "Random",
}


def asking(data: str) -> None:
    """Draw space, limits and the button.

    Args:
        data: What is to be learned.

    Raises:
        ConfigError: If it cannot be learned by a classifier.
    """
    families = _families(data)
    st.markdown("**What is searched**")
    space = st.selectbox(
        "Space",
        families,
        format_func=lambda family: ARCHITECTURES[family].title,
        key=f"networks_space_{len(families)}",
        help="A family of the zoo; its depth, width, kernel and the like are what is searched.",
    )
    st.caption(ARCHITECTURES[space].about)
    st.markdown("**What must hold**")
    limits: dict[str, float] = {}
    _limit(limits, "bytes", "File at most, kB", 1000.0)
    device = _device(limits)
    accuracy: float | None = st.number_input(
        "Accuracy at least, %",
        min_value=0.0,
        max_value=100.0,
        value=None,
        placeholder="no limit",
        key="networks_accuracy",
        persist_state="session",
        help="On validation samples, of the network as it is deployed.",
    )
    if accuracy is not None:
        limits["error"] = 100.0 - accuracy
    minutes = st.select_slider(
        "Time",
        _MINUTES,
        5,
        format_func=lambda count: f"{count} min" if count < 60 else f"{count // 60} h",
        key="networks_minutes",
        persist_state="session",
        help="Wall-clock time. The best so far is there from the first training on.",
    )
    more = _more()
    try:
        asked = Asked(space, data, limits, seconds=60.0 * minutes, device=device, **more)
    except OptimError as error:
        show_error(error)
        return
    if access.is_presentation():
        return
    st.button(
        "Start",
        type="primary",
        icon=":material/rocket_launch:",
        on_click=start,
        args=(asked,),
        width="stretch",
        key="networks_start",
    )


def start(asked: Asked) -> None:
    """Start the run of a search."""
    try:
        access.check_run()
        spec = asked.to_json()
        title = f"Architecture search: {ARCHITECTURES[asked.space].title}"
        run = run_store().submit(KIND, spec, title=title, owner=access.owner())
        access.note("ran", digest(spec), run=run.id)
        wake_engine()
    except OptimError as error:
        state.notice(error)


def _families(data: str) -> list[str]:
    if data.partition("?")[0] == GENERATED:
        raise ConfigError(
            "Generated inputs cannot be learned.", hint="Choose data with classes on the left."
        )
    opened = open_registered_data(data)
    if not isinstance(opened.task, Classification) or not opened.is_split:
        raise ConfigError(
            f"{opened.title} cannot be learned by a classifier here: it needs classes, and a "
            "training part.",
            hint="Choose other data on the left.",
        )
    found = families_for(opened.input_shape)
    if not found:
        raise ConfigError(f"No family of the zoo takes inputs of shape {opened.input_shape}.")
    return found


def _limit(limits: dict[str, float], figure: str, label: str, factor: float) -> None:
    value: float | None = st.number_input(
        label,
        min_value=0.0,
        value=None,
        placeholder="no limit",
        key=f"networks_{figure}",
        persist_state="session",
    )
    if value:
        limits[figure] = factor * value


def _device(limits: dict[str, float]) -> str:
    """Draw the device and its limits; return its name, or an empty text."""
    devices = {_NO_DEVICE: "No device", **{n: d.title for n, d in catalogue().items()}}
    device = st.selectbox(
        "Device",
        list(devices),
        format_func=devices.__getitem__,
        key="networks_device",
        persist_state="session",
        help="Latency, memory and energy are estimated for it before anything is trained.",
    )
    if device == _NO_DEVICE:
        return ""
    for figure, label, factor in (
        ("ram", "RAM at most, kB", 1000.0),
        ("flash", "Flash at most, kB", 1000.0),
        ("latency", "Latency at most, ms", 1.0),
    ):
        _limit(limits, figure, label, factor)
    return str(device)


def _more() -> dict[str, Any]:
    with st.expander("More"):
        precision = st.selectbox(
            "Deployed with",
            list(PRECISIONS),
            format_func=PRECISIONS.__getitem__,
            key="networks_precision",
            persist_state="session",
            help="Costs and accuracy are those of the network as it is deployed.",
        )
        epochs = st.select_slider(
            "Epochs of a whole training",
            _EPOCHS,
            36,
            key="networks_epochs",
            persist_state="session",
            help="Most networks are trained for a ninth of it, a third of them for a third.",
        )
        sampler = st.selectbox(
            "What thinks of networks",
            list(_SAMPLERS),
            format_func=lambda name: _SAMPLERS[name] if name in SAMPLERS else name,
            key="networks_sampler",
            persist_state="session",
        )
        screen = st.selectbox(
            "First networks by",
            [_NO_PROXY, *PROXIES],
            format_func=lambda name: PROXIES[name].title if name in PROXIES else "No proxy",
            key="networks_screen",
            persist_state="session",
            help="A proxy that is computed without training. The trust meter shows whether it "
            "tells anything here.",
        )
        weighs = st.toggle(
            "Weigh the time of training",
            key="networks_training",
            persist_state="session",
            help="Seconds of training count like any other cost.",
        )
    return {
        "precision": precision,
        "epochs": epochs,
        "sampler": sampler,
        "screen": "" if screen == _NO_PROXY else screen,
        "weighs_training": weighs,
    }
