"""Deleting one's data takes all of it and nothing of others; the sweep takes what is unused."""

import json
import os
import time

import pytest

from optim.access.audit import entries
from optim.belongings.found import belongings, files_of, mark_used, owners
from optim.belongings.removal import Removed, remove_all, sweep
from optim.devices.own import keep_probe
from optim.errors import ConfigError
from optim.export.downloads import find_export
from optim.models.cards import model_cards
from optim.runs.run import State
from optim.storage import ASSETS, cache_home, card_file, store_home
from optim.stored import stored_file, students_home
from tests.optim.devices.test_calibration import made

DAY_S = 24 * 3600


@pytest.fixture
def two(give):
    """What ann and bob have; of a file, a student and a content both have the same."""
    for who in ("ann", "bob"):
        give.model(f"my-{who}", who)
        give.data(f"my-{who}", who)
        give.run(who, student="both")
    give.run("ann", student="hers")
    give.run("")
    return {who: give.export(who) for who in ("ann", "bob")}


def test_everything_somebody_has_is_found(two, store):
    ann = belongings("ann", store)
    assert [card.name for card in ann.models] == [card.name for card in ann.data] == ["my-ann"]
    assert (ann.uploads, len(ann.runs), len(ann.exports)) == (2, 2, 1)
    assert 200 < ann.upload_bytes < 1000
    assert owners(store) == ["ann", "bob"]
    assert belongings("eve", store).is_empty


@pytest.mark.parametrize("who", ["", "../models", "ann/.."])
def test_what_is_no_owners_id_has_nothing_and_loses_nothing(who, two, store):
    for ask in (belongings, remove_all):
        with pytest.raises(ConfigError, match=r"must (be the id|consist of)"):
            ask(who, store)
    assert owners(store) == ["ann", "bob"]


def test_what_ships_is_nobodys_upload():
    shipped = [card for card in model_cards().values() if card.weights.is_relative_to(ASSETS)]
    assert shipped
    assert not any(path.is_relative_to(ASSETS) for card in shipped for path in files_of(card))


def test_all_of_one_owner_goes_and_nothing_of_another(two, store):
    removed = remove_all("ann", store)
    counts = (removed.models, removed.data, removed.runs, removed.exports, removed.students)
    assert counts == (1, 1, 2, 1, 1)
    assert removed.bytes > 300
    assert belongings("ann", store).is_empty
    assert owners(store) == ["bob"]
    bob = belongings("bob", store)
    assert (bob.uploads, len(bob.runs), len(bob.exports)) == (2, 1, 1)
    assert all(file.path.exists() for file in store.artefacts(bob.runs[0].id))
    assert find_export(two["ann"], "model.onnx") is None
    assert find_export(two["bob"], "model.onnx") is not None
    assert stored_file("hers") is None
    assert stored_file("both") is not None
    left = [path.name for path in (store_home() / "models").iterdir()]
    assert not any("ann" in name for name in left)
    # Decoded data are nobody's: those of all uploads go, and are made again.
    assert not (cache_home() / "data" / "decoded-my-ann").exists()


def test_no_file_of_a_removed_run_stays(give, store):
    run = give.run("ann", content=b"hers alone")
    files = [file.path for file in store.artefacts(run.id)]
    store.kept.write(f"checkpoints/{run.id}/step/state", b"state")
    assert all(path.exists() for path in files)
    remove_all("ann", store)
    assert not any(path.exists() for path in files)
    assert store.kept.names("checkpoints") == []
    with pytest.raises(ConfigError):
        store.get(run.id)


def test_a_run_in_the_bin_and_one_that_waits_go_as_well(give, store):
    store.delete(give.run("ann").id)
    give.waiting("ann")
    assert remove_all("ann", store).runs == 2
    assert not store.has_active()


def test_what_was_removed_is_said_and_logged(two, store):
    removed = remove_all("ann", store, by="operator")
    text = str(removed)
    assert text.startswith("1 model, 1 data set, 2 runs, 1 exported file, 1 trained result; ")
    assert str(Removed()) == "nothing; 0 B"
    (entry,) = [entry for entry in entries() if entry["what"] == "deleted"]
    assert (entry["who"], entry["of"], entry["bytes"]) == ("operator", "ann", removed.bytes)


def test_removing_twice_removes_nothing_more(two, store):
    remove_all("ann", store)
    assert remove_all("ann", store) == Removed()


# --- the sweep ----------------------------------------------------------------------------------


def age(days, *paths):
    at = time.time() - days * DAY_S
    for path in paths:
        os.utime(path, (at, at))


def test_without_a_period_everything_stays(two, store):
    assert sweep(store, 0, now=time.time() + 10_000 * DAY_S) == Removed()
    assert owners(store) == ["ann", "bob"]


def test_what_nobody_used_for_long_goes_and_the_rest_stays(give, store):
    give.model("my-old", "ann")
    give.model("my-used", "ann")
    for name in ("my-old", "my-used"):
        card = card_file("models", name)
        age(40, card, card.with_suffix(".safetensors"))
    mark_used("models", "my-used")
    assert sweep(store, 30).models == 1
    assert [card.name for card in belongings("ann", store).models] == ["my-used"]


def test_data_stay_as_long_as_a_model_that_belongs_to_them(give, store):
    give.data("my-data", "ann")
    give.data("my-other", "ann")
    for name in ("my-data", "my-other"):
        age(40, card_file("data", name), card_file("data", name).with_suffix(".zip"))
    give.model("my-model", "bob", data="my-data")
    assert sweep(store, 30).data == 1
    assert [card.name for card in belongings("ann", store).data] == ["my-data"]


def test_what_came_by_the_command_line_stays_however_old_it_is(give, store):
    give.model("mine", "")
    give.run("")
    later = time.time() + 400 * DAY_S
    removed = sweep(store, 30, now=later)
    assert (removed.models, removed.runs) == (0, 0)
    assert card_file("models", "mine").exists()
    assert len(store.runs()) == 1


def test_old_runs_files_results_and_caches_go_but_nothing_that_runs(give, store):
    give.run("ann", student="old")
    give.export("ann")
    give.data("my-data", "ann")
    waiting = give.waiting("ann")
    removed = sweep(store, 30, now=time.time() + 31 * DAY_S)
    counts = (removed.runs, removed.exports, removed.students, removed.data)
    assert counts == (1, 1, 1, 1)
    assert [run.id for run in store.runs()] == [waiting.id]
    assert store.get(waiting.id).state is State.QUEUED
    assert not list(students_home().iterdir())
    assert not list((cache_home() / "data").iterdir())


def test_uploads_that_a_killed_server_was_opening_go_always(store):
    home = cache_home() / "intake"
    for name in ("old", "young"):
        (home / name).mkdir(parents=True)
        (home / name / "file.onnx").write_bytes(b"upload")
    age(1, home / "old")
    sweep(store, 0)
    assert [path.name for path in home.iterdir()] == ["young"]


def test_probed_devices_are_belongings_like_others(store):
    path = keep_probe(json.dumps(made()).encode(), "ann").id
    keep_probe(json.dumps(made()).encode(), "bob")
    assert [file.stem for file in belongings("ann", store).devices] == [path]
    assert owners(store) == ["ann", "bob"]
    assert "1 device" in str(remove_all("ann", store))
    assert belongings("ann", store).is_empty
    assert len(belongings("bob", store).devices) == 1
    os.utime(belongings("bob", store).devices[0], (0, 0))
    assert sweep(store, 1).devices == 1
