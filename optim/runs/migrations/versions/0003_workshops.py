"""Rooms of workshops, who takes part, and what they entered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables of workshops."""
    op.create_table(
        "studio_rooms",
        sa.Column("code", sa.String(16), primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("challenges", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("frozen_at", sa.Float(53)),
    )
    op.create_table(
        "studio_participants",
        sa.Column("room", sa.String(16), sa.ForeignKey("studio_rooms.code"), primary_key=True),
        sa.Column("key", sa.String(40), primary_key=True),
        sa.Column("nickname", sa.Text, nullable=False),
        sa.Column("secret", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("joined_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "studio_submissions",
        sa.Column("run_id", sa.String(32), primary_key=True),
        sa.Column("room", sa.String(16), sa.ForeignKey("studio_rooms.code"), nullable=False),
        sa.Column("key", sa.String(40), nullable=False),
        sa.Column("challenge", sa.String(40), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
    )
    op.create_index("studio_submissions_by_room", "studio_submissions", ["room"])
