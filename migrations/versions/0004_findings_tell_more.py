"""findings tell the share of rows, since when, where from and at what cost

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

from monitor.storage.types import KeyText, UTCDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_VIEW = """CREATE VIEW monitor_findings AS
    SELECT m.name AS monitor, m.model_name AS model, s.model_version, s.metric, s.column_name, s.segment, f.kind, f.severity,
           f."rank" AS position, f.cause, f.explanation, {more}r.window_start, r.window_end, r.uuid AS run, r.look, r.as_of
    FROM findings f JOIN runs r ON r.id = f.run_id JOIN metric_series s ON s.id = f.series_id JOIN monitors m ON m.id = r.monitor_id"""


def added():
    """The new columns of findings."""
    return [
        sa.Column("share", sa.Double(), nullable=True),
        sa.Column("since", UTCDateTime(), nullable=True),
        sa.Column("origin", KeyText(16), nullable=False, server_default=""),
        sa.Column("cost", sa.Double(), nullable=True),
    ]


def upgrade():
    op.execute("DROP VIEW monitor_findings")
    for column in added():
        op.add_column("findings", column)
    _view("f.share, f.since, f.origin, f.cost, ")


def downgrade():
    op.execute("DROP VIEW monitor_findings")
    for column in added():
        op.drop_column("findings", column.name)
    _view("")


def _view(more):
    quote = '"' if op.get_bind().dialect.name in ("sqlite", "postgresql") else "`"
    op.execute(_VIEW.format(more=more).replace('"', quote))
