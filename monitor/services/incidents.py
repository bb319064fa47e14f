"""Incidents: alerts, over all monitors, that began together and so may have one cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from monitor.alerting.incidents import BeganTogether, grouped
from monitor.domain.checks import Severity
from monitor.storage import alerts, beginnings
from monitor.storage.beginnings import Beginning
from monitor.storage.tables import Alert

# So far back the list goes; windows that overlap begin at most so far apart, longer ones being rare.
_LISTED, _LONGEST_WINDOW = timedelta(days=90), timedelta(days=32)
# So many alerts are looked at; more within such a time are of a service that needs another remedy.
_MOST = 1000


@dataclass(frozen=True)
class Incident:
    """Alerts that began together. start, end: between which moments that was, if it was one moment. columns: those that
    alerts of more than one monitor name, with the number of monitors.
    """

    start: datetime
    end: datetime
    alerts: list[Beginning]
    columns: list[tuple[str, int]]

    @property
    def id(self) -> str:
        """That of its first alert."""
        return self.alerts[0].alert.uuid

    @property
    def monitors(self) -> list[str]:
        """The names of its monitors."""
        return list(dict.fromkeys(alert.monitor or "the service" for alert in self.alerts))

    @property
    def is_open(self) -> bool:
        """Whether an alert of it fires."""
        return any(alert.alert.state == "firing" for alert in self.alerts)

    @property
    def severity(self) -> str:
        """The worst of its alerts'."""
        return max((Severity(alert.alert.severity) for alert in self.alerts), key=lambda severity: severity.rank).value


def recent_incidents(session: Session, now: datetime) -> list[Incident]:
    """Incidents of at least two alerts, the newest first: those of the last months, or before the newest alert where
    that is older.
    """
    newest = alerts.last_beginning(session)
    if newest is None:
        return []
    started = beginnings.between(session, min(newest, now) - _LISTED, newest + timedelta(microseconds=1), _MOST)
    return [incident for incident in reversed(_incidents(started)) if len(incident.alerts) > 1]


def incident_of(session: Session, alert: Alert) -> Incident | None:
    """The incident that an alert is part of; None for one that has not fired, or was retracted."""
    near = beginnings.between(session, alert.since - _LONGEST_WINDOW, alert.since + _LONGEST_WINDOW, _MOST)
    for incident in _incidents(near):
        if any(member.alert.id == alert.id for member in incident.alerts):
            return incident
    return None


def _incidents(started: Sequence[Beginning]) -> list[Incident]:
    return [_incident(group) for group in grouped((alert.start, alert.end, alert) for alert in started)]


def _incident(group: BeganTogether[Beginning]) -> Incident:
    named = {(column, member.monitor) for member in group.members for column in member.alert.columns}
    counts = Counter(str(column) for column, _ in named)
    common = [(column, number) for column, number in counts.most_common() if number > 1]
    return Incident(group.start, group.end, group.members, common)
