"""What the pages show at a glance: the fleet, and one monitor over time. Few queries, each by an index, whatever the
number of monitors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from monitor.domain.checks import UNDECIDED, Kind, Severity, Verdict
from monitor.domain.monitor_state import PAGING, Latest, MonitorState, OpenAlert, state_of
from monitor.storage.listing import in_parts
from monitor.storage.report import is_current
from monitor.storage.tables import (
    Alert,
    AlertEvent,
    CheckRow,
    Deployment,
    FindingRow,
    MetricSeries,
    MetricValueRow,
    MonitorRow,
    ReferenceInForce,
    RetrainingEvent,
    RetrainingRequest,
    Run,
    SourceState,
)

# The metric that stands for a model's performance: the first of these that has values.
PERFORMANCE = ("roc_auc", "mae", "accuracy", "f1", "rmse", "average_precision")
SPARK_WINDOWS = 30
Point = tuple[datetime, float]


@dataclass(frozen=True)
class MonitorOverview:
    """A monitor as it stands: how it is and since when, what is open, what was and will be done. last_window: the
    newest that was evaluated.
    """

    id: int
    name: str
    model: str
    state: MonitorState
    since: datetime | None
    open_alerts: int
    open_requests: int
    last_run: datetime | None
    waiting_since: datetime | None
    planned_until: datetime | None
    rows: int | None
    source_error: str
    configuration_id: int
    last_window: datetime | None


def fleet(session: Session, only: int | None = None) -> list[MonitorOverview]:
    """Every monitor that is watched (or only one), by name."""
    alerts: dict[int | None, list[Alert]] = {}
    for alert in session.scalars(
        select(Alert).where(Alert.state.in_(("pending", "firing")), Alert.monitor_id.is_not(None))
    ):
        alerts.setdefault(alert.monitor_id, []).append(alert)
    requesting = [
        row[0]
        for row in session.execute(
            select(RetrainingRequest.monitor_id).where(RetrainingRequest.open_model.is_not(None))
        )
    ]
    pending: Any = (
        select(Run.monitor_id, func.min(Run.available_at)).where(Run.status == "pending").group_by(Run.monitor_id)
    )
    waiting: dict[int, datetime] = {row[0]: row[1] for row in session.execute(pending)}
    newest = aliased(Run)
    of_monitor = and_(newest.monitor_id == MonitorRow.id, newest.status == "done")
    ended = select(func.max(newest.finished_at)).where(of_monitor).scalar_subquery()
    last = {
        kind: select(newest.id)
        .where(of_monitor, newest.kind == kind, newest.judged)
        .order_by(newest.window_start.desc(), newest.as_of.desc(), newest.look.desc())
        .limit(1)
        .scalar_subquery()
        for kind in ("data", "performance")
    }
    query = (
        select(MonitorRow, SourceState.error, ended, Run, last["performance"])
        .outerjoin(SourceState, SourceState.monitor_id == MonitorRow.id)
        .outerjoin(Run, and_(Run.id == last["data"], Run.monitor_id == MonitorRow.id))
        .where(MonitorRow.active_name.is_not(None) if only is None else MonitorRow.id == only)
        .order_by(MonitorRow.name)
    )
    rows = [tuple(row) for row in session.execute(query)]
    newest_runs = [number for *_, run, labelled in rows for number in (run and run.id, labelled) if number is not None]
    blind, checked = blind_runs(session, newest_runs), checked_runs(session, newest_runs)
    overviews = []
    for row, error, finished, run, labelled in rows:
        own_alerts, run_ids = alerts.get(row.id, []), {run and run.id, labelled}
        latest = None if run is None else Latest(run.rows or 0, bool(run_ids & blind), bool(run_ids & checked))
        state = state_of(
            (
                OpenAlert(open_alert.kind, Severity(open_alert.severity), open_alert.state == "firing")
                for open_alert in own_alerts
            ),
            latest,
        )
        firing = [open_alert for open_alert in own_alerts if open_alert.state == "firing"]
        overviews.append(
            MonitorOverview(
                row.id,
                row.name,
                row.model_name,
                state,
                _since(state, own_alerts),
                len(firing),
                requesting.count(row.id),
                finished,
                waiting.get(row.id),
                run and run.window_end,
                run and run.rows,
                error or "",
                row.configuration_id,
                run and run.window_start,
            )
        )
    return overviews


def _since(state: MonitorState, alerts: list[Alert]) -> datetime | None:
    """Since when a monitor is so: the beginning of the oldest alert that makes it so."""
    if state is MonitorState.CANNOT_TELL:
        return min((alert.since for alert in alerts if alert.kind == Kind.BLIND), default=None)
    return min((alert.since for alert in alerts if alert.state == "firing" and alert.severity == state), default=None)


def blind_runs(session: Session, ids: Sequence[int]) -> set[int]:
    """Those of some runs that have a finding of kind `blind`: the state of the model is unknown."""
    return _runs_with(session, ids, select(FindingRow.run_id).where(FindingRow.kind == Kind.BLIND.value))


def checked_runs(session: Session, ids: Sequence[int]) -> set[int]:
    """Those of some runs in which a check of a kind that pages could be made."""
    made_verdicts = (Verdict.FINE.value, Verdict.CHANGED.value)
    kinds = [kind.value for kind in PAGING]
    return _runs_with(
        session, ids, select(CheckRow.run_id).where(CheckRow.verdict.in_(made_verdicts), CheckRow.kind.in_(kinds))
    )


def _runs_with(session: Session, ids: Sequence[int], rows: Any) -> set[int]:
    """Those of some runs that have a row; the search of a run ends at its first row."""
    run_ids: set[int] = set()
    for part in in_parts(ids):
        is_there = rows.where(rows.selected_columns[0] == Run.id).correlate(Run).exists()
        run_ids.update(session.scalars(select(Run.id).where(Run.id.in_(part), is_there)))
    return run_ids


@dataclass(frozen=True)
class Sparkline:
    """What the last windows of a monitor showed: the metric that stands for performance, realised and estimated, and
    how many columns had drifted.
    """

    metric: str = ""
    realised: list[Point] = field(default_factory=list)
    estimated: list[Point] = field(default_factory=list)
    drifted: list[Point] = field(default_factory=list)


def spark(session: Session, monitor_id: int) -> Sparkline:
    """The last windows of a monitor, oldest first."""
    names = [*PERFORMANCE, *(f"estimated_{name}" for name in PERFORMANCE)]
    series: dict[str, list[int]] = {}
    for number, metric in session.execute(
        select(MetricSeries.id, MetricSeries.metric).where(
            MetricSeries.monitor_id == monitor_id,
            MetricSeries.metric.in_(names),
            MetricSeries.column == "",
            MetricSeries.segment == "",
        )
    ):
        series.setdefault(metric, []).append(number)
    metric = next((name for name in PERFORMANCE if name in series or f"estimated_{name}" in series), "")
    realised = _newest(session, series.get(metric, []), "performance")
    estimated = _newest(session, series.get(f"estimated_{metric}", []), "data")
    return Sparkline(metric, realised, estimated, _drifted(session, monitor_id))


def _newest(session: Session, series: Sequence[int], kind: str) -> list[Point]:
    """The newest values of some series in runs of a kind, one a window; without those whose check is undecided."""
    newest: dict[datetime, tuple[int, float]] = {}
    for number in series:
        query = (
            select(MetricValueRow.window_start, MetricValueRow.run_id, MetricValueRow.value)
            .join(Run, Run.id == MetricValueRow.run_id)
            .outerjoin(CheckRow, and_(CheckRow.run_id == Run.id, CheckRow.series_id == number))
            .where(
                MetricValueRow.series_id == number,
                MetricValueRow.value.is_not(None),
                Run.kind == kind,
                or_(CheckRow.verdict.is_(None), CheckRow.verdict.not_in(UNDECIDED)),
            )
            .order_by(MetricValueRow.window_start.desc(), MetricValueRow.run_id.desc())
            .limit(2 * SPARK_WINDOWS)
        )
        for start, run, value in session.execute(query):
            if value is not None and run > newest.get(start, (0, 0.0))[0]:
                newest[start] = run, value
    return [(start, value) for start, (_, value) in sorted(newest.items())][-SPARK_WINDOWS:]


def _drifted(session: Session, monitor_id: int) -> list[Point]:
    lately = (
        select(Run.id, Run.window_start)
        .where(Run.monitor_id == monitor_id, Run.kind == "data", Run.status == "done")
        .order_by(Run.as_of.desc(), Run.window_start.desc())
        .limit(SPARK_WINDOWS)
        .subquery()
    )
    query = (
        select(lately.c.window_start, func.count(func.distinct(MetricSeries.column)))
        .select_from(lately)
        .outerjoin(FindingRow, and_(FindingRow.run_id == lately.c.id, FindingRow.kind == "drift"))
        .outerjoin(MetricSeries, MetricSeries.id == FindingRow.series_id)
        .group_by(lately.c.window_start)
        .order_by(lately.c.window_start)
    )
    return [(start, float(number)) for start, number in session.execute(query)]


@dataclass(frozen=True)
class WindowState:
    """A window of a monitor: the run that shows its state, and the worst of its data and its performance."""

    start: datetime
    end: datetime
    state: str
    rows: int | None
    run: str
    columns: int = 0


def windows(session: Session, monitor_id: int, start: datetime, end: datetime) -> list[WindowState]:
    """The windows that begin within a time, oldest first: healthy, warning, critical, cannot_tell, no_data, failed,
    skipped, waiting.
    """
    query = select(Run).where(
        Run.monitor_id == monitor_id,
        Run.kind.in_(("data", "performance")),
        Run.window_start >= start,
        Run.window_start < end,
    )
    runs_by_window: dict[tuple[datetime, datetime], dict[str, Run]] = {}
    for run in session.scalars(query.order_by(Run.window_start, Run.as_of, Run.look)):
        runs_by_kind = runs_by_window.setdefault((run.window_start, run.window_end), {})
        before = runs_by_kind.get(run.kind)
        if before is None or run.status == "done" or before.status != "done":
            runs_by_kind[run.kind] = run
    done_ids = [run.id for runs in runs_by_window.values() for run in runs.values() if run.status == "done"]
    checked = checked_runs(session, done_ids)
    return [_state(*span, runs, checked) for span, runs in runs_by_window.items()]


def _state(start: datetime, end: datetime, runs: dict[str, Run], checked: set[int]) -> WindowState:
    main = runs.get("data") or next(iter(runs.values()))
    done_runs = [run for run in runs.values() if run.status == "done"]
    worst = max(
        (run.severity or "none" for run in done_runs), key=lambda severity: Severity(severity).rank, default="none"
    )
    if main.status != "done":
        state = "waiting" if main.status in ("pending", "running") else main.status
    elif not main.rows:
        state = MonitorState.NO_DATA.value
    elif worst in ("none", "info") and not any(run.id in checked for run in done_runs):
        state = MonitorState.CANNOT_TELL.value
    else:
        state = "healthy" if worst in ("none", "info") else worst
    paging = next((run for run in done_runs if run.severity == worst), main)
    return WindowState(start, end, state, main.rows, (main if worst in ("none", "info") else paging).uuid)


@dataclass(frozen=True)
class Value:
    """A metric of a window, with its interval and the limits that it was held against. verdict: of its check, None
    where it has none.
    """

    start: datetime
    value: float | None
    lower: float | None
    upper: float | None
    threshold_lower: float | None
    threshold_upper: float | None
    model_version: str
    run: str
    verdict: str | None = None

    @property
    def can_tell(self) -> bool:
        """Whether there were enough rows for the value to mean something."""
        return self.verdict not in UNDECIDED


def history(
    session: Session, monitor_id: int, metric: str, start: datetime, end: datetime, column: str = "", segment: str = ""
) -> list[Value]:
    """A metric over time, oldest window first; of each window the newest look. Estimates are those made before labels
    came.
    """
    kinds = ("data",) if metric.startswith("estimated_") else ("data", "performance")
    query: Any = (
        select(
            MetricValueRow.window_start,
            MetricValueRow.value,
            MetricValueRow.lower,
            MetricValueRow.upper,
            CheckRow.threshold_lower,
            CheckRow.threshold_upper,
            MetricSeries.model_version,
            Run.uuid,
            CheckRow.verdict,
        )
        .join(MetricSeries, MetricSeries.id == MetricValueRow.series_id)
        .join(Run, Run.id == MetricValueRow.run_id)
        .outerjoin(CheckRow, and_(CheckRow.run_id == Run.id, CheckRow.series_id == MetricSeries.id))
        .where(
            MetricSeries.monitor_id == monitor_id,
            MetricSeries.metric == metric,
            MetricSeries.column == column,
            MetricSeries.segment == segment,
            MetricValueRow.window_start >= start,
            MetricValueRow.window_start < end,
            Run.kind.in_(kinds),
            is_current(),
        )
        .order_by(MetricValueRow.window_start, MetricSeries.model_version)
    )
    return [Value(*row) for row in session.execute(query)]


def metrics_of_whole(session: Session, monitor_id: int) -> set[str]:
    """The metrics that a monitor has of the model as a whole."""
    query = select(MetricSeries.metric).where(
        MetricSeries.monitor_id == monitor_id, MetricSeries.column == "", MetricSeries.segment == ""
    )
    return set(session.scalars(query.distinct()))


def series(session: Session, monitor_id: int) -> list[tuple[str, str, str, str]]:
    """What a monitor has values of: metric, column, segment, model version."""
    query: Any = (
        select(MetricSeries.metric, MetricSeries.column, MetricSeries.segment, MetricSeries.model_version)
        .where(MetricSeries.monitor_id == monitor_id)
        .order_by(MetricSeries.metric, MetricSeries.column, MetricSeries.segment, MetricSeries.model_version)
    )
    return [(row[0], row[1], row[2], row[3]) for row in session.execute(query)]


def segments(session: Session, monitor_id: int) -> list[str]:
    """The segments of which a monitor has values."""
    query = select(MetricSeries.segment).where(MetricSeries.monitor_id == monitor_id, MetricSeries.segment != "")
    return sorted(session.scalars(query.distinct()))


@dataclass(frozen=True)
class SegmentOverview:
    """A segment over some windows. value, estimated: the newest realised and estimated value of a metric. windows: in
    how many something changed; worst: the worst of it.
    """

    name: str
    value: float | None
    estimated: float | None
    windows: int
    worst: str


def segment_overviews(
    session: Session, monitor_id: int, metric: str, start: datetime, end: datetime
) -> list[SegmentOverview]:
    """The segments of a monitor in the windows that begin within a time, those with the worst findings first."""
    in_span = (Run.monitor_id == monitor_id, Run.window_start >= start, Run.window_start < end, Run.status == "done")
    changed: Any = (
        select(MetricSeries.segment, Run.window_start, FindingRow.severity)
        .join(FindingRow, FindingRow.series_id == MetricSeries.id)
        .join(Run, Run.id == FindingRow.run_id)
        .where(*in_span, MetricSeries.segment != "", is_current())
    )
    severities: dict[str, dict[datetime, str]] = {}
    for segment, moment, severity in session.execute(changed):
        own = severities.setdefault(segment, {})
        own[moment] = max(own.get(moment, "none"), severity, key=_rank)
    newest: dict[str, dict[str, float | None]] = {}
    measured: Any = (
        select(MetricSeries.segment, MetricSeries.metric, MetricValueRow.value)
        .join(MetricValueRow, MetricValueRow.series_id == MetricSeries.id)
        .join(Run, Run.id == MetricValueRow.run_id)
        .where(
            *in_span,
            MetricSeries.monitor_id == monitor_id,
            MetricSeries.column == "",
            MetricSeries.segment != "",
            MetricSeries.metric.in_([metric, f"estimated_{metric}"]),
            MetricValueRow.window_start >= start,
            MetricValueRow.window_start < end,
        )
        .order_by(Run.window_start, Run.as_of)
    )
    for segment, name, value in session.execute(measured):
        newest.setdefault(segment, {})[name] = value
    rows = [
        SegmentOverview(
            name,
            newest.get(name, {}).get(metric),
            newest.get(name, {}).get(f"estimated_{metric}"),
            len(severities.get(name, {})),
            max(severities.get(name, {}).values(), key=_rank, default="none"),
        )
        for name in segments(session, monitor_id)
    ]
    return sorted(rows, key=lambda row: (-_rank(row.worst), -row.windows, row.name))


@dataclass(frozen=True)
class Impact:
    """A column's drift over time: its scores, the severity of what was found of it by window, and what its changes are
    likely to have cost at their worst.
    """

    column: str
    cost: float
    worst: str
    scores: dict[datetime, float]
    severities: dict[datetime, str]


def _rank(severity: str) -> int:
    return Severity(severity).rank


def impacts(
    session: Session, monitor_id: int, start: datetime, end: datetime, segment: str = "", most: int = 40
) -> list[Impact]:
    """The columns of a monitor, those whose changes are likely to have cost most first, then by their highest score."""
    query: Any = (
        select(MetricSeries.column, MetricValueRow.window_start, MetricValueRow.value)
        .join(MetricValueRow, MetricValueRow.series_id == MetricSeries.id)
        .join(Run, Run.id == MetricValueRow.run_id)
        .where(
            MetricSeries.monitor_id == monitor_id,
            MetricSeries.metric == "drift_score",
            MetricSeries.segment == segment,
            MetricValueRow.window_start >= start,
            MetricValueRow.window_start < end,
            MetricValueRow.value.is_not(None),
            Run.kind == "data",
        )
        .order_by(Run.as_of)
    )
    scores: dict[str, dict[datetime, float]] = {}
    for column, moment, value in session.execute(query):
        scores.setdefault(column, {})[moment] = value
    findings: Any = (
        select(MetricSeries.column, Run.window_start, FindingRow.severity, FindingRow.cost)
        .join(FindingRow, FindingRow.series_id == MetricSeries.id)
        .join(Run, Run.id == FindingRow.run_id)
        .where(
            Run.monitor_id == monitor_id,
            Run.window_start >= start,
            Run.window_start < end,
            MetricSeries.column != "",
            is_current(),
        )
    )
    costs: dict[str, float] = {}
    severities: dict[str, dict[datetime, str]] = {}
    for column, moment, severity, cost in session.execute(findings):
        costs[column] = max(costs.get(column, 0.0), cost or 0.0)
        by_window = severities.setdefault(column, {})
        by_window[moment] = max(by_window.get(moment, "none"), severity, key=_rank)
    column_impacts = [
        Impact(
            name,
            costs.get(name, 0.0),
            max(column_severities.values(), key=_rank, default="none"),
            column_scores,
            column_severities,
        )
        for name, column_scores in scores.items()
        for column_severities in [severities.get(name, {})]
    ]
    column_impacts.sort(
        key=lambda impact: (-impact.cost, -Severity(impact.worst).rank, -max(impact.scores.values()), impact.column)
    )
    return column_impacts[:most]


@dataclass(frozen=True)
class PlotMark:
    """Something that happened, to be marked on plots: kind `alert`, `acknowledged`, `deployment`, `retraining` or
    `reference`.
    """

    at: datetime
    kind: str
    text: str
    link: str = ""


def marks(session: Session, row: MonitorRow, start: datetime, end: datetime) -> list[PlotMark]:
    """What happened to a monitor and its model within a time, oldest first."""
    fired = select(Alert).where(
        Alert.monitor_id == row.id, Alert.fired_at.is_not(None), Alert.since >= start, Alert.since < end
    )
    plot_marks = [
        PlotMark(alert.since, "alert", f"{alert.severity} {alert.kind}", f"alerts/{alert.uuid}")
        for alert in session.scalars(fired)
    ]
    acknowledged: Any = (
        select(AlertEvent.happened_at, AlertEvent.detail, Alert.uuid)
        .join(Alert, Alert.id == AlertEvent.alert_id)
        .where(
            Alert.monitor_id == row.id,
            AlertEvent.kind == "acknowledged",
            AlertEvent.happened_at >= start,
            AlertEvent.happened_at < end,
        )
    )
    plot_marks += [
        PlotMark(at, "acknowledged", f"acknowledged by {detail.get('by', '')}", f"alerts/{uuid}")
        for at, detail, uuid in session.execute(acknowledged)
    ]
    deployed = select(Deployment).where(
        Deployment.model_name == row.model_name, Deployment.deployed_at >= start, Deployment.deployed_at < end
    )
    plot_marks += [
        PlotMark(deployment.deployed_at, "deployment", f"version {deployment.version} deployed")
        for deployment in session.scalars(deployed)
    ]
    retrained: Any = (
        select(RetrainingEvent, RetrainingRequest.uuid)
        .join(RetrainingRequest, RetrainingRequest.id == RetrainingEvent.request_id)
        .where(
            RetrainingRequest.model_name == row.model_name,
            RetrainingEvent.happened_at >= start,
            RetrainingEvent.happened_at < end,
            RetrainingEvent.state.in_(("open", "succeeded", "rejected", "failed", "expired")),
        )
    )
    plot_marks += [
        PlotMark(event.happened_at, "retraining", f"retraining {event.state}", f"retraining/{uuid}")
        for event, uuid in session.execute(retrained)
    ]
    changed = select(ReferenceInForce).where(
        ReferenceInForce.monitor_id == row.id, ReferenceInForce.valid_from >= start, ReferenceInForce.valid_from < end
    )
    plot_marks += [
        PlotMark(reference.valid_from, "reference", f"reference: {reference.why[:60]}")
        for reference in session.scalars(changed)
    ]
    return sorted(plot_marks, key=lambda plot_mark: plot_mark.at)


def extent(session: Session, monitor_id: int) -> tuple[datetime, datetime] | None:
    """From the start of the first to the end of the last window that has run."""
    row: Any = session.execute(
        select(func.min(Run.window_start), func.max(Run.window_end)).where(
            Run.monitor_id == monitor_id, Run.kind == "data", or_(Run.status == "done", Run.status == "failed")
        )
    ).one()
    return None if row[0] is None else (row[0], row[1])


def start_of_last(session: Session, monitor_id: int, number: int) -> datetime | None:
    """The start of the oldest of the last windows, `number` of them."""
    query = (
        select(Run.window_start)
        .where(Run.monitor_id == monitor_id, Run.kind == "data", Run.look == 0)
        .order_by(Run.window_start.desc())
        .limit(number)
    )
    return min(session.scalars(query), default=None)
