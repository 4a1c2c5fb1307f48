"""Runs, parents, epochs, events and artefacts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "studio_runs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("kind", sa.String(80), nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("started_at", sa.Float(53)),
        sa.Column("finished_at", sa.Float(53)),
        sa.Column("deleted_at", sa.Float(53)),
        sa.Column("progress", sa.Float(53), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("budget_s", sa.Float(53)),
        sa.Column("seconds", sa.Float(53), nullable=False),
        sa.Column("spent_s", sa.Float(53), nullable=False),
        sa.Column("energy_j", sa.Float(53)),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.JSON),
        sa.Column("environment", sa.JSON, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("attempt_at", sa.Float(53)),
        sa.Column("seen_at", sa.Float(53)),
    )
    op.create_index("studio_runs_by_state", "studio_runs", ["state", "priority", "created_at"])
    op.create_table(
        "studio_parents",
        sa.Column("run_id", sa.String(32), sa.ForeignKey("studio_runs.id"), primary_key=True),
        sa.Column("parent_id", sa.String(32), sa.ForeignKey("studio_runs.id"), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
    )
    op.create_table(
        "studio_epochs",
        sa.Column("run_id", sa.String(32), sa.ForeignKey("studio_runs.id"), primary_key=True),
        sa.Column("step", sa.String(80), primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "studio_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(32), sa.ForeignKey("studio_runs.id"), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
    )
    op.create_index("studio_events_by_run", "studio_events", ["run_id"])
    op.create_table(
        "studio_artefacts",
        sa.Column("run_id", sa.String(32), sa.ForeignKey("studio_runs.id"), primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
    )
