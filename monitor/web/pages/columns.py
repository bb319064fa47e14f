"""One column of a monitor over time: what was checked, what changed, and in which segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litestar import Response, get
from litestar.params import FromPath, FromQuery
from sqlalchemy.orm import Session

from monitor.analysis.plots import Curve, MetricPoint, as_shares
from monitor.domain import phrases
from monitor.domain.checks import UNDECIDED, Severity
from monitor.domain.ids import one
from monitor.errors import NotFoundError
from monitor.services.describe_alert import plots_of_window
from monitor.storage import column_checks, runs
from monitor.storage.column_checks import ColumnCheck
from monitor.web import drawn
from monitor.web.access import requires
from monitor.web.pages.monitors import span_of, spans, watched
from monitor.web.site import AnyRequest, in_thread, page, site_of

# So many findings are listed; the strip has all of them.
_LISTED = 50


@dataclass(frozen=True)
class ColumnWindow:
    """A window as it was for a column: `fine`, `info`, `warning`, `critical`, or `cannot_tell`."""

    start: datetime
    end: datetime
    run: str
    state: str


@dataclass(frozen=True)
class ChangedSegment:
    """A segment in which a column changed. windows: in how many."""

    name: str
    windows: int
    worst: str


@get("/monitors/{name:str}/column", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def show(
    request: AnyRequest,
    name: FromPath[str],
    column: FromQuery[str],
    start: FromQuery[str] = "",
    end: FromQuery[str] = "",
    run: FromQuery[str] = "",
) -> Response[str]:
    """The checks of a column over time, its distribution in one window, its findings, and its segments."""
    site = site_of(request)
    return page(request, "column.html", **site.read(_read, name, column, start, end, run))


def _read(session: Session, name: str, column: str, start: str, end: str, run: str) -> dict[str, Any]:
    row = watched(session, name)
    if not column or not column_checks.is_known(session, row.id, column):
        raise NotFoundError(f"nothing was ever checked of a column {column!r} of {name}")
    begins, ends, whole = span_of(session, row.id, start, end)
    checks = column_checks.of_column(session, row.id, column, begins, ends)
    of_all_rows = [check for check in checks if not check.segment]
    windows = _windows(of_all_rows)
    chosen = _chosen(windows, run)
    plots = {} if chosen is None else plots_of_window(session, one(runs.find(session, chosen), "run", chosen))
    plot = plots.get(column)
    curves = curves_of(of_all_rows)
    findings = [check for check in reversed(checks) if check.severity is not None]
    return {
        "row": row,
        "column": column,
        "start": f"{begins:%Y-%m-%d}",
        "end": f"{ends:%Y-%m-%d}",
        "spans": spans(whole, ends),
        "windows": windows,
        "chosen": next((window for window in windows if window.run == chosen), None),
        "has_plot": plot is not None,
        "curves": curves,
        "findings": findings[:_LISTED],
        "number_of_findings": len(findings),
        "segments": _segments(checks),
        "drawn": {
            "columns": {} if plot is None else {column: as_shares(plot)},
            "curves": [drawn.curve(curve) for curve in curves],
        },
    }


def _windows(checks: Sequence[ColumnCheck]) -> list[ColumnWindow]:
    """Every window with the worst that was found of the column in it."""
    by_window: dict[tuple[datetime, datetime], list[ColumnCheck]] = {}
    for check in checks:
        by_window.setdefault((check.start, check.end), []).append(check)
    return [ColumnWindow(*span, _worst(own).run, _state(own)) for span, own in by_window.items()]


def _worst(checks: Sequence[ColumnCheck]) -> ColumnCheck:
    return max(checks, key=lambda check: Severity(check.severity or "none").rank)


def _state(checks: Sequence[ColumnCheck]) -> str:
    worst = _worst(checks).severity
    if worst is not None:
        return worst
    return "cannot_tell" if all(check.verdict in UNDECIDED for check in checks) else "fine"


def _chosen(windows: Sequence[ColumnWindow], run: str) -> str | None:
    """The run whose distribution is shown: the one that is asked for, else of the windows with the worst findings the
    newest.
    """
    if any(window.run == run for window in windows):
        return run
    worst = max(windows, key=lambda window: (_rank(window.state), window.start), default=None)
    return None if worst is None else worst.run


def _rank(state: str) -> int:
    return 0 if state in ("fine", "cannot_tell") else Severity(state).rank


def curves_of(checks: Sequence[ColumnCheck]) -> list[Curve]:
    """One curve a metric: its values, with their limits, and the windows in which it changed. Metrics that were 0 in
    every window are left out.
    """
    by_metric: dict[str, list[ColumnCheck]] = {}
    for check in checks:
        by_metric.setdefault(check.metric, []).append(check)
    return [
        Curve(phrases.metric_name(metric), [_point(check) for check in own])
        for metric, own in by_metric.items()
        if any(check.value for check in own)
    ]


def _point(check: ColumnCheck) -> MetricPoint:
    limits = check.threshold_lower, check.threshold_upper
    return MetricPoint(
        check.start, check.end, check.value, check.lower, check.upper, limits, check.severity is not None
    )


def _segments(checks: Sequence[ColumnCheck]) -> list[ChangedSegment]:
    """The segments in which the column changed, those that changed most often first."""
    by_segment: dict[str, list[ColumnCheck]] = {}
    for check in checks:
        if check.segment:
            by_segment.setdefault(check.segment, []).append(check)
    segments = [
        ChangedSegment(name, len({check.start for check in own}), _worst(own).severity or "info")
        for name, own in by_segment.items()
    ]
    return sorted(segments, key=lambda segment: (-segment.windows, segment.name))


HANDLERS = [show]
