"""One monitor over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from litestar import Response, get
from litestar.params import FromPath, FromQuery
from sqlalchemy.orm import Session

from monitor.domain import phrases
from monitor.errors import NotFoundError
from monitor.services.context import Context
from monitor.services.sensitivity import MOST_PAGES, settings_of
from monitor.storage import alerts, monitors, overview, references, retraining
from monitor.storage.overview import PERFORMANCE, Value
from monitor.storage.tables import MonitorRow
from monitor.web import drawn
from monitor.web.access import requires
from monitor.web.parameters import moment
from monitor.web.site import AnyRequest, in_thread, page, site_of

_WINDOWS = 90
_LAST_DAYS = (7, 30, 90)


@get("/monitors/{name:str}", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def show(
    request: AnyRequest,
    name: FromPath[str],
    start: FromQuery[str] = "",
    end: FromQuery[str] = "",
    segment: FromQuery[str] = "",
    metric: FromQuery[str] = "",
) -> Response[str]:
    """Windows, performance, features by impact, volume, and what happened."""
    site = site_of(request)
    data = site.read(_read, site.context, name, start, end, segment, metric)
    return page(request, "monitor.html", **data)


def watched(session: Session, name: str) -> MonitorRow:
    """A monitor by its name. Raises NotFoundError."""
    row = monitors.by_name(session, name)
    if row is None:
        raise NotFoundError(f"there is no monitor {name}")
    return row


def _read(
    session: Session, context: Context, name: str, start: str, end: str, segment: str, metric: str
) -> dict[str, Any]:
    row = watched(session, name)
    entry = context.config_of(session, row)
    begins, ends, whole = span_of(session, row.id, start, end)
    series = overview.metrics_of_whole(session, row.id)
    names = [
        metric_name
        for metric_name in (*PERFORMANCE, *sorted(series))
        if metric_name in series or f"estimated_{metric_name}" in series
    ]
    names = [metric_name for metric_name in dict.fromkeys(names) if not metric_name.startswith("estimated_")]
    chosen = metric if metric in names else next(iter(names), "")
    lines = _lines(session, row, chosen, begins, ends, segment)
    settings = None if entry is None or segment else settings_of(entry, series)
    not_drawn = sum(value.value is not None and not value.can_tell for line in lines.values() for value in line)
    windows = overview.windows(session, row.id, begins, ends)
    impact = overview.impacts(session, row.id, begins, ends, segment)
    happened = overview.marks(session, row, begins, ends)
    segment_rows = overview.segment_overviews(session, row.id, chosen, begins, ends)
    state = monitors.source_state(session, row.id)
    monitor_overview = next(iter(overview.fleet(session, row.id)), None)
    plots = {
        "performance": _drawn_lines(chosen, lines),
        "volume": {"x": [window.start.isoformat() for window in windows], "y": [window.rows for window in windows]},
        "drift": drawn.heat(impact),
        "marks": [
            {"at": event.at.isoformat(), "kind": event.kind, "text": event.text, "link": event.link}
            for event in happened
        ],
        "references": [
            {"start": first.isoformat(), "end": last.isoformat()}
            for first, last in references.periods(session, row.id, ends)
        ],
    }
    if settings is not None:  # its metric need not be the one that is chosen
        of_settings = settings.metric
        own = lines if of_settings == chosen else _lines(session, row, of_settings, begins, ends, segment)
        plots["sensitivity"] = _drawn_lines(of_settings, own)
    return {
        "spans": spans(whole, ends),
        "row": row,
        "entry": entry,
        "overview": monitor_overview,
        "windows": windows,
        "impact": impact,
        "marks": happened,
        "drawn": plots,
        "metrics": names,
        "metric": chosen,
        "not_drawn": not_drawn,
        "segments": sorted(segment_row.name for segment_row in segment_rows),
        "segment_rows": segment_rows,
        "settings": settings,
        "most_pages": MOST_PAGES,
        "segment": segment,
        "start": f"{begins:%Y-%m-%d}",
        "end": f"{ends:%Y-%m-%d}",
        "span": (begins.isoformat(), ends.isoformat()),
        "source": state,
        "alerts": alerts.by_severity(session, row.id),
        "request": retraining.not_ended(session, row.model_name),
    }


def _lines(
    session: Session, row: MonitorRow, metric: str, begins: datetime, ends: datetime, segment: str
) -> dict[str, list[Value]]:
    """A metric over time, realised and estimated; nothing of a metric without a name."""
    names = {"realised": metric, "estimated": f"estimated_{metric}"}
    return {
        line: overview.history(session, row.id, name, begins, ends, segment=segment) if metric else []
        for line, name in names.items()
    }


def _drawn_lines(metric: str, lines: Mapping[str, Sequence[Value]]) -> dict[str, Any]:
    return {
        "metric": phrases.metric_name(metric) if metric else "",
        **{name: drawn.line(line) for name, line in lines.items()},
    }


def span_of(
    session: Session, monitor_id: int, start: str, end: str
) -> tuple[datetime, datetime, tuple[datetime, datetime] | None]:
    """The time that a page shows, by the dates in its address or else the last windows; and all that there is. Raises
    UsageError for what is no date.
    """
    whole = overview.extent(session, monitor_id)
    begins = (
        moment(start, "from")
        or overview.start_of_last(session, monitor_id, _WINDOWS)
        or datetime.now(UTC) - timedelta(30)
    )
    ends = moment(end, "to") or (whole[1] if whole else datetime.now(UTC)) + timedelta(seconds=1)
    return begins, ends, whole


def spans(whole: tuple[datetime, datetime] | None, ends: datetime) -> list[tuple[str, str, str]]:
    """The last days, and all that there is: their names, first and last day."""
    last = whole[1] if whole else ends
    until = f"{last + timedelta(days=1):%Y-%m-%d}"
    days = [(f"{number} d", last - timedelta(days=number)) for number in _LAST_DAYS]
    return [(name, f"{start:%Y-%m-%d}", until) for name, start in [*days, ("all", whole[0] if whole else ends)]]


HANDLERS = [show]
