"""What a run found: metric values, checks, findings and the snapshot, written with its outcome in one transaction."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import and_, func, insert, or_, select
from sqlalchemy.orm import Session

from monitor.domain import matter
from monitor.domain.checks import Check, CheckKey, Finding, Kind, MetricValue
from monitor.domain.ids import key_hash
from monitor.storage.listing import in_parts
from monitor.storage.report import is_current
from monitor.storage.tables import Base, CheckRow, FindingRow, MetricSeries, MetricValueRow, MonitorRow, Run, Snapshot
from monitor.storage.types import UTCDateTime


@dataclass(frozen=True)
class Results:
    """What is stored of a run; metric values are unique by their key and model version."""

    metrics: Sequence[MetricValue]
    checks: Sequence[Check]
    findings: Sequence[Finding]
    snapshot: bytes | None


def store(session: Session, run: Run, results: Results) -> None:
    """Write the results of a run."""
    values: dict[_SeriesKey, MetricValue] = {_series_key(value): value for value in (*results.checks, *results.metrics)}
    series = _series(session, run.monitor_id, list(values))
    _put_values(session, run, sorted((series[key], value) for key, value in values.items()))
    if results.checks:
        _insert(session, CheckRow, [_check_row(run.id, series[_series_key(check)], check) for check in results.checks])
    if results.findings:
        _insert(
            session,
            FindingRow,
            [
                {
                    "run_id": run.id,
                    "rank": rank,
                    "series_id": series[_series_key(finding)],
                    "kind": finding.kind.value,
                    "severity": finding.severity.value,
                    "cause": finding.cause,
                    "explanation": finding.explanation,
                    "share": _number(finding.share),
                    "since": finding.since,
                    "origin": finding.origin,
                    "cost": _number(finding.cost),
                }
                for rank, finding in enumerate(results.findings)
            ],
        )
    if results.snapshot is not None:
        session.add(Snapshot(run_id=run.id, data=results.snapshot))


def _insert(session: Session, table: type[Base], rows: list[dict[str, Any]]) -> None:
    """Insert rows past SQLAlchemy's unit of work."""
    session.connection().execute(table.__table__.insert(), rows)  # type: ignore[attr-defined]


def _put_values(session: Session, run: Run, values: list[tuple[int, MetricValue]]) -> None:
    """Insert the values of a run, in the order of their key, past SQLAlchemy's unit of work; on PostgreSQL by COPY."""
    if not values:
        return
    connection = session.connection()
    dialect = connection.dialect
    to_database = UTCDateTime().dialect_impl(dialect).bind_processor(dialect)
    start = to_database(run.window_start) if to_database is not None else run.window_start
    rows = [
        (series, start, run.id, _number(value.value), _number(value.lower), _number(value.upper))
        for series, value in values
    ]
    names = "series_id, window_start, run_id, value, lower, upper"
    if dialect.name == "postgresql":
        raw: Any = connection.connection.dbapi_connection
        lines = ["\t".join("\\N" if field is None else str(field) for field in row) for row in rows]
        with raw.cursor() as cursor, cursor.copy(f"COPY metric_values ({names}) FROM STDIN") as copy:
            copy.write("\n".join(lines) + "\n")
        return
    placeholders = ", ".join(["?" if dialect.paramstyle == "qmark" else "%s"] * 6)
    connection.exec_driver_sql(f"INSERT INTO metric_values ({names}) VALUES ({placeholders})", rows)  # noqa: S608 - nothing of it comes from outside


def _check_row(run_id: int, series_id: int, check: Check) -> dict[str, Any]:
    numbers = ("value", "lower", "upper", "threshold_lower", "threshold_upper", "p_value")
    return {
        "run_id": run_id,
        "series_id": series_id,
        "kind": check.kind.value,
        "verdict": check.verdict.value,
        "rows": check.rows,
        "detection_limit": check.detection_limit,
        "reason": check.reason,
    } | {name: _number(getattr(check, name)) for name in numbers}


def _number(value: float | None) -> float | None:
    """NaN and infinities are never stored."""
    return float(value) if value is not None and math.isfinite(value) else None


_SeriesKey = tuple[str, str, str, str]


def _series_key(value: MetricValue) -> _SeriesKey:
    return (value.model_version, *value.key)


