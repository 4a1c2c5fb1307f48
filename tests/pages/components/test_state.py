"""What a session remembers: history, links, notices, what was added here."""

from dataclasses import replace

import pytest

from optim.errors import ConfigError
from optim.recipe import Recipe
from optim.techniques.prune_weights import PruneWeights
from pages.components import state
from pages.components.state import History
from tests.pages.helpers import open_app, panel_data, recipe_of, small_recipe, tell


def numbered(n):
    return Recipe("m", "d", seed=n)


# --- history ------------------------------------------------------------------------------------


def test_a_commit_is_remembered_and_clears_what_was_undone():
    history = History((), numbered(0)).committed(numbered(1)).undone().committed(numbered(2))
    assert history == History((numbered(0),), numbered(2))


def test_the_same_recipe_twice_is_one_entry():
    history = History((numbered(0),), numbered(1), (numbered(2),))
    assert history.committed(numbered(1)) is history


def test_undo_and_redo_are_inverse():
    history = History((numbered(0), numbered(1)), numbered(2), (numbered(3),))
    assert history.undone().redone() == history
    assert history.redone().undone() == history


def test_undo_goes_back_in_the_order_of_commits():
    history = History((), numbered(0))
    for n in (1, 2, 3):
        history = history.committed(numbered(n))
    back = [history.undone(), history.undone().undone()]
    assert [h.present.seed for h in back] == [2, 1]
    assert [r.seed for r in back[-1].future] == [2, 3]


def test_at_either_end_nothing_happens():
    history = History((), numbered(0))
    assert history.undone() is history
    assert history.redone() is history


def test_a_history_has_a_limit_and_keeps_the_newest():
    history = History((), numbered(0))
    for n in range(1, 150):
        history = history.committed(numbered(n))
    assert len(history.past) == 100
    assert history.past[-1] == numbered(148)


def test_editing_leaves_an_older_history_as_it_was():
    history = History((), numbered(0))
    history.committed(numbered(1))
    assert history == History((), numbered(0))


# --- other recipes ------------------------------------------------------------------------------


def test_another_model_keeps_the_steps_and_loses_settings_of_single_layers():
    recipe = small_recipe().with_fields("quantize", layers={"conv1": 4}, weight_bits=5)
    other = state.with_model(recipe, "other", "wine")
    assert (other.model, other.data) == ("other", "wine")
    assert other.entry("quantize").step.layers == {}
    assert other.entry("quantize").step.weight_bits == 5
    assert [e.id for e in other.entries] == [e.id for e in recipe.entries]


def test_steps_of_a_panel_are_checked():
    recipe = small_recipe()
    steps = [{"prune_weights": {"sparsity": 0.7}}]
    found = state.with_steps(recipe, steps)
    assert found == replace(
        recipe, entries=Recipe("m", "d").with_step(PruneWeights(sparsity=0.7)).entries
    )
    with pytest.raises(ConfigError, match="sparsity"):
        state.with_steps(recipe, [{"prune_weights": {"sparsity": 7}}])


def test_another_seed_changes_nothing_else():
    recipe = small_recipe()
    assert state.with_seed(recipe, 7) == replace(recipe, seed=7)


# --- a session ----------------------------------------------------------------------------------


def test_two_sessions_share_nothing():
    first, second = open_app(small_recipe()), open_app(small_recipe())
    tell(first, "command", name="preset", value="gentle")
    second.run()
    assert recipe_of(second) == small_recipe()
    assert recipe_of(first) != recipe_of(second)


def test_a_session_holds_no_model_and_no_samples():
    at = open_app(small_recipe())
    tell(at, "command", name="preset", value="gentle")
    kept = {type(value).__module__.split(".")[0] for value in at.session_state.values()}
    assert kept <= {"builtins", "pages", "optim", "streamlit"}


def test_what_was_added_here_is_seen_here_only(page_home):
    from optim.library import add_model

    name = add_model(page_home / "small.safetensors", data="digits", title="Hidden", listed=False)
    stranger, owner = open_app(small_recipe()), open_app(small_recipe(model=name))
    assert not any("Hidden" in o for o in stranger.sidebar.selectbox(key="model_picker").options)
    assert any("Hidden" in o for o in owner.sidebar.selectbox(key="model_picker").options)


def test_latency_is_that_of_one_sample_on_one_thread_unless_set():
    at = open_app(small_recipe())
    assert panel_data(at)["latency"] == {"batch_size": 1, "threads": 1}
