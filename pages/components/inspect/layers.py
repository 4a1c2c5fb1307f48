"""The layers as a graph and as a table: cost, zeros, bits, errors, channels that are dead."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import streamlit as st

from optim.quantity import Quantity, format_value
from optim.recipe import Recipe
from optim.sensitivity.kept import kept_profile
from optim.sensitivity.kept import key_of as sensitivity_key
from optim.sensitivity.profile import SAMPLES as SENSITIVITY_SAMPLES
from optim.techniques import TECHNIQUES
from pages.components.inspect import charts
from pages.components.inspect.looking import looked_into
from pages.components.inspect.words import text

__all__ = ["layers"]

_PLOT = {"displayModeBar": False}
_GRAPH = {
    "scrollZoom": True,
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d"],
}
_FLOAT = 32


@dataclass(frozen=True)
class _Colour:
    """What nodes can be coloured by.

    Attributes:
        title: Of the scale, with the unit.
        value: Of a row; None where it is not known.
        bad: Which values are the bad ones; empty if none are.
        about: What a reader must know.
    """

    title: str
    value: Callable[[Mapping[str, Any]], float | None]
    bad: Literal["", "low", "high"] = ""
    about: str = ""


def layers(recipe: Recipe) -> None:
    """Draw the look at the layers."""
    found = looked_into(recipe, "layers")
    if found is None:
        return
    rows = {row["layer"]: row for row in found["rows"]}
    _graph(recipe, found, rows)
    _errors(found["rows"])
    _table(recipe, found["rows"])
    _norms(found["norms"])


# --- the graph ----------------------------------------------------------------------------------


def _graph(recipe: Recipe, found: Mapping[str, Any], rows: Mapping[str, Any]) -> None:
    drawing = found["drawing"]
    with st.container(border=True, key="architecture"):
        st.markdown("**Architecture**, layers sized by their multiply-accumulates")
        if drawing["missing"]:
            st.caption(f"{drawing['missing']} The table below has every layer.")
            return
        colours = _colours(recipe, found["rows"])
        chosen = st.selectbox(
            "Colour",
            list(colours),
            key="architecture_colour",
            persist_state="session",
            width=320,
        )
        colour = colours[chosen if chosen in colours else next(iter(colours))]
        largest = max((row["macs"] for row in rows.values()), default=1) or 1
        values = {name: colour.value(row) for name, row in rows.items()}
        nodes = [
            {
                **{key: node[key] for key in ("x", "y")},
                "role": _role(node),
                "title": _short(node),
                "text": _told(node, rows.get(node["layer"])),
                "size": math.sqrt(rows[node["layer"]]["macs"] / largest)
                if node["layer"] in rows
                else 0.0,
                "value": values.get(node["layer"]),
            }
            for node in drawing["nodes"]
        ]
        known = [value for value in values.values() if value is not None]
        st.plotly_chart(
            charts.architecture(
                {**drawing, "nodes": nodes},
                {
                    "title": colour.title,
                    "judged": bool(colour.bad),
                    "reversed": colour.bad == "low",
                    "ends": _ends(known),
                },
            ),
            key="architecture_chart",
            config=_GRAPH,
        )
        st.caption(
            "Drag to move, scroll or pinch to zoom, double-click to go back; hover for figures. "
            f"Grey: not known, or no layer with weights. {colour.about}".strip()
        )


def _ends(values: list[float]) -> tuple[float, float]:
    """Return the ends of a scale; of one value only, a scale around it."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _role(node: Mapping[str, Any]) -> str:
    return (
        "end"
        if node["kind"] in ("placeholder", "input", "output")
        else ("layer" if node["layer"] else "other")
    )


def _short(node: Mapping[str, Any]) -> str:
    """Return a name that fits beside a node: the end of a layer's, or what is done."""
    if node["kind"] in ("placeholder", "input"):
        return "input"
    name: str = node["layer"] or node["kind"]
    return name if len(name) <= 18 else "…" + name[-17:]


