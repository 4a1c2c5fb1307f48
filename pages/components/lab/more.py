"""Everything below the first screen: one section at a time, computed only when looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from optim.errors import OptimError
from optim.export.targets import TARGETS
from optim.recipe import Recipe
from pages.components import charts, state
from pages.components.lab.delivery import request_export
from pages.components.lab.words import samples_of
from pages.components.server import evaluator

__all__ = ["more"]

_FLOAT = "float"


def more(recipe: Recipe, info: dict[str, Any]) -> None:
    """Draw the choice of sections and the chosen one."""
    chosen = st.segmented_control(
        "More",
        list(_SECTIONS),
        key="more_section",
        persist_state="session",
        help="Layers with their own settings, classes, fidelity, weights, sizes, other files, the "
        "recipe.",
    )
    if chosen is not None:
        with st.container(border=True):
            _SECTIONS[chosen](recipe, info)


def _layers(recipe: Recipe, info: dict[str, Any]) -> None:
    answer = evaluator().ask("layers", recipe)
    st.markdown("**Layers** · edit the ratio or the bits of single layers")
    quantize, channels = _entry(recipe, "quantize"), _entry(recipe, "prune_channels")
    table = pd.DataFrame(
        {
            "Layer": row["layer"],
            "Weight": row["shape"],
            "Params": row["params"],
            "MACs": row["macs"],
            "Ratio": _own_ratio(recipe, channels, row),
            "Bits": _own_bits(recipe, quantize, row["layer"]),
            "Zero": 100 * row["sparsity"],
            "Size": 100 * row["size_share"],
            "Time": 100 * row["time_share"],
            "Channels": row["fixed"] or row["group"],
        }
        for row in answer["rows"]
    )
    share = {"min_value": 0, "max_value": 100, "format": "%.0f %%", "width": 110}
    st.data_editor(
        table,
        key=f"layers_{recipe.hash}",
        hide_index=True,
        placeholder="–",
        disabled=["Layer", "Weight", "Params", "MACs", "Zero", "Size", "Time", "Channels"],
        column_config={
            "Params": st.column_config.NumberColumn(format="localized", width=70),
            "MACs": st.column_config.NumberColumn(format="compact", width=60),
            "Ratio": st.column_config.NumberColumn(
                "Removed, %",
                min_value=0,
                max_value=95,
                step=5,
                width=100,
                help="Channels removed from the group the layer belongs to; it applies to the "
                "whole group.",
            ),
            "Bits": st.column_config.SelectboxColumn("Weight bits", options=_BITS, width=100),
            "Zero": st.column_config.ProgressColumn("Zero weights", **share),
            "Size": st.column_config.ProgressColumn("Share of size", **share),
            "Time": st.column_config.ProgressColumn(
                "Share of time", help="Measured by ONNX Runtime's profiler, batch 1.", **share
            ),
            "Channels": st.column_config.TextColumn("Channel group", width=160),
        },
        on_change=_take_edits,
        args=(recipe, answer["rows"]),
    )
    st.caption(
        f"Time outside these layers: {100 * answer['other_time']:.0f} %. "
        "Size is at bit-width, batch norm folded in."
    )
    with st.expander("What each step did"):
        for entry_id, report in answer["reports"].items():
            st.markdown(f"**{entry_id}** · {report['summary']}")
            for note in report["notes"]:
                st.caption(note)
            skipped = [layer for layer in report["layers"] if not layer["touched"]]
            for layer in skipped:
                st.caption(f"{layer['layer']}: {layer['detail']}")


_BITS = ["ternary", "2", "3", "4", "5", "6", "7", "8", "16", _FLOAT]


def _entry(recipe: Recipe, technique: str) -> str | None:
    return next((e.id for e in recipe.entries if e.name == technique and e.enabled), None)


def _own_bits(recipe: Recipe, entry_id: str | None, layer: str) -> str:
    if entry_id is None:
        return _FLOAT
    step: Any = recipe.entry(entry_id).step
    return str(step.layers.get(layer, step.weight_bits))


def _own_ratio(recipe: Recipe, entry_id: str | None, row: dict[str, Any]) -> float | None:
    if entry_id is None or not row["group"]:
        return None
    step: Any = recipe.entry(entry_id).step
    return 100 * float(step.layers.get(row["group"], step.pruning_ratio))


def _take_edits(recipe: Recipe, rows: list[dict[str, Any]]) -> None:
    """Turn edited cells into per-layer settings of the recipe."""
    edits = st.session_state[f"layers_{recipe.hash}"]["edited_rows"]
    changed = recipe
    try:
        for index, cells in edits.items():
            row = rows[int(index)]
            if "Bits" in cells and (entry := _entry(changed, "quantize")):
                bits = cells["Bits"]
                value = int(bits) if bits and bits.isdigit() else bits
                changed = _override(changed, entry, "weight_bits", row["layer"], value)
            if "Ratio" in cells and row["group"] and (entry := _entry(changed, "prune_channels")):
                percent = cells["Ratio"]
                ratio = None if percent is None else round(percent / 100, 4)
                changed = _override(changed, entry, "pruning_ratio", row["group"], ratio)
    except OptimError as error:
        state.notice(error)
        return
    state.commit(changed)


def _override(recipe: Recipe, entry_id: str, field: str, layer: str, value: Any) -> Recipe:
    """Return a recipe where one layer has its own value.

    The common value needs no entry; an emptied cell, None, means the common value.
    """
    step: Any = recipe.entry(entry_id).step
    layers = {k: v for k, v in step.layers.items() if k != layer}
    if value is not None and value != getattr(step, field):
        layers[layer] = value
    return recipe.with_fields(entry_id, layers=layers)


def _classes(recipe: Recipe, info: dict[str, Any]) -> None:
    if info["metric"]["name"] == "map":
        st.markdown("**Classes**")
        st.caption(
            "Accuracy by class and confusion are of samples that are of one class each; these hold "
            "several objects. The page *Detection* shows what is found and what is missed."
        )
        return
    if info["metric"]["name"] != "accuracy":
        st.markdown("**Classes**")
        st.caption(
            "Accuracy by class and confusion need samples whose classes somebody knows; these have "
            "none. Fidelity tells how closely the compressed model follows the original."
        )
        return
    answer = evaluator().ask("classes", recipe)
    left, right = st.columns(2)
    with left:
        st.markdown("**Accuracy by class**, worst at the top")
        st.plotly_chart(
            charts.class_changes(answer["classes"]),
            key="class_changes",
            config={"displayModeBar": False},
        )
    with right:
        st.markdown("**Confusion** of the compressed model")
        st.plotly_chart(
            charts.confusion(answer["confusion"], answer["names"]),
            key="confusion",
            config={"displayModeBar": False},
        )
    st.caption(
        f"Both models choose the same class for {answer['agreement']['text']} of the samples."
    )


def _fidelity(recipe: Recipe, info: dict[str, Any]) -> None:
    answer = evaluator().ask("fidelity", recipe)
    words = samples_of(info["part"], generated=info["generated"])
    st.markdown(
        f"**Fidelity** to the original, on all {answer['samples']:,} {words}; no label is looked at"
    )
    rows = [
        {"": row["title"], "Compressed": row["figure"]["text"], "What it says": row["about"]}
        for row in answer["figures"]
    ]
    st.table(rows, border="horizontal", hide_index=True)
    if not any(row["name"] == "sqnr" for row in answer["figures"]):
        st.caption("There is no difference between the outputs of both.")
    for note in info["notes"] if info["generated"] else ():
        st.caption(note)


def _weights(recipe: Recipe, info: dict[str, Any]) -> None:
    layer = st.selectbox(
        "Layer", info["layers"], key="weights_layer", persist_state="session", width=320
    )
    answer = evaluator().ask("weights", recipe, layer=layer)
    st.plotly_chart(
        charts.weight_histogram(answer), key="weight_histogram", config={"displayModeBar": False}
    )
    st.caption(f"{answer['values']:,} different values, {100 * answer['zeros']:.0f} % zero.")


def _sizes(recipe: Recipe, info: dict[str, Any]) -> None:
    answer = evaluator().ask("sizes", recipe)
    st.markdown("**Sizes**, each really encoded to bytes")
    st.plotly_chart(charts.size_bars(answer), key="sizes", config={"displayModeBar": False})
    st.caption(
        "Zeroed weights make a dense file no smaller: only an encoding that leaves them out does. "
        "The ONNX file is what a runtime loads today."
    )


def _files(recipe: Recipe, info: dict[str, Any]) -> None:
    st.markdown("**Other files**, verified before they are handed over")
    refused = evaluator().ask("files", recipe)
    for name, target in TARGETS.items():
        words, button = st.columns([4, 1], vertical_alignment="center")
        with words:
            st.markdown(f"**{target.title}** · {target.about}")
            if refused[name]:
                st.caption(f":material/block: {refused[name]}")
        with button:
            st.button(
                "Verify and download",
                key=f"file_{name}",
                disabled=bool(refused[name]),
                help=refused[name] or None,
                on_click=request_export,
                args=(recipe, name),
                width="stretch",
            )


def _recipe(recipe: Recipe, info: dict[str, Any]) -> None:
    left, right = st.columns(2)
    with left:
        st.markdown("**Recipe**")
        st.code(recipe.to_yaml(), language="yaml")
        st.download_button(
            "recipe.yaml",
            recipe.to_yaml(),
            file_name="recipe.yaml",
            on_click="ignore",
            icon=":material/download:",
        )
    with right:
        st.markdown("**The same from the command line**")
        st.code("python -m optim run recipe.yaml --out result", language="bash")
        st.markdown("**and from Python**")
        st.code(
            "import optim\n\n"
            'result = optim.run(optim.Recipe.load("recipe.yaml"))\n'
            'print(result.verdict)\nresult.save("result")',
            language="python",
        )
        st.number_input(
            "Seed",
            0,
            2**31 - 1,
            recipe.seed,
            key=f"seed_{recipe.hash}",
            width=200,
            help="Decides splits, calibration samples and every step's randomness.",
            on_change=lambda: _set_seed(recipe),
        )
        for note in info["notes"]:
            st.caption(note)


def _set_seed(recipe: Recipe) -> None:
    try:
        state.commit(state.with_seed(recipe, st.session_state[f"seed_{recipe.hash}"]))
    except OptimError as error:
        state.notice(error)


def _measurement(recipe: Recipe, info: dict[str, Any]) -> None:
    st.markdown("**How latency is measured**")
    cores = state.cores()
    with st.container(horizontal=True):
        st.number_input(
            "Batch size",
            1,
            256,
            key="latency_batch",
            persist_state="session",
            width=160,
            help="Samples in one inference.",
        )
        st.number_input(
            "Threads",
            1,
            cores,
            key="latency_threads",
            persist_state="session",
            width=160,
            help=f"Threads of one inference; this machine has {cores} cores.",
        )
    st.caption(
        "Original and compressed file take turns in ONNX Runtime, in blocks of two milliseconds; "
        "the figure is the median over 40 blocks with its 95 % interval, the ratio is taken block "
        "by block. It is measured when no slider has moved for half a second."
    )


_SECTIONS: dict[str, Callable[[Recipe, dict[str, Any]], None]] = {
    "Layers": _layers,
    "Classes": _classes,
    "Fidelity": _fidelity,
    "Weights": _weights,
    "Sizes": _sizes,
    "Files": _files,
    "Measurement": _measurement,
    "Recipe": _recipe,
}
