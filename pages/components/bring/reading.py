"""How data are read: guessed, said where from, and editable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from optim.data.options import joined_names
from pages.components import state
from pages.components.runs.words import plain

__all__ = ["reading_form"]

_LAYOUTS = {
    "": "As guessed",
    "NCHW": "Images, channels first",
    "NHWC": "Images, channels last",
    "NHW": "Grey images",
    "NCL": "Series, channels first",
    "NLC": "Series, channels last",
    "NF": "Rows of a table",
}
_SPLITS = {"given": "As in the files", "made": "Drawn: 60, 20, 20 of a hundred"}
_VALUES: dict[str, tuple[float, tuple[float, ...], tuple[float, ...]] | None] = {
    "As guessed": None,
    "ImageNet": (255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "-1 to 1": (255.0, (0.5,), (0.5,)),
    "0 to 1": (255.0, (0.0,), (1.0,)),
    "As stored": (1.0, (0.0,), (1.0,)),
}
"""Usual ways to normalise: scale, mean and deviation."""
_OTHER = "Other"


@dataclass(frozen=True)
class _Cell:
    """One thing that can be said.

    Attributes:
        fields: Options it stands for.
        draw: Draws its widget for the options as they are now.
        source: Where the value comes from if nobody said it and nothing was guessed.
    """

    fields: tuple[str, ...]
    draw: Callable[[dict[str, Any]], None]
    source: str


def reading_form(look: dict[str, Any], told: dict[str, Any]) -> None:
    """Draw how the data are read; what is changed is said with :func:`state.say`.

    Args:
        look: Of :func:`optim.first_look.data.look_at_data`.
        told: What was said so far; it may be what the data could not be read with.
    """
    options = {**look["options"], **told}
    for cells in (_value_cells(look), _cells(look)):
        if cells:
            with st.grid(3, min_column_width=260):
                for cell in cells:
                    with st.container(gap="xxsmall"):
                        cell.draw({**look, "options": options})
                        st.caption(_why(cell, look, told))


def _value_cells(look: dict[str, Any]) -> list[_Cell]:
    if not look["input"]:
        return []
    usual = "from the model" if look["input"]["mean"] else "usual: the model does not say"
    return [
        _Cell(("scale", "mean", "std"), _usual_values, usual),
        _Cell(("scale",), _scale, usual),
        _Cell(("mean", "std"), _mean_and_std, usual),
    ]


def _cells(look: dict[str, Any]) -> list[_Cell]:
    dimensions, split = len(look["input_shape"]), look["options"].get("split")
    found = [_Cell(("target",), _target, "guessed from the files")]
    if look["has_axes"]:
        found.append(_Cell(("layout",), _layout, "guessed from their shape"))
    if dimensions != 1:
        found.append(_Cell(("resize",), _resize, "as the files are"))
    if dimensions == 3 and look["input_shape"][0] == 3:
        found.append(_Cell(("channel_order",), _channel_order, "as nearly all files are"))
    if look["classes"]:
        found.append(_Cell(("class_names",), _class_names, "from the files, in their order"))
    if "all" in look["parts"] or split == "made":
        found.append(_Cell(("split",), _split, "as the files are"))
    return found


def _why(cell: _Cell, look: dict[str, Any], told: dict[str, Any]) -> str:
    """Say where a value comes from."""
    if any(field in told for field in cell.fields):
        return "said by you"
    reason = next((look["reasons"][f] for f in cell.fields if f in look["reasons"]), None)
    return f"guessed: {plain(reason)}" if reason else cell.source


# --- widgets --------------------------------------------------------------------------------------


def _target(look: dict[str, Any]) -> None:
    _text(
        "target",
        "Labels",
        look["options"].get("target", ""),
        placeholder="guessed",
        help="Name of the column or array that holds the classes; none to read without labels.",
    )


def _layout(look: dict[str, Any]) -> None:
    _choice(
        "layout",
        "Axes",
        _LAYOUTS,
        look["options"].get("layout", ""),
        help="What the axes of stored arrays mean, after the samples.",
    )


def _resize(look: dict[str, Any]) -> None:
    sides = "Height, width" if len(look["input_shape"]) != 2 else "Length"
    _text(
        "resize",
        f"{sides}",
        look["options"].get("resize", ""),
        placeholder=", ".join(map(str, look["input_shape"][1:])) or "as they are",
        help="Pictures are scaled to it, series are cut or padded with zeros.",
    )


def _channel_order(look: dict[str, Any]) -> None:
    _choice(
        "channel_order",
        "Channel order",
        {"RGB": "Red, green, blue (RGB)", "BGR": "Blue, green, red (BGR)"},
        look["options"].get("channel_order", "RGB"),
        help="The order in the file. Where it is BGR, samples are turned round.",
    )


def _class_names(look: dict[str, Any]) -> None:
    told = look["options"].get("class_names", [entry["name"] for entry in look["classes"]])
    _text(
        "class_names",
        "Classes in the order of the outputs",
        told if isinstance(told, str) else joined_names(told),
        placeholder="as in the files",
        help="The names of the data in another order number the classes anew; other names rename "
        "them. A name with a comma stands in quotes.",
    )


def _split(look: dict[str, Any]) -> None:
    _choice(
        "split",
        "Parts",
        _SPLITS,
        look["options"].get("split", "given"),
        help="Training needs a part to learn from and one to be judged by; measuring does not.",
    )


def _usual_values(look: dict[str, Any]) -> None:
    fields = {name: look["options"].get(name) for name in ("scale", "mean", "std")}
    said = None if not any(fields.values()) else tuple(_numbers(v) for v in fields.values())
    chosen = next(
        (
            name
            for name, usual in _VALUES.items()
            if said == (None if usual is None else tuple(_numbers(value) for value in usual))
        ),
        _OTHER,
    )
    st.session_state["read_values"] = chosen
    st.selectbox(
        "Values",
        [*_VALUES, _OTHER] if chosen == _OTHER else list(_VALUES),
        key="read_values",
        on_change=_say_values,
        help="How numbers of the files become those the model was trained on.",
    )


def _say_values() -> None:
    usual = _VALUES.get(st.session_state["read_values"])
    scale, mean, std = usual or (None, None, None)
    state.say(scale=scale, mean=_listed(mean), std=_listed(std))


def _scale(look: dict[str, Any]) -> None:
    shown = look["options"].get("scale") or look["input"]["scale"]
    _text("scale", "Divided by", shown, placeholder="1", help="255 for bytes, 1 for numbers.")


def _mean_and_std(look: dict[str, Any]) -> None:
    left, right = st.columns(2)
    for column, name, label, usual in (
        (left, "mean", "Less the mean", "0"),
        (right, "std", "By the deviation", "1"),
    ):
        shown = look["options"].get(name) or look["input"][name]
        st.session_state[f"read_{name}"] = _shown(shown)
        column.text_input(
            label,
            key=f"read_{name}",
            placeholder=usual,
            on_change=_say_mean_and_std,
            help="One number, or one for each channel with commas between.",
        )


def _say_mean_and_std() -> None:
    """Say both, for one without the other means nothing."""
    mean, std = (st.session_state[f"read_{name}"].strip() for name in ("mean", "std"))
    count = max(len(mean.split(",")), len(std.split(",")))
    state.say(mean=mean or _listed((0,) * count), std=std or _listed((1,) * count))


def _text(field: str, label: str, value: Any, *, placeholder: str, help: str) -> None:
    key = f"read_{field}"
    st.session_state[key] = _shown(value)
    st.text_input(
        label, key=key, placeholder=placeholder, help=help, on_change=_say_text, args=(field,)
    )


def _say_text(field: str) -> None:
    state.say(**{field: st.session_state[f"read_{field}"].strip() or None})


def _choice(field: str, label: str, options: dict[str, str], value: str, *, help: str) -> None:
    key = f"read_{field}"
    st.session_state[key] = value if value in options else next(iter(options))
    st.selectbox(
        label,
        list(options),
        format_func=lambda option: options[option],
        key=key,
        help=help,
        on_change=lambda: state.say(**{field: st.session_state[key] or None}),
    )


def _shown(value: Any) -> str:
    """Return an option as a text that means the same."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return f"{value:g}"


def _listed(values: tuple[float, ...] | None) -> str | None:
    return None if values is None else _shown(values)


def _numbers(value: Any) -> tuple[float, ...]:
    """Return the numbers of an option, however it was said; none of what is no number."""
    try:
        return tuple(float(piece) for piece in _shown(value).split(",")) if value else ()
    except ValueError:
        return ()
