"""What reading a log costs as it grows: a window of a year of hourly windows of one CSV file; a round over a bucket;
MySQL's sample of many rows.

make bench-logs
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitor.domain.grid import Window
from monitor.sources.log import Log
from monitor.sources.spec import LogSpec, Place
from tests.s3 import environment_of, serving

START = datetime(2026, 1, 1, tzinfo=UTC)
HOURS, ROWS_AN_HOUR = 8_760, 100
LOOKED_AT = (24, 720, 2_160, 4_380, 8_760)
SAMPLED = int(os.environ.get("MONITOR_BENCH_ROWS", "10_000_000"))


def hour(number: int) -> str:
    chance = np.random.default_rng(number)
    ids = np.arange(number * ROWS_AN_HOUR, (number + 1) * ROWS_AN_HOUR)
    times = pd.Timestamp(START) + pd.to_timedelta(number * 3600 + np.arange(ROWS_AN_HOUR) * 36, unit="s")
    columns = {f"x{place}": chance.normal(size=ROWS_AN_HOUR).round(4) for place in range(8)}
    frame = pd.DataFrame(
        {
            "id": ids,
            "timestamp": times.strftime("%Y-%m-%dT%H:%M:%S"),
            **columns,
            "probability": chance.random(ROWS_AN_HOUR).round(4),
        }
    )
    return frame.to_csv(index=False, header=number == 0)


def seconds(what: Callable[[], object], times: int = 5) -> float:
    durations = []
    for _ in range(times):
        begun = time.perf_counter()
        what()
        durations.append(time.perf_counter() - begun)
    return median(durations)


def test_a_window_of_a_growing_file_costs_the_same_all_year(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "log.csv"
    spec = LogSpec(Place("log.csv", path=str(path)), "timestamp", "id")
    print(
        f"\n{ROWS_AN_HOUR} rows an hour are appended to one CSV file; then the newest hour is read (median of 5 hours)"
    )
    print("| after hours | file | seconds a window | pieces |")
    print("|---|---|---|---|")
    seconds_by_hours = {}
    written_hours = 0
    for hours in LOOKED_AT:
        with path.open("a") as opened:
            opened.write("".join(hour(number) for number in range(written_hours, hours)))
        Log(spec)
        times = []
        for number in range(hours, hours + 5):
            with path.open("a") as opened:
                opened.write(hour(number))
            begun = time.perf_counter()
            window = Window(START + timedelta(hours=number), START + timedelta(hours=number + 1))
            _, counts = Log(spec).read(window)
            times.append(time.perf_counter() - begun)
            assert counts.rows == ROWS_AN_HOUR
        written_hours = hours + 5
        seconds_by_hours[hours] = median(times)
        pieces = len(list((tmp_path / "cache").rglob("*.parquet")))
        print(f"| {hours:,} | {path.stat().st_size / 1e6:.0f} MB | {seconds_by_hours[hours]:.3f} | {pieces} |")
    assert seconds_by_hours[LOOKED_AT[-1]] < 3 * seconds_by_hours[LOOKED_AT[0]]


def test_a_round_over_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serving() as (address, request_log):
        for name, value in environment_of(address).items():
            monkeypatch.setenv(name, value)
        import boto3

        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1")
        client.create_bucket(Bucket="logs")
        place = Place("s3://logs/days", path="s3://logs/days")
        print(
            "\na file a day in a bucket (moto on this machine); one more day comes, then a round looks at it and reads"
            " its window"
        )
        print("| days | first contact | requests | a round with a new day | requests | files fetched |")
        print("|---|---|---|---|---|---|")
        for days in (30, 300, 999):
            existing = int(client.list_objects_v2(Bucket="logs").get("KeyCount", 0))
            for day in range(existing, days):
                put_day(client, day)
            request_log.clear()
            begun = time.perf_counter()
            Log(LogSpec(place, "event_time", "id")).extent()
            first, requests = time.perf_counter() - begun, len(request_log)
            put_day(client, days)
            request_log.clear()
            before = len(list((tmp_path / "cache").rglob("files/**/*.parquet")))
            begun = time.perf_counter()
            log = Log(LogSpec(place, "event_time", "id"))
            assert log.extent().newest is not None
            window = Window(START + timedelta(days=days), START + timedelta(days=days + 1))
            assert log.read(window)[1].rows == ROWS_AN_HOUR
            seconds_a_round = time.perf_counter() - begun
            fetched = len(list((tmp_path / "cache").rglob("files/**/*.parquet"))) - before
            print(f"| {days} | {first:.2f} s | {requests} | {seconds_a_round:.2f} s | {len(request_log)} | {fetched} |")


def put_day(client: Any, number: int) -> None:
    """A day's file."""
    frame = pd.DataFrame(
        {
            "id": np.arange(ROWS_AN_HOUR) + number * ROWS_AN_HOUR,
            "event_time": (
                pd.Timestamp(START).tz_convert(None)
                + pd.to_timedelta(number * 86_400 + np.arange(ROWS_AN_HOUR) * 60, unit="s").as_unit("us")
            ),
            "x": np.random.default_rng(number).normal(size=ROWS_AN_HOUR),
        }
    )
    day = f"{START + timedelta(days=number):%Y-%m-%d}"
    client.put_object(Bucket="logs", Key=f"days/date={day}/part.parquet", Body=frame.to_parquet(index=False))


@pytest.mark.timeout(3600)
def test_a_sample_of_mysql_beside_order_by_rand(empty_mariadb: str) -> None:
    from sqlalchemy import text

    from monitor.storage.database import Database

    engine = Database(empty_mariadb).engine
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE log (id BIGINT PRIMARY KEY, event_time DATETIME(6), amount DOUBLE, KEY (event_time))")
        )
        for first in range(1, SAMPLED + 1, 500_000):
            sequence = f"seq_{first}_to_{min(first + 499_999, SAMPLED)}"
            moment = "TIMESTAMPADD(SECOND, seq MOD 86400, '2026-01-01')"
            connection.execute(text(f"INSERT INTO log SELECT seq, {moment}, RAND(seq) FROM {sequence}"))
    log = Log(LogSpec(Place("log", url=empty_mariadb, table="log"), "event_time", "id", sample_rows=10_000))
    window = Window(START, START + timedelta(days=1))
    ours = seconds(lambda: log.sample(window, rows=SAMPLED), 3)

    def at_random() -> None:
        with engine.connect() as connection:
            query = (
                "SELECT * FROM log WHERE event_time >= '2026-01-01' AND event_time < '2026-01-02' ORDER BY RAND() LIMIT"
                " 10000"
            )
            assert len(connection.execute(text(query)).fetchall()) == 10_000

    theirs = seconds(at_random, 3)
    print(
        f"\n10,000 of {SAMPLED:,} rows from MariaDB (median of 3): ours {ours:.2f} s, ORDER BY RAND() {theirs:.2f} s:"
        f" {ours / theirs:.2f} of it"
    )
