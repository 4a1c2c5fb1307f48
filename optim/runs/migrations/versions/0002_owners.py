"""Who a run belongs to, and whose trained results are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["upgrade"]

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the owner of a run and the table of students."""
    op.add_column(
        "studio_runs", sa.Column("owner", sa.String(64), nullable=False, server_default="")
    )
    op.create_table(
        "studio_students",
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
    )
