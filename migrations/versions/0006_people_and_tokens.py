"""users, API tokens and sessions of the web page, the service's own keys, and a log of what people change

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

from monitor.storage.types import Long, Moment, Name, Words

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", Name(128), nullable=False),
        sa.Column("password_hash", Name(255), nullable=False),
        sa.Column("role", Name(16), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", Name(36), nullable=False),
        sa.Column("name", Name(128), nullable=False),
        sa.Column("hash", Name(64), nullable=False),
        sa.Column("role", Name(16), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=True),
        sa.Column("revoked_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("uuid", name=op.f("uq_api_tokens_uuid")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_tokens_hash")),
    )
    op.create_table(
        "web_sessions",
        sa.Column("hash", Name(64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_web_sessions_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_web_sessions")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", Long(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("who", Name(255), nullable=False),
        sa.Column("action", Name(64), nullable=False),
        sa.Column("subject", Name(255), nullable=False),
        sa.Column("detail", Words(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_at", "audit_log", ["at"])
    op.create_table(
        "service_keys",
        sa.Column("purpose", Name(64), nullable=False),
        sa.Column("value", Name(64), nullable=False),
        sa.PrimaryKeyConstraint("purpose", name=op.f("pk_service_keys")),
    )


def downgrade():
    for table in ("service_keys", "audit_log", "web_sessions", "api_tokens", "users"):
        op.drop_table(table)
