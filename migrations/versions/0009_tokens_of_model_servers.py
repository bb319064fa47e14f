"""the monitors whose rows a token may send

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("api_tokens", sa.Column("monitors", sa.JSON, nullable=True))


def downgrade():
    op.execute("DELETE FROM api_tokens WHERE role = 'ingest'")  # the older version knows no such role
    op.drop_column("api_tokens", "monitors")
