"""`make bench-database`: how fast metric values go in and come out, how large they are, and whether a longer history
slows reading.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from monitor import ReportDatabase
from monitor.domain.checks import MetricValue
from monitor.domain.grid import Window
from monitor.storage import monitors, results, runs
from monitor.storage.database import Database
from monitor.storage.results import Results
from tests import servers

START = datetime(2025, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MONITORS, COLUMNS, METRICS = 20, 50, 10
MILLIONS = {"PostgreSQL": 20, "SQLite": 5}
# The number of monitors with values in the history: so small that a tenth of it is already 90 days long.
WITH_VALUES = {"PostgreSQL": 2, "SQLite": 1}
ROUNDS = 30


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Database]]:
    if request.param == "SQLite":
        yield "SQLite", Database(f"sqlite:///{tmp_path}/report.db")
        return
    servers.require(servers.PostgreSQL)
    server = servers.PostgreSQL(durable=True)
    yield "PostgreSQL", Database(server.new_database())
    server.stop()


def values_of(hour: int) -> list[MetricValue]:
    return [
        MetricValue(f"metric_{metric}", f"column_{column}", value=(hour * 7 + column) % 100 / 10, lower=0.0, upper=10.0)
        for column in range(COLUMNS)
        for metric in range(METRICS)
    ]


def insert_hours(database: Database, hours: range, numbers: Sequence[int]) -> float:
    """Values a second, as runs of the monitors `numbers` store them: one transaction a run, of 500 values."""
    stored, began = 0, time.perf_counter()
    for hour in hours:
        values = values_of(hour)
        start = START + hour * HOUR

        def unit(session: Session, number: int, start: datetime = start, values: list[MetricValue] = values) -> None:
            row = session.get_one(monitors.MonitorRow, number)
            run = runs.plan(session, row, "data", Window(start, start + HOUR), 0, start + HOUR, start)
            assert run is not None
            run.status, run.finished_at = "done", start + HOUR
            results.store(session, run, Results(values, [], [], None))

        for number in numbers:
            database.transact(unit, number)
            stored += len(values)
    return stored / (time.perf_counter() - began)


def fill(database: Database, hours: range) -> None:
    """The same rows by the database's own means: of a history nobody waits for."""
    with database.engine.begin() as connection:
        recursive = (
            "WITH RECURSIVE h(n) AS (SELECT CAST(:first AS INTEGER) UNION ALL SELECT n + 1 FROM h WHERE n < :last)"
        )
        postgresql = connection.dialect.name == "postgresql"
        at = (
            "TIMESTAMPTZ '2025-01-01Z' + h.n * INTERVAL '1 hour'"
            if postgresql
            else "strftime('%Y-%m-%d %H:%M:%S', '2025-01-01', '+' || h.n || ' hours') || '.000000'"
        )
        span = {"first": hours.start, "last": hours.stop - 1}
        connection.execute(
            text(
                f"""INSERT INTO runs (uuid, monitor_id, kind, window_start, window_end, look, as_of, read_as_of,
                    configuration_id, status, reason, available_at, claims, failures, losses,
                    owner, planned_at, severity, software_version, finished_at)
                    {recursive} SELECT 'b' || m.id || '-' || h.n, m.id, 'data', {at},
                    {at.replace("h.n", "(h.n + 1)")}, 0,
                    {at}, {at}, 1, 'done', '', {at}, 1, 0, 0, '', {at}, 'none', '', {at} FROM monitors m CROSS JOIN h"""
            ),
            span,
        )
        connection.execute(
            text(f"""INSERT INTO metric_values (series_id, window_start, run_id, value, lower, upper)
                    SELECT s.id, r.window_start, r.id, (r.id * 7 + s.id) % 100 / 10.0, 0, 10 FROM metric_series s
                    JOIN runs r ON r.monitor_id = s.monitor_id WHERE r.uuid LIKE 'b%'
                    AND r.window_start >= {"CAST(:since AS TIMESTAMPTZ)" if postgresql else ":since"}
                    ORDER BY s.id, r.window_start"""),
            {"since": f"{START + hours.start * HOUR:%Y-%m-%d %H:%M:%S.%f}" + ("+00" if postgresql else "")},
        )
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE" if database.url.get_backend_name() == "postgresql" else "ANALYZE"))


def read(database: Database, until: int) -> tuple[list[float], list[float]]:
    """Milliseconds of one metric of one column over the last 90 days, hour by hour, and of `monitor_latest`."""
    reports = ReportDatabase(database.url.render_as_string(hide_password=False))
    history, latest = [], []
    for round_ in range(ROUNDS):
        end = START + until * HOUR
        began = time.perf_counter()
        frame = reports.metric_history(
            "monitor-0", f"metric_{round_ % METRICS}", f"column_{round_}", start=end - timedelta(days=90), end=end
        )
        history.append((time.perf_counter() - began) * 1000)
        assert len(frame) == min(90 * 24, until)
        began = time.perf_counter()
        assert len(reports.latest()) == MONITORS
        latest.append((time.perf_counter() - began) * 1000)
    return history, latest


def spread(milliseconds: list[float]) -> str:
    low, _, high = quantiles(milliseconds, n=4)
    return f"{median(milliseconds):.1f} ms (quartiles {low:.1f} to {high:.1f})"


def test_insert_and_read(site: tuple[str, Database]) -> None:
    name, database = site
    database.prepare()

    def add(session: Session) -> None:
        version = monitors.configuration_version(session, {"monitors": {}}, "0", START)
        for number in range(MONITORS):
            monitors.create(session, f"monitor-{number}", "model", version.id, START)

    database.transact(add)
    valued = range(1, WITH_VALUES[name] + 1)
    per_hour = len(valued) * COLUMNS * METRICS
    inserted = range(200)
    insert_hours(database, range(2), valued)  # series are made once
    rate = insert_hours(database, range(2, inserted.stop), valued)
    print(
        f"\n{name}: {rate:,.0f} values a second stored by runs of {COLUMNS * METRICS} values (goal"
        f" {50_000 if name == 'PostgreSQL' else 30_000:,})"
    )
    hours = int(float(os.environ.get("MONITOR_BENCH_MILLIONS", MILLIONS[name])) * 1e6 / per_hour)
    filled = inserted.stop
    for part in (max(hours // 10, filled + 1), hours):
        fill(database, range(filled, part))
        filled = part
        history, latest = read(database, part)
        print(
            f"{name}: {part * per_hour / 1e6:.1f} million values: one metric of one column over 90 days"
            f" {spread(history)}, monitor_latest {spread(latest)}"
        )
    if name == "SQLite":
        assert database.path is not None
        size = database.path.stat().st_size
    else:
        size = database.read(
            lambda session: int(session.execute(text("SELECT pg_total_relation_size('metric_values')")).scalar_one())
        )
    print(f"{name}: {size / (hours * per_hour):.0f} bytes a value")