def _told(node: Mapping[str, Any], row: Mapping[str, Any] | None) -> str:
    """Return what is shown of a node, a line each."""
    behind = f", then {', '.join(node['behind'])}" if node["behind"] else ""
    if row is None:
        return f"{node['layer'] or node['name']}<br>{node['kind']}{behind}".replace("\0", "")
    error = row["error"] or {}
    lines = [
        f"<b>{row['layer']}</b>",
        f"{row['kind']} {'x'.join(map(str, row['shape']))}{behind}",
        f"{format_value(row['macs'], 'macs')}, {format_value(row['params'], 'params')} parameters",
        f"{_bits(row['bits'])} weights, {_bits(row['activation_bits'])} inputs",
        f"{100 * row['sparsity']:.0f} % zero weights",
    ]
    if error.get("sqnr"):
        lines.append(f"SQNR {text(error['sqnr'])} to the original")
    elif error.get("missing"):
        lines.append(f"no SQNR: {error['missing']}")
    elif error:
        lines.append("gives what the original gives")
    if error.get("still"):
        lines.append(f"{error['still']} of {error['channels']} channels dead")
    return "<br>".join(lines)


def _bits(bits: int) -> str:
    return "float" if bits == _FLOAT else f"{bits}-bit"


def _colours(recipe: Recipe, rows: list[dict[str, Any]]) -> dict[str, _Colour]:
    """Return what nodes can be coloured by, as far as it is known."""
    found = {
        "SQNR to the original": _Colour(
            "SQNR to the original, dB", lambda row: _db(row, "sqnr"), "low"
        ),
        "SQNR of rounding alone": _Colour(
            "SQNR of rounding alone, dB", lambda row: _db(row, "rounding"), "low"
        ),
        "Cost": _Colour("MACs, million", lambda row: row["macs"] / 1e6),
        "Sparsity": _Colour("Zero weights, %", lambda row: 100 * row["sparsity"]),
        "Bits of weights": _Colour("Bits of a weight", lambda row: row["bits"]),
        "Bits of inputs": _Colour("Bits of an input", lambda row: row["activation_bits"]),
        "Dead channels": _Colour("Dead channels, %", _dead, "high"),
    }
    known = {
        name: colour
        for name, colour in found.items()
        if any(colour.value(row) is not None for row in rows)
    }
    return {**known, **_sensitivities(recipe)}


def _db(row: Mapping[str, Any], which: str) -> float | None:
    figure = (row["error"] or {}).get(which)
    return float(figure["value"]) if figure else None


def _dead(row: Mapping[str, Any]) -> float | None:
    error = row["error"]
    return 100 * error["still"] / error["channels"] if error else None


def _sensitivities(recipe: Recipe) -> dict[str, _Colour]:
    """Return a colour for each technique that the kept analysis of the model tried."""
    profile = kept_profile(sensitivity_key(recipe, SENSITIVITY_SAMPLES))
    if profile is None:
        return {}
    found = {}
    for name in dict.fromkeys(row.technique for row in profile.rows):
        harms = profile.harms(name)
        title = TECHNIQUES[name].title
        found[f"Sensitivity: {title}"] = _Colour(
            f"Harm of {title}",
            lambda row, harms=harms: harms[row["layer"]].value if row["layer"] in harms else None,  # type: ignore[misc]
            bad="high",
            about="Harm: how far outputs move at the strongest level that was tried on the layer "
            "alone, see the page Sensitivity.",
        )
    return found


# --- errors along the network -------------------------------------------------------------------


def _errors(rows: list[dict[str, Any]]) -> None:
    told = [
        {"layer": row["layer"], **{key: row["error"][key] for key in ("sqnr", "rounding")}}
        for row in rows
        if row["error"]
    ]
    with st.container(border=True, key="propagation"):
        st.markdown("**Error propagation**: how far each layer's output is off")
        if any(one["sqnr"] or one["rounding"] for one in told):
            st.plotly_chart(charts.layer_errors(told), key="layer_errors", config=_PLOT)
            st.caption(
                "SQNR: energy of a layer's outputs over that of the error; 20 dB are a hundredth. "
                "A layer takes over the errors of those before it."
            )
        else:
            st.caption("Every layer gives what it gives in the original.")
        missing: dict[str, list[str]] = {}
        for row in rows:
            if row["error"] and row["error"]["missing"]:
                missing.setdefault(row["error"]["missing"], []).append(row["layer"])
        for why, names in missing.items():
            more = f" and {len(names) - 3} more" if names[3:] else ""
            st.caption(
                f":material/block: {', '.join(names[:3])}{more}: {why}, so that its values cannot "
                "be compared."
            )