# The numbers of series that were read before, by connection pool: they never change and are never removed.
_series_numbers: WeakKeyDictionary[Any, dict[tuple[int, _SeriesKey], int]] = WeakKeyDictionary()


def _series(session: Session, monitor_id: int, keys: Sequence[_SeriesKey]) -> dict[_SeriesKey, int]:
    """The number of each series, new ones made."""
    bind: Any = session.get_bind()
    numbers = _series_numbers.setdefault(bind.pool, {})
    cached = {key: number for key in keys if (number := numbers.get((monitor_id, key))) is not None}
    lacking = {key_hash(monitor_id, *key): key for key in keys if key not in cached}
    read = _numbers_of(session, list(lacking))
    numbers.update({(monitor_id, lacking[digest]): number for digest, number in read.items()})
    new = [digest for digest in lacking if digest not in read]
    if new:  # not known yet to others: this transaction may still fail
        names = ("model_version", "metric", "column", "segment")
        rows = [
            {"hash": digest, "monitor_id": monitor_id, **dict(zip(names, lacking[digest], strict=True))}
            for digest in new
        ]
        session.execute(insert(MetricSeries), rows)
        read |= _numbers_of(session, new)
    return cached | {lacking[digest]: number for digest, number in read.items()}


def _numbers_of(session: Session, hashes: Sequence[bytes]) -> dict[bytes, int]:
    """The numbers of the series that are stored, by their hashes."""
    numbers: dict[bytes, int] = {}
    for part in in_parts(hashes):
        has_hash = MetricSeries.hash.in_(part)
        numbers.update(
            (digest, number)
            for digest, number in session.execute(select(MetricSeries.hash, MetricSeries.id).where(has_hash))
        )
    return {bytes(digest): number for digest, number in numbers.items()}


@dataclass(frozen=True)
class StoredCheck:
    """A check as it was stored, with what it is of."""

    series: MetricSeries
    check: CheckRow


def checks(session: Session, run_ids: Sequence[int]) -> dict[int, list[StoredCheck]]:
    """The checks of runs, by run."""
    result: dict[int, list[StoredCheck]] = {run_id: [] for run_id in run_ids}
    for part in in_parts(run_ids):
        for check, series in session.execute(
            select(CheckRow, MetricSeries)
            .join(MetricSeries, MetricSeries.id == CheckRow.series_id)
            .where(CheckRow.run_id.in_(part))
        ):
            result[check.run_id].append(StoredCheck(series, check))
    return result


class CheckNumbers(NamedTuple):
    """The numbers of a stored check: value, its interval, the limits that it is held against, and its p-value."""

    value: float | None
    lower: float | None
    upper: float | None
    lowest: float | None
    highest: float | None
    p_value: float | None

    def standard_error(self, margin: float) -> float | None:
        """The standard error of the value; None without an interval. margin: how many of it the interval reaches to
        either side.
        """
        if self.value is None or self.lower is None or self.upper is None:
            return None
        # One end of the interval may be the limit of the metric itself.
        return max(self.upper - self.value, self.value - self.lower) / margin


# The columns of `CheckNumbers`, in its order.
CHECK_NUMBERS = (
    CheckRow.value,
    CheckRow.lower,
    CheckRow.upper,
    CheckRow.threshold_lower,
    CheckRow.threshold_upper,
    CheckRow.p_value,
)
# The finding of a check, where it has one: one of the same run, series and kind.
OF_CHECK = and_(
    FindingRow.run_id == CheckRow.run_id,
    FindingRow.series_id == CheckRow.series_id,
    FindingRow.kind == CheckRow.kind,
)


@dataclass(frozen=True)
class CheckToJudge:
    """What judging takes of a stored check. estimate: its numbers, of estimates of performance alone."""

    kind: str
    verdict: str
    model_version: str
    key: CheckKey
    estimate: CheckNumbers | None = None


