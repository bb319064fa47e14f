"""Incidents: what began together over monitors, from stored alerts."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from monitor.services import incidents as services_incidents
from monitor.services.incidents import Incident, began_together, incident_of, recent_incidents
from monitor.storage import alerts
from tests.alerting import NOW, Service
from tests.conftest import Project


def moved(service: Service, uuid: str, since: datetime) -> None:
    def unit(session: Session) -> None:
        (alert,) = alerts.find(session, uuid)
        alert.since = since

    service.context.database.transact(unit)


def incidents(service: Service) -> list[Incident]:
    return service.context.database.read(recent_incidents, NOW)


def test_alerts_of_several_monitors_that_began_together_are_one_incident(project: Project) -> None:
    service = Service(project, {"churn": {}, "fraud": {}, "price": {}}, channels={"ops": {"type": "file", "path": "o"}})
    first = service.event("churn", "quality", columns=("income", "age"))
    second = service.event("fraud", "quality", severity="warning", columns=("income",))
    same_monitor = service.event("churn", "performance", columns=("income",))
    apart, retracted = service.event("price", "quality"), service.event("price", "performance", "retracted")
    moved(service, second, NOW - timedelta(days=1) + timedelta(minutes=30))
    moved(service, apart, NOW + timedelta(hours=5))
    (incident,) = incidents(service)
    assert {member.alert.uuid for member in incident.alerts} == {first, second, same_monitor}
    assert (incident.monitors, incident.columns) == (["churn", "fraud"], [("income", 2)])
    assert (incident.severity, incident.is_open) == ("critical", True)
    assert incident.start == NOW - timedelta(days=1) + timedelta(minutes=30)

    def own(session: Session) -> list[int]:
        members = [incident_of(session, alerts.find(session, uuid)[0]) for uuid in (second, apart, retracted)]
        return [0 if found is None else len(found.alerts) for found in members]

    assert service.context.database.read(own) == [3, 1, 0]


def test_of_very_many_alerts_each_is_in_its_own_incident(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services_incidents, "_MOST", 3)
    service = Service(project, {"churn": {}}, channels={"ops": {"type": "file", "path": "o"}})
    kinds = ("quality", "performance", "drift", "no_data", "blind", "estimated_performance")
    numbers = [service.event("churn", kind) for kind in kinds]

    def sizes(session: Session) -> list[tuple[bool, int]]:
        result = []
        for uuid in numbers:
            (alert,) = alerts.find(session, uuid)
            incident = incident_of(session, alert)
            assert incident is not None
            result.append((uuid in {m.alert.uuid for m in incident.alerts}, began_together(session, alert)))
        return result

    assert all(is_member and size > 1 for is_member, size in service.context.database.read(sizes))


def test_metrics_are_no_columns_in_common(project: Project) -> None:
    service = Service(project, {"churn": {}, "fraud": {}}, channels={"ops": {"type": "file", "path": "o"}})
    for name in ("churn", "fraud"):
        service.event(name, "performance", columns=("roc_auc", "income"))
    (incident,) = incidents(service)
    assert incident.columns == [("income", 2)]


def test_without_alerts_there_is_no_incident(project: Project) -> None:
    service = Service(project, {"churn": {}}, channels={"ops": {"type": "file", "path": "o"}})
    assert incidents(service) == []
    service.event("churn", "quality")
    assert incidents(service) == []
