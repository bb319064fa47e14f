"""Rows with a wrong time do not disturb a monitor. The extent of their log omits them; they are counted and shown."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitor.sources.log import Extent, Log
from monitor.sources.spec import LogSpec, Place
from tests.conftest import Project, logged

WRONG = ["0001-01-01", "1970-01-01", "2199-05-01 12:00:00", "9999-12-31"]


def with_wrong_times(times: list[str]) -> pd.DataFrame:
    frame = logged(300, days=5).drop(columns="label")
    moments = frame["event_time"].astype("datetime64[us]").to_numpy().copy()
    moments[: len(times)] = np.array(times, dtype="datetime64[us]")
    return frame.assign(event_time=moments)


def written(folder: Path, form: str, frame: pd.DataFrame) -> Place:
    if form == "parquet":
        frame.to_parquet(folder / "log.parquet", index=False)
        return Place("log", path=str(folder / "log.parquet"))
    texts = frame["event_time"].map(lambda moment: moment.isoformat(" ", "microseconds"))
    if form == "csv":
        frame.assign(event_time=texts).to_csv(folder / "log.csv", index=False)
        return Place("log", path=str(folder / "log.csv"))
    with sqlite3.connect(folder / "log.db") as connection:
        frame.assign(event_time=texts).to_sql("log", connection, index=False, dtype={"event_time": "TIMESTAMP"})
    return Place("log", url=f"sqlite:///{folder}/log.db", table="log")


@pytest.mark.parametrize("form", ["parquet", "csv", "sqlite"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_they_are_left_out_of_the_extent_and_counted(tmp_path: Path, form: str, zone: str) -> None:
    place = written(tmp_path, form, with_wrong_times(WRONG))
    log = Log(LogSpec(replace(place, timezone=zone), "event_time", "id"))
    frame = logged(300, days=5)["event_time"].iloc[len(WRONG) :].dt.tz_localize(zone).dt.tz_convert("UTC")
    assert log.extent() == Extent(frame.iloc[0].to_pydatetime(), frame.iloc[-1].to_pydatetime())
    assert log.misdated().rows == len(WRONG)
    assert log.extent(datetime(2025, 1, 3, tzinfo=UTC)).first >= datetime(2025, 1, 3, tzinfo=UTC)  # type: ignore[operator]


def test_a_clock_that_is_a_little_ahead_is_no_fault(tmp_path: Path) -> None:
    soon = datetime.now(UTC).replace(tzinfo=None) + timedelta(minutes=10)
    log = Log(LogSpec(written(tmp_path, "parquet", with_wrong_times([soon.isoformat()])), "event_time", "id"))
    assert log.misdated().rows == 0
    assert log.extent().newest is not None
    assert log.extent().newest.year == soon.year  # type: ignore[union-attr]


def test_a_row_of_2199_plans_no_empty_windows_and_is_told(project: Project) -> None:
    frame = logged()
    frame.loc[0, "event_time"] = pd.Timestamp("2199-01-01")
    project.log(frame)
    project.run()
    assert project.query("SELECT count(*) FROM runs WHERE kind = 'data'") == [(4,)], "20 days of windows of 5 days"
    findings = project.query(
        "SELECT DISTINCT severity, explanation FROM monitor_findings WHERE metric = 'misdated_rows'"
    )
    assert findings == [
        (
            "info",
            (
                "1 row of the log without a time, or with one before 1971 or in the future, such as 2199-01-01 00:00."
                " No window holds them."
            ),
        )
    ]
    assert project.query("SELECT count(*) FROM alerts WHERE kind = 'no_data'") == [(0,)]
