"""Logs read by Spark, on this machine, give the rows and counts that DuckDB reads from the same files."""

from __future__ import annotations

import importlib.util
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitor.domain.grid import Window
from monitor.errors import DataError
from monitor.sources.log import Log
from monitor.sources.spec import LabelSpec, LogSpec, Place
from tests.conftest import Project, logged
from tests.history import history

WINDOW = Window(datetime(2025, 1, 3, tzinfo=UTC), datetime(2025, 1, 8, tzinfo=UTC))


@pytest.fixture(scope="module", autouse=True)
def _spark() -> None:
    absent = [
        program
        for program, is_installed in (
            ("PySpark", importlib.util.find_spec("pyspark") is not None),
            ("Java (Debian: apt install default-jre-headless)", shutil.which("java") is not None),
        )
        if not is_installed
    ]
    if absent and os.environ.get("CI"):
        pytest.fail(f"{absent[0]} is not installed; .ci/run installs it")
    if absent:
        pytest.skip(f"needs {' and '.join(absent)}")


def both(folder: Path, frame: pd.DataFrame, **more: object) -> tuple[Log, Log]:
    """The same files by DuckDB and by Spark."""
    frame.to_parquet(folder / "log.parquet", index=False)
    path = str(folder / "log.parquet")
    spec = {"event_time": "event_time", "id": "id", "sample_rows": 50, **more}
    return Log(LogSpec(Place("log", path), **spec)), Log(LogSpec(Place("log", path, engine="spark"), **spec))  # type: ignore[arg-type]


def assert_same(duckdb_log: Log, spark_log: Log) -> None:
    assert spark_log.counts(WINDOW) == duckdb_log.counts(WINDOW)
    assert spark_log.extent() == duckdb_log.extent()
    expected, actual = duckdb_log.sample(WINDOW), spark_log.sample(WINDOW)
    assert len(actual) == 50
    pd.testing.assert_frame_equal(actual, expected, check_dtype=False)


@pytest.mark.long
def test_whole_numbers_and_text_as_ids_give_the_same_rows(tmp_path: Path) -> None:
    frame = logged().drop(columns="label")
    frame.loc[200, "income"] = np.nan
    frame.loc[201, "region"] = None
    assert_same(*both(tmp_path, frame))
    assert_same(*both(tmp_path, frame.assign(id=frame["id"].map("row {}".format))))
    assert_same(*both(tmp_path, frame.assign(id=frame["id"].where(frame["id"] != 250).astype("Int64"))))


@pytest.mark.long
def test_times_in_nanoseconds_with_and_without_zone(tmp_path: Path) -> None:
    frame = logged().drop(columns="label")
    nanoseconds = frame.assign(event_time=frame["event_time"].astype("datetime64[ns]"))
    for log_frame in (
        nanoseconds,
        nanoseconds.assign(event_time=nanoseconds["event_time"].dt.tz_localize("UTC")),
        frame.assign(event_time=frame["event_time"].dt.tz_localize("Europe/Berlin")),
    ):
        duckdb_log, spark_log = both(tmp_path, log_frame)
        assert spark_log.extent() == duckdb_log.extent()
        assert spark_log.counts(WINDOW) == duckdb_log.counts(WINDOW)
        assert spark_log.sample(WINDOW)["id"].tolist() == duckdb_log.sample(WINDOW)["id"].tolist()


@pytest.mark.long
def test_labels_of_their_own_place(tmp_path: Path) -> None:
    frame = logged()
    labels = frame[["id", "label"]].assign(known=frame["event_time"] + pd.Timedelta("2d"))
    labels.to_parquet(tmp_path / "labels.parquet", index=False)
    path = str(tmp_path / "labels.parquet")
    as_of = datetime(2025, 1, 9, tzinfo=UTC)
    results = []
    for engine in (None, "spark"):
        spec = LabelSpec(Place("labels", path, engine=engine), "label", "known", "id", 0)
        log = both(tmp_path, frame.drop(columns="label"), labels=spec)[engine == "spark"]
        rows, counts = log.sample_with_labels(WINDOW, as_of)
        assert log.newest_label() == datetime(2025, 1, 22, 23, 36, tzinfo=UTC)
        results.append(
            (rows[["id", "label"]].astype(object).where(rows["label"].notna()).values.tolist(), counts.labelled)
        )
    assert results[0][1] == results[1][1] > 0
    assert str(results[0][0]) == str(results[1][0])


@pytest.mark.long
def test_what_spark_cannot_find_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read by Spark: \[PATH_NOT_FOUND\]"):
        Log(LogSpec(Place("log", str(tmp_path / "none"), engine="spark"), "event_time"))


@pytest.mark.long
def test_a_monitor_on_spark_has_the_same_history(project: Project, tmp_path: Path) -> None:
    project.run()
    expected = history(project)
    (project.folder / "monitor.db").rename(tmp_path / "here.db")
    project.monitor["source"]["engine"] = "spark"
    project.values["workers"] = {"processes": 1}  # each would start a Java of its own
    project.run(workers=None)
    assert history(project) == expected
