"""What a search for architectures is asked for: space, limits, budget, and the button."""

from __future__ import annotations

from typing import Any

import streamlit as st

from optim.data.added import DataCard, data_cards, open_registered_data
from optim.data.dataset import Dataset
from optim.data.generated import GENERATED
from optim.data.open import DATASETS
from optim.data.task import Classification
from optim.errors import ConfigError, OptimError
from optim.models.zoo import ARCHITECTURES
from optim.runs.jobs.nas import KIND
from optim.runs.run import Run
from optim.search.nas.asked import METHODS, PRECISIONS, PREDICTOR, Asked
from optim.search.nas.families import families_for
from optim.search.nas.proxies import PROXIES
from pages.components import access, state
from pages.components.errors import show_error
from pages.components.search.common import (
    SAMPLER_TITLES,
    asked_before,
    device,
    limit,
    minutes,
    searches,
    start_button,
    submit,
    with_value,
)

__all__ = ["asking", "searches_about", "start_search"]

_EPOCHS = (9, 18, 27, 36, 54, 72, 108, 180)
_NO_PROXY = "none"
_NAME = "networks"
_SAMPLERS = (PREDICTOR, "nsga2", "nsga3", "tpe", "gp", "random")


def asking() -> None:
    """Draw data, space, limits and the button.

    Raises:
        ConfigError: If the data cannot be learned by a classifier.
    """
    st.markdown("**What is searched**")
    _pick_data()
    data = state.searched_data()
    families = _families(data)
    before = asked_before(_NAME, lambda: searches_about(data), Asked.from_json)
    start = before or Asked(families[0], data)
    space = st.selectbox(
        "Space",
        families,
        index=families.index(start.space) if start.space in families else 0,
        format_func=lambda family: ARCHITECTURES[family].title,
        key=f"networks_space_{'_'.join(families)}",
        help="A family of the zoo; its depth, width, kernel and the like are what is searched.",
    )
    st.caption(ARCHITECTURES[space].about)
    st.markdown("**What must hold**")
    limits: dict[str, float] = {}
    limit(_NAME, limits, "bytes", start.limits)
    device_name = device(
        _NAME,
        limits,
        ("ram", "flash", "latency"),
        "Latency, memory and energy are estimated for it before anything is trained. What does not "
        "fit into the flash and RAM of a microcontroller is not.",
        before=start.limits,
        start=start.device,
    )
    error = start.limits.get("error")
    accuracy: float | None = st.number_input(
        "Accuracy at least, %",
        min_value=0.0,
        max_value=100.0,
        value=None if error is None else 100.0 - error,
        placeholder="no limit",
        key="networks_accuracy",
        persist_state="session",
        help="On validation samples, of the network as it is deployed.",
    )
    if accuracy is not None:
        limits["error"] = 100.0 - accuracy
    about = "The best so far is there from the first training on."
    seconds = minutes(_NAME, start.seconds / 60, about)
    more = _more(start)
    try:
        asked = Asked(space, data, limits, seconds=seconds, device=device_name, **more)
    except OptimError as error:
        show_error(error)
        return
    start_button(_NAME, start_search, asked)


def searches_about(data: str) -> list[Run]:
    """Return the searches about some data, newest first."""
    return searches(KIND, lambda spec: spec.get("data") == data)


def start_search(asked: Asked) -> None:
    """Start the run of a search."""
    submit(KIND, asked.to_json(), f"Architecture search: {ARCHITECTURES[asked.space].title}")


def _pick_data() -> None:
    """Draw the choice of data: a model on the left has its own, and none is needed here."""
    present = state.searched_data()
    name = present.partition("?")[0]
    titles = {n: card.title for n, card in access.visible(data_cards()).items() if _is_able(card)}
    # Of data with settings, such as another seed, the list has those that are asked for.
    options = {present if n == name else n: title for n, title in titles.items()}

    def choose() -> None:
        state.searched_data(st.session_state["networks_data"])

    st.session_state["networks_data"] = present if present in options else None
    st.selectbox(
        "Data",
        list(options),
        index=0 if present in options else None,
        placeholder="Choose data",
        format_func=options.__getitem__,
        key="networks_data",
        on_change=choose,
        help="What networks learn: all data with classes and a training part. The model on the "
        "left plays no part in it; its data are those to begin with.",
    )


