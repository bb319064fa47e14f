"""Learn from labels which faults that paged are natural: where the model did as well as before, they are natural to
this data and page nobody again.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.storage import natural, people, runs
from monitor.storage.tables import MonitorRow, Run

log = get_logger()

# The performance, by its interval, may lie beyond the harm that counts by no more than the estimated cost of the fault
# divided by this.
_OF_COST = 4


def learn_natural(session: Session, row: MonitorRow, performance: Run, *, is_bad: bool, now: datetime) -> None:
    """Note the faults that a window's data run paged for as natural if its performance run shows no harm. is_bad: the
    performance run pages itself; then what was noted of the window is removed.
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
            # A small loss is hard to see with few labels: the estimated loss must be ruled out.
            if beyond <= cost / _OF_COST and natural.add(session, data, series, value, performance.as_of):
                name = f"{series.metric} of {series.column}" + (f" where {series.segment}" if series.segment else "")
                text = (
                    f"{name}: {value:.3g} in the window from {data.window_start:%Y-%m-%d %H:%M} UTC did the model no"
                    " harm, by its labels: it pages no more"
                )
                people.record(session, "monitor", "fault known as natural", row.name, text, now)
                log.info(
                    "natural",
                    monitor=row.name,
                    metric=series.metric,
                    column=series.column,
                    segment=series.segment,
                    value=value,
                )
