"""rows of a source that are dated wrongly

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

from monitor.storage.types import KeyText

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("source_states", sa.Column("misdated", sa.Integer, nullable=False, server_default="0"))
    op.add_column("source_states", sa.Column("misdated_example", KeyText(64), nullable=False, server_default=""))


def downgrade():
    op.drop_column("source_states", "misdated_example")
    op.drop_column("source_states", "misdated")
