"""What the API takes and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct, field

from monitor.domain.monitor_state import MonitorState

T = TypeVar("T")


class Page(Struct, Generic[T]):
    """Some items, newest first. next_cursor: for the page after it; null on the last one."""

    items: list[T]
    next_cursor: str | None = None


class Problem(Struct):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


class Monitor(Struct):
    """A monitor as it stands. state: critical, warning, cannot_tell, no_data, waiting or healthy."""

    name: str
    model: str
    state: MonitorState
    since: datetime | None
    tags: dict[str, str]
    open_alerts: int
    open_retraining: int
    last_run_at: datetime | None
    next_due_at: datetime | None
    metric: str
    value: float | None
    estimated: float | None
    source_error: str


class SeriesName(Struct):
    """What there are values of."""

    metric: str
    column: str
    segment: str
    model_version: str


class Point(Struct):
    """A value of one window."""

    window_start: datetime
    value: float | None
    lower: float | None
    upper: float | None
    threshold_lower: float | None
    threshold_upper: float | None
    model_version: str
    run: str


class Series(Struct):
    """A metric over time. downsampled: of every stretch only the smallest and the largest value."""

    monitor: str
    metric: str
    column: str
    segment: str
    downsampled: bool
    points: list[Point]


class WouldBeAlert(Struct):
    """An alert that some settings would have raised. kind: `performance` or `estimated_performance`."""

    kind: str
    since: datetime
    until: datetime
    severity: str
    is_open: bool


class WouldHavePaged(Struct):
    """What some settings would have paged on performance. threshold_lower, threshold_upper: what the metric must not
    leave, by the newest window. months: of history. pages, false_pages: alerts a month that began in it; false by what
    labels showed, null without labels. unlabelled: how many alerts have no labels yet. alerts: also those that began
    before and went on.
    """

    metric: str
    harm: str
    false_pages_per_month: float
    threshold_lower: float | None
    threshold_upper: float | None
    windows: int
    months: float
    pages: float
    false_pages: float | None
    unlabelled: int
    alerts: list[WouldBeAlert]


class Run(Struct):
    """One evaluation of one window."""

    id: str
    monitor: str
    kind: str
    window_start: datetime
    window_end: datetime
    look: int
    as_of: datetime
    status: str
    reason: str
    severity: str
    rows: int | None
    sampled: int | None
    labelled: int | None
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None


class Finding(Struct):
    """A check that has changed."""

    run: str
    monitor: str
    window_start: datetime
    kind: str
    severity: str
    metric: str
    column: str
    segment: str
    model_version: str
    cause: str
    origin: str
    explanation: str
    share: float | None
    cost: float | None
    since: datetime | None


class Alert(Struct):
    """What a person sees."""

    id: str
    monitor: str
    kind: str
    subject: str
    state: str
    severity: str
    since: datetime
    ended_at: datetime | None
    bad_windows: int
    columns: list[str]
    summary: str
    acknowledged: bool


class AlertEvent(Struct):
    """Something that happened to an alert."""

    at: datetime
    kind: str
    severity: str
    summary: str
    detail: dict[str, Any]


class Notification(Struct):
    """One delivery to one channel."""

    id: str
    channel: str
    status: str
    attempts: int
    created_at: datetime
    delivered_at: datetime | None
    last_error: str


class AlertLife(Struct):
    """An alert with everything that happened to it."""

    alert: Alert
    labels: dict[str, str]
    quiet: str
    timeline: list[AlertEvent]
    findings: list[dict[str, Any]]
    deliveries: list[Notification]


class Acknowledgement(Struct):
    """Taking an alert on. duration: such as 4h or 2d; until it resolves if left out. columns: only for these."""

    note: str = field(default="")
    duration: str | None = None
    columns: list[str] = field(default_factory=list)


class Feedback(Struct):
    """What an alert was."""

    verdict: Literal["real", "expected", "useless"]
    note: str = ""


class Silence(Struct):
    """What is muted, and until when."""

    id: str
    matchers: list[str]
    starts_at: datetime
    ends_at: datetime
    comment: str
    created_by: str


class NewSilence(Struct):
    """Matchers in Alertmanager's syntax, all of which must match; how long, such as 4h."""

    matchers: list[str]
    duration: str
    starts_at: datetime | None = None
    comment: str = ""


class RetrainingEvent(Struct):
    """A change of a request's state."""

    at: datetime
    state: str
    text: str


class RetrainingRequest(Struct):
    """A request that a model be retrained. Of one that succeeded: the version that was trained, whether it helped, and
    what was promised and got.
    """

    id: str
    monitor: str
    model: str
    model_version: str
    state: str
    reason: str
    launcher: str
    outcome: str
    data_start: datetime
    data_end: datetime
    as_of: datetime
    created_at: datetime
    ended_at: datetime | None
    trained_version: str
    recovery: str
    receipt: str


class RetrainingStory(Struct):
    """A request from drift to verdict."""

    request: RetrainingRequest
    story: list[RetrainingEvent]


class Completion(Struct):
    """How a training ended. reference, candidate: files that the service can read."""

    status: Literal["succeeded", "failed"] = "succeeded"
    text: str = ""
    model_version: str = ""
    reference: str = ""
    candidate: str = ""


class Reference(Struct):
    """Which reference holds from which window on, by whom and why."""

    monitor: str
    model_version: str
    version: str
    rows: int
    valid_from: datetime
    who: str
    why: str


class Deployment(Struct):
    """A version of a model that went into production."""

    id: str
    model: str
    version: str
    deployed_at: datetime
    note: str
    created_by: str


class NewDeployment(Struct):
    """A version that goes into production; now, if no time is given. reference: a file with the new version's reference
    rows, which holds from the next window on.
    """

    model: str
    version: str
    deployed_at: datetime | None = None
    note: str = ""
    reference: str = ""


class NewRun(Struct):
    """An interval to look at, ad hoc and never judged; the newest window if left out."""

    start: datetime | None = None
    end: datetime | None = None


class Planned(Struct):
    """Runs that a daemon will work on."""

    runs: list[str]


class Ingested(Struct):
    """What became of the rows that were sent. new_columns: how many came for the first time that neither the
    configuration nor the reference names.
    """

    accepted: int
    duplicates: int
    new_columns: int
