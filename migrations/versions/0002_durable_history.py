"""looks, epochs, checkpoints of the fold, freshness, retention, and the views for analysts

Revision ID: 0002
Revises: 0001
"""

import re

import sqlalchemy as sa
from alembic import op

from monitor.storage.types import KeyText, UTCDateTime, WholeNumber

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def added():
    """The new columns, by table."""
    return {
        "configurations": [sa.Column("last_applied_at", UTCDateTime(), nullable=True)],
        "monitors": [sa.Column("epoch_start", UTCDateTime(), nullable=True)],
        "source_states": [
            sa.Column("newest_label", UTCDateTime(), nullable=True),
            sa.Column("source_mark", KeyText(64), nullable=True),
            sa.Column("gaps", sa.JSON(), nullable=True),
        ],
        "runs": [
            sa.Column("judged", sa.Boolean(), nullable=False, server_default=sa.true()),
            sa.Column("read_seconds", sa.Double(), nullable=True),
            sa.Column("read_rows", WholeNumber(), nullable=True),
            sa.Column("read_bytes", WholeNumber(), nullable=True),
        ],
        "fold_states": [sa.Column("late", sa.JSON(), nullable=True)],
        "alerts": [sa.Column("until", UTCDateTime(), nullable=True)],
        "daemons": [
            sa.Column("configuration_id", sa.Integer(), nullable=True),
            sa.Column("loops", sa.JSON(), nullable=True),
        ],
    }


