"""A second model of the demo, whose log ends now: for three days the hour is missing in most rows, and the alert is
open.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from monitor.demo import model

NAME = "bike-demand-live"
_FIRST = pd.Timestamp("2012-03-12")
_WEEKS = 9
_FAULT = pd.Timedelta(hours=66)

CONFIGURATION = """  bike-demand-live:
    task: regression
    model: {{name: bike-demand-live, version: "1"}}
    source: {{path: data/live.parquet}}
    labels: {{path: data/live-labels.parquet, delay: 2d, expected: 1.0}}
    reference: {{path: data/live-reference.parquet}}
    columns: {{id: id, event_time: event_time, prediction: prediction, label: label, label_time: label_time}}
    windows: {{length: 1w, start: {start:%Y-%m-%d}, anchor: {start:%Y-%m-%d}}}
    checks: {{harm: {{mae: 50%}}}}
    alerts: {{channels: [demo]}}
"""


def write(folder: Path, now: pd.Timestamp) -> pd.Timestamp:
    """Write the log of the last weeks up to `now` (UTC, naive), its labels and the reference into a folder; when its
    first window begins.

    Every second week of a spring is the reference, the others follow each other in production; no row was seen by the
    model that answers to it.
    """
    frame = model.rentals()
    week = (frame["event_time"] - _FIRST).dt.days // 7
    frame, week = frame[week.between(0, _WEEKS - 1)], week[week.between(0, _WEEKS - 1)]
    # Weeks are moved by whole weeks, so that each hour keeps its weekday; the last is the current one.
    monday = now.normalize() - pd.Timedelta(days=now.weekday())
    place = week // 2 - (_WEEKS // 2 - 1)
    moved = frame["event_time"] + (monday - _FIRST) + pd.to_timedelta((place - week) * 7, unit="D")
    is_live = (week % 2 == 1) & (moved < now)
    is_faulty = is_live & (moved >= now.normalize() - _FAULT) & (np.arange(len(frame)) % 4 > 0)
    received = frame.assign(hour=frame["hour"].astype(float).mask(is_faulty))
    answered = model.validated(frame, received)
    answered[week % 2 == 0].to_parquet(folder / "live-reference.parquet", index=False)
    log = answered[is_live].assign(event_time=moved[is_live]).sort_values("event_time", ignore_index=True)
    log.drop(columns="label").to_parquet(folder / "live.parquet", index=False)
    late = pd.to_timedelta(np.random.default_rng(1).integers(24 * 3600, 36 * 3600, len(log)), unit="s")
    labels = log[["id", "label"]].assign(label_time=log["event_time"] + late)
    labels[labels["label_time"] < now].to_parquet(folder / "live-labels.parquet", index=False)
    weeks = (now.normalize() - log["event_time"].iloc[0].normalize()).days // 7
    return now.normalize() - pd.Timedelta(weeks=weeks)
