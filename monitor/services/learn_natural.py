"""What labels show of faults that paged: where the model did as well as ever, they are natural to this data, and page
nobody again.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.storage import natural, people, runs
from monitor.storage.tables import MonitorRow, Run

log = get_logger()

# By no more than this part of what a fault was said to cost may the performance, by its interval, lie beyond the harm
# that counts.
_OF_COST = 4


def learn_natural(session: Session, row: MonitorRow, performance: Run, *, is_bad: bool, now: datetime) -> None:
    """Take what a performance run says of the faults that its window's data run paged for. is_bad: whether it pages
    itself: what earlier labels had shown of the window then holds no more.
    """
    if is_bad:
        natural.remove(session, row.id, performance.window_start)
        return
    beyond = natural.beyond_harm(session, performance.id)
    if beyond is None:
        return
    for first in runs.data_runs_at(session, row.id, [performance.window_start]):
        data = runs.current(session, first)
        if data.window_end != performance.window_end or data.status != "done":
            continue
        for series, value, cost in natural.that_paged(session, data.id):
            # Few labels tell a small loss from none badly: what was said to come must be out of the question.
            if beyond <= cost / _OF_COST and natural.add(session, data, series, value, performance.as_of):
                name = f"{series.metric} of {series.column}" + (f" where {series.segment}" if series.segment else "")
                said = (
                    f"{name}: {value:.3g} in the window from {data.window_start:%Y-%m-%d %H:%M} UTC did the model no"
                    " harm, by its labels: it pages no more"
                )
                people.record(session, "monitor", "fault known as natural", row.name, said, now)
                log.info(
                    "natural",
                    monitor=row.name,
                    metric=series.metric,
                    column=series.column,
                    segment=series.segment,
                    value=value,
                )
