"""`make bench-web`: rows a second that ingestion takes, and page times with 500 monitors and 5 million metric
values.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles

import numpy as np
import pyarrow as pa
import pytest
import requests

from monitor import Client
from monitor.domain.checks import Check, Kind, MetricValue, Verdict
from monitor.domain.grid import Window
from monitor.services.apply_configuration import apply_configuration
from monitor.services.context import Context
from monitor.storage import monitors, results, runs
from monitor.storage.database import Database
from monitor.storage.results import Results
from tests.conftest import Project
from tests.web import Served, served

MONITORS, WINDOWS, COLUMNS = 500, 100, 48
ROUNDS = 40
START = datetime(2025, 1, 1, tzinfo=UTC)


def batch(rows: int, first: int) -> pa.Table:
    """Rows of ten columns, as a model server sends them."""
    random = np.random.default_rng(first)
    ids = pa.array([f"{row_id:012d}" for row_id in range(first, first + rows)])
    times = pa.array(
        np.datetime64("2025-01-01T00:00:00", "us") + np.arange(first, first + rows) * 1000, pa.timestamp("us", "UTC")
    )
    features = {f"x{number}": random.normal(size=rows) for number in range(6)}
    return pa.table(
        {
            "id": ids,
            "event_time": times,
            "probability": random.random(rows),
            "prediction": random.integers(0, 2, rows),
            **features,
        }
    )


@pytest.mark.timeout(1800)
def test_ingestion(project: Project) -> None:
    project.monitor["source"] = {"path": "sent/*.parquet", "ingest": True}
    with served(project, requests_per_minute=1_000_000) as site:
        client = Client(site.url, timeout_s=60)
        for rows, number in ((50_000, 30), (1_000, 100), (1, 300)):
            tables = [batch(rows, (rows + 7) * 10**6 + index * rows) for index in range(number)]
            speeds, began = [], time.perf_counter()
            for table in tables:
                before = time.perf_counter()
                assert client.predictions("churn", table).accepted == rows
                speeds.append(rows / (time.perf_counter() - before))
            whole = rows * number / (time.perf_counter() - began)
            low, high = min(speeds), max(speeds)
            print(
                f"ingestion, Arrow, {rows} rows a request, one after the other: {whole:,.0f} rows a second (slowest"
                f" {low:,.0f}, fastest {high:,.0f}; {number} requests)"
            )
        tables = [batch(50_000, 10**11 + index * 50_000) for index in range(30)]
        began = time.perf_counter()
        with ThreadPoolExecutor(4) as pool:
            assert (
                sum(
                    response.accepted for response in pool.map(lambda table: client.predictions("churn", table), tables)
                )
                == 1_500_000
            )
        print(
            f"ingestion, Arrow, 50,000 rows a request, four at once: {1_500_000 / (time.perf_counter() - began):,.0f}"
            " rows a second (goal 50,000)"
        )


def filled(project: Project) -> Context:
    """A report database of 500 monitors with a hundred windows each: 5 million metric values."""
    entry = project.monitor
    project.values["monitors"] = {
        f"model-{number:03d}": entry | {"model": {"name": f"model-{number:03d}"}} for number in range(MONITORS)
    }
    context = Context(project.loaded(), Database(f"sqlite:///{project.folder}/monitor.db"))
    context.database.prepare()
    apply_configuration(context)
    names = [f"column_{number}" for number in range(COLUMNS)]
    random = np.random.default_rng(0)
    for number in range(1, MONITORS + 1):

        def unit(session: object, number: int = number) -> None:
            row = session.get_one(monitors.MonitorRow, number)  # type: ignore[attr-defined]
            for day in range(WINDOWS):
                window = Window(START + timedelta(days=day), START + timedelta(days=day + 1))
                planned = runs.plan(session, row, "data", window, 0, window.end, window.end)  # type: ignore[arg-type]
                assert planned is not None
                planned.status, planned.finished_at, planned.rows, planned.severity = "done", window.end, 1000, "none"
                values = [
                    MetricValue("drift_score", name, value=float(value))
                    for name, value in zip(names, random.random(COLUMNS), strict=True)
                ]
                values += [MetricValue("missing_share", name, value=0.0) for name in names]
                values += [
                    MetricValue("roc_auc", value=0.8, lower=0.7, upper=0.9),
                    MetricValue("estimated_roc_auc", value=0.8, lower=0.7, upper=0.9),
                ]
                checks = [
                    Check(
                        "estimated_roc_auc", value=0.8, kind=Kind.ESTIMATED_PERFORMANCE, verdict=Verdict.FINE, rows=1000
                    )
                ]
                results.store(session, planned, Results(values, checks, [], None))  # type: ignore[arg-type]

        context.database.transact(unit)
    return context


@pytest.mark.timeout(3600)
def test_pages(project: Project) -> None:
    began = time.perf_counter()
    context = filled(project)
    (values,) = project.query("SELECT count(*) FROM metric_values")[0]
    print(
        f"report database of {MONITORS} monitors and {values:,} metric values filled in"
        f" {time.perf_counter() - began:.0f} s"
    )
    with served(project, requests_per_minute=1_000_000) as site:
        run = context.database.read(lambda session: runs.listed(session, 1, "done", 1)[0][0].uuid)
        first = time.perf_counter()
        site.get("/")
        print(f"fleet, the first time: {time.perf_counter() - first:.2f} s")
        for path in (
            "/",
            "/?q=model-1&sort=alerts",
            "/monitors/model-042",
            f"/runs/{run}",
            "/alerts?shown=all",
            "/settings",
            "/metrics",
            "/api/v1/monitors",
            "/api/v1/runs",
            "/api/v1/monitors/model-042/metrics/roc_auc",
        ):
            print(f"{path.replace(run, 'RUN')}: {timed(site, path)}")


def timed(site: Served, path: str) -> str:
    """The times of a page, each asked for ROUNDS times."""
    durations = []
    with requests.Session() as client:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            assert client.get(site.url + path, timeout=60).status_code == 200
            durations.append(1000 * (time.perf_counter() - began))
    return f"median {median(durations):.0f} ms, p95 {quantiles(durations, n=20)[-1]:.0f} ms (goal 300)"
