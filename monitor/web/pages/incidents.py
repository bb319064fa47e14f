"""Incidents: alerts, over all monitors, that began together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from litestar import Response, get
from litestar.params import FromPath
from sqlalchemy.orm import Session

from monitor.domain import phrases
from monitor.domain.ids import one
from monitor.errors import NotFoundError
from monitor.services.incidents import incident_of, recent_incidents
from monitor.storage import alerts
from monitor.web.access import requires
from monitor.web.site import AnyRequest, in_thread, page, site_of


@get("/incidents", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def list_incidents(request: AnyRequest) -> Response[str]:
    """What began together of late, the newest first."""
    incidents = site_of(request).read(recent_incidents, datetime.now(UTC))
    return page(request, "incidents.html", incidents=incidents)


@get("/incidents/{alert:str}", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def show(request: AnyRequest, alert: FromPath[str]) -> Response[str]:
    """The alerts that began together with one, on one time axis."""
    return page(request, "incident.html", **site_of(request).read(_read, alert))


def _read(session: Session, alert: str) -> dict[str, Any]:
    incident = incident_of(session, one(alerts.find(session, alert), "alert", alert))
    if incident is None:
        raise NotFoundError("this alert has not fired, or was retracted: it is part of no incident")
    bars = [
        {
            "name": f"{member.monitor or 'the service'}: {member.alert.kind.replace('_', ' ')}",
            "start": member.start.isoformat(),
            "end": (member.alert.ended_at or member.alert.until or datetime.now(UTC)).isoformat(),
            "severity": member.alert.severity,
            "is_open": member.alert.state == "firing",
        }
        for member in incident.alerts
    ]
    return {
        "incident": incident,
        "headlines": [phrases.first_clause(member.alert.summary) for member in incident.alerts],
        "drawn": {"timeline": bars, "began": [incident.start.isoformat(), incident.end.isoformat()]},
    }


HANDLERS = [list_incidents, show]