# Names in double quotes are written as the database quotes them; SECONDS(a, b) is the time from a to b.
VIEWS = {
    "monitor_runs": """
        SELECT r.uuid AS run, m.name AS monitor, m.model_name AS model, r.kind, r.window_start, r.window_end, r.look, r.as_of,
               r.status, r.reason, r.severity, r."rows" AS row_count, r.sampled, r.labelled,
               CASE WHEN r.status = 'done' AND NOT EXISTS (
                   SELECT 1 FROM runs o WHERE o.monitor_id = r.monitor_id AND o.kind = r.kind AND o.window_start = r.window_start
                   AND o.window_end = r.window_end AND o.status = 'done'
                   AND (o.as_of > r.as_of OR (o.as_of = r.as_of AND o.look > r.look))) THEN 1 ELSE 0 END AS is_current,
               r.claims AS attempts, r.failures, r.losses, r.owner, r.planned_at, r.started_at, r.finished_at,
               SECONDS(r.started_at, r.finished_at) AS duration_seconds, r.read_seconds, r.read_rows, r.read_bytes, v.version AS reference, r.software_version
        FROM runs r JOIN monitors m ON m.id = r.monitor_id LEFT JOIN reference_versions v ON v.id = r.reference_id""",
    "monitor_metrics": """
        SELECT m.name AS monitor, m.model_name AS model, s.model_version, s.metric, s.column_name, s.segment,
               v.window_start, r.window_end, v.value, v.lower AS value_lower, v.upper AS value_upper,
               r.uuid AS run, r.kind, r.look, r.as_of
        FROM metric_series s JOIN monitors m ON m.id = s.monitor_id JOIN metric_values v ON v.series_id = s.id
        JOIN runs r ON r.id = v.run_id""",
    "monitor_checks": """
        SELECT m.name AS monitor, m.model_name AS model, s.model_version, s.metric, s.column_name, s.segment, c.kind, c.verdict,
               c.value, c.lower AS value_lower, c.upper AS value_upper, c.threshold_lower, c.threshold_upper, c.p_value,
               c."rows" AS row_count, c.detection_limit, c.reason, r.window_start, r.window_end, r.uuid AS run, r.look, r.as_of
        FROM checks c JOIN runs r ON r.id = c.run_id JOIN metric_series s ON s.id = c.series_id JOIN monitors m ON m.id = r.monitor_id""",
    "monitor_findings": """
        SELECT m.name AS monitor, m.model_name AS model, s.model_version, s.metric, s.column_name, s.segment, f.kind, f.severity,
               f."rank" AS position, f.cause, f.explanation, r.window_start, r.window_end, r.uuid AS run, r.look, r.as_of
        FROM findings f JOIN runs r ON r.id = f.run_id JOIN metric_series s ON s.id = f.series_id JOIN monitors m ON m.id = r.monitor_id""",
    "monitor_alerts": """
        SELECT a.uuid AS alert, COALESCE(m.name, '') AS monitor, COALESCE(m.model_name, '') AS model, a.kind, a.subject, a.state,
               a.severity, a.since, a.first_window, a.opened_as_of, a.fired_at, a.ended_at, a.bad_windows, a.summary,
               f.recorded_at, k.recorded_at AS acknowledged_at, SECONDS(f.recorded_at, k.recorded_at) AS seconds_to_acknowledge,
               (SELECT COUNT(DISTINCT n.id) FROM notifications n JOIN notification_events l ON l.notification_id = n.id
                JOIN alert_events e ON e.id = l.alert_event_id WHERE e.alert_id = a.id AND n.status = 'delivered') AS notifications
        FROM alerts a LEFT JOIN monitors m ON m.id = a.monitor_id
        LEFT JOIN alert_events f ON f.alert_id = a.id AND f.kind = 'firing' AND f.number = (
            SELECT MIN(e.number) FROM alert_events e WHERE e.alert_id = a.id AND e.kind = 'firing')
        LEFT JOIN alert_events k ON k.alert_id = a.id AND k.kind = 'acknowledged' AND k.number = (
            SELECT MIN(e.number) FROM alert_events e WHERE e.alert_id = a.id AND e.kind = 'acknowledged')""",
    "monitor_notifications": """
        SELECT n.uuid AS notification, n.channel, n.group_key, n.number, n.status, n.created_at, n.available_at, n.attempts,
               n.last_error, n.delivered_at,
               (SELECT MIN(a.uuid) FROM notification_events l JOIN alert_events e ON e.id = l.alert_event_id
                JOIN alerts a ON a.id = e.alert_id WHERE l.notification_id = n.id) AS alert
        FROM notifications n""",
    "monitor_retraining": """
        SELECT q.uuid AS request, m.name AS monitor, q.model_name AS model, q.model_version, q.state, q.launcher, q.reason, q.outcome,
               q.window_start, q.window_end, q.as_of, q.data_start, q.data_end, q.created_at, q.opened_at, q.launched_at, q.ended_at
        FROM retraining_requests q JOIN monitors m ON m.id = q.monitor_id""",
    "monitor_latest": """
        SELECT m.name AS monitor, m.model_name AS model,
               CASE WHEN EXISTS (SELECT 1 FROM alerts a WHERE a.monitor_id = m.id AND a.state = 'firing' AND a.severity = 'critical') THEN 'critical'
                    WHEN EXISTS (SELECT 1 FROM alerts a WHERE a.monitor_id = m.id AND a.state = 'firing' AND a.kind <> 'self') THEN 'warning'
                    WHEN EXISTS (SELECT 1 FROM alerts a WHERE a.monitor_id = m.id AND a.state = 'firing') THEN 'unknown'
                    WHEN EXISTS (SELECT 1 FROM runs r WHERE r.monitor_id = m.id AND r.kind = 'data' AND r.status = 'done') THEN 'healthy'
                    ELSE 'unknown' END AS health,
               (SELECT MIN(a.since) FROM alerts a WHERE a.monitor_id = m.id AND a.state = 'firing') AS since,
               (SELECT COUNT(*) FROM alerts a WHERE a.monitor_id = m.id AND a.state = 'firing') AS open_alerts,
               (SELECT COUNT(*) FROM retraining_requests q WHERE q.monitor_id = m.id AND q.open_model IS NOT NULL) AS open_retraining,
               (SELECT r.window_end FROM runs r WHERE r.monitor_id = m.id AND r.kind = 'data' AND r.status = 'done'
                ORDER BY r.as_of DESC, r.window_start DESC, r.look DESC LIMIT 1) AS evaluated_until,
               (SELECT r.severity FROM runs r WHERE r.monitor_id = m.id AND r.kind = 'data' AND r.status = 'done'
                ORDER BY r.as_of DESC, r.window_start DESC, r.look DESC LIMIT 1) AS last_severity,
               (SELECT MAX(r.finished_at) FROM runs r WHERE r.monitor_id = m.id AND r.status = 'done') AS last_run_at,
               (SELECT COUNT(*) FROM runs r WHERE r.monitor_id = m.id AND r.status IN ('pending', 'running')) AS open_runs,
               t.newest_event, t.newest_label, t.looked_at, t.error AS source_error
        FROM monitors m JOIN source_states t ON t.monitor_id = m.id WHERE m.active_name IS NOT NULL""",
}