def asked(session: Session, run_ids: Sequence[int]) -> dict[int, list[CheckToJudge]]:
    """The checks of runs, by run, as judging takes them."""
    result: dict[int, list[CheckToJudge]] = {run_id: [] for run_id in run_ids}
    series = MetricSeries
    columns = (
        CheckRow.run_id,
        CheckRow.kind,
        CheckRow.verdict,
        series.model_version,
        series.metric,
        series.column,
        series.segment,
    )
    for part in in_parts(run_ids):
        query = select(*columns, *CHECK_NUMBERS).join(series, series.id == CheckRow.series_id)
        for run_id, kind, verdict, version, metric, column, segment, *check_values in session.execute(
            query.where(CheckRow.run_id.in_(part))
        ):
            estimate = CheckNumbers(*check_values) if kind == Kind.ESTIMATED_PERFORMANCE.value else None
            result[run_id].append(CheckToJudge(kind, verdict, version, CheckKey(metric, column, segment), estimate))
    return result


def model_version(session: Session, run_id: int) -> str | None:
    """The version of the model that a run's checks are of, the newest series' where there are several; None for a run
    without.
    """
    return model_versions(session, [run_id]).get(run_id)


def model_versions(session: Session, run_ids: Sequence[int]) -> dict[int, str]:
    """The same of several runs, by run; those without are left out."""
    versions: dict[int, str] = {}
    for part in in_parts(run_ids):
        newest = (
            select(CheckRow.run_id, func.max(CheckRow.series_id).label("series_id"))
            .where(CheckRow.run_id.in_(part))
            .group_by(CheckRow.run_id)
            .subquery()
        )
        query = select(newest.c.run_id, MetricSeries.model_version).join(
            MetricSeries, MetricSeries.id == newest.c.series_id
        )
        versions |= dict(map(tuple, session.execute(query)))
    return versions


def findings(session: Session, run_ids: Sequence[int]) -> dict[int, list[tuple[FindingRow, MetricSeries]]]:
    """The findings of runs, worst first, by run."""
    result: dict[int, list[tuple[FindingRow, MetricSeries]]] = {run_id: [] for run_id in run_ids}
    for part in in_parts(run_ids):
        query = (
            select(FindingRow, MetricSeries)
            .join(MetricSeries, MetricSeries.id == FindingRow.series_id)
            .where(FindingRow.run_id.in_(part))
        )
        for finding, series in session.execute(query.order_by(FindingRow.run_id, FindingRow.rank)):
            result[finding.run_id].append((finding, series))
    return result


def that_matter(
    pairs: Sequence[tuple[FindingRow, MetricSeries]],
) -> list[tuple[FindingRow, MetricSeries]]:
    """The few findings of a run that matter to a person."""
    return matter.that_matter(
        pairs,
        lambda pair: {
            "severity": pair[0].severity,
            "cause": pair[0].cause,
            "cost": pair[0].cost,
            "column": pair[1].column,
            "segment": pair[1].segment,
        },
    )


def values(session: Session, run_id: int) -> list[tuple[MetricValueRow, MetricSeries]]:
    """The metric values of a run."""
    run = session.get_one(Run, run_id)
    query = (
        select(MetricValueRow, MetricSeries)
        .join(MetricSeries, MetricSeries.id == MetricValueRow.series_id)
        .where(
            MetricSeries.monitor_id == run.monitor_id,
            MetricValueRow.window_start == run.window_start,
            MetricValueRow.run_id == run_id,
        )
        .order_by(MetricSeries.metric, MetricSeries.column, MetricSeries.segment)
    )
    return [(value, series) for value, series in session.execute(query)]


def snapshot(session: Session, run_id: int) -> bytes | None:
    """The compressed snapshot of a run."""
    stored = session.get(Snapshot, run_id)
    return None if stored is None else stored.data


def has_snapshot(session: Session, run_id: int) -> bool:
    """Whether the snapshot of a run is there; it is not read."""
    return session.scalar(select(Snapshot.run_id).where(Snapshot.run_id == run_id)) is not None


class ReportedMonitor(NamedTuple):
    """The monitor that a report is of."""

    id: str
    name: str
    model: str


class StoredReport(NamedTuple):
    """The report of a run. run: its id. is_current: whether no later look at its window is done."""

    run_id: int
    run: str
    is_current: bool
    monitor: ReportedMonitor


