"""Rooms in the store of runs: opened, joined, entered, frozen.

Whoever joins is given a code of their own; nickname and code bring them back in another browser.
Of the code only a hash made with the server's secret is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optim.access.names import capability
from optim.challenges.challenge import Challenge, first_challenges
from optim.errors import AccessError, ConfigError
from optim.recipe import Recipe
from optim.runs.jobs.submission import KIND
from optim.runs.queue import Queue
from optim.runs.run import ACTIVE, Run
from optim.runs.store import RunStore
from optim.workshop.room import Entry, Participant, Room, checked_nickname, new_code

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

__all__ = ["MOST_PARTICIPANTS", "Rooms", "instructor_key"]

MOST_PARTICIPANTS = 200
_WAITING = 1
"""Entries of one participant that may wait or be measured at a time."""


def instructor_key(code: str) -> str:
    """Return the key of who leads a room: known at the server's console, and to who was told."""
    return capability("instructor", code)[:10]


class Rooms:
    """The rooms of a store.

    Args:
        store: Where runs are.
    """

    def __init__(self, store: RunStore) -> None:
        self.store = store

    # --- rooms ------------------------------------------------------------------------------

    def open(
        self, title: str = "Workshop", challenges: Sequence[Challenge] = (), code: str = ""
    ) -> Room:
        """Make a room, or return the one that is there under a code.

        Args:
            title: For a reader.
            challenges: What is played for; those of the model that ships if empty.
            code: Of the room; a new one if empty.
        """
        code = code.upper() or new_code()
        if not code.isascii() or not code.isalnum() or not 4 <= len(code) <= 16:
            raise ConfigError(
                f"code must be 4 to 16 letters and digits: got {code!r}.", field="code"
            )
        rooms = self.store.tables.rooms
        row = {
            "code": code,
            "title": title.strip() or "Workshop",
            "challenges": [c.to_json() for c in challenges or first_challenges()],
            "created_at": self.store.clock(),
        }

        def write(connection: Connection) -> None:
            if connection.execute(rooms.select().where(rooms.c.code == code)).first() is None:
                connection.execute(rooms.insert().values(row))

        self.store.database.write(write)
        return self.get(code)

    def get(self, code: str) -> Room:
        """Return a room.

        Raises:
            ConfigError: If there is none with this code.
        """
        rooms = self.store.tables.rooms
        chosen = rooms.select().where(rooms.c.code == code.strip().upper())
        row = self.store.database.read(lambda connection: connection.execute(chosen).first())
        if row is None:
            raise ConfigError(
                f"There is no room {code!r}.", hint="Look at the code again.", field="code"
            )
        challenges = tuple(Challenge.from_json(data) for data in row.challenges)
        return Room(row.code, row.title, challenges, row.created_at, row.frozen_at)

    def set_challenges(self, code: str, challenges: Sequence[Challenge]) -> None:
        """Replace what is played for.

        Raises:
            ConfigError: If two have one name, or there is none.
        """
        names = [challenge.name for challenge in challenges]
        if not names or len(set(names)) < len(names):
            raise ConfigError(
                f"Challenges need names of their own: got {', '.join(names) or 'none'}.",
                field="challenges",
            )
        self._set(code, challenges=[challenge.to_json() for challenge in challenges])

    def freeze(self, code: str) -> None:
        """Let nothing be entered from now on; what was entered before is still measured."""
        self._set(code, frozen_at=self.store.clock())

    def thaw(self, code: str) -> None:
        """Let things be entered again."""
        self._set(code, frozen_at=None)

    # --- people -----------------------------------------------------------------------------

    def join(self, code: str, nickname: str, owner: str) -> tuple[Participant, str]:
        """Take a nickname in a room.

        Args:
            code: Of the room.
            nickname: What others will see.
            owner: Id of the user or guest who joins.

        Returns:
            The participant, and the code that brings them back.

        Raises:
            ConfigError: If there is no such room, or the nickname is taken or no legal one.
        """
        room, nickname = self.get(code), checked_nickname(nickname)
        if len(self.participants(room.code)) >= MOST_PARTICIPANTS:
            raise ConfigError(f"The room is full: {MOST_PARTICIPANTS} people are in it.")
        own, key = new_code(5), nickname.casefold()[:40]
        table, now = self.store.tables.participants, self.store.clock()
        row = {
            "room": room.code,
            "key": key,
            "nickname": nickname,
            "secret": self._secret(room.code, key, own),
            "owner": owner,
            "joined_at": now,
        }
        there = table.select().where(table.c.room == room.code, table.c.key == key)

        def write(connection: Connection) -> bool:
            found = connection.execute(there).first()
            if found is not None:
                return found.secret == row["secret"]  # a lost connection had written it
            self._leave(connection, room.code, owner)
            connection.execute(table.insert().values(row))
            return True

        if not self.store.database.write(write):
            raise ConfigError(
                f"The nickname {nickname!r} is taken.",
                hint="Choose another one, or come back with your own code.",
                field="nickname",
            )
        return Participant(room.code, key, nickname, now), own

    def come_back(self, code: str, nickname: str, own: str, owner: str) -> Participant:
        """Go on under a nickname, in this browser or another.

        Raises:
            AccessError: If nickname and code do not belong together.
        """
        room, key = self.get(code), " ".join(nickname.split()).casefold()[:40]
        table = self.store.tables.participants
        mine = table.c.room == room.code, table.c.key == key
        secret = self._secret(room.code, key, own.strip().upper())

        def write(connection: Connection) -> Row[Any] | None:
            found = connection.execute(table.select().where(*mine)).first()
            if found is None or found.secret != secret:
                return None
            self._leave(connection, room.code, owner)
            connection.execute(table.update().where(*mine).values(owner=owner))
            return found

        row = self.store.database.write(write)
        if row is None:
            raise AccessError(
                "Nickname and code do not belong together.",
                hint="The code was shown when you joined; whoever leads the room can give you a "
                "new one.",
            )
        return _participant(row)

    def renew(self, code: str, key: str) -> str:
        """Give a participant a new code, for who lost theirs; return it."""
        room, own, table = self.get(code), new_code(5), self.store.tables.participants
        change = table.update().where(table.c.room == room.code, table.c.key == key)
        secret = self._secret(room.code, key, own)
        self.store.database.write(lambda c: c.execute(change.values(secret=secret)))
        return own

    def known(self, code: str, owner: str) -> Participant | None:
        """Return who a user or guest is in a room; None if they have not joined."""
        table = self.store.tables.participants
        chosen = table.select().where(table.c.room == code, table.c.owner == owner)
        row = self.store.database.read(lambda connection: connection.execute(chosen).first())
        return None if row is None else _participant(row)

    def participants(self, code: str) -> list[Participant]:
        """Return everybody in a room, in the order in which they joined."""
        table = self.store.tables.participants
        chosen = table.select().where(table.c.room == code).order_by(table.c.joined_at)
        rows = self.store.database.read(lambda connection: connection.execute(chosen).all())
        return [_participant(row) for row in rows]

    # --- entries ----------------------------------------------------------------------------

    def enter(self, who: Participant, challenge_name: str, recipe: Recipe, owner: str) -> Run:
        """Enter a recipe: it is queued to be measured, and nothing else counts.

        Args:
            who: Who enters it.
            challenge_name: What for.
            recipe: What is entered.
            owner: Id of the user or guest, whose run it will be.

        Raises:
            ConfigError: If the room is frozen, the recipe is about something else, or another
                entry of theirs is still being measured.
        """
        room = self.get(who.room)
        challenge = room.challenge(challenge_name)
        challenge.check(recipe)
        row = {"room": room.code, "key": who.key, "challenge": challenge.name}

        def write(connection: Connection, run: Run) -> None:
            self._check_may_enter(connection, who)
            table = self.store.tables.submissions
            connection.execute(table.insert().values(**row, run_id=run.id, at=run.created_at))

        return self.store.submit(
            KIND,
            {"recipe": recipe.to_json(), "challenge": challenge.to_json()},
            title=f"{who.nickname}: {challenge.title}",
            budget_s=challenge.budget_s,
            owner=owner,
            beside=write,
        )

    def entries(self, code: str, key: str = "") -> list[tuple[Entry, Run]]:
        """Return what was entered in a room with its runs, newest first.

        Args:
            code: Of the room.
            key: Only those of this participant; all if empty.
        """
        table = self.store.tables.submissions
        chosen = table.select().where(table.c.room == code).order_by(table.c.at.desc())
        if key:
            chosen = chosen.where(table.c.key == key)
        rows = self.store.database.read(lambda connection: connection.execute(chosen).all())
        if not rows:
            return []
        runs = {run.id: run for run in self.store.runs() if run.kind == KIND}
        return [
            (Entry(row.run_id, row.key, row.challenge, row.at), runs[row.run_id])
            for row in rows
            if row.run_id in runs
        ]

    def place(self, run_id: str) -> tuple[int, int]:
        """Return which of how many a run is in the queue, from 1; ``(0, n)`` if it is not in it."""
        waiting = [run.id for run in Queue(self.store).active()]
        return (waiting.index(run_id) + 1 if run_id in waiting else 0), len(waiting)

    # --- inside -----------------------------------------------------------------------------

    def _set(self, code: str, **values: Any) -> None:
        room, rooms = self.get(code), self.store.tables.rooms
        change = rooms.update().where(rooms.c.code == room.code).values(**values)
        self.store.database.write(lambda connection: connection.execute(change))

    def _check_may_enter(self, connection: Connection, who: Participant) -> None:
        """Refuse an entry, within the transaction that writes it: two at once are one too many.

        Raises:
            ConfigError: If the room is frozen, or another entry of theirs is still being measured.
        """
        rooms, people = self.store.tables.rooms, self.store.tables.participants
        entered, runs = self.store.tables.submissions, self.store.tables.runs
        # Two at once change one row, so that any database lets one wait for the other.
        mine = people.update().where(people.c.room == who.room, people.c.key == who.key)
        connection.execute(mine.values(nickname=who.nickname))
        room = connection.execute(rooms.select().where(rooms.c.code == who.room)).one()
        if room.frozen_at is not None:
            raise ConfigError("The room is frozen: nothing can be entered any more.")
        active = runs.c.state.in_([str(state) for state in ACTIVE])
        pairs = entered.join(runs, runs.c.id == entered.c.run_id).select()
        own = pairs.where(entered.c.room == who.room, entered.c.key == who.key, active)
        if len(connection.execute(own).all()) >= _WAITING:
            raise ConfigError(
                "Your last entry is still being measured.",
                hint="Wait for it, or cancel it, before you enter another.",
            )

    def _leave(self, connection: Connection, code: str, owner: str) -> None:
        """Let a browser be nobody in a room, so that it can be somebody else."""
        table = self.store.tables.participants
        mine = table.update().where(table.c.room == code, table.c.owner == owner)
        connection.execute(mine.values(owner=""))

    def _secret(self, code: str, key: str, own: str) -> str:
        return capability("participant", code, key, own)


def _participant(row: Row[Any]) -> Participant:
    return Participant(row.room, row.key, row.nickname, row.joined_at)
