"""What can be looked at about models side by side, one view at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from optim.compare.contest import COUNTS
from optim.errors import OptimError
from optim.quantity import Quantity
from optim.runs.contenders import COSTS, Contender, best_within, with_front
from optim.runs.provenance import descent_of
from pages.components import access
from pages.components.compare import charts
from pages.components.inspect.samples import show_flips
from pages.components.runs.words import plain
from pages.components.server import evaluator, run_store

__all__ = [
    "all_figures",
    "classes",
    "layers",
    "origin",
    "parallel_info",
    "predictions",
    "trade_off",
]

_PLOT = {"displayModeBar": False}
_PAGE = 12
_LAYER_FIGURES = {
    "channels": "Output channels",
    "bits": "Bits of a weight",
    "sparsity": "Zero weights, %",
    "macs": "MACs",
    "bytes": "Bytes",
}
Contenders = Sequence[Contender]
Found = Mapping[str, Any]


def trade_off(contenders: Contenders, found: Found) -> None:
    """Draw quality against a cost, with the front, its knee, and a budget to pick by."""
    measured = [
        cost
        for cost in COSTS
        if any((entry.get("figures") or {}).get(cost) for entry in found["entries"])
    ]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        cost = st.selectbox(
            "Cost", measured, format_func=COUNTS.__getitem__, key="compare_cost", width=180
        )
        found = with_front(found, cost)
        able = [
            e["figures"][cost]["value"]
            for e in found["entries"]
            if e.get("figures") and e["figures"][cost]
        ]
        unit = next(
            e["figures"][cost]["unit"]
            for e in found["entries"]
            if e.get("figures") and e["figures"][cost]
        )
        steps = sorted(set(able))
        texts = ["none", *(str(Quantity.exact(value, unit)) for value in steps)]
        picked = st.selectbox(
            "Budget",
            range(len(texts)),
            format_func=lambda i: "No budget" if i == 0 else f"at most {texts[i]}",
            key=f"compare_budget_{cost}_{len(texts)}",
            help="The best model that costs no more is marked by a star.",
            width=220,
        )
    budget = steps[picked - 1] if picked else None
    knee = next((n for n, e in enumerate(found["entries"]) if e["is_knee"]), None)
    taken = best_within(found["entries"], cost, budget) if budget is not None else knee
    metric = next(e["metric"] for e in found["entries"] if e.get("metric"))
    points = [
        _point(number, one, entry, cost, is_taken=number == taken)
        for number, (one, entry) in enumerate(zip(contenders, found["entries"], strict=True))
        if entry.get("figures")
        and entry["metric"] == metric
        and entry["figures"][cost]
        and entry["figures"]["quality"]
    ]
    scale = ", %" if points and points[0]["unit"] == "fraction" else ""
    titles = {"x": COUNTS[cost], "y": f"{found['metrics'][metric]['title']}{scale}"}
    st.plotly_chart(
        charts.compared_front(points, budget, titles), key="compare_front", config=_PLOT
    )
    if taken is not None:
        why = f"within {texts[picked]}" if budget is not None else "at the knee of the front"
        st.markdown(f"**{plain(contenders[taken].title)}** stands {why}.")
    st.caption(
        "The line joins models that no other beats in both; the knee is the compromise nearest to "
        "where both are at their best. Bars are 95 % intervals of each alone: whether two differ, "
        "the paired changes on the cards say."
    )


def _point(
    number: int, one: Contender, entry: Mapping[str, Any], cost: str, *, is_taken: bool
) -> dict[str, Any]:
    quality, figure = entry["figures"]["quality"], entry["figures"][cost]
    scale = 100 if quality["unit"] == "fraction" else 1
    return {
        "number": number,
        "name": one.title,
        "x": figure["value"],
        "y": scale * quality["value"],
        "low": scale * quality["low"],
        "high": scale * quality["high"],
        "unit": quality["unit"],
        "text": f"{one.title}: {quality['text']}, {figure['text']}",
        "is_front": entry["is_front"],
        "is_knee": entry["is_knee"],
        "is_taken": is_taken,
    }


def all_figures(contenders: Contenders, found: Found) -> None:
    """Draw every figure of every model, and the same as a table."""
    axes, lines = parallel_info([one.title for one in contenders], found)
    st.plotly_chart(charts.parallel_models(axes, lines), key="compare_parallel", config=_PLOT)
    st.caption("Up is better on every axis. Ends are the best and the worst of these models.")
    names = ["quality", *COUNTS]
    titles = {"quality": "Quality", **COUNTS}
    st.dataframe(
        pd.DataFrame(
            {
                "Model": one.title,
                **{
                    titles[name]: ((entry.get("figures") or {}).get(name) or {}).get(
                        "text", "not measured"
                    )
                    for name in names
                },
            }
            for one, entry in zip(contenders, found["entries"], strict=True)
        ),
        hide_index=True,
        key="compare_table",
    )


def parallel_info(
    titles: Sequence[str], found: Found
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return axes and lines of the chart of all figures; axes that nobody has are left out."""
    entries = found["entries"]
    higher = {"quality", "sparsity"}
    names = {"quality": "Quality", **COUNTS}
    axes: list[dict[str, Any]] = []
    positions: list[list[float | None]] = [[] for _ in entries]
    texts: list[list[str]] = [[] for _ in entries]
    for name, title in names.items():
        own = [(entry.get("figures") or {}).get(name) for entry in entries]
        known = [figure for figure in own if figure]
        if not known:
            continue
        best = (max if name in higher else min)(known, key=lambda f: f["value"])
        worst = (min if name in higher else max)(known, key=lambda f: f["value"])
        span = best["value"] - worst["value"]
        axes.append({"title": title, "top": best["text"], "bottom": worst["text"] if span else ""})
        for number, figure in enumerate(own):
            place = None
            if figure:
                place = (figure["value"] - worst["value"]) / span if span else 1.0
            positions[number].append(place)
            text = figure["text"] if figure else "not measured"
            texts[number].append(f"{titles[number]}: {title} {text}")
    lines = [
        {"number": n, "name": title, "positions": positions[n], "texts": texts[n]}
        for n, title in enumerate(titles)
    ]
    return axes, lines


