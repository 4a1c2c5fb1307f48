"""The step that takes a model and says what it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from optim.intake import ENDINGS
from optim.models.zoo import ZOO
from pages.components.bring.brought import Brought, of_file, seen_model
from pages.components.errors import shown_errors
from pages.components.runs.words import plain

__all__ = ["model_card", "model_step"]

_LANES = {
    "trainable": (
        "trainable",
        "green",
        "Every technique applies: it can be pruned, quantized, trained and exported.",
    ),
    "graph": (
        "kept as ONNX",
        "gray",
        "Weights are pruned and quantized in the file itself; training is refused, and says why.",
    ),
}
_TASKS = {"classification": "Classification", "regression": "Regression"}
_ASKED = {
    "classification": "One number a class, judged by accuracy",
    "regression": "Quantities, judged by how well they are predicted",
    "outputs": "Something else, judged by fidelity to the original",
}
"""What may be said in place of the guess, as ``optim.models.guessing.TASKS`` has them."""
_OUTPUTS = {
    "dense": "A value for every place",
    "detection": "Boxes",
    "sequence": "A value for every step",
    "other": "Outputs of its own kind",
}
"""What outputs look like that are neither classes nor quantities."""


def model_step() -> Brought | None:
    """Draw the step; return the model once it is open."""
    with st.container(border=True, key="bring_model"):
        st.markdown("**1 · Model**")
        file = st.file_uploader(
            "Model file",
            type=[ending for ending in ENDINGS["model"] if ending != ".bin"],
            key="bring_model_file",
            help="Files are read, never executed. Only you see them, unless you share.",
        )
        if file is None:
            st.caption(
                "An ONNX file says most about itself. A .safetensors file or a state dict saved by "
                "torch.save has to fit an architecture of the zoo. From Keras, TensorFlow and "
                "TFLite, convert with tf2onnx first."
            )
            return None
        found: Brought | None = None
        with shown_errors():
            found = _opened(of_file(file))
        return found


def _opened(model: Brought) -> Brought | None:
    """Draw what the model is; weights that fit no single architecture ask for it."""
    look = seen_model(model)
    if look["card"] is None:
        chosen = _architecture(look["architectures"])
        if not chosen:
            _differences([entry for entry in look["architectures"] if entry["fitting"]])
            return None
        model = replace(model, architecture=chosen)
        look = seen_model(model)
        if look["card"] is None:
            _differences(look["architectures"])
            return None
    if look["card"]["file"] is not None and (task := _task(look["card"])):
        model = replace(model, task=task)
        look = seen_model(model)
    model_card(model.title, look["card"])
    return replace(model, look=look)


def _task(card: dict[str, Any]) -> str:
    """Ask what the outputs of a file mean; empty for what was guessed."""
    chosen: str = st.selectbox(
        "What the outputs mean",
        ["", *_ASKED],
        key="bring_task",
        format_func=lambda task: _ASKED[task] if task else f"As guessed: {_meaning(card)}",
        help="A file does not say it. It decides how the model is judged.",
    )
    return chosen


def _architecture(near: list[dict[str, Any]]) -> str:
    """Ask for the architecture; only those that fit are offered where any do."""
    fitting = [entry["name"] for entry in near if not entry["differing"]]
    if fitting:
        st.info(
            f"The file holds weights only, and they fit {' and '.join(fitting)}: choose which.",
            icon=":material/help:",
        )
    else:
        st.warning(
            "The file holds weights only, and they fit no architecture of the zoo exactly.",
            icon=":material/warning:",
        )
    chosen: str | None = st.selectbox(
        "Architecture",
        fitting or list(ZOO),
        index=None,
        placeholder="Choose the architecture they were trained with",
        key="bring_architecture",
        help="A network of another kind can be exported to ONNX instead: it then says it itself.",
    )
    return chosen or ""


def _differences(near: list[dict[str, Any]]) -> None:
    """Say what differs between the weights and the architectures they come closest to."""
    for entry in near:
        if not entry["differing"]:
            continue
        st.markdown(
            f"**{entry['name']}** · {entry['fitting']} tensors fit, {entry['differing']} do not"
        )
        for title, what in (
            ("Missing in the file", entry["missing"]),
            ("Not part of it", entry["unexpected"]),
            ("Of another shape", entry["misshapen"]),
        ):
            if what["count"]:
                more = what["count"] - len(what["names"])
                names = ", ".join(f"`{name.replace('`', '')}`" for name in what["names"])
                st.caption(f"{title}: {names}{f' and {more} more' if more else ''}")


def model_card(title: str, card: dict[str, Any]) -> None:
    """Draw what a model is.

    Args:
        title: Name for a reader.
        card: Of :class:`optim.measure.facts.ModelFacts`, as plain data.
    """
    lane, color, about = _LANES[card["lane"]]
    file = card["file"] or {"opset": 0, "producer": "", "task": "", "unusual": []}
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{plain(title)}**", width="content")
        st.badge(lane, color=color, help=about)
    with st.grid(5 if file["opset"] else 4, min_column_width=150):
        for name, value in _facts(card, file).items():
            with st.container(gap=None):
                st.caption(name)
                st.markdown(plain(value))
    if card["note"]:
        st.caption(plain(card["note"]))
    for what in file["unusual"]:
        st.caption(f":material/info: Worth knowing: {plain(what)}.")
    if file["opset"]:
        _tensors(file)


def _meaning(card: dict[str, Any]) -> str:
    """Return what the outputs of a model mean, in words."""
    guess = card["outputs"].get("guess")
    task = _OUTPUTS[guess] if guess else _TASKS[card["task"]]
    return f"{task}, {card['n_classes']:,} classes" if card["n_classes"] else task


def _facts(card: dict[str, Any], file: dict[str, Any]) -> dict[str, str]:
    found = {
        "Task": _meaning(card),
        "Input": " x ".join(map(str, card["input_shape"])),
        "Parameters": card["params"]["text"],
        "Work for one sample": card["macs"]["text"],
    }
    if file["opset"]:
        wrote = f", {file['producer']}" if file["producer"] else ""
        found["Written in"] = f"opset {file['opset']}{wrote}"
    return found


def _tensors(file: dict[str, Any]) -> None:
    """Offer what the file takes and gives: sizes as declared and as run, and what each is given."""
    rows = [
        {
            "": what,
            "Name": tensor["name"],
            "Type": tensor["dtype"],
            "Declared": " x ".join(tensor["declared"]),
            "Run with": " x ".join(map(str, tensor["used"])),
            "Role": tensor["role"],
        }
        for what, tensors in (("in", file["inputs"]), ("out", file["outputs"]))
        for tensor in tensors
    ]
    with st.expander("Inputs and outputs"):
        if file["task"]:
            st.caption(plain(file["task"]))
        st.dataframe(rows, hide_index=True, key="bring_tensors", alt="Inputs and outputs")