# --- the table ----------------------------------------------------------------------------------


def _table(recipe: Recipe, rows: list[dict[str, Any]]) -> None:
    with st.container(border=True, key="layer_table"):
        st.markdown("**Layer by layer**")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            wanted = st.text_input(
                "Find",
                key="layer_find",
                placeholder="Part of a name or a kind",
                width=320,
                label_visibility="collapsed",
                icon=":material/search:",
            )
            table = _frame(rows)
            st.download_button(
                "CSV",
                table.to_csv(index=False),
                file_name=f"layers-{recipe.hash[:8]}.csv",
                mime="text/csv",
                icon=":material/download:",
                on_click="ignore",
                key="layer_csv",
            )
        shown = table
        if wanted:
            texts = table["Layer"] + " " + table["Kind"]
            shown = table[texts.str.contains(wanted, case=False, regex=False)]
        if shown.empty:
            st.caption(f"No layer has {wanted!r} in its name or kind.")
            return
        percent = {"min_value": 0, "max_value": 100, "format": "%.0f %%", "width": 110}
        st.dataframe(
            shown,
            hide_index=True,
            placeholder="–",
            key="layer_rows",
            column_config={
                "Params": st.column_config.NumberColumn(format="localized"),
                "MACs": st.column_config.NumberColumn(format="compact"),
                "MACs before": st.column_config.NumberColumn(format="compact"),
                "Bytes": st.column_config.NumberColumn(format="localized"),
                "Zero, %": st.column_config.ProgressColumn("Zero weights", **percent),
                "SQNR, dB": st.column_config.NumberColumn(
                    format="%.1f",
                    help="To the original; empty where nothing changed or nothing can be compared.",
                ),
                "± dB": st.column_config.NumberColumn(
                    format="%.1f", help="Half the 95 % interval of the SQNR to the original."
                ),
                "Rounding, dB": st.column_config.NumberColumn(
                    format="%.1f", help="SQNR to the same weights before rounding."
                ),
                "Dead channels": st.column_config.NumberColumn(
                    help="Channels whose value is the same for all samples and places, after the "
                    "activation function."
                ),
            },
        )
        st.caption("A heading sorts. Bytes are at the bits of the weights; zeros are still stored.")


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([_cells(row) for row in rows])


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    error = row["error"] or {}
    figures = {
        key: Quantity.from_json(error[key]) if error.get(key) else None
        for key in ("sqnr", "rounding")
    }
    sqnr, rounding = figures["sqnr"], figures["rounding"]
    return {
        "Layer": row["layer"],
        "Kind": row["kind"],
        "Weight": "x".join(map(str, row["shape"])),
        "Weight before": "x".join(map(str, row["shape_before"])) if row["shape_before"] else None,
        "Params": row["params"],
        "MACs": row["macs"],
        "MACs before": row["macs_before"],
        "Bytes": row["bytes"],
        "Bits": row["bits"],
        "Input bits": row["activation_bits"],
        "Zero, %": 100 * row["sparsity"],
        "SQNR, dB": sqnr.value if sqnr else None,
        "± dB": sqnr.half_width if sqnr else None,
        "Rounding, dB": rounding.value if rounding else None,
        "Channels": error.get("channels"),
        "Dead channels": error.get("still"),
        "Dead before": error.get("still_before"),
    }


# --- batch norms --------------------------------------------------------------------------------


def _norms(norms: list[dict[str, Any]]) -> None:
    with st.container(border=True, key="norm_scales"):
        st.markdown("**Scales of batch norms**")
        if not norms:
            st.caption(
                "The model has no batch norm with scales, or its file has them folded into the "
                "layers before."
            )
            return
        faint = sum(one["after"]["faint"] for one in norms)
        channels = sum(one["after"]["channels"] for one in norms)
        st.plotly_chart(charts.norm_scales(norms), key="norm_chart", config=_PLOT)
        st.caption(
            "Line: least to largest; bar: the middle half; mark: the median. Next to zero, below a "
            f"hundredth of its norm's median: {faint:,} of {channels:,} channels."
        )
