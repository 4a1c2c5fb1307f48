"""Rooms: people join and come back, entries are measured, and the board follows from results."""

import csv
import io
from dataclasses import replace

import pytest

from optim.challenges.challenge import SCHEMA, Challenge
from optim.errors import AccessError, ConfigError
from optim.presets import preset_recipe
from optim.quantity import Quantity
from optim.runs.lease import Lease
from optim.runs.queue import Queue
from optim.runs.run import State
from optim.runs.store import RunStore
from optim.search.goals import Limit
from optim.workshop.board import board, csv_of
from optim.workshop.network import addresses, is_answered, qr_png, qr_text
from optim.workshop.room import checked_nickname, new_code
from optim.workshop.rooms import Rooms, instructor_key

CHALLENGE = Challenge(
    "small", "Small", "digits-mlp", "digits", "error", (Limit("bytes", 50_000.0),)
)
RECIPE = preset_recipe("gentle", "digits-mlp", "digits")


@pytest.fixture
def rooms(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTIM_HOME", str(tmp_path))
    store = RunStore.open(f"sqlite:///{tmp_path / 'runs.db'}")
    yield Rooms(store)
    store.database.close()


@pytest.fixture
def room(rooms):
    return rooms.open("Tuesday", [CHALLENGE])


def finish(rooms, run, *, error=5.0, size=40_000):
    """Do what a worker does with an entry."""
    store = rooms.store
    (active,) = [a for a in Queue(store).active() if a.id == run.id]
    fence = Queue(store).take(active, "host:here:1:1")
    figures = {"error": Quantity.exact(error, "points"), "bytes": Quantity.exact(size, "bytes")}
    result = {
        "schema": SCHEMA,
        "figures": {name: figure.to_json() for name, figure in figures.items()},
        "accuracy": Quantity.exact(1 - error / 100, "fraction").to_json(),
    }
    Lease(store, run.id, fence).finish(result, [])


def play(rooms, room, name, *results):
    who, _ = rooms.join(room.code, name, f"guest-{name}")
    for error, size in results:
        run = rooms.enter(who, "small", RECIPE, f"guest-{name}")
        finish(rooms, run, error=error, size=size)
    return who


def standings(rooms, room):
    return board(CHALLENGE, rooms.participants(room.code), rooms.entries(room.code))


# --- rooms and people ---------------------------------------------------------------------------


def test_a_room_is_found_again_by_its_code_in_any_case(rooms, room):
    assert rooms.get(room.code.lower()) == room
    assert rooms.open("Other", code=room.code) == room, "a room that is there is not made anew"
    with pytest.raises(ConfigError, match="no room 'NOPE'"):
        rooms.get("NOPE")
    with pytest.raises(ConfigError, match="4 to 16"):
        rooms.open(code="a b")


def test_a_new_room_has_challenges_on_the_model_that_ships(rooms):
    names = [challenge.name for challenge in rooms.open().challenges]
    assert names == ["fit-50-kb", "two-points", "quick-answer"]


def test_nickname_and_code_bring_somebody_back_elsewhere(rooms, room):
    who, own = rooms.join(room.code, "  Ada   L. ", "guest-a")
    assert who.nickname == "Ada L."
    assert rooms.known(room.code, "guest-a") == who
    assert rooms.come_back(room.code, "ada l.", own.lower(), "guest-b") == who
    assert rooms.known(room.code, "guest-b") == who
    assert rooms.known(room.code, "guest-a") is None
    with pytest.raises(AccessError, match="do not belong together"):
        rooms.come_back(room.code, "ada l.", "XXXX", "guest-c")
    fresh = rooms.renew(room.code, who.key)
    with pytest.raises(AccessError):
        rooms.come_back(room.code, "ada l.", own, "guest-c")
    assert rooms.come_back(room.code, "Ada L.", fresh, "guest-c") == who


def test_a_nickname_is_taken_once(rooms, room):
    rooms.join(room.code, "Ada", "guest-a")
    with pytest.raises(ConfigError, match="is taken"):
        rooms.join(room.code, "ADA", "guest-b")
    rooms.join(rooms.open("Other", [CHALLENGE]).code, "ada", "guest-b")


@pytest.mark.parametrize("text", ["", "a", "x" * 25, "<b>bold</b>", "a\x00b"])
def test_illegal_nicknames_are_refused(text):
    with pytest.raises(ConfigError, match="nickname must be"):
        checked_nickname(text)


def test_codes_are_read_aloud_easily():
    assert not set("0O1IL") & set("".join(new_code() for _ in range(200)))


def test_only_a_hash_of_a_code_is_kept(rooms, room):
    _, own = rooms.join(room.code, "Ada", "guest-a")
    table = rooms.store.tables.participants
    row = rooms.store.database.read(lambda c: c.execute(table.select()).one())
    assert own not in row.secret
    assert len(row.secret) == 32


def test_the_instructors_key_is_told_by_this_server_alone(rooms, room):
    assert instructor_key(room.code) == instructor_key(room.code)
    assert instructor_key(room.code) != instructor_key("OTHER1")


# --- entries ------------------------------------------------------------------------------------


def test_an_entry_counts_once_it_was_measured(rooms, room):
    who, _ = rooms.join(room.code, "Ada", "guest-a")
    run = rooms.enter(who, "small", RECIPE, "guest-a")
    assert standings(rooms, room) == []
    assert rooms.place(run.id) == (1, 1)
    with pytest.raises(ConfigError, match="still being measured"):
        rooms.enter(who, "small", RECIPE, "guest-a")
    finish(rooms, run)
    (line,) = standings(rooms, room)
    assert (line.rank, line.nickname, line.entries) == (1, "Ada", 1)
    assert rooms.place(run.id) == (0, 0)
    rooms.enter(who, "small", RECIPE, "guest-a")


def test_a_result_of_another_kind_of_run_does_not_count(rooms, room):
    who, _ = rooms.join(room.code, "Ada", "guest-a")
    run = rooms.store.submit("recipe", {"recipe": RECIPE.to_json()})
    table = rooms.store.tables.submissions
    row = {"run_id": run.id, "room": room.code, "key": who.key, "challenge": "small", "at": 0.0}
    rooms.store.database.write(lambda c: c.execute(table.insert().values(row)))
    finish(rooms, run)
    assert standings(rooms, room) == []


def test_the_queue_tells_ones_place(rooms, room):
    runs = []
    for name in ("Ada", "Bob", "Cem"):
        who, _ = rooms.join(room.code, name, name)
        runs.append(rooms.enter(who, "small", RECIPE, name))
    assert [rooms.place(run.id) for run in runs] == [(1, 3), (2, 3), (3, 3)]
    rooms.store.cancel(runs[0].id)
    assert rooms.place(runs[2].id) == (2, 2)


def enter_after(rooms, monkeypatch, before):
    """Let something happen once, just as an entry is about to be written."""
    given = rooms.store.submit

    def submit(*args, **options):
        monkeypatch.setattr(rooms.store, "submit", given)
        before()
        return given(*args, **options)

    monkeypatch.setattr(rooms.store, "submit", submit)


def test_of_two_entries_at_once_one_is_taken(rooms, room, monkeypatch):
    who, _ = rooms.join(room.code, "Ada", "guest-a")
    enter_after(rooms, monkeypatch, lambda: rooms.enter(who, "small", RECIPE, "guest-a"))
    with pytest.raises(ConfigError, match="still being measured"):
        rooms.enter(who, "small", RECIPE, "guest-a")
    assert len(rooms.entries(room.code)) == len(rooms.store.runs()) == 1


def test_a_room_that_freezes_at_that_moment_takes_nothing(rooms, room, monkeypatch):
    who, _ = rooms.join(room.code, "Ada", "guest-a")
    enter_after(rooms, monkeypatch, lambda: rooms.freeze(room.code))
    with pytest.raises(ConfigError, match="frozen"):
        rooms.enter(who, "small", RECIPE, "guest-a")
    assert rooms.store.runs() == []


def test_a_frozen_room_takes_nothing_and_still_measures_what_waits(rooms, room):
    who, _ = rooms.join(room.code, "Ada", "guest-a")
    run = rooms.enter(who, "small", RECIPE, "guest-a")
    rooms.freeze(room.code)
    assert rooms.get(room.code).is_frozen
    finish(rooms, run)
    assert len(standings(rooms, room)) == 1
    with pytest.raises(ConfigError, match="frozen"):
        rooms.enter(who, "small", RECIPE, "guest-a")
    rooms.thaw(room.code)
    assert rooms.enter(who, "small", RECIPE, "guest-a").state is State.QUEUED


def test_recipes_about_something_else_and_unknown_challenges_are_refused(rooms, room):
    who, _ = rooms.join(room.code, "Ada", "guest-a")
    with pytest.raises(ConfigError, match="about model"):
        rooms.enter(who, "small", preset_recipe("gentle", "wine-mlp", "wine"), "guest-a")
    with pytest.raises(ConfigError, match="challenge must be one of small"):
        rooms.enter(who, "huge", RECIPE, "guest-a")
    assert rooms.entries(room.code) == []


# --- the board ----------------------------------------------------------------------------------


def test_the_best_entry_of_each_counts_and_limits_come_first(rooms, room):
    play(rooms, room, "Ada", (9.0, 40_000), (4.0, 45_000))
    play(rooms, room, "Bob", (1.0, 60_000))
    play(rooms, room, "Cem", (3.0, 50_000), (5.0, 10_000))
    lines = standings(rooms, room)
    assert [(line.rank, line.nickname) for line in lines] == [(1, "Cem"), (2, "Ada"), (None, "Bob")]
    assert lines[1].entries == 2
    assert "10.0 kB too much" in lines[2].misses[0]


def test_of_equals_the_earlier_leads(rooms, room):
    play(rooms, room, "Ada", (4.0, 40_000))
    play(rooms, room, "Bob", (4.0, 40_000))
    assert [line.nickname for line in standings(rooms, room)] == ["Ada", "Bob"]


def test_results_are_exported_as_csv(rooms, room):
    play(rooms, room, "Ada", (4.0, 40_000))
    text = csv_of(room, rooms.participants(room.code), rooms.entries(room.code))
    head, row = list(csv.reader(io.StringIO(text)))
    found = dict(zip(head, row, strict=True))
    assert (found["rank"], found["nickname"], found["challenge"]) == ("1", "Ada", "small")
    assert float(found["accuracy"]) == pytest.approx(0.96)
    assert float(found["bytes (bytes)"]) == 40_000


def test_an_entry_whose_run_was_removed_no_longer_counts(rooms, room):
    play(rooms, room, "Ada", (4.0, 40_000))
    ((entry, _),) = rooms.entries(room.code)
    rooms.store.delete(entry.run_id)
    assert standings(rooms, room) == []


def test_entries_to_a_removed_challenge_do_not_rank_in_another_of_its_name(rooms, room):
    play(rooms, room, "Ada", (4.0, 40_000))
    harder = replace(CHALLENGE, limits=(Limit("bytes", 45_000.0),))
    rooms.set_challenges(room.code, [harder])
    people, entries = rooms.participants(room.code), rooms.entries(room.code)
    assert board(harder, people, entries) == []
    assert len(board(CHALLENGE, people, entries)) == 1, "the same again counts them again"


# --- the network --------------------------------------------------------------------------------


def test_addresses_are_those_of_this_machine_without_loopback():
    assert all(not address.startswith("127.") for address in addresses())


def test_nobody_answers_at_a_closed_port():
    assert not is_answered("http://127.0.0.1:9", wait_s=0.2)


def test_an_address_becomes_a_picture():
    assert qr_png("http://192.168.0.7:8501/workshop").startswith(b"\x89PNG")
    assert "\n" in qr_text("http://192.168.0.7:8501/workshop")