def classes(contenders: Contenders, found: Found) -> None:
    """Draw the change of every class."""
    rows = [
        {
            "number": number,
            "name": one.title,
            "classes": [
                {
                    "name": c["name"],
                    **{key: c["change"]["difference"][key] for key in ("value", "low", "high")},
                    "text": f"{one.title}, {c['name']}: {c['change']['verdict']}",
                }
                for c in entry["classes"]
            ],
        }
        for number, (one, entry) in enumerate(zip(contenders, found["entries"], strict=True))
        if entry.get("classes")
    ]
    if not rows:
        st.caption("Nobody knows classes here that all of them were asked about.")
        return
    st.plotly_chart(charts.class_dots(rows), key="compare_classes", config=_PLOT)
    st.caption(
        "Paired, on the samples of the class. Of many classes and models, five in a hundred "
        "intervals leave out no change by chance."
    )


def layers(contenders: Contenders, found: Found) -> None:
    """Draw one figure of every layer in every model."""
    entries = found["entries"]
    names = list(dict.fromkeys(row["layer"] for e in entries for row in e.get("layers") or ()))
    if not names:
        st.caption("No layers are known: what was trained is no longer here.")
        return
    name = st.segmented_control(
        "Figure of the layers",
        list(_LAYER_FIGURES),
        default="channels",
        format_func=_LAYER_FIGURES.__getitem__,
        required=True,
        key="compare_layer_figure",
        label_visibility="collapsed",
        wrap=True,
    )
    rows = []
    for number, (one, entry) in enumerate(zip(contenders, entries, strict=True)):
        own = {row["layer"]: row[name] for row in entry.get("layers") or ()}
        scale = 100 if name == "sparsity" else 1
        values = [scale * own[layer] if layer in own else None for layer in names]
        rows.append({"number": number, "name": one.title, "values": values})
    st.plotly_chart(
        charts.layer_lines(names, rows, _LAYER_FIGURES[name]), key="compare_layers", config=_PLOT
    )
    st.dataframe(
        pd.DataFrame(
            {"Layer": layer, **{f"{r['name']} ({r['number'] + 1})": r["values"][i] for r in rows}}
            for i, layer in enumerate(names)
        ),
        hide_index=True,
        key="compare_layer_rows",
    )


def predictions(contenders: Contenders, found: Found) -> None:
    """Draw samples to which a model gives another class than the reference does."""
    reference = contenders[found["reference"]]
    able = {
        number: one
        for number, (one, entry) in enumerate(zip(contenders, found["entries"], strict=True))
        if entry.get("flips") and one.recipe is not None
    }
    if not able or reference.recipe is None:
        st.caption("Samples can be shown where both models answered with classes on the same ones.")
        return
    number = st.selectbox(
        "Against the reference",
        list(able),
        format_func=lambda n: able[n].title,
        key=f"compare_other_{'_'.join(map(str, able))}",
        width=360,
    )
    other = able[number].recipe
    assert other is not None
    total = sum(found["entries"][number]["flips"]["counts"].values())
    if not total:
        st.caption("Both give every sample the same class.")
        return
    start = 0
    if total > _PAGE:
        pages = -(-total // _PAGE)
        start = _PAGE * (st.pagination(pages, key=f"compare_page_{number}_{pages}") - 1)
    shown = evaluator().ask(
        "differing", reference.recipe, other=other.to_json(), start=start, count=_PAGE
    )
    st.markdown(f"**{shown['share']['text']}** of {shown['n']:,} samples get another class.")
    show_flips(shown["samples"])
    st.caption(
        f"First the class from {plain(reference.title)}, then that from "
        f"{plain(able[number].title)}, with their probability; below, the right one. Those that "
        "lost most probability come first."
    )


def origin(contenders: Contenders, found: Found) -> None:
    """Draw what came from what."""
    try:
        nodes = descent_of(contenders, run_store().get, access.may_see_run)
    except OptimError as error:
        st.caption(error.message)
        return
    st.plotly_chart(
        charts.descent([node.to_json() for node in nodes]), key="compare_descent", config=_PLOT
    )
    titles = {node.id: node.title for node in nodes}
    st.dataframe(
        pd.DataFrame(
            {
                "What": node.title,
                "Kind": node.kind,
                "Came from": ", ".join(titles[parent] for parent in node.parents),
            }
            for node in nodes
        ),
        hide_index=True,
        key="compare_descent_rows",
    )
