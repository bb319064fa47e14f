"""lists of rows whose labels are wanted

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

from monitor.storage.types import KeyText, UTCDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "label_lists",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", KeyText(length=36), nullable=False),
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("window_start", UTCDateTime(), nullable=False),
        sa.Column("window_end", UTCDateTime(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("model_version", KeyText(length=255), nullable=False),
        sa.Column("metric", KeyText(length=255), nullable=False),
        sa.Column("budget", sa.Integer(), nullable=False),
        sa.Column("rows", sa.JSON(), nullable=False),
        sa.Column("created_by", KeyText(length=255), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("complete_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name=op.f("fk_label_lists_monitor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_lists")),
        sa.UniqueConstraint("uuid", name=op.f("uq_label_lists_uuid")),
    )
    op.create_index("ix_label_lists_monitor", "label_lists", ["monitor_id", "window_start"])


def downgrade():
    op.drop_table("label_lists")
