"""references say from when to when their rows are; alerts are found by their beginning

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

from monitor.storage.types import UTCDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("reference_versions", sa.Column("first_event", UTCDateTime(), nullable=True))
    op.add_column("reference_versions", sa.Column("last_event", UTCDateTime(), nullable=True))
    op.create_index("ix_alerts_since", "alerts", ["since"])


def downgrade():
    op.drop_index("ix_alerts_since", "alerts")
    op.drop_column("reference_versions", "last_event")
    op.drop_column("reference_versions", "first_event")
