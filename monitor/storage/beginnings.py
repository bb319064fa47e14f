"""When alerts began: the window in which each was bad first."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session, aliased

from monitor.storage.tables import Alert, AlertEvent, MonitorRow, Run

# Of an alert without a run (it is of the service, or retention has taken the run) the first window lasts so long.
_UNKNOWN_LENGTH = timedelta(hours=1)


class Beginning(NamedTuple):
    """An alert and the window in which it began. monitor: its name, '' for the service's own alerts."""

    alert: Alert
    monitor: str
    start: datetime
    end: datetime


def between(session: Session, start: datetime, end: datetime, most: int) -> list[Beginning]:
    """The alerts that have fired and whose first bad window starts within a time, the newest `most`; retracted ones are
    left out.
    """
    earlier = aliased(AlertEvent)
    first = select(func.min(earlier.number)).where(earlier.alert_id == Alert.id, earlier.run_id.is_not(None))
    query: Any = (
        select(Alert, MonitorRow.name, Run.window_start, Run.window_end)
        .outerjoin(MonitorRow, MonitorRow.id == Alert.monitor_id)
        .outerjoin(AlertEvent, and_(AlertEvent.alert_id == Alert.id, AlertEvent.number == first.scalar_subquery()))
        .outerjoin(Run, Run.id == AlertEvent.run_id)
        .where(Alert.fired_at.is_not(None), Alert.state != "retracted", Alert.since >= start, Alert.since < end)
        .order_by(Alert.since.desc(), Alert.id.desc())
        .limit(most)
    )
    return [
        Beginning(
            alert,
            name or "",
            alert.since,
            alert.since + (_UNKNOWN_LENGTH if begins is None or ends is None else ends - begins),
        )
        for alert, name, begins, ends in session.execute(query)
    ]
