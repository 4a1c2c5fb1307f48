"""Short names of what is compared, fronts, snapshots, and what came from what."""

from dataclasses import replace

import pytest

from optim.belongings.found import belongings, owners
from optim.belongings.removal import remove_all
from optim.errors import ConfigError
from optim.runs import snapshots as saved
from optim.runs.contenders import best_within, contender_of, original_of, with_front
from optim.runs.provenance import descent_of
from optim.runs.snapshots import get_snapshot, remove_snapshot, save_snapshot, snapshots
from optim.runs.store import RunStore
from optim.search.candidate import Candidate
from optim.search.found import candidate_row
from optim.search.goals import Goals
from tests.pages.helpers import small_recipe
from tests.pages.worked import Worked


@pytest.fixture
def worked(own_home, monkeypatch):
    monkeypatch.delenv("OPTIM_STORE", raising=False)
    store = RunStore.open()
    yield Worked(store)
    store.database.close()


def entry(size, quality, metric="accuracy"):
    return {
        "metric": metric,
        "figures": {"file": {"value": size}, "quality": {"value": quality}, "macs": None},
    }


FOUND = {"entries": [entry(100, 0.9), entry(50, 0.89), entry(60, 0.8), entry(20, 0.5)]}


def test_the_front_leaves_out_what_another_beats_and_names_the_knee():
    entries = with_front(FOUND)["entries"]
    assert [e["is_front"] for e in entries] == [True, True, False, True]
    assert [e["is_knee"] for e in entries] == [False, True, False, False]
    assert not any(e["is_front"] for e in with_front(FOUND, "macs")["entries"])


def test_the_best_within_a_budget_is_the_most_accurate_that_fits():
    assert [best_within(FOUND["entries"], "file", most) for most in (200, 60, 30, 5)] == [
        0,
        1,
        3,
        None,
    ]


def test_a_run_brings_recipe_and_stored_figures(worked):
    run = worked.finished("half")
    found = contender_of(run.id, worked.store.get)
    assert (found.title, found.kind, found.run) == ("half", "run", run.id)
    assert found.card == run.result["result"]
    assert found.recipe == run.recipe
    assert original_of(found).recipe.entries == ()


def test_a_search_brings_the_recipe_that_it_takes(worked):
    row = candidate_row(Candidate({}, {}, {}, "measured", "", number=4), Goals(), "")
    taken = {
        "schema": "optim.search/1",
        "candidates": [{**row, "recipe": small_recipe().to_json()}],
    }
    run = replace(worked.finished("half"), title="Search", result={**taken, "chosen": 4})
    found = contender_of(run.id, lambda _: run)
    assert found.recipe == small_recipe()
    assert "what it takes" in found.title


def test_presets_models_links_and_snapshots_have_short_names(own_home):
    snapshot = save_snapshot("Mine", small_recipe(), "me")
    for ref, kind in (
        ("preset:tiny@clutter-resnet8", "preset"),
        ("model:clutter-resnet8", "model"),
        (f"recipe:{small_recipe().to_link()}", "recipe"),
        (f"snapshot:{snapshot.id}", "snapshot"),
    ):
        assert contender_of(ref, None).kind == kind
    assert contender_of(f"snapshot:{snapshot.id}", None).recipe == small_recipe()


@pytest.mark.parametrize(
    "ref",
    ["preset:nosuch@clutter-resnet8", "preset:tiny", "model:nosuch", "snapshot:../x", "what:ever"],
)
def test_names_of_nothing_are_refused_in_a_sentence(own_home, ref):
    with pytest.raises(ConfigError) as refused:
        contender_of(ref, None)
    assert refused.value.hint


def test_a_run_without_one_model_is_refused(worked):
    run = worked.store.submit("alternatives", {"data": "wine"}, title="Ways")
    with pytest.raises(ConfigError, match="no single model"):
        contender_of(run.id, worked.store.get)


def test_what_came_from_what_is_told_from_the_model_on(worked):
    first = worked.finished("first")
    recipe = first.spec
    second = worked.store.submit("recipe", dict(recipe), title="second", parents=[first.id])
    contenders = [contender_of(second.id, worked.store.get)]
    nodes = {node.title: node for node in descent_of(contenders, worked.store.get)}
    assert nodes["second"].parents == (first.id,)
    assert nodes["first"].parents == ("model:small-resnet",)
    assert [nodes[name].depth for name in ("small-resnet", "first", "second")] == [0, 1, 2]
    hidden = descent_of(contenders, worked.store.get, lambda run: False)
    assert [node.title for node in hidden] == ["small-resnet", "second"]


def test_snapshots_are_of_their_owner_and_leave_with_them(worked, monkeypatch):
    mine, other = (
        save_snapshot("A", small_recipe(), "me"),
        save_snapshot("B", small_recipe(), "you"),
    )
    assert [one.title for one in snapshots("me")] == ["A"]
    assert get_snapshot(mine.id) == mine
    assert "me" in owners(worked.store)
    assert not belongings("me", worked.store).is_empty
    assert remove_all("me", worked.store).snapshots == 1
    assert [one.id for one in snapshots()] == [other.id]
    remove_snapshot(other.id)
    assert snapshots() == []
    monkeypatch.setattr(saved, "MOST_SNAPSHOTS", 1)
    save_snapshot("A", small_recipe(), "me")
    with pytest.raises(ConfigError, match="which is the most"):
        save_snapshot("B", small_recipe(), "me")
    with pytest.raises(ConfigError, match="title must have"):
        save_snapshot("  ", small_recipe(), "you")