def reports(
    session: Session, monitor_id: int | None, start: datetime | None, end: datetime | None
) -> list[StoredReport]:
    """The stored reports of windows that lie within a range, oldest first, and the runs that a later look has replaced,
    whether or not their reports are still stored.

    monitor_id: of one monitor; of all without it.
    """
    query = (
        select(Run.id, Run.uuid, is_current(), MonitorRow.uuid, MonitorRow.name, MonitorRow.model_name)
        .join(Snapshot, Snapshot.run_id == Run.id, isouter=True)
        .join(MonitorRow, MonitorRow.id == Run.monitor_id)
        .where(Run.status == "done", or_(Snapshot.run_id.is_not(None), ~is_current()))
    )
    if monitor_id is not None:
        query = query.where(Run.monitor_id == monitor_id)
    if start is not None:
        query = query.where(Run.window_start >= start)
    if end is not None:
        query = query.where(Run.window_end <= end)
    rows = session.execute(query.order_by(Run.window_start, Run.as_of, Run.id))
    return [
        StoredReport(run_id, run, bool(current), ReportedMonitor(*monitor)) for run_id, run, current, *monitor in rows
    ]


class BlindCheck(NamedTuple):
    """A check that could not be made. number: how often."""

    monitor: str
    metric: str
    column: str
    reason: str
    number: int


def blind_between(session: Session, start: datetime, end: datetime) -> list[BlindCheck]:
    """The checks that could not be made in runs that ended from `start` until `end`, the most frequent first."""
    query = (
        select(MonitorRow.name, MetricSeries.metric, MetricSeries.column, func.min(CheckRow.reason), func.count())
        .join(Run, Run.id == CheckRow.run_id)
        .join(MetricSeries, MetricSeries.id == CheckRow.series_id)
        .join(MonitorRow, MonitorRow.id == Run.monitor_id)
        .where(Run.finished_at >= start, Run.finished_at < end, CheckRow.verdict == "could_not_check")
        .group_by(MonitorRow.name, MetricSeries.metric, MetricSeries.column)
        .order_by(func.count().desc())
    )
    return [BlindCheck(*row) for row in session.execute(query)]


def drifted_share(session: Session, run_id: int, outputs: Collection[str]) -> float | None:
    """The share of the features (all columns but the model's `outputs`) whose drift has changed; None where no
    drift could be checked.
    """
    query = (
        select(MetricSeries.column, CheckRow.verdict)
        .join(MetricSeries, MetricSeries.id == CheckRow.series_id)
        .where(
            CheckRow.run_id == run_id,
            CheckRow.kind == "drift",
            CheckRow.verdict.in_(("fine", "changed")),
            MetricSeries.metric == "drift_score",
            MetricSeries.segment == "",
        )
    )
    of_features = [verdict == "changed" for column, verdict in session.execute(query) if column not in outputs]
    return sum(of_features) / len(of_features) if of_features else None


def values_between(
    session: Session, monitor_id: int, metric: str, start: datetime, end: datetime | None
) -> list[float]:
    """The values of a metric of the whole model in windows that start from `start` until `end`."""
    query = (
        select(MetricValueRow.value)
        .join(MetricSeries, MetricSeries.id == MetricValueRow.series_id)
        .where(
            MetricSeries.monitor_id == monitor_id,
            MetricSeries.metric == metric,
            MetricSeries.column == "",
            MetricSeries.segment == "",
            MetricValueRow.window_start >= start,
            MetricValueRow.value.is_not(None),
        )
    )
    if end is not None:
        query = query.where(MetricValueRow.window_start < end)
    return [value for value in session.scalars(query) if value is not None]


def value_of(session: Session, run: Run, series_id: int) -> float | None:
    """A run's value of a series; None if it has none."""
    key = (
        MetricValueRow.series_id == series_id,
        MetricValueRow.window_start == run.window_start,
        MetricValueRow.run_id == run.id,
    )
    return session.scalar(select(MetricValueRow.value).where(*key))


def last_value(session: Session, monitor_id: int, metric: str) -> MetricValueRow | None:
    """The newest value of a metric of the whole model."""
    query = (
        select(MetricValueRow)
        .join(MetricSeries, MetricSeries.id == MetricValueRow.series_id)
        .where(
            MetricSeries.monitor_id == monitor_id,
            MetricSeries.metric == metric,
            MetricSeries.column == "",
            MetricSeries.segment == "",
        )
        .order_by(MetricValueRow.window_start.desc())
        .limit(1)
    )
    return session.scalar(query)
