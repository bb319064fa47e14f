"""Incidents: alerts, over all monitors, that began together and so may have one cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from monitor.alerting.incidents import BeganTogether, grouped
from monitor.domain.checks import Severity
from monitor.domain.metrics import METRICS
from monitor.storage import alerts, beginnings
from monitor.storage.beginnings import Beginning, Span
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
        """The names of its monitors; the service itself is none."""
        return list(dict.fromkeys(alert.monitor for alert in self.alerts if alert.monitor))

    @property
    def is_open(self) -> bool:
        """Whether an alert of it fires."""
        return any(alert.alert.state == "firing" for alert in self.alerts)

    @property
    def severity(self) -> str:
        """The worst of its alerts'."""
        return max(Severity(alert.alert.severity) for alert in self.alerts).value


def recent_incidents(session: Session, now: datetime) -> list[Incident]:
    """Incidents of at least two alerts, the newest first: those of the last months, or before the newest alert where
    that is older.
    """
    newest = alerts.last_beginning(session)
    if newest is None:
        return []
    spans = beginnings.between(session, min(newest, now) - _LISTED, newest + timedelta(microseconds=1), _MOST)
    groups = [group for group in reversed(_grouped(spans)) if len(group.members) > 1]
    by_id = {
        beginning.alert.id: beginning
        for beginning in beginnings.of_spans(session, [span for group in groups for span in group.members])
    }
    return [_incident(group, [by_id[span.alert_id] for span in group.members]) for group in groups]


def incident_of(session: Session, alert: Alert) -> Incident | None:
    """The incident that an alert is part of; None for one that has not fired, or was retracted."""
    group = _group_of(session, alert)
    return None if group is None else _incident(group, beginnings.of_spans(session, group.members))


def began_together(session: Session, alert: Alert) -> int:
    """How many alerts the incident of an alert has; 0 for one that is part of none."""
    group = _group_of(session, alert)
    return 0 if group is None else len(group.members)


def _group_of(session: Session, alert: Alert) -> BeganTogether[Span] | None:
    # Alerts that begin later than this one's first window ends are no part of its group, nor do they change it.
    own = beginnings.of_alert(session, alert.id)
    if own is None:
        return None
    near = beginnings.between(session, own.start - _LONGEST_WINDOW, own.end, _MOST)
    spans = near if own in near else [*near, own]
    return next(group for group in _grouped(spans) if own in group.members)


def _grouped(spans: Sequence[Span]) -> list[BeganTogether[Span]]:
    return grouped((span.start, span.end, span) for span in spans)


def _incident(group: BeganTogether[Span], members: list[Beginning]) -> Incident:
    # Alerts name what is bad: columns, or metrics of the model as a whole.
    named = {(str(name), member.monitor) for member in members for name in member.alert.columns if name not in METRICS}
    counts = Counter(column for column, _ in named)
    common = [(column, number) for column, number in counts.most_common() if number > 1]
    return Incident(group.start, group.end, members, common)
