"""The tables of the run store. They and ``migrations`` must agree; a test checks.

Every table begins with ``studio_``, so that the store can share a database with others.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

__all__ = [
    "HEAD",
    "VERSION_TABLE",
    "artefacts",
    "epochs",
    "events",
    "metadata",
    "parents",
    "participants",
    "rooms",
    "runs",
    "students",
    "submissions",
]

HEAD = "0003"
"""Newest revision in ``migrations/versions``."""
VERSION_TABLE = "studio_version"

metadata = MetaData()


def _plain() -> JSON:
    return JSON(none_as_null=True)


runs = Table(
    "studio_runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("title", Text, nullable=False),
    Column("kind", String(80), nullable=False),
    # Id of a user or guest; empty for the command line.
    Column("owner", String(64), nullable=False, server_default=""),
    Column("spec", _plain(), nullable=False),
    Column("state", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("started_at", Float(53)),
    Column("finished_at", Float(53)),
    Column("deleted_at", Float(53)),
    Column("progress", Float(53), nullable=False),
    Column("message", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("budget_s", Float(53)),
    # Of all attempts that have ended, and of those since the run was last submitted or resumed.
    Column("seconds", Float(53), nullable=False),
    Column("spent_s", Float(53), nullable=False),
    Column("energy_j", Float(53)),
    Column("result", _plain()),
    Column("error", _plain()),
    Column("environment", _plain(), nullable=False),
    # Counts every attempt there ever was: what an older one writes is refused.
    Column("fence", Integer, nullable=False),
    # Of the present attempt: who works on it, since when, and the last sign of life.
    Column("worker", Text, nullable=False),
    Column("attempt_at", Float(53)),
    Column("seen_at", Float(53)),
    Index("studio_runs_by_state", "state", "priority", "created_at"),
)

parents = Table(
    "studio_parents",
    metadata,
    Column("run_id", String(32), ForeignKey("studio_runs.id"), primary_key=True),
    Column("parent_id", String(32), ForeignKey("studio_runs.id"), primary_key=True),
    Column("position", Integer, nullable=False),
)

epochs = Table(
    "studio_epochs",
    metadata,
    Column("run_id", String(32), ForeignKey("studio_runs.id"), primary_key=True),
    Column("step", String(80), primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("figures", _plain(), nullable=False),
    Column("at", Float(53), nullable=False),
)

events = Table(
    "studio_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", String(32), ForeignKey("studio_runs.id"), nullable=False),
    Column("at", Float(53), nullable=False),
    Column("level", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Index("studio_events_by_run", "run_id"),
)

artefacts = Table(
    "studio_artefacts",
    metadata,
    Column("run_id", String(32), ForeignKey("studio_runs.id"), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("bytes", Integer, nullable=False),
)

# Results of training steps, by their key, and whose runs have stored or used them. They outlive
# the runs: the Lab finds them as long as somebody has them.
students = Table(
    "studio_students",
    metadata,
    Column("owner", String(64), primary_key=True),
    Column("key", String(64), primary_key=True),
)

rooms = Table(
    "studio_rooms",
    metadata,
    Column("code", String(16), primary_key=True),
    Column("title", Text, nullable=False),
    Column("challenges", _plain(), nullable=False),
    Column("created_at", Float(53), nullable=False),
    # Since then nothing can be entered.
    Column("frozen_at", Float(53)),
)

participants = Table(
    "studio_participants",
    metadata,
    Column("room", String(16), ForeignKey("studio_rooms.code"), primary_key=True),
    # The nickname in small letters.
    Column("key", String(40), primary_key=True),
    Column("nickname", Text, nullable=False),
    # Hash of the code by which they come back.
    Column("secret", String(64), nullable=False),
    # Id of the user or guest who was seen last under the name.
    Column("owner", String(64), nullable=False),
    Column("joined_at", Float(53), nullable=False),
)

# What was entered; what it reached is the result of the run, and nowhere else.
submissions = Table(
    "studio_submissions",
    metadata,
    Column("run_id", String(32), primary_key=True),
    Column("room", String(16), ForeignKey("studio_rooms.code"), nullable=False),
    Column("key", String(40), nullable=False),
    Column("challenge", String(40), nullable=False),
    Column("at", Float(53), nullable=False),
    Index("studio_submissions_by_room", "room"),
)
