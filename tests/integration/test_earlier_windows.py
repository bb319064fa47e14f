"""The earlier windows from which the row count of a window is expected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy.orm import Session

from monitor.domain.checks import Checks
from monitor.domain.columns import Columns
from monitor.domain.grid import Window
from monitor.services.earlier_windows import earlier_windows
from monitor.services.specs import RunSpec
from monitor.services.work import counted_before
from monitor.sources.log import Log
from monitor.sources.spec import LogSpec, Place
from monitor.storage import monitors, runs
from tests.integration.test_folds import DAY, ENTRY, Monitored


def expected(folder: Path, first: datetime, days: int, rows: dict[str, int], day: str) -> list[int]:
    """The row counts that `day` is compared with. Each planned day has 60 rows, except the days in `rows`."""
    monitored = Monitored(folder, ENTRY | {"windows": {"length": "1d"}, "labels": None})

    def unit(session: Session) -> RunSpec:
        row = monitors.active(session)[0]
        day_run = None
        for number in range(days):
            window = Window(first + number * DAY, first + (number + 1) * DAY)
            run = runs.plan(session, row, "data", window, 0, window.end, window.end)
            assert run is not None
            run.status, run.rows = "done", rows.get(f"{window.start:%Y-%m-%d}", 60)
            day_run = run if f"{window.start:%Y-%m-%d}" == day else day_run
        session.flush()
        assert day_run is not None
        config = monitored.context.configuration.monitors["m"]
        earlier, a_year_ago = earlier_windows(session, config, row, day_run)
        source = LogSpec(Place("log", path=str(folder / "log.parquet")), "t")
        return RunSpec(
            "data",
            day_run.window,
            day_run.window.end,
            source,
            Columns(),
            {},
            Checks(),
            "",
            earlier=earlier,
            a_year_ago=a_year_ago,
        )

    pd.DataFrame({"t": [first], "p": [0.5]}).to_parquet(folder / "log.parquet")
    spec = monitored.database.transact(unit)
    return counted_before(Log(spec.log), spec)


@pytest.mark.parametrize(
    ("day", "lowest"), [("2026-12-25", 4), ("2026-11-26", 30), ("2026-12-22", 60), ("2026-12-23", 60)]
)
def test_a_holiday_of_last_year_is_expected_again_by_its_date_or_its_weekday(
    tmp_path: Path, day: str, lowest: int
) -> None:
    rows = {"2025-12-25": 4, "2025-11-27": 30}  # the second is a fourth Thursday of November
    before = expected(tmp_path, datetime(2025, 10, 1, tzinfo=UTC), 455, rows, day)
    assert min(before) == lowest
    assert sorted(before)[-8:] == [60] * 8


def test_growth_since_last_year_is_no_lower_expectation(tmp_path: Path) -> None:
    first = datetime(2025, 10, 1, tzinfo=UTC)
    grown = {f"{first + timedelta(days=number):%Y-%m-%d}": 600 for number in range(300, 460)}
    assert min(expected(tmp_path, first, 455, grown | {"2025-12-25": 6}, "2026-12-22")) == 600
    (tmp_path / "again").mkdir()
    assert min(expected(tmp_path / "again", first, 455, grown | {"2025-12-25": 6}, "2026-12-25")) == 60


def test_a_young_monitor_looks_at_days_of_the_same_sort(tmp_path: Path) -> None:
    monday = datetime(2025, 1, 6, tzinfo=UTC)
    rows = {"2025-01-06": 303, "2025-01-07": 292, "2025-01-08": 295, "2025-01-11": 20}
    assert expected(tmp_path, monday, 8, rows, "2025-01-09") == [303, 292, 295]
    (tmp_path / "again").mkdir()
    assert expected(tmp_path / "again", monday, 8, rows, "2025-01-12") == [20]