def upgrade():
    for table, columns in added().items():
        for column in columns:
            op.add_column(table, column)
    op.create_index("ix_runs_ended", "runs", ["monitor_id", "status", "finished_at"])
    op.create_table(
        "fold_checkpoints",
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("kind", KeyText(32), nullable=False),
        sa.Column("window_start", UTCDateTime(), nullable=False),
        sa.Column("window_end", UTCDateTime(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name=op.f("fk_fold_checkpoints_monitor_id")),
        sa.PrimaryKeyConstraint("monitor_id", "kind", "window_start", "window_end", name=op.f("pk_fold_checkpoints")),
    )
    op.create_table(
        "metric_days",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("day", UTCDateTime(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("lowest", sa.Double(), nullable=True),
        sa.Column("highest", sa.Double(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["series_id"], ["metric_series.id"], name=op.f("fk_metric_days_series_id")),
        sa.PrimaryKeyConstraint("series_id", "day", name=op.f("pk_metric_days")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "open_windows",
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("window_start", UTCDateTime(), nullable=False),
        sa.Column("window_end", UTCDateTime(), nullable=False),
        sa.Column("as_of", UTCDateTime(), nullable=False),
        sa.Column("configuration_id", sa.Integer(), nullable=False),
        sa.Column("mark", KeyText(64), nullable=False),
        sa.Column("due_at", UTCDateTime(), nullable=True),
        sa.Column("recount_at", UTCDateTime(), nullable=True),
        sa.Column("labels_open", sa.Boolean(), nullable=False),
        sa.Column("label_mark", KeyText(64), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=True),
        *(
            sa.Column(f"labels_{name}", UTCDateTime(), nullable=True)
            for name in ("half", "most", "full", "judged", "last")
        ),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name=op.f("fk_open_windows_monitor_id")),
        sa.ForeignKeyConstraint(
            ["configuration_id"], ["configurations.id"], name=op.f("fk_open_windows_configuration_id")
        ),
        sa.PrimaryKeyConstraint("monitor_id", "window_start", "window_end", name=op.f("pk_open_windows")),
    )
    op.create_index("ix_open_windows_due", "open_windows", ["monitor_id", "due_at"])
    # Windows whose labels were still awaited stay open.
    op.execute(
        """INSERT INTO open_windows (monitor_id, window_start, window_end, as_of, configuration_id, mark, due_at, labels_open)
            SELECT r.monitor_id, r.window_start, r.window_end, r.as_of, r.configuration_id, '', r.as_of, TRUE
            FROM runs r WHERE r.kind = 'data' AND r.look = 0 AND r.status <> 'skipped' AND NOT EXISTS (
                SELECT 1 FROM runs p WHERE p.monitor_id = r.monitor_id AND p.kind = 'performance'
                AND p.window_start = r.window_start AND p.window_end = r.window_end)"""
    )
    with op.batch_alter_table("source_states") as batch:
        batch.drop_column("label_times")
    op.execute("UPDATE configurations SET last_applied_at = applied_at")
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {_in_dialect(query, op.get_bind().dialect.name)}")


def _quote(dialect):
    return '"' if dialect in ("sqlite", "postgresql") else "`"


def _in_dialect(query, dialect):
    seconds = {
        "sqlite": r"((julianday(\2) - julianday(\1)) * 86400.0)",
        "postgresql": r"CAST(EXTRACT(EPOCH FROM (\2 - \1)) AS DOUBLE PRECISION)",
    }.get(dialect, r"(TIMESTAMPDIFF(MICROSECOND, \1, \2) / 1000000)")
    query = re.sub(r"SECONDS\((\S+), (\S+)\)", seconds, query)
    return query.replace('"', _quote(dialect))


def downgrade():
    for name in VIEWS:
        op.execute(f"DROP VIEW {name}")
    with op.batch_alter_table("source_states") as batch:
        batch.add_column(sa.Column("label_times", sa.JSON(), nullable=True))
    op.execute("UPDATE source_states SET label_times = '{}'")
    with op.batch_alter_table("source_states") as batch:
        batch.alter_column("label_times", existing_type=sa.JSON(), nullable=False)
    op.drop_table("open_windows")
    op.drop_table("metric_days")
    op.drop_table("fold_checkpoints")
    op.drop_index("ix_runs_ended", "runs")
    for table, columns in added().items():
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column.name)
