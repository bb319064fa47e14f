"""A history that is caught up or replayed at once equals the history of daily work: late labels, looks and alerts
included.

With MONITOR_LONG set it takes the whole year of the data (`make replay`); otherwise three weeks in steps of three days,
with 60 % of the labels expected.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from monitor.domain.clock import ReplayClock
from monitor.services.apply_configuration import BEGINNING
from tests.conftest import Project
from tests.history import history

LONG = "MONITOR_LONG" in os.environ
DAYS, DELAY_DAYS, REVISE_DAYS, EXPECTED = (329, 7, 130, 0.95) if LONG else (21, 3, 30, 0.6)
START = datetime(2016, 7, 4, tzinfo=UTC)
FEATURES = ["lead_time", "country", "adr", "agent", "deposit_type"]


def hotel(folder: Path, data: Path) -> tuple[Project, pd.DataFrame, pd.DataFrame]:
    """A monitor of a part of the hotel bookings, with their predictions and labels."""
    columns = ["id", "event_time", "probability", "prediction", *FEATURES]
    predictions = pd.read_parquet(data / "hotel_bookings" / "predictions.parquet", columns=columns)
    labels = pd.read_parquet(data / "hotel_bookings" / "labels.parquet")
    reference = pd.read_parquet(data / "hotel_bookings" / "reference.parquet", columns=[*columns, "label"])
    folder.mkdir()
    reference.sample(3000, random_state=0).to_parquet(folder / "reference.parquet", index=False)
    end = START + timedelta(days=DAYS)
    thin = predictions[predictions["event_time"].between(START.replace(tzinfo=None), end.replace(tzinfo=None))]
    thin = thin[thin["id"] % 2 == 0]
    project = Project(folder)
    project.values = {
        "monitors": {
            "hotel": {
                "task": "binary",
                "model": {"name": "hotel"},
                "source": {"path": "log.parquet"},
                "labels": {
                    "path": "labels.parquet",
                    "delay": f"{DELAY_DAYS}d",
                    "expected": EXPECTED,
                    "revise_until": f"{REVISE_DAYS}d",
                },
                "reference": {"path": "reference.parquet"},
                "columns": {
                    "id": "id",
                    "event_time": "event_time",
                    "prediction": "prediction",
                    "probability": "probability",
                    "label": "label",
                    "label_time": "label_time",
                },
                "windows": {"length": "1w", "start": f"{START:%Y-%m-%d}", "delay": "6h"},
                "alerts": {"for": 1, "keep_firing_for": 1},
            }
        }
    }
    return project, thin, labels[labels["id"].isin(thin["id"])]


def write_until(project: Project, predictions: pd.DataFrame, labels: pd.DataFrame, until: datetime) -> None:
    """Write the predictions and labels that existed at a time."""
    moment = pd.Timestamp(until.replace(tzinfo=None))
    predictions[predictions["event_time"] < moment].to_parquet(project.folder / "log.parquet", index=False)
    labels[labels["label_time"] < moment].to_parquet(project.folder / "labels.parquet", index=False)


@pytest.mark.long
@pytest.mark.timeout(7200 if LONG else 300)
def test_working_day_by_day_replaying_and_catching_up_leave_the_same_history(tmp_path: Path, shared_data: Path) -> None:
    daily, predictions, labels = hotel(tmp_path / "daily", shared_data)
    end = START + timedelta(days=DAYS + REVISE_DAYS + 8)
    day = START + timedelta(days=7)
    write_until(daily, predictions, labels, day)
    with daily.daemon(clock=ReplayClock(BEGINNING)) as daemon:
        while day < end:
            write_until(daily, predictions, labels, day)
            assert daemon.replay(until=day).failed == 0
            day += timedelta(days=1 if LONG else 3)

    replayed, *_ = hotel(tmp_path / "replayed", shared_data)
    write_until(replayed, predictions, labels, end)
    replayed.replay()
    caught_up, *_ = hotel(tmp_path / "caught_up", shared_data)
    write_until(caught_up, predictions, labels, end)
    caught_up.run()

    expected: dict[str, list[tuple[Any, ...]]] = history(daily)
    looks = {(kind, look) for _, kind, _, look, *_ in expected["runs"]}
    assert looks == {("data", 0), *(("performance", look) for look in range(5))}
    assert any(event[1] == "firing" for event in expected["events"])
    for name, rows in expected.items():
        assert rows == history(replayed)[name], name
        assert rows == history(caught_up)[name], name
