"""Bring a model and data: forms whose files are opened in a process of their own."""

from __future__ import annotations

import streamlit as st

from optim.data.added import DataCard, data_cards
from optim.errors import OptimError
from optim.intake import take_data, take_model
from optim.models.zoo import ZOO
from pages.components import state

__all__ = ["model_form"]

_GUESS = "Guess from the shapes"
_NEW = "Upload a zip of class folders"


def model_form() -> None:
    """Draw the form; a model that opens is shown at once."""
    st.caption("Weights and images are read, never executed. Only you see them, unless you share.")
    weights = st.file_uploader(
        "Model",
        type=["onnx", "safetensors", "pt", "pth", "th", "ckpt"],
        key="upload_weights",
        help="An ONNX file, a .safetensors file, or a state dict saved by torch.save.",
    )
    is_onnx = weights is not None and weights.name.lower().endswith(".onnx")
    architecture = st.selectbox(
        "Architecture",
        [_GUESS, *ZOO],
        key="upload_architecture",
        disabled=is_onnx,
        help="An ONNX file says it itself." if is_onnx else "Of a file that holds weights only.",
    )
    cards = {
        card.name: card for card in data_cards().values() if state.may_see(card.name, card.listed)
    }
    data = st.selectbox(
        "Data",
        [*cards, _NEW],
        key="upload_data",
        format_func=lambda name: _data_title(cards, name),
    )
    images = None
    if data == _NEW:
        images = st.file_uploader(
            "Images",
            type=["zip"],
            key="upload_images",
            help="cat/1.png, dog/1.png: one folder a class, all images of one size.",
        )
    if st.button("Open", type="primary", disabled=weights is None or (data == _NEW and not images)):
        _take(weights, None if architecture == _GUESS else architecture, data, images)


def _data_title(cards: dict[str, DataCard], name: str) -> str:
    if name == _NEW:
        return _NEW
    card = cards[name]
    shape = " x ".join(map(str, card.input_shape))
    return f"{card.title} ({shape}, {card.n_classes} classes)"


def _take(
    weights: st.runtime.uploaded_file_manager.UploadedFile,
    architecture: str | None,
    data: str,
    images: st.runtime.uploaded_file_manager.UploadedFile | None,
) -> None:
    with st.spinner("Opening the file in a process of its own…"):
        try:
            if images is not None:
                data = take_data(images.getvalue(), images.name, title=images.name)
                state.own(data)
            name = take_model(
                weights.getvalue(),
                weights.name,
                data=data,
                architecture=architecture or "",
                title=weights.name,
            )
        except OptimError as error:
            st.error(f"{error.message}\n\n{error.hint}".strip(), icon=":material/error:")
            return
    state.own(name)
    state.commit(state.with_model(state.recipe(), name, data))
    st.rerun()
