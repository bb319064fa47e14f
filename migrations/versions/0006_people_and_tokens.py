"""users, API tokens and sessions of the web page, the service's own keys, and a log of what people change

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

from monitor.storage.types import KeyText, LongText, UTCDateTime, WholeNumber

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", KeyText(128), nullable=False),
        sa.Column("password_hash", KeyText(255), nullable=False),
        sa.Column("role", KeyText(16), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", KeyText(36), nullable=False),
        sa.Column("name", KeyText(128), nullable=False),
        sa.Column("hash", KeyText(64), nullable=False),
        sa.Column("role", KeyText(16), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=True),
        sa.Column("revoked_at", UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("uuid", name=op.f("uq_api_tokens_uuid")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_tokens_hash")),
    )
    op.create_table(
        "web_sessions",
        sa.Column("hash", KeyText(64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_web_sessions_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_web_sessions")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", WholeNumber(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("who", KeyText(255), nullable=False),
        sa.Column("action", KeyText(64), nullable=False),
        sa.Column("subject", KeyText(255), nullable=False),
        sa.Column("detail", LongText(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_at", "audit_log", ["at"])
    op.create_table(
        "service_keys",
        sa.Column("purpose", KeyText(64), nullable=False),
        sa.Column("value", KeyText(64), nullable=False),
        sa.PrimaryKeyConstraint("purpose", name=op.f("pk_service_keys")),
    )


def downgrade():
    for table in ("service_keys", "audit_log", "web_sessions", "api_tokens", "users"):
        op.drop_table(table)
