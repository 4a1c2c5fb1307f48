"""Drive the app as a browser would: run it, tell it what a hand did, read what it shows."""

import json
import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from streamlit.components.v2.bidi_component.main import _make_trigger_id
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest

from optim.lessons import kept
from optim.recipe import Recipe
from pages.components.access import PRESENTATION
from pages.components.server import evaluator
from pages.components.state import LINK, RUN

ROOT = Path(__file__).resolve().parents[2]
MODEL = "small-resnet"
"""A quick model that stands in the lists beside those that ship."""
OTHER = "small-mlp"
"""Another one, with other layers, for other data."""
SHOWN = {
    "frames": [{"label": "8 bits", "panels": [], "readouts": [], "link": "", "caption": ""}],
    "start": 0,
    "question": {"text": "?", "options": ["a", "b"], "right": 0, "why": "w"},
    "basis": "b",
}
"""What a lesson shows, without any picture."""


def small_recipe(**fields) -> Recipe:
    """Return a recipe for the quick model that ends in a file small and good enough to verify."""
    return Recipe.from_json(
        {
            "version": 1,
            "model": MODEL,
            "data": "digits",
            "steps": [
                {"prune_channels": {"pruning_ratio": 0.25}},
                {"reestimate_batchnorm": {"samples": 128}},
                {"quantize": {"weight_bits": 8, "activation_bits": 8, "samples": 128}},
            ],
            **fields,
        }
    )


@contextmanager
def serving(home: Path, cache: Path):
    """Run the evaluator on a store of its own that knows one quick model.

    Data are the same in every store, so that what other tests generated is used again.
    """
    from optim.data import open_data
    from optim.library import add_model
    from optim.models.checkpoint import save_checkpoint
    from optim.models.open import open_model
    from tests.helpers import train_on_digits

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPTIM_HOME", str(home))
        if not home.exists():
            home.mkdir()
            cache.mkdir(parents=True, exist_ok=True)
            (home / "cache").symlink_to(cache)
            weights = save_checkpoint(train_on_digits()[0], home / "small.safetensors")
            add_model(weights, data="digits", title="Small ResNet", name=MODEL)
            other = save_checkpoint(
                open_model("mlp", data=open_data("wine")), home / "other.safetensors"
            )
            add_model(other, data="wine", title="Small MLP", name=OTHER)
        keep_lesson(kept.TOUR_NAME)
        evaluator().start()
    try:
        yield home
    finally:
        evaluator().stop()


def keep_lesson(name: str) -> None:
    """Keep something under the name of a lesson, as if it had been computed."""
    kept.SHELF.keep(kept.key_of(name), SHOWN)


def open_app(
    recipe: Recipe | None = None, *, link: str = "", run: str = "", presentation: bool = False
) -> AppTest:
    """Open the app at a recipe's link, following a run, for an audience, or at its address."""
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    if recipe is not None or link:
        at.query_params[LINK] = link or recipe.to_link()
    if run:
        at.query_params[RUN] = run
    if presentation:
        at.query_params[PRESENTATION] = "1"
    return at.run()


def panel_data(at: AppTest) -> dict:
    """Return what the live panel was given."""
    return json.loads(_panel(at).proto.json)


def presets_marked(at: AppTest) -> list[str]:
    """Return the presets whose steps are those of the live panel, which it marks."""
    data = panel_data(at)
    return [p["name"] for p in data["presets"] if p["entries"] == data["entries"]]


def tell(at: AppTest, event: str, **value) -> AppTest:
    """Let the live panel say something: ``commit`` or ``command``."""
    payload = [{"event": event, "value": {"id": os.urandom(4).hex(), **value}}]
    trigger = _make_trigger_id(_panel(at).proto.id, "events")
    return _run_with(at, WidgetState(id=trigger, json_trigger_value=json.dumps(payload)))


def edit_cells(at: AppTest, rows: dict[int, dict]) -> AppTest:
    """Edit cells of the one table on the page."""
    edits = {"edited_rows": rows, "added_rows": [], "deleted_rows": []}
    table = at.data_editor[0].proto.id
    return _run_with(at, WidgetState(id=table, string_value=json.dumps(edits)))


def open_section(at: AppTest, name: str) -> AppTest:
    """Choose a section below the first screen."""
    return at.segmented_control(key="more_section").set_value(name).run()


def click(at: AppTest, label: str) -> AppTest:
    """Press the one button of that name."""
    (button,) = [b for b in at.button if b.label == label]
    return button.click().run()


def recipe_of(at: AppTest) -> Recipe:
    """Return the recipe a session shows."""
    return at.session_state["history"].present


def texts(at: AppTest) -> str:
    """Return all that is written on the page, in one piece."""
    return "\n".join(str(e.value) for e in (*at.markdown, *at.caption, *at.subheader, *at.code))


def _panel(at: AppTest):
    (panel,) = [e for e in at.main if getattr(e, "key", None) == "live_panel"]
    return panel


def _run_with(at: AppTest, *changed: WidgetState) -> AppTest:
    # AppTest has no words for components and edited tables; this is how its own widgets speak.
    states = at._tree.get_widget_states()
    states.widgets.extend(changed)
    return at._run(states)
