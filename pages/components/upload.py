"""Bring a model and data: forms whose files are opened in a process of their own."""

from __future__ import annotations

import streamlit as st

from optim.data.added import DataCard, data_cards
from optim.errors import OptimError
from optim.hashing import digest_bytes
from optim.intake import ENDINGS, take_data, take_model
from optim.models.zoo import ZOO
from pages.components import access, state

__all__ = ["model_form"]

_GUESS = "Guess from the shapes"
_NEW = "Upload data"


def model_form() -> None:
    """Draw the form; a model that opens is shown at once."""
    st.caption("Files are read, never executed. Only you see them, unless you share.")
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
    cards = {card.name: card for card in data_cards().values() if access.may_see(card)}
    data = st.selectbox(
        "Data",
        [*cards, _NEW],
        key="upload_data",
        format_func=lambda name: _data_title(cards, name),
    )
    images, options = None, {}
    if data == _NEW:
        images = st.file_uploader(
            "Images, arrays or a table",
            type=[ending.removeprefix(".") for ending in ENDINGS["data"]],
            key="upload_images",
            help="A zip with one folder of images a class (cat/1.png, dog/1.png); arrays x and y "
            "in an .npz; a table with a column of classes; IDX or CIFAR files in a zip or tar.",
        )
        options = _options()
    if st.button("Open", type="primary", disabled=weights is None or (data == _NEW and not images)):
        _take(weights, None if architecture == _GUESS else architecture, data, images, options)


def _options() -> dict[str, str]:
    """Draw what a file may not say about itself; return what was said."""
    target = st.text_input(
        "Labels",
        key="upload_target",
        placeholder="guessed",
        help="Name of the column or array that holds the classes; none for data without.",
    )
    made = st.checkbox(
        "Draw train, validation and test parts",
        key="upload_split",
        help="For data without parts: 60, 20 and 20 of a hundred, by class. Training needs them.",
    )
    said = {"target": target.strip(), "split": "made" if made else ""}
    return {name: value for name, value in said.items() if value}


def _data_title(cards: dict[str, DataCard], name: str) -> str:
    if name == _NEW:
        return _NEW
    card = cards[name]
    shape = " x ".join(map(str, card.input_shape))
    classes = f"{card.n_classes} classes" if card.n_classes else "no labels"
    return f"{card.title} ({shape}, {classes})"


def _take(
    weights: st.runtime.uploaded_file_manager.UploadedFile,
    architecture: str | None,
    data: str,
    images: st.runtime.uploaded_file_manager.UploadedFile | None,
    options: dict[str, str],
) -> None:
    with st.spinner("Opening the file in a process of its own…"):
        try:
            files = [file.getvalue() for file in (weights, images) if file is not None]
            access.check_upload(*map(len, files))
            owner = access.owner()
            if images is not None:
                data = take_data(
                    images.getvalue(), images.name, title=images.name, options=options, owner=owner
                )
                _note("data", images.getvalue())
            name = take_model(
                weights.getvalue(),
                weights.name,
                data=data,
                architecture=architecture or "",
                title=weights.name,
                owner=owner,
            )
            _note("model", weights.getvalue())
        except OptimError as error:
            st.error(f"{error.message}\n\n{error.hint}".strip(), icon=":material/error:")
            return
    state.commit(state.with_model(state.recipe(), name, data))
    st.rerun()


def _note(kind: str, content: bytes) -> None:
    access.note("uploaded", digest_bytes(content), kind=kind, bytes=len(content))
