"""faults that labels showed to do a model no harm

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

from monitor.storage.types import UTCDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "natural",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("reference_id", sa.Integer(), nullable=False),
        sa.Column("window_start", UTCDateTime(), nullable=False),
        sa.Column("as_of", UTCDateTime(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name=op.f("fk_natural_monitor_id")),
        sa.ForeignKeyConstraint(["series_id"], ["metric_series.id"], name=op.f("fk_natural_series_id")),
        sa.ForeignKeyConstraint(["reference_id"], ["reference_versions.id"], name=op.f("fk_natural_reference_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_natural")),
        sa.UniqueConstraint(
            "series_id", "reference_id", "window_start", name=op.f("uq_natural_series_id_reference_id_window_start")
        ),
    )
    op.create_index("ix_natural_monitor", "natural", ["monitor_id", "as_of"])


def downgrade():
    op.drop_table("natural")
