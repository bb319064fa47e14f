"""Real data sets are evaluated with the windows of their windows.parquet, and the results are the true ones."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psycopg
import pytest
import yaml

Command = Callable[..., subprocess.CompletedProcess[str]]
DAYS = {
    "bike_sharing": 14,
    "california_housing": 20,
    "car_loan": 15,
    "hotel_bookings": 7,
    "beijing_pm25": 28,
    "diabetes_readmission": 91,
}

VALUES = """SELECT m.kind, m.window_start, metric, column_name, value, value_lower AS lower, value_upper AS upper
            FROM monitor_metrics m JOIN monitor_runs r ON r.run = m.run WHERE r.is_current = 1 ORDER BY 1, 2, 3, 4"""


def initialised(folder: Path, data: Path, name: str, command: Command) -> subprocess.CompletedProcess[str]:
    """Run `monitor init` on a data set."""
    parts = ("predictions", "labels", "reference")
    options = [word for part in parts for word in (f"--{part}", str(data / name / f"{part}.parquet"))]
    made = command("init", name, *options, cwd=folder)
    assert made.returncode == 0, made.stderr
    return made


def configured(folder: Path, data: Path, name: str, command: Command) -> Path:
    """The configuration that `monitor init` writes, with the windows of windows.parquet."""
    initialised(folder, data, name, command)
    path = folder / "monitor.yaml"
    values = yaml.safe_load(path.read_text())
    start = pd.read_parquet(data / name / "windows.parquet")["start"].min()
    values["monitors"][name]["windows"] = {
        "length": f"{DAYS[name]}d",
        "start": f"{start:%Y-%m-%d}",
        "anchor": f"{start:%Y-%m-%d}",
    }
    values["monitors"][name]["labels"]["revise_until"] = "1h"  # one look at the labels is enough here
    path.write_text(yaml.safe_dump(values))
    return path


def stored(folder: Path) -> pd.DataFrame:
    with sqlite3.connect(folder / "monitor.db") as connection:
        return pd.read_sql(VALUES, connection)


@pytest.mark.long
@pytest.mark.parametrize("name", list(DAYS))
def test_init_writes_what_validate_accepts_unchanged(
    tmp_path: Path, shared_data: Path, monitor_command: Command, name: str
) -> None:
    made = initialised(tmp_path, shared_data, name, monitor_command)
    assert "next: monitor validate" in made.stdout
    checked = monitor_command("validate", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "metric"),
    [("california_housing", "roc_auc"), pytest.param("car_loan", "roc_auc", marks=pytest.mark.long)],
)
def test_realised_performance_is_what_really_happened(
    tmp_path: Path, shared_data: Path, monitor_command: Command, name: str, metric: str
) -> None:
    configured(tmp_path, shared_data, name, monitor_command)
    done = monitor_command("run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    metrics = stored(tmp_path)
    metrics = metrics[(metrics["metric"] == metric) & (metrics["kind"] == "performance")]
    truth = pd.read_parquet(shared_data / name / "windows.parquet")
    both = metrics.assign(start=pd.to_datetime(metrics["window_start"])).merge(
        truth.assign(start=truth["start"].astype("datetime64[us]")), on="start", suffixes=("", "_true")
    )
    assert len(both) == len(truth)
    judged = both[both["verdict"] != "none"]
    # Runs use the labels when 98 % of them have come; the truth is of all labels.
    assert (judged["value"] - judged["value_true"]).abs().max() < 0.02
    status = monitor_command("status", cwd=tmp_path)
    assert name in status.stdout


@pytest.mark.long
def test_parquet_csv_sqlite_and_postgresql_give_the_same_metric_values(
    tmp_path: Path, shared_data: Path, monitor_command: Command, empty_postgresql: str
) -> None:
    name, windows = "california_housing", 5
    source = shared_data / name
    tables = {part: pd.read_parquet(source / f"{part}.parquet") for part in ("predictions", "labels", "reference")}
    # A sample smaller than a window shows that the same rows are drawn.
    end = pd.Timestamp("2021-06-01") + pd.Timedelta(days=20 * windows)
    tables["predictions"] = tables["predictions"][tables["predictions"]["event_time"] < end]
    places: dict[str, dict[str, dict[str, str]]] = {
        "parquet": {part: {"path": f"{part}.parquet"} for part in tables},
        "csv": {part: {"path": f"{part}.csv.gz"} for part in tables},
        "sqlite": {part: {"url": "sqlite:///source.db", "table": part} for part in tables},
        "postgresql": {part: {"url": empty_postgresql, "table": part} for part in tables},
    }
    results = {}
    for kind, place in places.items():
        folder = tmp_path / kind
        folder.mkdir()
        _store(folder, kind, tables, empty_postgresql)
        entry = {
            "task": "binary",
            "model": {"name": name},
            "source": place["predictions"],
            "labels": {**place["labels"], "delay": "28d"},
            "reference": place["reference"],
            "columns": {
                "id": "id",
                "event_time": "event_time",
                "prediction": "prediction",
                "probability": "probability",
                "label": "label",
                "label_time": "label_time",
            },
            "windows": {"length": "20d", "start": "2021-06-01", "anchor": "2021-06-01"},
            "sample": {"rows": 300},
        }
        (folder / "monitor.yaml").write_text(yaml.safe_dump({"monitors": {name: entry}}))
        done = monitor_command("run", cwd=folder)
        assert done.returncode == 0, done.stderr
        results[kind] = stored(folder)
    assert len(results["parquet"]) > 40 * windows
    for kind in ("csv", "sqlite", "postgresql"):
        pd.testing.assert_frame_equal(results["parquet"], results[kind], obj=kind, rtol=1e-12)


def _store(folder: Path, kind: str, tables: dict[str, pd.DataFrame], postgresql: str) -> None:
    for part, frame in tables.items():
        if kind == "parquet":
            frame.to_parquet(folder / f"{part}.parquet", index=False)
        elif kind == "csv":
            frame.to_csv(folder / f"{part}.csv.gz", index=False)
        elif kind == "sqlite":
            with sqlite3.connect(folder / "source.db") as connection:
                frame.to_sql(part, connection, index=False)
        else:
            _copy(postgresql, part, frame)


def _copy(url: str, table: str, frame: pd.DataFrame) -> None:
    types = {"i": "bigint", "f": "double precision", "M": "timestamp"}
    columns = ", ".join(f'"{name}" {types.get(kind.kind, "text")}' for name, kind in frame.dtypes.items())
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} ({columns})")
        with cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for row in frame.itertuples(index=False):
                copy.write_row([value.item() if hasattr(value, "item") else value for value in row])
