"""Monitors, their metrics over time, and running one now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter, QueryParameter
from sqlalchemy.orm import Session

from monitor.domain.grid import Window
from monitor.errors import ConflictError, UsageError
from monitor.services.execute_runs import plan_adhoc
from monitor.storage import overview, runs
from monitor.storage.overview import Value
from monitor.storage.tables import Run
from monitor.web.access import asker
from monitor.web.api.common import Name, changes, reads
from monitor.web.api.schemas import Monitor, NewRun, Planned, Point, Series, SeriesName
from monitor.web.pages.fleet import described
from monitor.web.pages.monitors import watched
from monitor.web.parameters import in_utc, interval
from monitor.web.site import AnyRequest, in_thread, site_of


@reads("/monitors")
@in_thread
def list_monitors(request: AnyRequest) -> list[Monitor]:
    """Every monitor as it stands, by name."""
    site = site_of(request)

    def read(session: Session) -> list[dict[str, Any]]:
        return [described(session, site.context, row) for row in site.fleet(session)]

    return [_shown(row) for row in site.read(read)]


@reads("/monitors/{name:str}")
@in_thread
def get_monitor(request: AnyRequest, name: Name) -> Monitor:
    """One monitor as it stands."""
    site = site_of(request)

    def read(session: Session) -> dict[str, Any]:
        row = watched(session, name)
        return next(described(session, site.context, fleet_row) for fleet_row in site.fleet(session, row.id))

    return _shown(site.read(read))


def _shown(row: dict[str, Any]) -> Monitor:
    return Monitor(
        row["name"],
        row["model"],
        row["state"],
        row["since"],
        row["tags"],
        row["open_alerts"],
        row["open_requests"],
        row["last_run"],
        row["due"],
        row["spark"].metric,
        row["value"],
        row["estimate"],
        row["source_error"],
    )


@reads("/monitors/{name:str}/series")
@in_thread
def list_series(request: AnyRequest, name: Name) -> list[SeriesName]:
    """What a monitor has values of: metric, column, segment, model version ('' where there is none)."""
    rows = site_of(request).read(lambda session: overview.series(session, watched(session, name).id))
    return [SeriesName(*row) for row in rows]


@reads("/monitors/{name:str}/metrics/{metric:str}")
@in_thread
def get_metric(
    request: AnyRequest,
    name: Name,
    metric: Annotated[str, PathParameter(description="A metric, such as roc_auc.")],
    column: Annotated[str, QueryParameter(description="Of a column; '' for the model as a whole.")] = "",
    segment: Annotated[str, QueryParameter(description="Of a segment; '' for all rows.")] = "",
    start: Annotated[datetime | None, QueryParameter(description="Windows that begin then or later.")] = None,
    end: Annotated[datetime | None, QueryParameter(description="Windows that begin before.")] = None,
    points: Annotated[
        int, QueryParameter(description="At most about so many; longer series are downsampled.", ge=2, le=20_000)
    ] = 2000,
) -> Series:
    """A metric over time, oldest window first; of each window the newest look."""
    begins, ends = interval(start, end)

    def read(session: Session) -> list[Value]:
        return overview.history(session, watched(session, name).id, metric, begins, ends, column, segment)

    values: list[Value] = site_of(request).read(read)
    kept = thinned(values, points)
    shown = [
        Point(
            value.start,
            value.value,
            value.lower,
            value.upper,
            value.threshold_lower,
            value.threshold_upper,
            value.model_version,
            value.run,
        )
        for value in kept
    ]
    return Series(name, metric, column, segment, len(kept) < len(values), shown)


def thinned(values: list[Value], points: int) -> list[Value]:
    """The smallest and the largest value of every block, so that at most about `points` are left and no peak is
    lost.
    """
    if len(values) <= points:
        return values
    size = -(-2 * len(values) // points)
    kept: list[Value] = []
    for first in range(0, len(values), size):
        block = [value for value in values[first : first + size] if value.value is not None]
        ends = sorted(block, key=lambda value: value.value or 0.0)
        chosen = [ends[0], ends[-1]] if len(ends) > 1 else ends
        kept += sorted(chosen, key=lambda value: value.start)
    return kept


@changes("/monitors/{name:str}/runs", status_code=202)
@in_thread
def run_now(
    request: AnyRequest,
    name: Name,
    data: Annotated[
        NewRun,
        Body(
            description="The interval.",
            examples=[Example(value={"start": "2025-04-01T00:00:00Z", "end": "2025-04-08T00:00:00Z"})],
        ),
    ],
) -> Planned:
    """Look at an interval now, ad hoc and never judged; a daemon works on it."""
    site, person = site_of(request), asker(request).person()
    given = [in_utc(time, name) for name, time in (("start", data.start), ("end", data.end)) if time is not None]
    if len(given) == 1 or given != sorted(set(given)):
        raise UsageError("name both `start` and `end`, in this order, or neither")

    def window(session: Session) -> Window:
        row = watched(session, name)
        if given:
            return Window(*given)
        last = runs.latest_done(session, row.id, "data")
        if last is None:
            raise ConflictError(f"{name} has no window that has run: name `start` and `end`")
        return last.window

    def uuids(session: Session) -> list[str]:
        person.record(session, "run now", name, str(looked_at))
        return [session.get_one(Run, number).uuid for number in numbers]

    looked_at: Window = site.read(window)
    numbers = plan_adhoc(site.context, name, looked_at)
    return Planned(site.context.database.transact(uuids))


HANDLERS = [list_monitors, get_monitor, list_series, get_metric, run_now]
