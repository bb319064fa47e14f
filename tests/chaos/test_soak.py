"""`make soak`: months of many hourly monitors in one process, with retention on: what it takes at the beginning, it
takes at the end.

MONITOR_SOAK_DAYS and MONITOR_SOAK_MONITORS say how much; `make test-long` has a few days of three monitors.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitor.daemon import Daemon
from monitor.domain.clock import ReplayClock
from monitor.services.apply_configuration import BEGINNING
from monitor.services.prune import prune
from monitor.services.workers import WorkerPool
from monitor.storage.database import size_bytes
from tests.conftest import Project

DAYS, MONITORS = int(os.environ.get("MONITOR_SOAK_DAYS", "4")), int(os.environ.get("MONITOR_SOAK_MONITORS", "2"))
ROWS_AN_HOUR = 40
START = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Measurement:
    """What a service takes at a day's end. round_s: the time of a round in which nothing is due, and day_s that of a
    day's work.
    """

    day: int
    memory_mb: float
    workers_mb: float
    handles: int
    threads: int
    database_mb: float
    round_s: float
    day_s: float

    def __str__(self) -> str:
        return (
            f"day {self.day}: daemon {self.memory_mb:.0f} MB, workers {self.workers_mb:.0f} MB, {self.handles} file"
            f" handles, {self.threads} threads, database {self.database_mb:.0f} MB, a round {self.round_s * 1000:.0f}"
            f" ms, the day's work {self.day_s:.1f} s"
        )


def sent(random: np.random.Generator, day: datetime, hours: int) -> pd.DataFrame:
    """A log of so many hours."""
    rows = hours * ROWS_AN_HOUR
    amount = random.lognormal(3, 1, rows)
    chance = 1 / (1 + np.exp(3 - np.log(amount)))
    return pd.DataFrame(
        {
            "id": [f"{day:%Y%m%d}-{number}" for number in range(rows)],
            "event_time": (
                pd.Timestamp(day.replace(tzinfo=None))
                + pd.to_timedelta(np.arange(rows) * 3600 / ROWS_AN_HOUR, unit="s")
            ),
            "amount": amount.round(2),
            "country": random.choice(["de", "fr", "it", "pl"], rows, p=[0.4, 0.3, 0.2, 0.1]),
            "age": random.integers(18, 90, rows),
            "probability": chance.round(4),
            "prediction": (chance > 0.5).astype(int),
            "label": (random.random(rows) < chance).astype(int),
        }
    ).astype({"event_time": "datetime64[us]"})


def resident_mb(pid: int) -> float:
    """What of a process's memory is its own alone, in MB: what workers share with the fork server is not theirs."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty"))) / 1024


def descendants(pid: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    pids = [pid]
    for ancestor in pids:
        pids += [child for child, parent in parents.items() if parent == ancestor]
    return pids[1:]


def measured(daemon: Daemon, day: int, day_s: float) -> Measurement:
    """What the daemon takes now."""
    rounds = []
    for _ in range(3):
        began = time.monotonic()
        daemon.replay(until=daemon.context.clock.now())
        rounds.append(time.monotonic() - began)
    own_pid = os.getpid()
    workers = sum(resident_mb(pid) for pid in descendants(own_pid))
    database = daemon.context.database
    return Measurement(
        day,
        resident_mb(own_pid),
        workers,
        len(list(Path(f"/proc/{own_pid}/fd").iterdir())),
        threading.active_count(),
        database.read(size_bytes) / 2**20,
        min(rounds),
        day_s,
    )


@pytest.mark.long
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_the_service_takes_does_not_grow(project: Project, kind: str, request: pytest.FixtureRequest) -> None:
    random = np.random.default_rng(0)
    entries, columns = {}, {part: name for part, name in project.monitor["columns"].items() if part != "label_time"}
    for number in range(MONITORS):
        folder = project.folder / f"log-{number}"
        folder.mkdir()
        sent(random, START - timedelta(days=30), 48).to_parquet(
            project.folder / f"reference-{number}.parquet", index=False
        )
        entries[f"m{number}"] = {
            "task": "binary",
            "model": {"name": f"model-{number}"},
            "source": {"path": f"log-{number}/*.parquet"},
            "labels": {"delay": "2h", "expected": 1.0},
            "reference": {"path": f"reference-{number}.parquet"},
            "columns": columns,
            "windows": {"length": "1h", "start": f"{START:%Y-%m-%d}"},
        }
    project.values["monitors"] = entries
    project.values["retention"] = {"snapshots": "2d", "metric_values": "7d", "runs": "7d", "alerts": "7d"}
    if kind == "postgresql":
        project.values["database"] = request.getfixturevalue("empty_postgresql")
    measured_days = sorted({min(max(DAYS // 3, 1), 10), DAYS // 2, DAYS})
    measurements: list[Measurement] = []
    workers = WorkerPool()
    with Daemon(project.loaded(), clock=ReplayClock(BEGINNING), workers=workers) as daemon:
        for day in range(1, DAYS + 1):
            for number in range(MONITORS):
                new = sent(random, START + timedelta(days=day - 1), 24)
                new.to_parquet(project.folder / f"log-{number}" / f"{day:04d}.parquet", index=False)
            began = time.monotonic()
            outcome = daemon.replay(until=START + timedelta(days=day))
            assert not outcome.unreachable
            assert not outcome.problems
            prune(daemon.context)
            if day == 1 or day in measured_days:
                measurements.append(measured(daemon, day, time.monotonic() - began))
                print(f"soak: {MONITORS} hourly monitors on {kind}, {measurements[-1]}", flush=True)
        runs = project.query("SELECT status, COUNT(*) FROM runs GROUP BY status")
        workers.close()
    assert [status for status, _ in runs] == ["done"]
    first, last = measurements[1], measurements[-1]  # by then retention has begun to remove
    assert last.memory_mb < first.memory_mb * 1.3 + 50
    assert last.workers_mb < first.workers_mb * 1.3 + 200
    assert last.handles <= first.handles + 10
    assert last.threads <= first.threads + 5
    if DAYS >= 30:
        assert last.database_mb < first.database_mb * 1.5 + 5
        assert last.round_s < first.round_s * 2 + 0.1
        assert last.day_s < first.day_s * 1.5 + 5
