"""One monitor over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from litestar import Response, get
from litestar.params import FromPath, FromQuery
from sqlalchemy.orm import Session

from monitor.domain import phrases
from monitor.errors import NotFoundError
from monitor.services.context import Context
from monitor.storage import alerts, monitors, overview, retraining
from monitor.storage.overview import PERFORMANCE, Impact, Value
from monitor.storage.tables import MonitorRow
from monitor.web.access import requires
from monitor.web.parameters import moment
from monitor.web.site import AnyRequest, in_thread, page, site_of

_WINDOWS = 90
_LAST_DAYS = (7, 30, 90)
_LEVELS = {"none": 0, "info": 1, "warning": 2, "critical": 3}


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
    whole = overview.extent(session, row.id)
    begins = (
        moment(start, "from") or overview.start_of_last(session, row.id, _WINDOWS) or datetime.now(UTC) - timedelta(30)
    )
    ends = moment(end, "to") or (whole[1] if whole else datetime.now(UTC)) + timedelta(seconds=1)
    series = overview.metrics_of_whole(session, row.id)
    names = [
        metric_name
        for metric_name in (*PERFORMANCE, *sorted(series))
        if metric_name in series or f"estimated_{metric_name}" in series
    ]
    names = [metric_name for metric_name in dict.fromkeys(names) if not metric_name.startswith("estimated_")]
    chosen = metric if metric in names else next(iter(names), "")
    realised = overview.history(session, row.id, chosen, begins, ends, segment=segment) if chosen else []
    estimated = (
        overview.history(session, row.id, f"estimated_{chosen}", begins, ends, segment=segment) if chosen else []
    )
    lines = {"realised": realised, "estimated": estimated}
    not_drawn = sum(value.value is not None and not value.can_tell for line in lines.values() for value in line)
    windows = overview.windows(session, row.id, begins, ends)
    impact = overview.impacts(session, row.id, begins, ends, segment)
    happened = overview.marks(session, row, begins, ends)
    state = monitors.source_state(session, row.id)
    monitor_overview = next(iter(overview.fleet(session, row.id)), None)
    drawn = {
        "performance": {
            "metric": phrases.metric_name(chosen) if chosen else "",
            **{name: _lines([value for value in line if value.can_tell]) for name, line in lines.items()},
        },
        "volume": {"x": [window.start.isoformat() for window in windows], "y": [window.rows for window in windows]},
        "drift": _heat(impact),
        "marks": [
            {"at": event.at.isoformat(), "kind": event.kind, "text": event.text, "link": event.link}
            for event in happened
        ],
    }
    return {
        "spans": _spans(whole, ends),
        "row": row,
        "entry": entry,
        "overview": monitor_overview,
        "windows": windows,
        "impact": impact,
        "marks": happened,
        "drawn": drawn,
        "metrics": names,
        "metric": chosen,
        "not_drawn": not_drawn,
        "segments": overview.segments(session, row.id),
        "segment": segment,
        "start": f"{begins:%Y-%m-%d}",
        "end": f"{ends:%Y-%m-%d}",
        "source": state,
        "alerts": alerts.by_severity(session, row.id),
        "request": retraining.not_ended(session, row.model_name),
    }


def _spans(whole: tuple[datetime, datetime] | None, ends: datetime) -> list[tuple[str, str, str]]:
    """The last days, and all that there is: their names, first and last day."""
    last = whole[1] if whole else ends
    until = f"{last + timedelta(days=1):%Y-%m-%d}"
    days = [(f"{number} d", last - timedelta(days=number)) for number in _LAST_DAYS]
    return [(name, f"{start:%Y-%m-%d}", until) for name, start in [*days, ("all", whole[0] if whole else ends)]]


def _lines(values: list[Value]) -> dict[str, list[Any]]:
    """A metric for a plot: one list a field."""
    names = ("value", "lower", "upper", "threshold_lower", "threshold_upper", "model_version", "run")
    return {"x": [value.start.isoformat() for value in values]} | {
        name: [getattr(value, name) for value in values] for name in names
    }


def _heat(impact: list[Impact]) -> dict[str, list[Any]]:
    """Columns by windows, the column with the greatest impact on top: how bad each is (0 fine, 1 changed, 2 warning, 3
    critical), and its score.
    """
    times = sorted({moment for row in impact for moment in row.scores})
    rows = list(reversed(impact))
    levels = [
        [_LEVELS[row.severities.get(moment, "none")] if moment in row.scores else None for moment in times]
        for row in rows
    ]
    scores = [[row.scores.get(moment) for moment in times] for row in rows]
    return {
        "x": [time.isoformat() for time in times],
        "y": [row.column for row in rows],
        "z": levels,
        "scores": scores,
    }


HANDLERS = [show]
