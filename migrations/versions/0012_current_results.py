"""values, checks and findings say whether they are of the newest result of their window

Revision ID: 0012
Revises: 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_IS_CURRENT = """CASE WHEN r.status = 'done' AND NOT EXISTS (
        SELECT 1 FROM runs o WHERE o.monitor_id = r.monitor_id AND o.kind = r.kind AND o.window_start = r.window_start
        AND o.window_end = r.window_end AND o.status = 'done'
        AND (o.as_of > r.as_of OR (o.as_of = r.as_of AND o.look > r.look))) THEN 1 ELSE 0 END AS is_current"""
_SERIES = "m.name AS monitor, m.model_name AS model, s.model_version, s.metric, s.column_name, s.segment"
_OF_RUN = (
    "JOIN runs r ON r.id = x.run_id JOIN metric_series s ON s.id = x.series_id JOIN monitors m ON m.id = r.monitor_id"
)
# Names in double quotes are written as the database quotes them.
VIEWS = {
    "monitor_metrics": """
        SELECT {series}, v.window_start, r.window_end, v.value, v.lower AS value_lower, v.upper AS value_upper,
               r.uuid AS run, r.kind, r.look, r.as_of{more}
        FROM metric_series s JOIN monitors m ON m.id = s.monitor_id JOIN metric_values v ON v.series_id = s.id
        JOIN runs r ON r.id = v.run_id""",
    "monitor_checks": """
        SELECT {series}, x.kind, x.verdict, x.value, x.lower AS value_lower, x.upper AS value_upper, x.threshold_lower,
               x.threshold_upper, x.p_value, x."rows" AS row_count, x.detection_limit, x.reason, r.window_start, r.window_end,
               r.uuid AS run, r.look, r.as_of{more}
        FROM checks x {of_run}""",
    "monitor_findings": """
        SELECT {series}, x.kind, x.severity, x."rank" AS position, x.cause, x.explanation, x.share, x.since, x.origin, x.cost,
               r.window_start, r.window_end, r.uuid AS run, r.look, r.as_of{more}
        FROM findings x {of_run}""",
}


def upgrade():
    _make(f", {_IS_CURRENT}")


def downgrade():
    _make("")


def _make(more):
    quote = '"' if op.get_bind().dialect.name in ("sqlite", "postgresql") else "`"
    for name, query in VIEWS.items():
        op.execute(f"DROP VIEW {name}")
        filled = query.format(series=_SERIES, of_run=_OF_RUN, more=more)
        op.execute(f"CREATE VIEW {name} AS {filled}".replace('"', quote))
