"""A service without data: alerts are put into its database as judging would, and go out from there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from monitor.domain.clock import ReplayClock
from monitor.services.apply_configuration import apply_configuration
from monitor.services.context import Context, open_database
from monitor.services.deliver_notifications import Deliverer
from monitor.services.dispatch_alerts import dispatch_alerts
from monitor.storage import alerts, monitors
from monitor.storage.tables import Alert
from tests.conftest import Project

NOW = datetime(2025, 1, 6, 1, 0, tzinfo=UTC)


class Service:
    """Monitors by name, with what their entries have beyond the usual; `extra` beside them in the configuration."""

    def __init__(self, project: Project, entries: dict[str, dict[str, Any]], **extra: Any) -> None:
        defaults = {key: value for key, value in project.monitor.items() if key not in ("model", "alerts")}
        project.values = {
            "monitors": {
                name: {**defaults, "model": {"name": name}, "alerts": {"channels": ["ops"]}, **entry}
                for name, entry in entries.items()
            },
            **extra,
        }
        loaded = project.loaded()
        self.clock = ReplayClock(NOW)
        self.context = Context(loaded, open_database(loaded), self.clock, catches_up=False)
        self.context.database.prepare()
        apply_configuration(self.context)
        self.deliverer = Deliverer(self.context)

    def event(
        self,
        monitor: str | None,
        kind: str,
        what: str = "firing",
        severity: str = "critical",
        *,
        columns: tuple[str, ...] = (),
        summary: str = "",
        subject: str = "",
    ) -> str:
        """Something happens to the alert of a monitor and kind, which opens if it is new; its id."""

        def unit(session: Session) -> str:
            row = None if monitor is None else monitors.by_name(session, monitor)
            number, uuid = (None, "service") if row is None else (row.id, row.uuid)
            alert = alerts.upsert(session, number, uuid, kind, subject, NOW - timedelta(days=1), NOW)
            alert.state = "firing" if what in ("firing", "escalated", "downgraded") else what
            alert.severity, alert.fired_at = severity, alert.fired_at or NOW
            alert.columns, alert.bad_windows = list(columns) or alert.columns, 2
            alert.summary = summary or alert.summary or f"{kind} of {monitor or subject} is bad"
            alert.ended_at = self.clock.now() if alert.state in ("resolved", "retracted") else None
            alerts.add_event(session, alert, what, self.clock.now(), self.clock.now())
            return alert.uuid

        return self.context.database.transact(unit)

    def said(self, alert_id: str, kind: str, **detail: Any) -> None:
        """What a person says of an alert."""

        def unit(session: Session) -> None:
            (alert,) = alerts.find(session, alert_id)
            now = self.clock.now()
            alerts.add_event(session, alert, kind, now, now, detail=detail, dispatched=kind != "acknowledged")

        self.context.database.transact(unit)

    def alert(self, alert_id: str) -> Alert:
        return self.context.database.read(lambda session: alerts.find(session, alert_id)[0])

    def after(self, **length: float) -> None:
        """So much later: what is due is dispatched and delivered."""
        self.clock.move_to(self.clock.now() + timedelta(**length))
        self.context.reminded_at = float("-inf")
        dispatch_alerts(self.context)
        self.deliverer.drain()
