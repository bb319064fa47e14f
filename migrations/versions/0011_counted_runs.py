"""how many runs have ended, counted when they end, and an index on when that was

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

from monitor.storage.types import KeyText, WholeNumber

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "run_counts",
        sa.Column("kind", KeyText(16), nullable=False),
        sa.Column("status", KeyText(16), nullable=False),
        sa.Column("number", WholeNumber(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "status", name=op.f("pk_run_counts")),
    )
    op.execute(
        "INSERT INTO run_counts (kind, status, number) SELECT kind, status, count(*) FROM runs "
        "WHERE status IN ('done', 'failed', 'skipped', 'cancelled') GROUP BY kind, status"
    )
    op.create_index("ix_runs_finished", "runs", ["finished_at"])


def downgrade():
    op.drop_index("ix_runs_finished", "runs")
    op.drop_table("run_counts")
