"""Who leads: told from the results of runs, which nobody but a worker can write."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from optim.challenges.challenge import SCHEMA, Challenge
from optim.quantity import Quantity
from optim.runs.run import Run, State
from optim.search.figures import FIGURES
from optim.workshop.room import Entry, Participant, Room

__all__ = ["Standing", "board", "csv_of", "figures_of", "is_for", "misses_of"]


@dataclass(frozen=True)
class Standing:
    """One line of a leaderboard.

    Attributes:
        rank: From 1; None for who keeps not all limits.
        nickname: Who.
        entry: Their best entry.
        figures: What was measured of it.
        accuracy: Of it; None of what is not judged by it.
        entries: How many entries of theirs were measured.
        misses: Limits that are not kept, in sentences.
    """

    rank: int | None
    nickname: str
    entry: Entry
    figures: Mapping[str, Quantity]
    accuracy: Quantity | None
    entries: int
    misses: tuple[str, ...]


def figures_of(run: Run) -> dict[str, Quantity]:
    """Return the figures that were measured of an entry; nothing before it is done."""
    result = run.result or {}
    if run.state is not State.FINISHED or result.get("schema") != SCHEMA:
        return {}
    return {name: Quantity.from_json(figure) for name, figure in result["figures"].items()}


def misses_of(run: Run, challenge: Challenge) -> tuple[str, ...]:
    """Return the limits of a challenge that a measured entry does not keep, in sentences."""
    return tuple(miss.text for miss in challenge.misses(figures_of(run)))


def is_for(run: Run, challenge: Challenge) -> bool:
    """Whether a run was entered for a challenge as it is now.

    A challenge that was removed may come back under its name with other rules.
    """
    return bool(run.spec.get("challenge") == challenge.to_json())


def board(
    challenge: Challenge,
    participants: Iterable[Participant],
    entries: Iterable[tuple[Entry, Run]],
) -> list[Standing]:
    """Return the leaderboard of a challenge: the best entry of each, the leader first.

    Of entries that are equal the earlier one leads. Whoever keeps not all limits stands below,
    without a rank.
    """
    names = {who.key: who.nickname for who in participants}
    measured: dict[str, list[tuple[Entry, Run]]] = {}
    for entry, run in entries:
        known = figures_of(run)
        if is_for(run, challenge) and challenge.objective in known:
            measured.setdefault(entry.key, []).append((entry, run))

    def order(pair: tuple[Entry, Run]) -> tuple[bool, float, float]:
        entry, run = pair
        figures = figures_of(run)
        return bool(challenge.misses(figures)), figures[challenge.objective].value, entry.at

    best = {key: min(pairs, key=order) for key, pairs in measured.items() if key in names}
    found = []
    for place, (key, (entry, run)) in enumerate(
        sorted(best.items(), key=lambda item: order(item[1])), 1
    ):
        misses = misses_of(run, challenge)
        accuracy = (run.result or {}).get("accuracy")
        found.append(
            Standing(
                None if misses else place,
                names[key],
                entry,
                figures_of(run),
                Quantity.from_json(accuracy) if accuracy else None,
                len(measured[key]),
                misses,
            )
        )
    return found


def csv_of(room: Room, participants: list[Participant], entries: list[tuple[Entry, Run]]) -> str:
    """Return all leaderboards of a room as CSV: one line a participant and challenge."""
    names = sorted({name for challenge in room.challenges for name in challenge.figures})
    out = io.StringIO()
    write = csv.writer(out)
    units = [f"{name} ({FIGURES[name].unit})" for name in names]
    write.writerow(["room", "challenge", "rank", "nickname", "accuracy", *units, "entries", "run"])
    for challenge in room.challenges:
        for line in board(challenge, participants, entries):
            values = [line.figures[n].value if n in line.figures else "" for n in names]
            write.writerow(
                [
                    room.code,
                    challenge.name,
                    line.rank or "",
                    _plain(line.nickname),
                    line.accuracy.value if line.accuracy else "",
                    *values,
                    line.entries,
                    line.entry.run_id,
                ]
            )
    return out.getvalue()


def _plain(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@" else text
