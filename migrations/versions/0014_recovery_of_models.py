"""requests say whether their retraining helped

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

from monitor.storage.types import KeyText, LongText

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_VIEW = """CREATE VIEW monitor_retraining AS
        SELECT q.uuid AS request, m.name AS monitor, q.model_name AS model, q.model_version, q.state, q.launcher, q.reason, q.outcome,
               q.window_start, q.window_end, q.as_of, q.data_start, q.data_end, q.created_at, q.opened_at, q.launched_at, q.ended_at{more}
        FROM retraining_requests q JOIN monitors m ON m.id = q.monitor_id"""
_MORE = ", q.trained_version, q.recovery, q.receipt"


def upgrade():
    op.execute("DROP VIEW monitor_retraining")
    op.add_column("retraining_requests", sa.Column("trained_version", KeyText(255), nullable=False, server_default=""))
    op.add_column("retraining_requests", sa.Column("recovery", KeyText(24), nullable=False, server_default=""))
    op.add_column("retraining_requests", sa.Column("receipt", LongText(), nullable=True))
    op.add_column("retraining_requests", sa.Column("followed", sa.JSON(), nullable=True))
    op.create_index("ix_retraining_requests_recovery", "retraining_requests", ["recovery"])
    op.execute(_VIEW.format(more=_MORE))


def downgrade():
    op.execute("DROP VIEW monitor_retraining")
    op.drop_index("ix_retraining_requests_recovery", "retraining_requests")
    for name in ("followed", "receipt", "recovery", "trained_version"):
        op.drop_column("retraining_requests", name)
    op.execute(_VIEW.format(more=""))