def _is_able(card: DataCard) -> bool:
    """Whether data can be learned by a classifier, as far as it is known without reading files."""
    if not card.n_classes or not families_for(card.input_shape):
        return False
    return card.name not in DATASETS or _is_learnable(open_registered_data(card.name))


def _is_learnable(data: Dataset) -> bool:
    return isinstance(data.task, Classification) and data.is_split


def _families(data: str) -> list[str]:
    if data.partition("?")[0] == GENERATED:
        raise ConfigError(
            "Generated inputs cannot be learned.", hint="Choose data with classes above."
        )
    opened = open_registered_data(data)
    if not _is_learnable(opened):
        raise ConfigError(
            f"{opened.title} cannot be learned by a classifier here: it needs classes, and a "
            "training part.",
            hint="Choose other data above.",
        )
    found = families_for(opened.input_shape)
    if not found:
        raise ConfigError(f"No family of the zoo takes inputs of shape {opened.input_shape}.")
    return found


def _more(start: Asked) -> dict[str, Any]:
    with st.expander("More"):
        precision = st.selectbox(
            "Deployed with",
            list(PRECISIONS),
            index=list(PRECISIONS).index(start.precision),
            format_func=PRECISIONS.__getitem__,
            key="networks_precision",
            persist_state="session",
            help="Costs and accuracy are those of the network as it is deployed.",
        )
        epochs = st.select_slider(
            "Epochs of a whole training",
            with_value(_EPOCHS, start.epochs),
            start.epochs,
            key="networks_epochs",
            persist_state="session",
            help="Most networks are trained for a ninth of it, a third of them for a third.",
        )
        method = st.selectbox(
            "How networks are compared",
            list(METHODS),
            index=list(METHODS).index(start.method),
            format_func=METHODS.__getitem__,
            key="networks_method",
            persist_state="session",
            help="Each is trained; or one training gives weights to all of them, and the best are "
            "then trained on their own. Sliders then say at once what any network reaches.",
        )
        seeds = st.select_slider(
            "Repeated trainings",
            with_value((0, 1, 2, 3, 5), start.seeds),
            start.seeds,
            key="networks_seeds",
            persist_state="session",
            help="Of what is taken, from other weights each: an error that owes nothing to being "
            "chosen, with an interval.",
        )
        sampler = st.selectbox(
            "What thinks of networks",
            _SAMPLERS,
            index=_SAMPLERS.index(start.sampler),
            format_func={PREDICTOR: "Predictor of the error", **SAMPLER_TITLES}.__getitem__,
            key="networks_sampler",
            persist_state="session",
            help="The predictor learns the error from what was trained, and tries what promises to "
            "enlarge the front most. Evolution has a lineage.",
        )
        screen = st.selectbox(
            "First networks by",
            [_NO_PROXY, *PROXIES],
            index=1 + list(PROXIES).index(start.screen) if start.screen else 0,
            format_func=lambda name: PROXIES[name].title if name in PROXIES else "No proxy",
            key="networks_screen",
            persist_state="session",
            help="A proxy that is computed without training. The trust meter shows whether it "
            "tells anything here.",
        )
        weighs = st.toggle(
            "Weigh the time of training",
            value=start.weighs_training,
            key="networks_training",
            persist_state="session",
            help="Seconds of training count like any other cost.",
        )
    return {
        "precision": precision,
        "epochs": epochs,
        "method": method,
        "seeds": seeds,
        "sampler": sampler,
        "screen": "" if screen == _NO_PROXY else screen,
        "weighs_training": weighs,
    }
