"""the state of each monitor in monitor_latest

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_FIRES = "SELECT 1 FROM alerts a WHERE a.monitor_id = m.id AND a.state = 'firing'"
_MADE = """SELECT 1 FROM checks c WHERE c.run_id = {run}.id AND c.verdict IN ('fine', 'changed')
                    AND c.kind IN ('performance', 'estimated_performance', 'quality', 'no_data')"""
_NEWEST = """(SELECT r.id FROM runs r WHERE r.monitor_id = m.id AND r.kind = '{kind}' AND r.status = 'done' AND r.judged
            ORDER BY r.window_start DESC, r.as_of DESC, r.look DESC LIMIT 1)"""
# The rule of monitor/domain/monitor_state.py; a test holds the two against each other.
_STATE = f"""CASE WHEN EXISTS ({_FIRES} AND a.kind <> 'blind' AND a.severity = 'critical') THEN 'critical'
                WHEN EXISTS ({_FIRES} AND a.kind <> 'blind' AND a.severity = 'warning') THEN 'warning'
                WHEN EXISTS (SELECT 1 FROM alerts a WHERE a.monitor_id = m.id AND a.kind = 'blind' AND a.state IN ('pending', 'firing')) THEN 'cannot_tell'
                WHEN d.id IS NULL THEN 'waiting'
                WHEN EXISTS (SELECT 1 FROM findings f WHERE f.run_id = d.id AND f.kind = 'blind')
                    OR EXISTS (SELECT 1 FROM findings f WHERE f.run_id = p.id AND f.kind = 'blind') THEN 'cannot_tell'
                WHEN NOT EXISTS ({_MADE.format(run="d")}) AND NOT EXISTS ({_MADE.format(run="p")}) THEN 'cannot_tell'
                WHEN COALESCE(d."rows", 0) = 0 THEN 'no_data'
                ELSE 'healthy' END"""  # noqa: S608 - nothing of it comes from outside
_HEALTH = f"""CASE WHEN EXISTS ({_FIRES} AND a.severity = 'critical') THEN 'critical'
                WHEN EXISTS ({_FIRES} AND a.kind <> 'self') THEN 'warning'
                WHEN EXISTS ({_FIRES}) THEN 'unknown'"""
_OLD_HEALTH = f"""{_HEALTH}
                WHEN EXISTS (SELECT 1 FROM runs r WHERE r.monitor_id = m.id AND r.kind = 'data' AND r.status = 'done') THEN 'healthy'
                ELSE 'unknown' END"""  # noqa: S608 - as above
_BEGINS = "CREATE VIEW monitor_latest AS SELECT m.name AS monitor, m.model_name AS model,"
_REST = """
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
    FROM monitors m JOIN source_states t ON t.monitor_id = m.id"""
_RUNS = f"""
    LEFT JOIN runs d ON d.id = {_NEWEST.format(kind="data")}
    LEFT JOIN runs p ON p.id = {_NEWEST.format(kind="performance")}"""
_WATCHED = "\n    WHERE m.active_name IS NOT NULL"


def upgrade():
    # Health is as it was but where nobody can tell: what is no longer healthy there is unknown.
    health = f"{_HEALTH}\n                WHEN {_STATE} = 'healthy' THEN 'healthy' ELSE 'unknown' END"
    _view(f"{_BEGINS} {health} AS health, {_STATE} AS state,{_REST}{_RUNS}{_WATCHED}")


def downgrade():
    _view(f"{_BEGINS} {_OLD_HEALTH} AS health,{_REST}{_WATCHED}")


def _view(query):
    quote = '"' if op.get_bind().dialect.name in ("sqlite", "postgresql") else "`"
    op.execute("DROP VIEW monitor_latest")
    op.execute(query.replace('"', quote))
