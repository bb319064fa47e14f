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
from monitor.web.access import requires
from monitor.web.site import AnyRequest, FleetRow, in_thread, page, site_of

_ORDER = tuple(MonitorState)
# So many alerts stand above the table.
_SHOWN = 5


@get("/", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def show(
    request: AnyRequest, q: FromQuery[str] = "", health: FromQuery[str] = "", sort: FromQuery[str] = "health"
) -> Response[str]:
    """Every monitor: state, recent performance and drift, runs, what is open."""
    site = site_of(request)

    def read(session: Session) -> dict[str, Any]:
        rows = [described(session, site.context, row) for row in site.fleet(session)]
        return {"rows": rows, "troubles": _troubles(session, rows), "firing": _firing(session)}

    data = site.read(read)
    rows = data["rows"]
    counts = {state.value: sum(row["state"] == state for row in rows) for state in _ORDER}
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
        troubles=data["troubles"],
        firing=data["firing"],
        shown_alerts=_SHOWN,
        q=q,
        health=health,
        sort=sort,
    )


def described(session: Session, context: Context, row: FleetRow) -> dict[str, Any]:
    """A monitor as a row of the page: its state, and when its next window is due."""
    overview, spark = row.overview, row.spark
    entry = context.configuration_of(session, overview.configuration_id).monitors.get(overview.name)
    tags = entry.tags if entry is not None else {}
    due = overview.waiting_since
    if due is None and entry is not None and overview.planned_until is not None:
        every = entry.windows.every or entry.windows.length
        due = overview.planned_until + every.approximate() + entry.windows.delay.approximate()
    return {
        **vars(overview),
        "tags": tags,
        "words": " ".join([overview.name, overview.model, *tags.values()]).lower(),
        "due": due,
        "spark": spark,
        "lines": row.lines,
        "value": spark.realised[-1][1] if spark.realised else None,
        "estimate": spark.estimated[-1][1] if spark.estimated else None,
    }


def _firing(session: Session) -> list[dict[str, Any]]:
    """The alerts that fire: those that nobody has acknowledged first, then by severity and age."""
    now = datetime.now(UTC)
    firing = [(alert, name) for alert, name in alerts.listed(session, everything=False) if alert.state == "firing"]
    taken = alerts.last_events(session, [alert.id for alert, _ in firing], alerts.TAKEN_ON)
    rows: list[dict[str, Any]] = [
        {
            "alert": alert,
            "monitor": name,
            "headline": phrases.first_clause(alert.summary),
            "taken": taken.get(alert.id) if alerts.is_taken_on(taken.get(alert.id), alert, now) else None,
        }
        for alert, name in firing
    ]
    return sorted(
        rows, key=lambda row: (row["taken"] is not None, -Severity(row["alert"].severity).rank, row["alert"].since)
    )


def _troubles(session: Session, rows: list[dict[str, Any]]) -> list[str]:
    """What is wrong with the service itself."""
    now = daemons.database_time(session)
    troubles = []
    if all(daemons.is_silent(daemon, now) for daemon in daemons.listed(session)):
        troubles.append("no daemon is alive: nothing is evaluated. `monitor serve` starts one")
    dead = [notification for notification in outbox.failing(session) if notification.status == "dead"]
    if dead:
        troubles.append(f"{len(dead)} notifications could not be delivered: see Alerts, dead letters")
    troubles += [
        f"{row['name']}: its source cannot be read: {row['source_error']}" for row in rows if row["source_error"]
    ]
    return troubles


HANDLERS = [show]
