"""How the analysis is started and watched, and the map of what layers can spare."""

from __future__ import annotations

import streamlit as st

from optim.fields import Choice, Range
from optim.measure.quality import METRICS
from optim.quantity import format_value
from optim.recipe import Recipe
from optim.sensitivity.kept import SHELF, kept_profile, key_of
from optim.sensitivity.profile import SAMPLES, Cell, Level, Profile
from optim.sensitivity.trials import is_gradual, overridden, untouched
from optim.techniques import TECHNIQUES
from pages.components import access, charts
from pages.components.aside import Aside

__all__ = ["analysed", "heat_map", "level_text", "pick_technique", "setting_text"]

_PLOT = {"displayModeBar": False}
_WORST = 20.0
"""Points of accuracy whose loss is the darkest colour: no one goes there."""

_ANALYSIS = Aside("optim.sensitivity.child", SHELF, "Analysing", "The model could not be analysed.")


def analysed(recipe: Recipe) -> Profile | None:
    """Draw how the analysis is started or how far it is; return what is known of the model."""
    key = key_of(recipe, SAMPLES)
    with st.container(border=True, key="sensitivity_analysis"):
        busy = _ANALYSIS.is_busy(key, "model is being analysed")
        profile = kept_profile(key)
        if profile is None and not busy:
            st.markdown("**This model was not analysed yet**")
            st.caption("A minute for a small network. Figures come after few samples already.")
        elif profile is not None:
            st.caption(_about(profile))
        if not busy and not access.is_presentation():
            with st.container(horizontal=True):
                _buttons(recipe, key, profile)
    return profile


def _buttons(recipe: Recipe, key: str, profile: Profile | None) -> None:
    """Draw what starts an analysis, and what times the layers of one that is there."""
    request = {"recipe": recipe.to_json(), "samples": SAMPLES}
    st.button(
        "Analyse again" if profile else "Analyse",
        icon=":material/grid_view:",
        type="secondary" if profile else "primary",
        on_click=_ANALYSIS.start,
        args=(key,),
        kwargs={**request, "times": False},
        key="analyse_sensitivity",
    )
    if profile and profile.is_complete and not all(map(profile.is_timed, profile.structural)):
        st.button(
            "Measure times",
            icon=":material/timer:",
            help="How much faster the 8-bit file gets by each variant, here, for settings of "
            "layers that take as little time as a common one.",
            on_click=_ANALYSIS.start,
            args=(key,),
            kwargs={**request, "times": True},
            key="time_sensitivity",
        )


def _about(profile: Profile) -> str:
    part = "validation samples" if profile.part == "validation" else "samples"
    figure = f"{METRICS[profile.metric].short} {profile.original}. " if profile.original else ""
    spared = 1 - profile.computed
    saved = f" {100 * spared:.0f} % of the work was known from the original." if spared else ""
    return (
        f"{len(profile.cells)} variants on {profile.n:,} of {profile.total:,} {part}, in "
        f"{format_value(profile.seconds, 's')}. {figure}{saved}"
    )


def pick_technique(profile: Profile) -> str:
    """Draw the choice of a technique and return its name; say which cannot treat the model."""
    names = list(dict.fromkeys(row.technique for row in profile.rows))
    chosen = st.segmented_control(
        "Technique",
        names,
        default=names[0],
        format_func=lambda name: TECHNIQUES[name].title,
        required=True,
        key="sensitivity_technique",
        label_visibility="collapsed",
    )
    for name, why in profile.refused.items():
        st.caption(f"{TECHNIQUES[name].title}: {why}")
    return chosen or names[0]


def level_text(technique: str, level: Level) -> str:
    """Return a level for a reader, as the technique's slider shows it."""
    kind = overridden(TECHNIQUES[technique]()).kind
    if isinstance(kind, Choice):
        return f"{kind.options[level]} {kind.unit}".strip()
    if isinstance(kind, Range) and kind.scale == "percent":
        return f"{100 * float(level):g} %"
    return f"{level} {kind.unit}".strip()


def setting_text(technique: str, level: Level) -> str:
    """Return what a level means for a single layer: some stay or go as a whole."""
    step = TECHNIQUES[technique]()
    if is_gradual(step):
        return level_text(technique, level)
    return "stays" if level == untouched(step) else "removed"


def heat_map(profile: Profile, technique: str) -> None:
    """Draw the change of quality by row and level, and the layers left out."""
    titles = {row.layer: row.title for row in profile.rows_of(technique)}
    cells = profile.cells_of(technique)
    levels = list(dict.fromkeys(setting_text(technique, cell.level) for cell in cells))
    shown = [
        {
            "row": titles[cell.layer],
            "level": setting_text(technique, cell.level),
            "harm": _harm(cell),
            "short": _short(cell),
            "text": _text(cell),
        }
        for cell in cells
    ]
    field = overridden(TECHNIQUES[technique]())
    with st.container(border=True, key="sensitivity_map"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{_heading(profile)}** by layer and {field.kind.label.lower()}")
            st.badge(cells[0].quality.how.value, color="blue")
        st.plotly_chart(
            charts.sensitivities(shown, list(titles.values()), levels, field.kind.label),
            key=f"sensitivity_{technique}",
            config=_PLOT,
        )
        st.caption(
            f"Of {profile.n:,} samples each; hover for intervals. Coupled layers share one result: "
            "they change together."
            if any(len(row.layers) > 1 for row in profile.rows_of(technique))
            else f"Of {profile.n:,} samples each; hover for intervals."
        )
        for layer, why in profile.left_out.get(technique, {}).items():
            st.caption(f"{layer} was left out: {why}.")


def _heading(profile: Profile) -> str:
    metric = METRICS[profile.metric]
    return f"Change of {metric.title.lower()}" if profile.original else metric.title


def _harm(cell: Cell) -> float:
    """Return the colour of a cell: 0 for no loss, 1 for one that nobody accepts."""
    if cell.change is not None and cell.change.difference.unit == "points":
        return min(1.0, max(0.0, -cell.change.difference.value / _WORST))
    return min(1.0, cell.harm.value)


def _short(cell: Cell) -> str:
    if cell.change is None:
        return str(cell.quality).split(" ±")[0]
    value = cell.change.difference.value
    return f"{value:+.1f}" if abs(value) >= 0.05 else "0"


def _text(cell: Cell) -> str:
    quality = f"{cell.quality}, {cell.change.verdict()}" if cell.change else str(cell.quality)
    return f"{quality}<br>{cell.time} of the time" if cell.time else quality
