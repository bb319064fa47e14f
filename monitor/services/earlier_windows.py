"""The earlier windows from whose numbers of rows the expected number of a window follows."""

from __future__ import annotations

from sqlalchemy.orm import Session

from monitor.config.model import MonitorConfig
from monitor.domain.checks import FEWEST_WINDOWS
from monitor.domain.grid import Window
from monitor.services.specs import EarlierWindow
from monitor.storage import annotation, runs
from monitor.storage.tables import MonitorRow, Run

# Windows at the same calendar position that are looked at.
_MOST = 8


def earlier_windows(
    session: Session, config: MonitorConfig, row: MonitorRow, taken: Run
) -> tuple[tuple[EarlierWindow, ...], list[tuple[EarlierWindow, ...]]]:
    """`RunSpec.earlier` and `RunSpec.a_year_ago` of a data run: planned windows, each with the rows of its own first
    run, where that is done.

    The rows of other windows are counted with this run, so that its result does not depend on the order of runs.
    """
    if taken.kind == "performance" or config.checks.volume is False:
        return (), []
    grid, faulty = config.windows.grid(), annotation.of_monitor(session, row.id, "faulty")

    def planned(windows: list[Window]) -> tuple[EarlierWindow, ...]:
        healthy = annotation.without(faulty, windows)
        first = {
            run.window_start: run for run in runs.data_runs_at(session, row.id, [window.start for window in healthy])
        }
        window_runs = [(window, first[window.start]) for window in healthy if window.start in first]
        return tuple(
            EarlierWindow(window, run.read_as_of, run.rows if run.status == "done" else None)
            for window, run in window_runs
        )

    start = taken.window_start
    earlier = planned(grid.same_position(start, _MOST))
    if len(earlier) < FEWEST_WINDOWS:  # a young monitor
        earlier = planned(grid.like_days(start, _MOST))
    return earlier, [
        (*planned(grid.same_position(earlier_window.window.start, _MOST)), earlier_window)
        for earlier_window in planned(grid.a_year_before(start))
    ]
