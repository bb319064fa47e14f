"""The fleet: one row a monitor."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from litestar import Response, get
from litestar.params import FromQuery
from sqlalchemy.orm import Session

from monitor.domain import phrases
from monitor.domain.checks import Severity
from monitor.domain.monitor_state import MonitorState
from monitor.services.context import Context
from monitor.storage import alerts, daemons, outbox
from monitor.storage.overview import MonitorOverview, Sparkline
from monitor.web.access import requires
from monitor.web.site import AnyRequest, PlotLines, in_thread, page, site_of

_ORDER = tuple(MonitorState)
# So many alerts stand above the table.
_SHOWN = 5


@get("/", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def show(
    request: AnyRequest, q: FromQuery[str] = "", health: FromQuery[str] = "", sort: FromQuery[str] = "health"
) -> Response[str]:
    """Every monitor: state, performance and drift of late, runs, what is open."""
    site = site_of(request)

    def read(session: Session) -> dict[str, Any]:
        rows = [described(session, site.context, *each) for each in site.fleet(session)]
        return {"rows": rows, "troubles": _troubles(session, rows), "firing": _firing(session)}

    found = site.read(read)
    rows = found["rows"]
    counts = {each.value: sum(row["state"] == each for row in rows) for each in _ORDER}
    wanted = [row for row in rows if q.lower() in row["words"] and health in ("", row["state"])]
    keys = {
        "health": lambda row: (_ORDER.index(row["state"]), row["name"]),
        "name": lambda row: row["name"],
        "alerts": lambda row: (-row["open_alerts"], row["name"]),
        "last": lambda row: -(row["last_run"].timestamp() if row["last_run"] else 0),
    }
    wanted.sort(key=keys.get(sort, keys["health"]))
    return page(
        request,
        "fleet.html",
        rows=wanted,
        counts=counts,
        all=len(rows),
        troubles=found["troubles"],
        firing=found["firing"],
        shown_alerts=_SHOWN,
        q=q,
        health=health,
        sort=sort,
    )


def described(
    session: Session, context: Context, standing: MonitorOverview, spark: Sparkline, lines: PlotLines
) -> dict[str, Any]:
    """A monitor as a row: what is known of it, and when its next window is due."""
    entry = context.configuration_of(session, standing.configuration_id).monitors.get(standing.name)
    tags = entry.tags if entry is not None else {}
    due = standing.waiting_since
    if due is None and entry is not None and standing.planned_until is not None:
        every = entry.windows.every or entry.windows.length
        due = standing.planned_until + every.approximate() + entry.windows.delay.approximate()
    return {
        **vars(standing),
        "tags": tags,
        "words": " ".join([standing.name, standing.model, *tags.values()]).lower(),
        "due": due,
        "spark": spark,
        "lines": lines,
        "value": spark.realised[-1][1] if spark.realised else None,
        "estimate": spark.estimated[-1][1] if spark.estimated else None,
    }


def _firing(session: Session) -> list[dict[str, Any]]:
    """The alerts that fire: those that nobody has acknowledged first, then by severity and age."""
    now = datetime.now(UTC)
    found = [(alert, name) for alert, name in alerts.listed(session, everything=False) if alert.state == "firing"]
    taken = alerts.last_events(session, [alert.id for alert, _ in found], alerts.TAKEN_ON)
    rows: list[dict[str, Any]] = [
        {
            "alert": alert,
            "monitor": name,
            "headline": phrases.first_clause(alert.summary),
            "taken": taken.get(alert.id) if alerts.is_taken_on(taken.get(alert.id), alert, now) else None,
        }
        for alert, name in found
    ]
    return sorted(
        rows, key=lambda row: (row["taken"] is not None, -Severity(row["alert"].severity).rank, row["alert"].since)
    )


def _troubles(session: Session, rows: list[dict[str, Any]]) -> list[str]:
    """What is wrong with the service itself."""
    now = daemons.database_time(session)
    found = []
    if all(daemons.is_silent(each, now) for each in daemons.listed(session)):
        found.append("no daemon is alive: nothing is evaluated. `monitor serve` starts one")
    dead = [each for each in outbox.failing(session) if each.status == "dead"]
    if dead:
        found.append(f"{len(dead)} notifications could not be delivered: see Alerts, dead letters")
    found += [f"{row['name']}: its source cannot be read: {row['source_error']}" for row in rows if row["source_error"]]
    return found


HANDLERS = [show]
