"""Queries on SQLite: ISO times that are compared with a time column are rewritten; everything else stays unchanged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from monitor.domain.grid import Window
from monitor.storage import monitors, runs
from monitor.storage.database import Database
from monitor.storage.query_times import with_stored_times
from monitor.storage.report import ReportDatabase

TIMES = {"window_start", "as_of", "day", "since"}
START = datetime(2025, 1, 5, tzinfo=UTC)
JANUARY = "'2025-01-06 00:00:00.000000'"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("window_start >= '2025-01-06'", f"window_start >= {JANUARY}"),
        ("window_start='2025-01-06T00:00:00Z'", f"window_start={JANUARY}"),
        ("r.window_start <= '2025-01-06T02:00:00+02:00'", f"r.window_start <= {JANUARY}"),
        ("r.\"WINDOW_START\" <> '2025-01-06 00:00:00+00:00'", f'r."WINDOW_START" <> {JANUARY}'),
        ("'2025-01-06' < r.as_of", f"{JANUARY} < r.as_of"),
        ("as_of BETWEEN '2025-01-06' AND '2025-01-06'", f"as_of BETWEEN {JANUARY} AND {JANUARY}"),
        ("as_of NOT BETWEEN '2025-01-06' AND '2025-01-06'", f"as_of NOT BETWEEN {JANUARY} AND {JANUARY}"),
        ("day IN ('2025-01-06', '2025-01-06')", f"day IN ({JANUARY}, {JANUARY})"),
        ("since NOT IN ('2025-01-06')", f"since NOT IN ({JANUARY})"),
        ("as_of > '2025-01-06 00:00:00.000000'", f"as_of > {JANUARY}"),
    ],
)
def test_what_is_compared_with_a_time_is_written_as_it_is_stored(condition: str, expected: str) -> None:
    sql = "SELECT run FROM monitor_runs r WHERE {} AND monitor = '2025-01-06' -- '2025-01-06'"
    assert with_stored_times(sql.format(condition), TIMES) == sql.format(expected)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT '2025-01-06' AS x, window_start FROM monitor_runs WHERE segment = '2025-01-06'",
        "SELECT 1 FROM monitor_runs WHERE date(window_start) = '2025-01-06'",
        "SELECT 1 FROM monitor_runs WHERE '2025-01-06' = date(window_start)",
        "SELECT 1 FROM monitor_runs WHERE window_start >= '2025-01'",
        "SELECT 1 FROM monitor_runs WHERE window_start LIKE '2025-01-06%'",
        "SELECT 1 FROM monitor_runs WHERE window_start >= 'soon' AND kind IN ('2025-01-06')",
        "SELECT date(window_start) AS day, COUNT(*) FROM monitor_runs GROUP BY day HAVING day >= '2025-01-06'",
        "SELECT CASE WHEN kind = 'data' THEN '2025-01-06' END FROM monitor_runs ORDER BY as_of",
    ],
)
def test_everything_else_stays(sql: str) -> None:
    assert with_stored_times(sql, TIMES) == sql


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> ReportDatabase:
    """The planned runs of three days, from 2025-01-05 on."""
    url = f"sqlite:///{tmp_path_factory.mktemp('reports')}/monitor.db"
    database = Database(url)
    database.prepare()

    def plan(session: Session) -> None:
        version = monitors.configuration_version(session, {"monitors": {"churn": {}}}, "0", START)
        row = monitors.create(session, "churn", "model", version.id, START)
        for day in range(3):
            window = Window(START + timedelta(days=day), START + timedelta(days=day + 1))
            assert runs.plan(session, row, "data", window, 0, window.end, START) is not None

    database.transact(plan)
    return ReportDatabase(url)


@pytest.mark.parametrize(
    ("condition", "number"),
    [
        ("window_start = '2025-01-06'", 1),
        ("window_start = '2025-01-06 00:00:00'", 1),
        ("window_start <= '2025-01-06T00:00:00Z'", 2),
        ("window_start < '2025-01-06T02:00:00+02:00'", 1),
        ("'2025-01-06' <= r.window_start", 2),
        ("window_start BETWEEN '2025-01-06' AND '2025-01-07'", 2),
        ("window_start IN ('2025-01-05', '2025-01-07T00:00')", 2),
        ("window_start > '2025-01-06T00:00:00'", 1),
        ("date(window_start) = '2025-01-06'", 1),
        ("window_start LIKE '2025-01-06%'", 1),
    ],
)
def test_queries_find_windows_however_their_times_are_written(
    reports: ReportDatabase, condition: str, number: int
) -> None:
    assert reports.query(f"SELECT COUNT(*) AS n FROM monitor_runs r WHERE {condition}")["n"].iloc[0] == number


def test_a_time_as_it_is_printed_finds_its_window(reports: ReportDatabase) -> None:
    (start,) = reports.query("SELECT window_start FROM monitor_runs ORDER BY 1 LIMIT 1")["window_start"]
    for written in (start.isoformat(), str(start)):
        assert len(reports.query(f"SELECT run FROM monitor_runs WHERE window_start = '{written}'")) == 1
