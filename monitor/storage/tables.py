"""The tables of the report database. Each has an integer key for joins and, where it is named outside, a UUIDv5 of its
natural key.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, ForeignKey, Index, MetaData, PrimaryKeyConstraint, UniqueConstraint, true
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from monitor.domain.grid import Window
from monitor.storage.types import Blob, HashBytes, KeyText, LongText, UTCDateTime, WholeNumber


class HasWindow:
    """What is of one window."""

    window_start: Mapped[datetime]
    window_end: Mapped[datetime]

    @property
    def window(self) -> Window:
        """The window."""
        return Window(self.window_start, self.window_end)


class Base(DeclarativeBase):
    """All tables, with constraints named alike on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UTCDateTime(),
        bytes: Blob(),
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }


class ConfigurationVersion(Base):
    """A configuration as it was applied, secrets unexpanded."""

    __tablename__ = "configurations"
    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(KeyText(64), unique=True)
    content: Mapped[dict[str, Any]]
    software_version: Mapped[str] = mapped_column(KeyText(64))
    applied_at: Mapped[datetime]
    last_applied_at: Mapped[datetime | None]


class MonitorRow(Base):
    """A monitor; its identity is its first name and the number of that name's use."""

    __tablename__ = "monitors"
    __table_args__ = (UniqueConstraint("first_name", "generation"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(KeyText(36), unique=True)
    name: Mapped[str] = mapped_column(KeyText(255))
    active_name: Mapped[str | None] = mapped_column(KeyText(255), unique=True)
    first_name: Mapped[str] = mapped_column(KeyText(255))
    generation: Mapped[int]
    model_name: Mapped[str] = mapped_column(KeyText(255))
    configuration_id: Mapped[int] = mapped_column(ForeignKey("configurations.id"))
    first_window: Mapped[datetime | None]
    epoch_start: Mapped[datetime | None]
    planned_until: Mapped[datetime | None]
    # Something has ended or been planned since it was last judged.
    unjudged: Mapped[bool] = mapped_column(default=True, server_default=true())
    created_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]


class SourceState(Base):
    """What was last seen of a monitor's source: plan works from this and from open windows alone.

    `source_mark` says what its files looked like; `gaps`, by day, the longest time without anything new in it;
    `misdated` how many of its rows are dated before 1971 or later than it is.
    """

    __tablename__ = "source_states"
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id"), primary_key=True)
    looked_at: Mapped[datetime | None]
    first_event: Mapped[datetime | None]
    newest_event: Mapped[datetime | None]
    newest_label: Mapped[datetime | None]
    source_mark: Mapped[str | None] = mapped_column(KeyText(64))
    gaps: Mapped[dict[str, Any] | None]
    error: Mapped[str] = mapped_column(LongText())
    failing_since: Mapped[datetime | None]
    misdated: Mapped[int] = mapped_column(default=0, server_default="0")
    misdated_example: Mapped[str] = mapped_column(KeyText(64), default="", server_default="")


class OpenWindow(HasWindow, Base):
    """A window that may be looked at again: when its labels came, and when its rows are counted again (None: no more).

    `due_at`: when more may be planned. `mark`: what the source looked like before its data run. `label_mark`: what the
        labels looked like when this window's were read, None before the first time.
    """

    __tablename__ = "open_windows"
    __table_args__ = (
        PrimaryKeyConstraint("monitor_id", "window_start", "window_end"),
        Index("ix_open_windows_due", "monitor_id", "due_at"),
    )
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id"))
    as_of: Mapped[datetime]
    configuration_id: Mapped[int] = mapped_column(ForeignKey("configurations.id"))
    mark: Mapped[str] = mapped_column(KeyText(64))
    due_at: Mapped[datetime | None]
    recount_at: Mapped[datetime | None]
    labels_open: Mapped[bool]
    label_mark: Mapped[str | None] = mapped_column(KeyText(64))
    rows: Mapped[int | None]
    labels_half: Mapped[datetime | None]
    labels_most: Mapped[datetime | None]
    labels_full: Mapped[datetime | None]
    labels_judged: Mapped[datetime | None]
    labels_last: Mapped[datetime | None]


class ReferenceVersion(Base):
    """The archive of a reference, named by the hash of everything it was fitted on. first_event, last_event: of its
    rows; None for rows without times, and for references of earlier releases.
    """

    __tablename__ = "reference_versions"
    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(KeyText(64), unique=True)
    archive: Mapped[bytes]
    rows: Mapped[int]
    origin: Mapped[str] = mapped_column(LongText())
    created_at: Mapped[datetime]
    first_event: Mapped[datetime | None]
    last_event: Mapped[datetime | None]


class ReferenceInForce(Base):
    """Append-only: from which window on a reference holds for a monitor and model version, by whom and why."""

    __tablename__ = "references_in_force"
    __table_args__ = (UniqueConstraint("monitor_id", "model_version", "valid_from", "reference_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id"))
    model_version: Mapped[str] = mapped_column(KeyText(255))
    valid_from: Mapped[datetime]
    reference_id: Mapped[int] = mapped_column(ForeignKey("reference_versions.id"))
    who: Mapped[str] = mapped_column(KeyText(255))
    why: Mapped[str] = mapped_column(LongText())
    recorded_at: Mapped[datetime]


class Run(HasWindow, Base):
    """One evaluation of one window. `status` pending, running, done, failed, skipped or cancelled."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("monitor_id", "kind", "window_start", "window_end", "look"),
        Index("ix_runs_claim", "status", "losses", "as_of", "id"),
        Index("ix_runs_fold", "monitor_id", "kind", "as_of", "window_start", "look"),
        Index("ix_runs_ended", "monitor_id", "status", "finished_at"),
        Index("ix_runs_finished", "finished_at"),
    )
    id: Mapped[int] = mapped_column(WholeNumber(), primary_key=True)
    uuid: Mapped[str] = mapped_column(KeyText(36), unique=True)
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id"))
    kind: Mapped[str] = mapped_column(KeyText(16))
    look: Mapped[int]
    as_of: Mapped[datetime]
    read_as_of: Mapped[datetime]
    configuration_id: Mapped[int] = mapped_column(ForeignKey("configurations.id"))
    status: Mapped[str] = mapped_column(KeyText(16))
    reason: Mapped[str] = mapped_column(LongText(), default="")
    judged: Mapped[bool] = mapped_column(default=True, server_default=true())
    available_at: Mapped[datetime]
    claims: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    losses: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str] = mapped_column(KeyText(64), default="")
    lease_until: Mapped[datetime | None]
    planned_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    rows: Mapped[int | None] = mapped_column(WholeNumber())
    sampled: Mapped[int | None]
    labelled: Mapped[int | None]
    counts: Mapped[dict[str, Any] | None]
    read_seconds: Mapped[float | None]
    read_rows: Mapped[int | None] = mapped_column(WholeNumber())
    read_bytes: Mapped[int | None] = mapped_column(WholeNumber())
    severity: Mapped[str] = mapped_column(KeyText(16), default="")
    reference_id: Mapped[int | None] = mapped_column(ForeignKey("reference_versions.id"))
    software_version: Mapped[str] = mapped_column(KeyText(64), default="")


class RunCount(Base):
    """How many runs of a kind have ended with a status, those that were pruned with them."""

    __tablename__ = "run_counts"
    kind: Mapped[str] = mapped_column(KeyText(16), primary_key=True)
    status: Mapped[str] = mapped_column(KeyText(16), primary_key=True)
    number: Mapped[int] = mapped_column(WholeNumber())


class Snapshot(Base):
    """The Evidently report of a run, compressed."""

    __tablename__ = "snapshots"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    data: Mapped[bytes]


class MetricSeries(Base):
    """What a metric value is of; '' where there is no column, segment or model version."""

    __tablename__ = "metric_series"
    __table_args__ = (Index("ix_metric_series_monitor", "monitor_id", "metric"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[bytes] = mapped_column(HashBytes(), unique=True)
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id"))
    model_version: Mapped[str] = mapped_column(KeyText(255))
    metric: Mapped[str] = mapped_column(KeyText(255))
    column: Mapped[str] = mapped_column("column_name", KeyText(255))
    segment: Mapped[str] = mapped_column(KeyText(255))


class MetricValueRow(Base):
    """One number; in the physical order of its key, so that a series over time is one short range.

    No foreign keys: checking them costs a third of the time that storing takes, and series are never removed.
    """

    __tablename__ = "metric_values"
    __table_args__ = (
        PrimaryKeyConstraint("series_id", "window_start", "run_id", postgresql_include=["value", "lower", "upper"]),
        {"sqlite_with_rowid": False},
    )
    series_id: Mapped[int]
    window_start: Mapped[datetime]
    run_id: Mapped[int] = mapped_column(WholeNumber())
    value: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]


class MetricDay(Base):
    """What is left of a series' values of one day once retention has taken them: their mean, extremes and number."""

    __tablename__ = "metric_days"
    __table_args__ = (PrimaryKeyConstraint("series_id", "day"), {"sqlite_with_rowid": False})
    series_id: Mapped[int] = mapped_column(ForeignKey("metric_series.id"))
    day: Mapped[datetime]
    value: Mapped[float]
    lowest: Mapped[float]
    highest: Mapped[float]
    number: Mapped[int]


class CheckRow(Base):
    """One check of a window, with its verdict."""

    __tablename__ = "checks"
    __table_args__ = (PrimaryKeyConstraint("run_id", "series_id", "kind"), {"sqlite_with_rowid": False})
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    series_id: Mapped[int] = mapped_column(ForeignKey("metric_series.id"))
    kind: Mapped[str] = mapped_column(KeyText(32))
    verdict: Mapped[str] = mapped_column(KeyText(32))
    value: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    threshold_lower: Mapped[float | None]
    threshold_upper: Mapped[float | None]
    p_value: Mapped[float | None]
    rows: Mapped[int]
    detection_limit: Mapped[str | None] = mapped_column(LongText())
    reason: Mapped[str] = mapped_column(LongText())


class FindingRow(Base):
    """A check that is `changed`; `rank` 0 is the worst of its run."""

    __tablename__ = "findings"
    __table_args__ = (PrimaryKeyConstraint("run_id", "rank"), {"sqlite_with_rowid": False})
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    rank: Mapped[int]
    series_id: Mapped[int] = mapped_column(ForeignKey("metric_series.id"))
    kind: Mapped[str] = mapped_column(KeyText(32))
    severity: Mapped[str] = mapped_column(KeyText(16))
    cause: Mapped[str] = mapped_column(KeyText(255))
    explanation: Mapped[str] = mapped_column(LongText())
    share: Mapped[float | None]
    since: Mapped[datetime | None]
    origin: Mapped[str] = mapped_column(KeyText(16), default="")
    cost: Mapped[float | None]


class FoldState(Base):
    """Where a fold of a monitor stands (`kind`: its name): its state after the last result that it took. `late`: runs
    planned behind that place.
    """

    __tablename__ = "fold_states"
    __table_args__ = (PrimaryKeyConstraint("monitor_id", "kind"),)
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id"))
    kind: Mapped[str] = mapped_column(KeyText(32))
    as_of: Mapped[datetime | None]
    window_start: Mapped[datetime | None]
    look: Mapped[int | None]
    state: Mapped[dict[str, Any]]
    late: Mapped[list[Any] | None]


class FoldCheckpoint(Base):
    """The state of a fold before a window, so that another look at that window folds again from there."""

    __tablename__ = "fold_checkpoints"
    __table_args__ = (PrimaryKeyConstraint("monitor_id", "kind", "window_start", "window_end"),)
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id"))
    kind: Mapped[str] = mapped_column(KeyText(32))
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    state: Mapped[dict[str, Any]]


class Alert(Base):
    """The long-lived thing a person sees. `natural_key` is the hash of its identity, which never changes."""

    __tablename__ = "alerts"
    __table_args__ = (Index("ix_alerts_state", "state", "monitor_id", "kind"), Index("ix_alerts_since", "since"))
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(KeyText(36), unique=True)
    monitor_id: Mapped[int | None] = mapped_column(ForeignKey("monitors.id"))
    kind: Mapped[str] = mapped_column(KeyText(32))
    subject: Mapped[str] = mapped_column(KeyText(255))
    first_window: Mapped[datetime]
    opened_as_of: Mapped[datetime]
    state: Mapped[str] = mapped_column(KeyText(16))
    severity: Mapped[str] = mapped_column(KeyText(16))
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    fired_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    bad_windows: Mapped[int]
    columns: Mapped[list[Any]]
    summary: Mapped[str] = mapped_column(LongText())


class AlertEvent(Base):
    """Something that happened to an alert, at the `as_of` of the result that made it so; or in clock time, by a
    person.
    """

    __tablename__ = "alert_events"
    __table_args__ = (UniqueConstraint("alert_id", "number"), Index("ix_alert_events_dispatch", "dispatched"))
    id: Mapped[int] = mapped_column(WholeNumber(), primary_key=True)
    uuid: Mapped[str] = mapped_column(KeyText(36), unique=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id"))
    number: Mapped[int]
    kind: Mapped[str] = mapped_column(KeyText(16))
    happened_at: Mapped[datetime]
    run_id: Mapped[int | None] = mapped_column(WholeNumber())
    severity: Mapped[str] = mapped_column(KeyText(16))
    summary: Mapped[str] = mapped_column(LongText())
    detail: Mapped[dict[str, Any]]
    recorded_at: Mapped[datetime]
    dispatched: Mapped[bool] = mapped_column(default=False)


class Notification(Base):
    """One delivery of alert changes to one channel: an outbox row. `status` pending, sending, delivered, dead or
    superseded.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("channel", "group_key", "number"),
        Index("ix_notifications_claim", "status", "available_at"),
    )
    id: Mapped[int] = mapped_column(WholeNumber(), primary_key=True)
    uuid: Mapped[str] = mapped_column(KeyText(36), unique=True)
    channel: Mapped[str] = mapped_column(KeyText(128))
    group_key: Mapped[str] = mapped_column(KeyText(128))
    number: Mapped[int]
    status: Mapped[str] = mapped_column(KeyText(16))
    body: Mapped[str] = mapped_column(LongText())
    created_at: Mapped[datetime]
    available_at: Mapped[datetime]
    claims: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str] = mapped_column(KeyText(64), default="")
    lease_until: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(LongText(), default="")
    delivered_at: Mapped[datetime | None]


class NotificationGroup(Base):
    """The log of a group's notifications on a channel: the number of the last one. It outlives these, so that no number
    comes twice.
    """

    __tablename__ = "notification_groups"
    __table_args__ = (PrimaryKeyConstraint("channel", "group_key"),)
    channel: Mapped[str] = mapped_column(KeyText(128))
    group_key: Mapped[str] = mapped_column(KeyText(128))
    number: Mapped[int]
    told_at: Mapped[datetime]


class SilenceRow(Base):
    """Mutes the alerts that match, from one time until another."""

    __tablename__ = "silences"
    __table_args__ = (Index("ix_silences_ends_at", "ends_at"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(KeyText(36), unique=True)
    matchers: Mapped[list[Any]]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    comment: Mapped[str] = mapped_column(LongText())
    created_by: Mapped[str] = mapped_column(KeyText(255))
    created_at: Mapped[datetime]


class Annotation(Base):
    """What a person knows of an interval of a monitor: `expected`, `faulty` or `healthy`."""

    __tablename__ = "annotations"
    __table_args__ = (Index("ix_annotations_monitor", "monitor_id", "starts_at"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(KeyText(36), unique=True)
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id"))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    verdict: Mapped[str] = mapped_column(KeyText(16))
    note: Mapped[str] = mapped_column(LongText())
    created_by: Mapped[str] = mapped_column(KeyText(255))
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class NaturalRow(Base):
    """A fault of a window that paged, and that labels showed to do the model no harm, as of a time."""

    __tablename__ = "natural"
    __table_args__ = (
        UniqueConstraint("series_id", "reference_id", "window_start"),
        Index("ix_natural_monitor", "monitor_id", "as_of"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id"))
    series_id: Mapped[int] = mapped_column(ForeignKey("metric_series.id"))
    reference_id: Mapped[int] = mapped_column(ForeignKey("reference_versions.id"))
    window_start: Mapped[datetime]
    as_of: Mapped[datetime]
    value: Mapped[float]


class LabelList(HasWindow, Base):
    """Rows of a window whose labels are wanted, as they were drawn. number: of the lists of its window, from 1. rows:
    by the keyed hash of each row's id, the probability with which it was drawn. complete_at: when enough of its labels
    had come, None before.
    """

    __tablename__ = "label_lists"
    __table_args__ = (Index("ix_label_lists_monitor", "monitor_id", "window_start"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(KeyText(36), unique=True)
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id"))
    number: Mapped[int]
    model_version: Mapped[str] = mapped_column(KeyText(255))
    metric: Mapped[str] = mapped_column(KeyText(255))
    budget: Mapped[int]
    rows: Mapped[dict[str, Any]]
    created_by: Mapped[str] = mapped_column(KeyText(255))
    created_at: Mapped[datetime]
    complete_at: Mapped[datetime | None]


class Deployment(Base):
    """A version of a model that went into production."""

    __tablename__ = "deployments"
    __table_args__ = (Index("ix_deployments_model", "model_name", "deployed_at"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(KeyText(36), unique=True)
    model_name: Mapped[str] = mapped_column(KeyText(255))
    version: Mapped[str] = mapped_column(KeyText(255))
    deployed_at: Mapped[datetime]
    note: Mapped[str] = mapped_column(LongText())
    created_by: Mapped[str] = mapped_column(KeyText(255))
    created_at: Mapped[datetime]


class NotificationEvent(Base):
    """Which alert events a notification holds."""

    __tablename__ = "notification_events"
    __table_args__ = (PrimaryKeyConstraint("notification_id", "alert_event_id"),)
    notification_id: Mapped[int] = mapped_column(ForeignKey("notifications.id"))
    alert_event_id: Mapped[int] = mapped_column(ForeignKey("alert_events.id"))


class RetrainingRequest(Base):
    """A request that a model be retrained, or before it a proposal. `open_model` is the model's name while it has not
    ended.

    Of one that succeeded: `trained_version` as the training named it, `recovery` whether it helped
    (`domain.recovery`), `receipt` the same in words and `followed` in numbers.
    """

    __tablename__ = "retraining_requests"
    __table_args__ = (
        UniqueConstraint("monitor_id", "window_start", "as_of"),
        Index("ix_retraining_requests_state", "state"),
        Index("ix_retraining_requests_recovery", "recovery"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(KeyText(36), unique=True)
    monitor_id: Mapped[int] = mapped_column(ForeignKey("monitors.id"))
    model_name: Mapped[str] = mapped_column(KeyText(255))
    open_model: Mapped[str | None] = mapped_column(KeyText(255), unique=True)
    model_version: Mapped[str] = mapped_column(KeyText(255))
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    as_of: Mapped[datetime]
    state: Mapped[str] = mapped_column(KeyText(24))
    launcher: Mapped[str] = mapped_column(KeyText(255))
    reason: Mapped[str] = mapped_column(LongText())
    detail: Mapped[dict[str, Any]]
    data_start: Mapped[datetime]
    data_end: Mapped[datetime]
    outcome: Mapped[str] = mapped_column(LongText(), default="")
    claims: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str] = mapped_column(KeyText(64), default="")
    created_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]
    launched_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    trained_version: Mapped[str] = mapped_column(KeyText(255), default="", server_default="")
    recovery: Mapped[str] = mapped_column(KeyText(24), default="", server_default="")
    receipt: Mapped[str | None] = mapped_column(LongText())
    followed: Mapped[dict[str, Any] | None]


class RetrainingEvent(Base):
    """The story of a request: each change of its state."""

    __tablename__ = "retraining_events"
    __table_args__ = (UniqueConstraint("request_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[int] = mapped_column(ForeignKey("retraining_requests.id"))
    number: Mapped[int]
    state: Mapped[str] = mapped_column(KeyText(24))
    text: Mapped[str] = mapped_column(LongText())
    happened_at: Mapped[datetime]


class Daemon(Base):
    """A daemon that works or worked on this database; its name is new at each start."""

    __tablename__ = "daemons"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(KeyText(64), unique=True)
    host: Mapped[str] = mapped_column(KeyText(255))
    pid: Mapped[int]
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    stopped_at: Mapped[datetime | None]
    configuration_id: Mapped[int | None]
    loops: Mapped[dict[str, Any] | None]


class User(Base):
    """Somebody who may log in to the web page. password_hash: argon2id. role: viewer, operator or admin."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(KeyText(128), unique=True)
    password_hash: Mapped[str] = mapped_column(KeyText(255))
    role: Mapped[str] = mapped_column(KeyText(16))
    created_at: Mapped[datetime]


class ApiToken(Base):
    """A token of a program. Of the token itself only its SHA-256 is kept: it is random, 256 bits long.

    monitors: of the role `ingest`, the names or patterns of the monitors whose rows it may send.
    """

    __tablename__ = "api_tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(KeyText(36), unique=True)
    name: Mapped[str] = mapped_column(KeyText(128))
    hash: Mapped[str] = mapped_column(KeyText(64), unique=True)
    role: Mapped[str] = mapped_column(KeyText(16))
    monitors: Mapped[list[Any] | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class WebSession(Base):
    """A login that lasts until `expires_at`; of its secret only the SHA-256 is kept."""

    __tablename__ = "web_sessions"
    hash: Mapped[str] = mapped_column(KeyText(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class AuditEntry(Base):
    """What a person or program has changed, in clock time."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_at", "at"),)
    id: Mapped[int] = mapped_column(WholeNumber(), primary_key=True)
    at: Mapped[datetime]
    who: Mapped[str] = mapped_column(KeyText(255))
    action: Mapped[str] = mapped_column(KeyText(64))
    subject: Mapped[str] = mapped_column(KeyText(255))
    detail: Mapped[str] = mapped_column(LongText())


class ServiceKey(Base):
    """A secret of the service itself, by what it is for."""

    __tablename__ = "service_keys"
    purpose: Mapped[str] = mapped_column(KeyText(64), primary_key=True)
    value: Mapped[str] = mapped_column(KeyText(64))
