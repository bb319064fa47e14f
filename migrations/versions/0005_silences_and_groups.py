"""silences, annotations, deployments, and a log of what each group of notifications was told

Revision ID: 0005
Revises: 0004
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from monitor.storage.types import KeyText, LongText, UTCDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade():
    groups = op.create_table(
        "notification_groups",
        sa.Column("channel", KeyText(128), nullable=False),
        sa.Column("group_key", KeyText(128), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("told_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "group_key", name=op.f("pk_notification_groups")),
    )
    op.execute(
        """INSERT INTO notification_groups (channel, group_key, number, told_at)
           SELECT channel, group_key, MAX(number), MAX(created_at) FROM notifications GROUP BY channel, group_key"""
    )
    # The row that dispatch locks, so that of several daemons one addresses at a time.
    op.bulk_insert(
        groups, [{"channel": "", "group_key": "dispatch", "number": 0, "told_at": datetime(1970, 1, 1, tzinfo=UTC)}]
    )
    op.create_table(
        "silences",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", KeyText(36), nullable=False),
        sa.Column("matchers", sa.JSON(), nullable=False),
        sa.Column("starts_at", UTCDateTime(), nullable=False),
        sa.Column("ends_at", UTCDateTime(), nullable=False),
        sa.Column("comment", LongText(), nullable=False),
        sa.Column("created_by", KeyText(255), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silences")),
        sa.UniqueConstraint("uuid", name=op.f("uq_silences_uuid")),
    )
    op.create_index("ix_silences_ends_at", "silences", ["ends_at"])
    op.create_table(
        "annotations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", KeyText(36), nullable=False),
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("starts_at", UTCDateTime(), nullable=False),
        sa.Column("ends_at", UTCDateTime(), nullable=False),
        sa.Column("verdict", KeyText(16), nullable=False),
        sa.Column("note", LongText(), nullable=False),
        sa.Column("created_by", KeyText(255), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("removed_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name=op.f("fk_annotations_monitor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotations")),
        sa.UniqueConstraint("uuid", name=op.f("uq_annotations_uuid")),
    )
    op.create_index("ix_annotations_monitor", "annotations", ["monitor_id", "starts_at"])
    op.create_table(
        "deployments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", KeyText(36), nullable=False),
        sa.Column("model_name", KeyText(255), nullable=False),
        sa.Column("version", KeyText(255), nullable=False),
        sa.Column("deployed_at", UTCDateTime(), nullable=False),
        sa.Column("note", LongText(), nullable=False),
        sa.Column("created_by", KeyText(255), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
        sa.UniqueConstraint("uuid", name=op.f("uq_deployments_uuid")),
    )
    op.create_index("ix_deployments_model", "deployments", ["model_name", "deployed_at"])


def downgrade():
    for table in ("deployments", "annotations", "silences", "notification_groups"):
        op.drop_table(table)
