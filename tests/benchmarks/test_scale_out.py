"""What a run costs as daemons are added: hourly windows of many monitors on one PostgreSQL, worked by one, two and
three daemons, and by one whose windows a dask cluster evaluates.

`make bench-scale`; MONITOR_BENCH_MONITORS and MONITOR_BENCH_HOURS take other numbers than a thousand monitors and a
day.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest

from monitor.daemon import Daemon
from monitor.storage.database import Database
from tests import servers
from tests.benchmarks.peers import production_frame
from tests.conftest import Project
from tests.processes import cpu_seconds

MONITORS = int(os.environ.get("MONITOR_BENCH_MONITORS", "1000"))
HOURS = int(os.environ.get("MONITOR_BENCH_HOURS", "24"))
ROWS, COLUMNS = 100, 8
# What is measured begins when so large a part of the runs is done: what a start costs is not the cost of a run.
WARM = 0.1
BEGIN = pd.Timestamp.now("UTC").floor("h") - pd.Timedelta(hours=HOURS)


@dataclass
class Cost:
    """CPU seconds, transactions and bytes up to now."""

    daemons: float
    workers: float
    server: float
    transactions: int
    written: int
    stored: int
    at: float = field(default_factory=time.monotonic)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reference and log of all monitors."""
    folder = tmp_path_factory.mktemp("scale")
    production_frame(5_000, COLUMNS, 0, day=-30).to_parquet(folder / "reference.parquet", index=False)
    log = production_frame(HOURS * ROWS, COLUMNS, 1, day=0).drop(columns="label")
    log["event_time"] = BEGIN + pd.Timedelta(hours=HOURS) * np.arange(len(log)) / len(log)
    log.to_parquet(folder / "log.parquet", index=False)
    return folder


@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize(("daemons", "on_dask"), [(1, False), (2, False), (3, False), (1, True)])
def test_the_cost_of_a_run(projects: Path, daemons: int, on_dask: bool) -> None:
    servers.require(servers.PostgreSQL)
    server = servers.PostgreSQL(durable=True)
    try:
        with ExitStack() as stack:
            cluster = stack.enter_context(dask_cluster()) if on_dask else None
            measure(projects, server, daemons, cluster)
    finally:
        server.stop()


def measure(folder: Path, server: servers.PostgreSQL, number: int, cluster: Any) -> None:
    """Work all windows and print what a run cost."""
    url = server.new_database()
    entry = {
        "task": "binary",
        "model": {"name": "m"},
        "source": {"path": "log.parquet"},
        "reference": {"path": "reference.parquet"},
        "columns": {"id": "id", "event_time": "event_time", "prediction": "prediction", "probability": "probability"},
        "windows": {"length": "1h", "start": BEGIN.isoformat()},
    }
    workers: dict[str, Any] = (
        {"processes": 2} if cluster is None else {"dask": cluster.scheduler_address, "processes": 2}
    )
    values = {
        "database": url,
        "web": False,
        "workers": workers,
        "monitors": {f"m{index:04}": entry for index in range(MONITORS)},
    }
    project = Project(folder, values)
    project.write()
    with Daemon(project.loaded()) as daemon:
        daemon.ready()
    runs, database = MONITORS * HOURS, Database(url)
    with ExitStack() as stack:
        started = [stack.enter_context(serving(folder, f"daemon{index}")) for index in range(number)]
        other_pids = [] if cluster is None else [os.getpid()]
        costs = []
        for share in (WARM, 1):
            while (finished := _done(database)) < share * runs:
                assert all(process.poll() is None for process in started)
                time.sleep(0.5)
            costs.append((finished, _cost(server, url, started, other_pids)))
    (first, before), (last, after) = costs
    counted = last - first
    cpu_a_run = {
        "daemons": (after.daemons - before.daemons) / counted,
        "workers": (after.workers - before.workers) / counted,
        "server": (after.server - before.server) / counted,
    }
    print(
        f"\n{number} daemons{' over dask' * (cluster is not None)}, {MONITORS} monitors, {counted} runs in"
        f" {after.at - before.at:.0f} s: CPU milliseconds a run {1000 * sum(cpu_a_run.values()):.0f} ("
        + ", ".join(f"{name} {1000 * value:.1f}" for name, value in cpu_a_run.items())
        + f"); {(after.transactions - before.transactions) / counted:.1f} transactions,"
        f" {(after.written - before.written) / counted / 1000:.1f} kB of log and"
        f" {(after.stored - before.stored) / counted / 1000:.1f} kB of tables a run; " + f"{_deadlocks(url)} deadlocks"
    )


def _done(database: Database) -> int:
    rows = database.read(
        lambda session: session.connection().exec_driver_sql("SELECT SUM(number) FROM run_counts").scalar()
    )
    return int(rows or 0)


def _cost(server: servers.PostgreSQL, url: str, daemons: list[subprocess.Popen[bytes]], other_pids: list[int]) -> Cost:
    own = [cpu_seconds(process.pid, only=True) for process in daemons]
    whole = [cpu_seconds(process.pid) for process in daemons] + [cpu_seconds(pid) for pid in other_pids]
    # A cluster comes from this process, as the server and the daemons do.
    of_server = cpu_seconds(server.process.pid)
    elsewhere = sum(whole[: len(daemons)]) + of_server if other_pids else 0.0
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT xact_commit + xact_rollback, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint,"
            " pg_database_size(datname) FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    return Cost(sum(own), sum(whole) - sum(own) - elsewhere, of_server, *row)


def _deadlocks(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def serving(folder: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon in a process of its own."""
    with open(folder / f"{name}.log", "wb") as log:
        command = [str(Path(sys.executable).parent / "monitor"), "serve"]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(120)


@contextmanager
def dask_cluster() -> Iterator[Any]:
    """Two worker processes of dask on this machine."""
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        yield cluster
