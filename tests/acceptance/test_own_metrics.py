"""A metric of the user's own and the cost of mistakes, on real bookings: stored, paged on, and told in money."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from monitor.config.load import load
from monitor.daemon import Daemon
from monitor.domain.clock import ReplayClock
from monitor.services.apply_configuration import BEGINNING
from tests.conftest import shared_workers
from tests.replay_projects import write

WINDOWS = 10


def replayed(folder: Path, checks: dict[str, Any]) -> tuple[Path, pd.DataFrame]:
    """Hotel bookings with these checks, replayed; and the labelled log."""
    path = write("hotel_bookings", folder, WINDOWS)
    values = yaml.safe_load(path.read_text())
    entry = values["monitors"]["hotel_bookings"]
    entry["checks"] = checks
    entry["sample"] = {"rows": 100_000}
    entry["alerts"] = {**entry.get("alerts", {}), "channels": ["file"]}
    entry["retraining"] = {"when": ["performance"], "launcher": "train"}
    values["channels"] = {"file": {"type": "file", "path": "told.jsonl"}}
    values["launchers"] = {"train": {"type": "command", "command": ["true"]}}
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    with Daemon(load(path), workers=shared_workers(), clock=ReplayClock(BEGINNING)) as daemon:
        daemon.replay()
    rows = pd.read_parquet(folder / "log.parquet").merge(
        pd.read_parquet(folder / "labels.parquet"), on="id", how="left"
    )
    return path, rows


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "monitor.db") as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.long
def test_lost_nights_are_counted_paged_on_and_told_in_money(shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hotel"
    _, rows = replayed(
        folder,
        {
            "metrics": {"missed": {"sql": "sum(case when prediction = 0 and label = 1 then 1 else 0 end)"}},
            "cost": {"false_negative": 80, "false_positive": 10, "currency": "EUR"},
            "harm": {"cost": 1500, "roc_auc": 0.05},
        },
    )
    stored = query(
        folder,
        "SELECT s.metric, v.window_start, v.value, v.lower, v.upper, r.as_of FROM metric_values v"
        " JOIN metric_series s ON s.id = v.series_id JOIN runs r ON r.id = v.run_id"
        " WHERE r.kind = 'performance' AND s.metric IN ('missed', 'cost', 'cost_excess') AND s.segment = ''"
        " ORDER BY r.as_of",
    )
    last = {(metric, start[:10]): (value, lower, upper, as_of) for metric, start, value, lower, upper, as_of in stored}
    starts = sorted({start for metric, start in last if metric == "missed"})
    assert len(starts) >= WINDOWS - 2
    for start in starts[:3]:
        begin = pd.Timestamp(start)
        window = rows[(rows["event_time"] >= begin) & (rows["event_time"] < begin + pd.Timedelta(days=7))]
        known = window[window["label_time"] <= pd.Timestamp(last["missed", start][3]).tz_localize(None)]
        wrong = known["prediction"] != known["label"]
        missed, needless = (int((wrong & (known["prediction"] == flag)).sum()) for flag in (0, 1))
        # Rows whose labels had not come by the last look are taken to be like the others.
        scale = len(window) / len(known)
        assert last["missed", start][0] == pytest.approx(scale * missed, rel=0.01)
        assert last["cost", start][0] == pytest.approx(scale * (80 * missed + 10 * needless), rel=0.01)
        assert last["missed", start][1] < last["missed", start][0] < last["missed", start][2]
    paging = query(
        folder,
        "SELECT DISTINCT s.metric FROM findings f JOIN metric_series s ON s.id = f.series_id"
        " WHERE f.severity IN ('warning', 'critical')",
    )
    assert {"cost", "estimated_cost"} & {metric for (metric,) in paging}
    told = [json.loads(line) for line in (folder / "told.jsonl").read_text().splitlines()]
    texts = [json.dumps(message, ensure_ascii=False) for message in told]
    assert any("EUR lost since" in text and "waiting a week costs about" in text for text in texts)
