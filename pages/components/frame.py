"""The frame around every page: navigation, and the model and data all pages share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from optim.access.settings import workshop_code
from optim.belongings.found import mark_used
from optim.data.added import DataCard, data_cards
from optim.data.generated import GENERATED
from optim.data.open import generated_by
from optim.models.cards import ModelCard, model_cards
from pages.components import access, state
from pages.components.errors import show_error, shown_errors
from pages.components.home.links import follow_old_link
from pages.components.present.deck import is_alone

__all__ = ["draw"]

_ROOT = Path(__file__).resolve().parents[2]
_WORKSHOP = frozenset(
    {"", "lab", "runs", "before-and-after", "ladder", "why-no-speed-up", "learn", "workshop"}
)
"""Addresses of the pages that stand in the navigation of a workshop; all others open by link."""


def draw() -> None:
    """Draw the frame and run the page the address names."""
    st.set_page_config(
        page_title="Optim Studio",
        page_icon=str(_ROOT / "assets" / "icon.png"),
        layout="wide",
        initial_sidebar_state="auto",
    )
    access.begin()
    sections = _sections()
    page = st.navigation(sections, position="hidden")
    if not page.url_path:
        follow_old_link()
    if not is_alone(page.url_path, st.query_params):
        st.logo(str(_ROOT / "assets" / "logo.svg"), size="large")
        with st.sidebar:
            _links(sections)
            with shown_errors():
                _pick_model()
            _who()
    if error := state.notice():
        show_error(error)
    page.run()


def _sections() -> dict[str, list[StreamlitPage]]:
    """Return the pages by section."""
    return {
        "Workspace": [
            st.Page("pages/home/home.py", title="Home", icon=":material/home:", default=True),
            st.Page("pages/lab/lab.py", title="Lab", icon=":material/tune:", url_path="lab"),
            st.Page(
                "pages/lab/use_my_model.py",
                title="Use my model",
                icon=":material/upload:",
                url_path="use-my-model",
                visibility="hidden" if access.is_presentation() else "visible",
            ),
            # Opened from the Lab, about the pair shown there.
            st.Page(
                "pages/lab/data.py",
                title="Data and preprocessing",
                icon=":material/tune:",
                url_path="data",
                visibility="hidden",
            ),
            st.Page(
                "pages/lab/detection.py",
                title="Detection",
                icon=":material/crop_free:",
                url_path="detection",
            ),
            st.Page(
                "pages/lab/stream.py",
                title="Sensor stream",
                icon=":material/sensors:",
                url_path="stream",
            ),
            st.Page(
                "pages/runs/runs.py",
                title="Runs",
                icon=":material/model_training:",
                url_path="runs",
            ),
            st.Page(
                "pages/compare/compare.py",
                title="Compare",
                icon=":material/compare_arrows:",
                url_path="compare",
            ),
            # Opened from the Lab and by its address, which names the snapshots.
            st.Page(
                "pages/share/present.py",
                title="Present",
                icon=":material/slideshow:",
                url_path="present",
                visibility="hidden",
            ),
            # Opened from the list and by its address, which names the run.
            st.Page(
                "pages/runs/run.py",
                title="Run",
                icon=":material/model_training:",
                url_path="run",
                visibility="hidden",
            ),
            st.Page(
                "pages/mine/my_data.py",
                title="My data",
                icon=":material/folder_shared:",
                url_path="my-data",
            ),
        ],
        "Inspect": [
            st.Page(
                "pages/inspect/before_and_after.py",
                title="Before and after",
                icon=":material/compare:",
                url_path="before-and-after",
            ),
            st.Page(
                "pages/inspect/sensitivity.py",
                title="Sensitivity",
                icon=":material/grid_view:",
                url_path="sensitivity",
            ),
        ],
        "Search": [
            st.Page(
                "pages/search/autopilot.py",
                title="Autopilot",
                icon=":material/rocket_launch:",
                url_path="autopilot",
            ),
            st.Page(
                "pages/search/architectures.py",
                title="Architecture search",
                icon=":material/account_tree:",
                url_path="architecture-search",
            ),
        ],
        "Training": [
            st.Page(
                "pages/training/distillation.py",
                title="Distillation",
                icon=":material/school:",
                url_path="distillation",
            ),
            st.Page(
                "pages/training/regularisation.py",
                title="Regularisation",
                icon=":material/balance:",
                url_path="regularisation",
            ),
            st.Page(
                "pages/training/speed.py",
                title="Faster training",
                icon=":material/speed:",
                url_path="faster-training",
            ),
        ],
        "Devices": [
            st.Page(
                "pages/devices/ladder.py",
                title="Ladder",
                icon=":material/stairs:",
                url_path="ladder",
            ),
            st.Page(
                "pages/devices/no_speed_up.py",
                title="Why no speed-up?",
                icon=":material/help_center:",
                url_path="why-no-speed-up",
            ),
            st.Page(
                "pages/devices/sweet_spot.py",
                title="Sweet spot",
                icon=":material/grid_on:",
                url_path="sweet-spot",
            ),
            st.Page(
                "pages/devices/own_device.py",
                title="Your own device",
                icon=":material/developer_board:",
                url_path="own-device",
            ),
        ],
        "Teach": [
            st.Page(
                "pages/learn/learn.py",
                title="Learn",
                icon=":material/school:",
                url_path="learn",
            ),
            st.Page(
                "pages/workshop/workshop.py",
                title="Workshop",
                icon=":material/groups:",
                url_path="workshop",
            ),
        ],
        "Reference": [
            st.Page(
                "pages/reference/techniques.py",
                title="Techniques",
                icon=":material/menu_book:",
                url_path="techniques",
            ),
        ],
    }


def _links(sections: dict[str, list[StreamlitPage]]) -> None:
    """Draw the navigation; in Streamlit's own, list items stand outside of their list."""
    few = _WORKSHOP if workshop_code() else None
    with st.container(gap="xsmall", key="navigation"):
        for section, pages in sections.items():
            shown = [
                page
                for page in pages
                if page.visibility == "visible" and (few is None or page.url_path in few)
            ]
            if not shown:
                continue
            st.caption(section)
            for page in shown:
                st.page_link(page)
            st.space("xsmall")


