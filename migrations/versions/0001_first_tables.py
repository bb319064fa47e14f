"""first tables

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

from monitor.storage.types import Blob, HashBytes, KeyText, LongText, UTCDateTime, WholeNumber

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "configurations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hash", KeyText(64), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("software_version", KeyText(64), nullable=False),
        sa.Column("applied_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_configurations")),
        sa.UniqueConstraint("hash", name=op.f("uq_configurations_hash")),
    )
    op.create_table(
        "daemons",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", KeyText(64), nullable=False),
        sa.Column("host", KeyText(255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", UTCDateTime(), nullable=False),
        sa.Column("heartbeat_at", UTCDateTime(), nullable=False),
        sa.Column("stopped_at", UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_daemons")),
        sa.UniqueConstraint("name", name=op.f("uq_daemons_name")),
    )
    op.create_table(
        "notifications",
        sa.Column("id", WholeNumber(), nullable=False),
        sa.Column("uuid", KeyText(36), nullable=False),
        sa.Column("channel", KeyText(128), nullable=False),
        sa.Column("group_key", KeyText(128), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", KeyText(16), nullable=False),
        sa.Column("body", LongText(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("available_at", UTCDateTime(), nullable=False),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("owner", KeyText(64), nullable=False),
        sa.Column("lease_until", UTCDateTime(), nullable=True),
        sa.Column("last_error", LongText(), nullable=False),
        sa.Column("delivered_at", UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sa.UniqueConstraint("channel", "group_key", "number", name=op.f("uq_notifications_channel_group_key_number")),
        sa.UniqueConstraint("uuid", name=op.f("uq_notifications_uuid")),
    )
    with op.batch_alter_table("notifications", schema=None) as batch_op:
        batch_op.create_index("ix_notifications_claim", ["status", "available_at"], unique=False)

    op.create_table(
        "reference_versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("version", KeyText(64), nullable=False),
        sa.Column("archive", Blob(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("origin", LongText(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reference_versions")),
        sa.UniqueConstraint("version", name=op.f("uq_reference_versions_version")),
    )
    op.create_table(
        "monitors",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", KeyText(36), nullable=False),
        sa.Column("name", KeyText(255), nullable=False),
        sa.Column("active_name", KeyText(255), nullable=True),
        sa.Column("first_name", KeyText(255), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("model_name", KeyText(255), nullable=False),
        sa.Column("configuration_id", sa.Integer(), nullable=False),
        sa.Column("first_window", UTCDateTime(), nullable=True),
        sa.Column("planned_until", UTCDateTime(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("retired_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["configuration_id"], ["configurations.id"], name=op.f("fk_monitors_configuration_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitors")),
        sa.UniqueConstraint("active_name", name=op.f("uq_monitors_active_name")),
        sa.UniqueConstraint("first_name", "generation", name=op.f("uq_monitors_first_name_generation")),
        sa.UniqueConstraint("uuid", name=op.f("uq_monitors_uuid")),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", KeyText(36), nullable=False),
        sa.Column("monitor_id", sa.Integer(), nullable=True),
        sa.Column("kind", KeyText(32), nullable=False),
        sa.Column("subject", KeyText(255), nullable=False),
        sa.Column("first_window", UTCDateTime(), nullable=False),
        sa.Column("opened_as_of", UTCDateTime(), nullable=False),
        sa.Column("state", KeyText(16), nullable=False),
        sa.Column("severity", KeyText(16), nullable=False),
        sa.Column("since", UTCDateTime(), nullable=False),
        sa.Column("fired_at", UTCDateTime(), nullable=True),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.Column("bad_windows", sa.Integer(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("summary", LongText(), nullable=False),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name=op.f("fk_alerts_monitor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("uuid", name=op.f("uq_alerts_uuid")),
    )
    with op.batch_alter_table("alerts", schema=None) as batch_op:
        batch_op.create_index("ix_alerts_state", ["state", "monitor_id", "kind"], unique=False)

    op.create_table(
        "fold_states",
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("kind", KeyText(32), nullable=False),
        sa.Column("as_of", UTCDateTime(), nullable=True),
        sa.Column("window_start", UTCDateTime(), nullable=True),
        sa.Column("look", sa.Integer(), nullable=True),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name=op.f("fk_fold_states_monitor_id")),
        sa.PrimaryKeyConstraint("monitor_id", "kind", name=op.f("pk_fold_states")),
    )
    op.create_table(
        "metric_series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hash", HashBytes(), nullable=False),
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("model_version", KeyText(255), nullable=False),
        sa.Column("metric", KeyText(255), nullable=False),
        sa.Column("column_name", KeyText(255), nullable=False),
        sa.Column("segment", KeyText(255), nullable=False),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name=op.f("fk_metric_series_monitor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metric_series")),
        sa.UniqueConstraint("hash", name=op.f("uq_metric_series_hash")),
    )
    with op.batch_alter_table("metric_series", schema=None) as batch_op:
        batch_op.create_index("ix_metric_series_monitor", ["monitor_id", "metric"], unique=False)

    op.create_table(
        "references_in_force",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("model_version", KeyText(255), nullable=False),
        sa.Column("valid_from", UTCDateTime(), nullable=False),
        sa.Column("reference_id", sa.Integer(), nullable=False),
        sa.Column("who", KeyText(255), nullable=False),
        sa.Column("why", LongText(), nullable=False),
        sa.Column("recorded_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name=op.f("fk_references_in_force_monitor_id")),
        sa.ForeignKeyConstraint(
            ["reference_id"], ["reference_versions.id"], name=op.f("fk_references_in_force_reference_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_references_in_force")),
        sa.UniqueConstraint(
            "monitor_id",
            "model_version",
            "valid_from",
            "reference_id",
            name=op.f("uq_references_in_force_monitor_id_model_version_valid_from_reference_id"),
        ),
    )
    op.create_table(
        "retraining_requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", KeyText(36), nullable=False),
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("model_name", KeyText(255), nullable=False),
        sa.Column("open_model", KeyText(255), nullable=True),
        sa.Column("model_version", KeyText(255), nullable=False),
        sa.Column("window_start", UTCDateTime(), nullable=False),
        sa.Column("window_end", UTCDateTime(), nullable=False),
        sa.Column("as_of", UTCDateTime(), nullable=False),
        sa.Column("state", KeyText(24), nullable=False),
        sa.Column("launcher", KeyText(255), nullable=False),
        sa.Column("reason", LongText(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("data_start", UTCDateTime(), nullable=False),
        sa.Column("data_end", UTCDateTime(), nullable=False),
        sa.Column("outcome", LongText(), nullable=False),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("owner", KeyText(64), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("opened_at", UTCDateTime(), nullable=True),
        sa.Column("launched_at", UTCDateTime(), nullable=True),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name=op.f("fk_retraining_requests_monitor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retraining_requests")),
        sa.UniqueConstraint(
            "monitor_id", "window_start", "as_of", name=op.f("uq_retraining_requests_monitor_id_window_start_as_of")
        ),
        sa.UniqueConstraint("open_model", name=op.f("uq_retraining_requests_open_model")),
        sa.UniqueConstraint("uuid", name=op.f("uq_retraining_requests_uuid")),
    )
    with op.batch_alter_table("retraining_requests", schema=None) as batch_op:
        batch_op.create_index("ix_retraining_requests_state", ["state"], unique=False)

    op.create_table(
        "runs",
        sa.Column("id", WholeNumber(), nullable=False),
        sa.Column("uuid", KeyText(36), nullable=False),
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("kind", KeyText(16), nullable=False),
        sa.Column("window_start", UTCDateTime(), nullable=False),
        sa.Column("window_end", UTCDateTime(), nullable=False),
        sa.Column("look", sa.Integer(), nullable=False),
        sa.Column("as_of", UTCDateTime(), nullable=False),
        sa.Column("read_as_of", UTCDateTime(), nullable=False),
        sa.Column("configuration_id", sa.Integer(), nullable=False),
        sa.Column("status", KeyText(16), nullable=False),
        sa.Column("reason", LongText(), nullable=False),
        sa.Column("available_at", UTCDateTime(), nullable=False),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("owner", KeyText(64), nullable=False),
        sa.Column("lease_until", UTCDateTime(), nullable=True),
        sa.Column("planned_at", UTCDateTime(), nullable=False),
        sa.Column("started_at", UTCDateTime(), nullable=True),
        sa.Column("finished_at", UTCDateTime(), nullable=True),
        sa.Column("rows", WholeNumber(), nullable=True),
        sa.Column("sampled", sa.Integer(), nullable=True),
        sa.Column("labelled", sa.Integer(), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=True),
        sa.Column("severity", KeyText(16), nullable=False),
        sa.Column("reference_id", sa.Integer(), nullable=True),
        sa.Column("software_version", KeyText(64), nullable=False),
        sa.ForeignKeyConstraint(["configuration_id"], ["configurations.id"], name=op.f("fk_runs_configuration_id")),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name=op.f("fk_runs_monitor_id")),
        sa.ForeignKeyConstraint(["reference_id"], ["reference_versions.id"], name=op.f("fk_runs_reference_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.UniqueConstraint(
            "monitor_id",
            "kind",
            "window_start",
            "window_end",
            "look",
            name=op.f("uq_runs_monitor_id_kind_window_start_window_end_look"),
        ),
        sa.UniqueConstraint("uuid", name=op.f("uq_runs_uuid")),
    )
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.create_index("ix_runs_claim", ["status", "losses", "as_of", "id"], unique=False)
        batch_op.create_index("ix_runs_fold", ["monitor_id", "kind", "as_of", "window_start", "look"], unique=False)

    op.create_table(
        "source_states",
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("looked_at", UTCDateTime(), nullable=True),
        sa.Column("first_event", UTCDateTime(), nullable=True),
        sa.Column("newest_event", UTCDateTime(), nullable=True),
        sa.Column("label_times", sa.JSON(), nullable=False),
        sa.Column("error", LongText(), nullable=False),
        sa.Column("failing_since", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name=op.f("fk_source_states_monitor_id")),
        sa.PrimaryKeyConstraint("monitor_id", name=op.f("pk_source_states")),
    )
    op.create_table(
        "alert_events",
        sa.Column("id", WholeNumber(), nullable=False),
        sa.Column("uuid", KeyText(36), nullable=False),
        sa.Column("alert_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", KeyText(16), nullable=False),
        sa.Column("happened_at", UTCDateTime(), nullable=False),
        sa.Column("run_id", WholeNumber(), nullable=True),
        sa.Column("severity", KeyText(16), nullable=False),
        sa.Column("summary", LongText(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("recorded_at", UTCDateTime(), nullable=False),
        sa.Column("dispatched", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name=op.f("fk_alert_events_alert_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_events")),
        sa.UniqueConstraint("alert_id", "number", name=op.f("uq_alert_events_alert_id_number")),
        sa.UniqueConstraint("uuid", name=op.f("uq_alert_events_uuid")),
    )
    with op.batch_alter_table("alert_events", schema=None) as batch_op:
        batch_op.create_index("ix_alert_events_dispatch", ["dispatched"], unique=False)

    op.create_table(
        "checks",
        sa.Column("run_id", WholeNumber(), nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("kind", KeyText(32), nullable=False),
        sa.Column("verdict", KeyText(32), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("lower", sa.Double(), nullable=True),
        sa.Column("upper", sa.Double(), nullable=True),
        sa.Column("threshold_lower", sa.Double(), nullable=True),
        sa.Column("threshold_upper", sa.Double(), nullable=True),
        sa.Column("p_value", sa.Double(), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("detection_limit", LongText(), nullable=True),
        sa.Column("reason", LongText(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_checks_run_id")),
        sa.ForeignKeyConstraint(["series_id"], ["metric_series.id"], name=op.f("fk_checks_series_id")),
        sa.PrimaryKeyConstraint("run_id", "series_id", "kind", name=op.f("pk_checks")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "findings",
        sa.Column("run_id", WholeNumber(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("kind", KeyText(32), nullable=False),
        sa.Column("severity", KeyText(16), nullable=False),
        sa.Column("cause", KeyText(255), nullable=False),
        sa.Column("explanation", LongText(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_findings_run_id")),
        sa.ForeignKeyConstraint(["series_id"], ["metric_series.id"], name=op.f("fk_findings_series_id")),
        sa.PrimaryKeyConstraint("run_id", "rank", name=op.f("pk_findings")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "metric_values",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("window_start", UTCDateTime(), nullable=False),
        sa.Column("run_id", WholeNumber(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("lower", sa.Double(), nullable=True),
        sa.Column("upper", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["series_id"], ["metric_series.id"], name=op.f("fk_metric_values_series_id")),
        sa.PrimaryKeyConstraint(
            "series_id",
            "window_start",
            "run_id",
            name=op.f("pk_metric_values"),
            postgresql_include=["value", "lower", "upper"],
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "retraining_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", KeyText(24), nullable=False),
        sa.Column("text", LongText(), nullable=False),
        sa.Column("happened_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["retraining_requests.id"], name=op.f("fk_retraining_events_request_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retraining_events")),
        sa.UniqueConstraint("request_id", "number", name=op.f("uq_retraining_events_request_id_number")),
    )
    op.create_table(
        "snapshots",
        sa.Column("run_id", WholeNumber(), nullable=False),
        sa.Column("data", Blob(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_snapshots_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_snapshots")),
    )
    op.create_table(
        "notification_events",
        sa.Column("notification_id", WholeNumber(), nullable=False),
        sa.Column("alert_event_id", WholeNumber(), nullable=False),
        sa.ForeignKeyConstraint(
            ["alert_event_id"], ["alert_events.id"], name=op.f("fk_notification_events_alert_event_id")
        ),
        sa.ForeignKeyConstraint(
            ["notification_id"], ["notifications.id"], name=op.f("fk_notification_events_notification_id")
        ),
        sa.PrimaryKeyConstraint("notification_id", "alert_event_id", name=op.f("pk_notification_events")),
    )


def downgrade():
    op.drop_table("notification_events")
    op.drop_table("snapshots")
    op.drop_table("retraining_events")
    op.drop_table("metric_values")
    op.drop_table("findings")
    op.drop_table("checks")
    op.drop_table("alert_events")
    op.drop_table("source_states")
    op.drop_table("runs")
    op.drop_table("retraining_requests")
    op.drop_table("references_in_force")
    op.drop_table("metric_series")
    op.drop_table("fold_states")
    op.drop_table("alerts")
    op.drop_table("monitors")
    op.drop_table("reference_versions")
    op.drop_table("notifications")
    op.drop_table("daemons")
    op.drop_table("configurations")