def _who() -> None:
    """Say who has signed in, with a way out, and that there is only something to look at."""
    if access.is_presentation():
        st.badge("presentation", icon=":material/co_present:", color="gray")
    if name := access.user_name():
        with st.container(horizontal=True, vertical_alignment="center", key="who"):
            st.caption(name, width="stretch")
            if access.needs_sign_in():
                st.button("Sign out", on_click=st.logout, type="tertiary", key="sign_out")


def _pick_model() -> None:
    """Draw the shared picker; choosing a model brings the data it was trained on."""
    present = state.recipe()
    mark_used("models", present.model)
    mark_used("data", present.data)
    models = access.visible(model_cards())
    data = access.visible(data_cards())

    def change_model() -> None:
        chosen = models[st.session_state["model_picker"]]
        state.commit(state.with_model(state.recipe(), chosen.name, chosen.data))

    def change_data() -> None:
        state.commit(replace(state.recipe(), data=st.session_state["data_picker"]))

    # The widgets follow the recipe, which undo, links and presets change as well. A link may name
    # what is not here: then nothing is chosen, and everything that is here can be.
    is_here = present.model in models
    st.session_state["model_picker"] = present.model if is_here else None
    st.selectbox(
        "Model",
        list(models),
        index=0 if is_here else None,
        placeholder="Choose a model",
        format_func=lambda name: _model_title(models[name], data),
        key="model_picker",
        on_change=change_model,
    )
    if not is_here:
        return
    card = models[present.model]
    shape = card.input_shape or (data[card.data].input_shape if card.data in data else ())
    named = present.data.partition("?")[0] if generated_by(present.data) else present.data
    fitting = [n for n, c in data.items() if c.input_shape == shape] or [named]
    fitting = list(dict.fromkeys([*fitting, GENERATED]))
    fits = named in fitting
    if len(fitting) > 1 or not fits:
        st.session_state["data_picker"] = named if fits else None
        st.selectbox(
            "Data",
            fitting,
            index=0 if fits else None,
            placeholder="Choose data",
            format_func=lambda name: data[name].title,
            key="data_picker",
            on_change=change_data,
        )


def _model_title(card: ModelCard, data: dict[str, DataCard]) -> str:
    where = data[card.data].title if card.data in data else card.data
    return f"{card.title} · {where}"
